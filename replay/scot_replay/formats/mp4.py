"""MP4 (ISO/IEC 14496-12, 14496-15) by remux: the camera's own bits, never encoded again.

Each frame keeps its capture time to a microsecond, the file's time scale; a missing frame makes the
one before it last longer. A track of timed text gives the UTC of each frame to players and people,
and a table beside the file gives bus time to the nanosecond, with its bounds, for each frame.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from scot.channel import Kind
from scot.codec import Header
from scot.errors import RecordingError
from scot.sample import Flags
from scot.timestamp import TAI_MINUS_UTC_NS, ClockState
from scot_replay.formats.written import Asked, Written, WrittenChannel, done, staged
from scot_replay.layout import iso_utc

if TYPE_CHECKING:
    from scot_replay.recording import DirectoryRecording

NAME = "MP4"
SCALE = 1_000_000
_TICK = Fraction(1, SCALE)
_CODECS = {"h264": "h264", "hevc": "hevc", "h265": "hevc"}
_KEYFRAME = int(Flags.KEYFRAME)


def write(recording: DirectoryRecording, asked: Asked) -> Written:
    """Write one video; beside it ``OUT.times.csv``.

    Raises:
        RecordingError: there is no video or several, it has no keyframe, `out` exists, or the disk
            does not take it.
    """
    written = Written(file=str(asked.out), format=NAME)
    address = _one(recording, asked, written)
    codec = _CODECS.get(recording.channel(address).codec)
    if codec is None:
        raise RecordingError(
            f"{address} is {recording.channel(address).codec!r}; MP4 is written of h264 and hevc"
        )
    found = [_Frame.of(one) for one in recording.stream([address], asked.span)]
    order = sorted(range(len(found)), key=lambda n: (found[n].epoch, found[n].seq))
    keys = [n for n, place in enumerate(order) if found[place].key]
    if not keys:
        raise RecordingError(f"{address} has no keyframe in this stretch; export a longer one")
    order = order[keys[0] :]
    kept = [found[place] for place in order]
    with staged(asked.out, asked.force) as stage:
        units = _in_order(recording, address, asked.span, order)
        _mux(stage / asked.out.name, kept, units, codec, asked)
        table = stage / f"{asked.out.name}.times.csv"
        _times(table, kept)
        written.files = [str(asked.out), str(asked.out.parent / table.name)]
    times = np.array([one.bus_ns for one in kept])
    relative = times - times.min()
    written.channels[address] = WrittenChannel(
        name="video",
        count=len(kept),
        gaps=_gaps(kept),
        time_error_s=float(np.max(np.abs(relative - np.round(relative / 1e3) * 1e3)) / 1e9),
    )
    written.notes = [
        f"the bits are the camera's: {len(kept)} frames, none encoded again",
        "a frame's time is exact to 1 µs in the file, to 1 ns in the table beside it",
    ]
    if keys[0]:
        written.notes.append(f"{keys[0]} frames before the first keyframe were left out")
    return done(asked, written)


class _Frame(NamedTuple):
    """A frame without its bits."""

    bus_ns: int
    epoch: int
    seq: int
    key: bool
    header: Header

    @classmethod
    def of(cls, one: Any) -> _Frame:
        key = bool(one.header.flags & _KEYFRAME)
        return cls(one.bus_ns, one.epoch, one.seq, key, one.header)


def _in_order(
    recording: DirectoryRecording, address: str, span: tuple[int, int], order: list[int]
) -> Iterator[bytes]:
    """Yield the bits of frames in the order they came; those shown later wait in memory."""
    rank = {place: n for n, place in enumerate(order)}
    waiting: dict[int, bytes] = {}
    due = 0
    for place, one in enumerate(recording.stream([address], span)):
        if place in rank:
            waiting[rank[place]] = one.frame.payload
        while due in waiting:
            yield waiting.pop(due)
            due += 1


def _one(recording: DirectoryRecording, asked: Asked, written: Written) -> str:
    known = recording.channels
    videos = [a for a in asked.channels if known[a].channel.kind is Kind.VIDEO and known[a].count]
    if len(videos) == 1:
        for address in asked.channels:
            if address != videos[0]:
                written.left_out[address] = "MP4 holds one video"
        return videos[0]
    names = ", ".join(address.split("/", 1)[-1] for address in videos)
    raise RecordingError(
        f"{recording.path} has {len(videos)} videos{': ' + names if names else ''}; "
        + ("name one with -c" if videos else "MP4 holds a video")
    )


def _gaps(kept: list[_Frame]) -> int:
    return sum(
        1
        for before, after in pairwise(kept)
        if after.epoch != before.epoch or after.seq != before.seq + 1
    )


def _mux(path: Path, kept: list[_Frame], units: Iterator[bytes], codec: str, asked: Asked) -> None:
    import av

    first_ns = min(one.bus_ns for one in kept)
    pts = [round((one.bus_ns - first_ns) / 1000) for one in kept]
    dts, lasting = _decode_times(pts), _durations(pts)
    shown = sorted(zip(pts, (one.bus_ns for one in kept), strict=True))
    begin = next(units)
    options = {"video_track_timescale": str(SCALE), "movflags": "+faststart"}
    try:
        with (
            av.open(io.BytesIO(begin), format=codec) as source,
            av.open(str(path), "w", format="mp4", options=options) as out,
        ):
            out.metadata["creation_time"] = iso_utc(first_ns)
            out.metadata["comment"] = f"first frame: bus time {first_ns} ns"
            video = out.add_stream_from_template(source.streams.video[0])
            words = out.add_mux_stream("mov_text")
            video.time_base = words.time_base = _TICK
            for number, unit in enumerate(chain([begin], units)):
                if not number % 500:
                    asked.progress(number / len(kept))
                when = (pts[number], dts[number], lasting[pts[number]])
                out.mux(_packet(video, unit, when, kept[number].key))
                at, bus_ns = shown[number]
                text = _utc(bus_ns).encode()
                body = len(text).to_bytes(2, "big") + text
                out.mux(_packet(words, body, (at, at, lasting[at]), True))
    except av.FFmpegError as error:
        raise RecordingError(f"the video cannot be put into MP4: {error}") from None


def _durations(pts: list[int]) -> dict[int, int]:
    """Return how long each frame is shown: until the next; the last as long as the one before."""
    ordered = sorted(set(pts))
    lasting = {at: after - at for at, after in pairwise(ordered)}
    lasting[ordered[-1]] = lasting[ordered[-2]] if len(ordered) > 1 else SCALE // 25
    return lasting


def _packet(stream: Any, payload: bytes, when: tuple[int, int, int], key: bool) -> Any:
    import av

    packet = av.Packet(payload)
    packet.stream = stream
    packet.time_base = _TICK
    packet.pts, packet.dts, packet.duration = when
    packet.is_keyframe = key
    return packet


def _decode_times(pts: list[int]) -> list[int]:
    """Return ascending decoding times of frames in the order they came, none after its showing."""
    ordered = sorted(pts)
    for place in range(1, len(ordered)):
        ordered[place] = max(ordered[place], ordered[place - 1] + 1)
    late = max((due - shown for due, shown in zip(ordered, pts, strict=True)), default=0)
    return [due - max(0, late) for due in ordered]


def _utc(bus_ns: int) -> str:
    utc_ns = bus_ns - TAI_MINUS_UTC_NS
    return f"{iso_utc(bus_ns)[:-4]}{utc_ns % 1_000_000_000:09d}Z"


def _times(path: Path, kept: list[_Frame]) -> None:
    with path.open("w", encoding="ascii", newline="") as out:
        out.write("frame,pts_us,utc,bus_ns,source_ns,bound_ns,err_ns,state,epoch,seq,keyframe\n")
        first_ns = min(one.bus_ns for one in kept)
        for number, one in enumerate(kept):
            header = one.header
            row = (
                number, round((one.bus_ns - first_ns) / 1000), _utc(one.bus_ns), one.bus_ns,
                header.source_ns, header.bound_ns, header.err_ns,
                ClockState(header.state).label, one.epoch, one.seq,
                int(one.key),
            )  # fmt: skip
            out.write(",".join("" if cell is None else str(cell) for cell in row) + "\n")
