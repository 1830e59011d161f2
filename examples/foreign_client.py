"""Read a room without SCOT: plain pyzmq and the `msgpack` package, as any language could.

    python foreign_client.py ~/.local/state/scot/or1 --prefix or1/monitor/ --count 20

A room writes where it listens and every key into its state folder. Each message is one sample: the
channel's address and a NUL; one byte that says how long the header is; the header, a MessagePack
array; the payload, which the channel's kind in the catalogue says how to read. Bus time counts ns
like TAI: UTC is 37 s behind.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import zmq

HEADER = ["version", "epoch", "seq", "source_ns", "bus_ns", "bound_ns", "err_ns", "state", "flags"]
STATES = ["locked", "converging", "holdover", "one-way", "unsynced"]


def connect(context: zmq.Context[zmq.Socket[bytes]], state: Path, kind: int, port: str) -> Any:
    """Return a socket to one of the broker's ports, proving who we are by the key `console`."""
    broker = json.loads((state / "endpoints.json").read_text())
    key = json.loads((state / "keys" / "console.json").read_text())
    sock = context.socket(kind)
    sock.setsockopt(zmq.LINGER, 0)
    sock.curve_serverkey = broker["server"].encode()
    sock.curve_publickey = key["public"].encode()
    sock.curve_secretkey = key["secret"].encode()
    sock.connect(f"tcp://{broker['host']}:{broker['ports'][port]}")
    return sock


def read_catalogue(query: Any) -> dict[str, dict[str, Any]]:
    """Ask the broker what there is; return each channel's description by its address."""
    query.send_multipart([b"1", b"catalogue", msgpack.packb(None)])
    if not query.poll(5_000):
        raise SystemExit("no answer within 5 s: is the room up, and is this its state folder?")
    _, status, body = query.recv_multipart()
    answer = msgpack.unpackb(body)
    if status != b"ok":
        raise SystemExit(f"the broker refused: {answer}")
    return {
        f"{answer['workspace']}/{device['name']}/{name}": channel
        for device in answer["devices"].values()
        for name, channel in device.get("channels", {}).items()
    }


def read_payload(kind: str, payload: bytes) -> Any:
    """Return a payload as plain values."""
    if kind == "waveform":
        return np.frombuffer(payload, "<f4").tolist()
    if kind == "text":
        return payload.decode()
    if kind == "video":
        return f"access unit of {len(payload)} B"
    return msgpack.unpackb(payload)


def main() -> None:
    """Print samples as they come, one JSON line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("state", type=Path, help="the room's state folder")
    parser.add_argument("--prefix", default="", help="start of the addresses; all by default")
    parser.add_argument("--count", type=int, default=0, help="stop after so many; 0: never")
    arguments = parser.parse_args()
    workspace = json.loads((arguments.state / "endpoints.json").read_text())["workspace"]
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    samples = connect(context, arguments.state, zmq.SUB, "ctl_out")
    samples.setsockopt(zmq.SUBSCRIBE, (arguments.prefix or f"{workspace}/").encode())
    query = connect(context, arguments.state, zmq.DEALER, "query")
    channels = read_catalogue(query)
    count = 0
    while not arguments.count or count < arguments.count:
        topic, _, rest = samples.recv().partition(b"\0")
        head, payload = rest[1 : 1 + rest[0]], rest[1 + rest[0] :]
        address = topic.decode()
        if address not in channels:  # a device came after we asked
            channels = read_catalogue(query)
        header = dict(zip(HEADER, msgpack.unpackb(head), strict=True))
        header["state"] = STATES[header["state"]]
        value = read_payload(channels[address]["kind"], payload)
        print(json.dumps({"address": address, **header, "value": value}, default=repr), flush=True)
        count += 1
    for sock in (samples, query):
        sock.close()
    context.term()


if __name__ == "__main__":
    main()
