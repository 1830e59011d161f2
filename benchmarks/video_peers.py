"""aiortc with its own defaults serving cameras, and who watches: two processes, a pipe each way.

    python -m benchmarks.video_peers serve 4 1280 720    # answers offers on stdin
    python -m benchmarks.video_peers watch 4 1280 720    # makes them, takes every packet

The server says on stderr, ten times a second, how many pictures it has taken from its cameras.
What the watcher costs is no server's business, and is not measured.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from benchmarks.video_camera import track

TELL_S = 0.1


async def line() -> Any:
    """Return the next line of stdin as JSON."""
    return json.loads(await asyncio.to_thread(sys.stdin.readline))


def tell(peer: Any) -> None:
    """Print what a peer says of itself."""
    made = peer.localDescription
    print(json.dumps({"sdp": made.sdp, "type": made.type}), flush=True)


async def serve(cameras: int, width_px: int, height_px: int) -> None:
    """Answer an offer a camera and send until killed."""
    from aiortc import RTCPeerConnection, RTCSessionDescription

    peers, tracks = [], []
    for _ in range(cameras):
        peer = RTCPeerConnection()
        tracks.append(track(width_px, height_px))
        peer.addTrack(tracks[-1])
        await peer.setRemoteDescription(RTCSessionDescription(**await line()))
        await peer.setLocalDescription(await peer.createAnswer())
        tell(peer)
        peers.append(peer)
    while True:
        print(sum(one.taken for one in tracks), file=sys.stderr, flush=True)
        await asyncio.sleep(TELL_S)


async def watch(cameras: int) -> None:
    """Make an offer a camera and take what comes until killed."""
    from aiortc import RTCPeerConnection, RTCSessionDescription

    peers = []
    for _ in range(cameras):
        peer = RTCPeerConnection()
        peer.addTransceiver("video", direction="recvonly")
        await peer.setLocalDescription(await peer.createOffer())
        tell(peer)
        await peer.setRemoteDescription(RTCSessionDescription(**await line()))
        peers.append(peer)
    await asyncio.Event().wait()


if __name__ == "__main__":
    how, *numbers = sys.argv[1:]
    count, width, height = map(int, numbers)
    asyncio.run(serve(count, width, height) if how == "serve" else watch(count))
