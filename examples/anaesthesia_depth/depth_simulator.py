"""The other end of the socket: a depth-of-anaesthesia monitor that goes deeper and lighter.

python depth_simulator.py --port 4002
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from collections.abc import Iterator

import numpy as np

EEG_HZ = 128
BLOCK = 16
PERIOD_S = 120.0


def lines(seed: int = 7) -> Iterator[bytes]:
    """Yield what the monitor sends; an eighth of a second for each block of EEG."""
    random = np.random.default_rng(seed)
    for block in range(2**31):
        first = block * BLOCK
        t = (first + np.arange(BLOCK)) / EEG_HZ
        depth = 48 - 14 * np.sin(2 * np.pi * t[0] / PERIOD_S)
        slow = 26 * np.sin(2 * np.pi * 1.3 * t) + 16 * np.sin(2 * np.pi * 10.2 * t)
        eeg = slow * (1.4 - depth / 100) + random.normal(0, 3.5, BLOCK)
        yield f"E {first} {','.join(f'{v:.1f}' for v in eeg)}\n".encode()
        if first % EEG_HZ == 0:
            state = "deep" if depth < 40 else "adequate" if depth < 60 else "light"
            yield f"N {depth:.0f} {random.uniform(93, 99):.0f} 28 0 {state}\n".encode()


async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send until whoever reads has gone."""
    with contextlib.suppress(ConnectionError):
        for line in lines():
            writer.write(line)
            await writer.drain()
            if line.startswith(b"E"):
                await asyncio.sleep(BLOCK / EEG_HZ)


async def main(host: str, port: int) -> None:
    """Listen until interrupted."""
    async with await asyncio.start_server(serve, host, port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="simulate a depth-of-anaesthesia monitor")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4002)
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(options.host, options.port))
