"""Pages of a room without a browser: WebSockets that say what they show and read all that comes.

Started by `benchmarks.video_crowd`, a process of its own for all pages of a look. It says ``open``
when every page has had a picture, and then does what it is told: ``begin``, and ``end``, which it
answers with the ages of the pictures that came between, ms, from each picture's own time.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import httpx
import msgspec
import uvloop
from websockets.asyncio.client import ClientConnection, connect

from scot.clock import machine

SOURCE_NS = 3
STALL_B = 4_096


class Pages:
    """All pages of a look.

    Args:
        told: url, count, addresses, and how many of them stop reading once they have begun.
    """

    def __init__(self, told: dict[str, Any]) -> None:
        self.told = told
        self.ages_ms: list[float] = []
        self.stop = asyncio.Event()
        self._begun = [asyncio.Event() for _ in range(told["count"])]

    async def run(self) -> None:
        """Open all pages, and answer what stdin asks."""
        origin, _, secret = self.told["url"].partition("/#wall=")
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.post(
                f"{origin}/enter", json={"secret": secret}, headers={"Origin": origin}
            )
            answer.raise_for_status()
            cookie = answer.headers["set-cookie"].partition(";")[0]
        tasks = [
            asyncio.create_task(self._page(number, origin, cookie))
            for number in range(self.told["count"])
        ]
        await asyncio.gather(*(event.wait() for event in self._begun))
        print("open", flush=True)
        while word := (await asyncio.to_thread(sys.stdin.readline)).strip():
            found, self.ages_ms = self.ages_ms, []
            print(json.dumps([] if word == "begin" else found), flush=True)
        for task in tasks:
            task.cancel()

    async def _page(self, number: int, origin: str, cookie: str) -> None:
        address = self.told["addresses"][number % len(self.told["addresses"])]
        async with connect(
            origin.replace("http", "ws") + "/feed",
            additional_headers={"Cookie": cookie, "Origin": origin},
            compression=None,
            max_size=None,
            proxy=None,
        ) as socket:
            await socket.send(msgspec.msgpack.encode(["show", {address: "full"}]))
            await self._read(socket, number, address)

    async def _read(self, socket: ClientConnection, number: int, address: str) -> None:
        stalls = number < self.told["stalled"]
        async for data in socket:
            assert isinstance(data, bytes)
            parts = msgspec.msgpack.decode(data)
            if parts[0] != "samples":
                continue
            now_ns = machine.monotonic_ns()
            made = [header[SOURCE_NS] for where, header, _ in parts[2] if where == address]
            if not made:
                continue
            self._begun[number].set()
            if stalls:
                await self.stop.wait()
            self.ages_ms += [(now_ns - ns) / 1e6 for ns in made]


if __name__ == "__main__":
    uvloop.run(Pages(json.loads(sys.argv[1])).run())
