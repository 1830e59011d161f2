"""A stretch of a recording as a recording of its own, for teaching or for somebody else.

Exactly what lies in [from, to) is written, never a sample outside it: a video begins with its first
keyframe inside. What was true when the stretch begins (active alarms, tool states) is kept as
state. The clip is written as the recorder writes, so it has segments, columns and a ledger of its
own; its manifest names the head of the ledger it was taken from.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from scot.channel import Catalogue, Kind, Sensitivity
from scot.codec import Frame, Header, decode, read_header
from scot.errors import CodecError, RecordingError
from scot.names import MAX_WORDS, Names
from scot.sample import Flags, ImageValue
from scot_replay.deid import NO_DATE_NS, Deidentifier, withheld
from scot_replay.layout import Manifest, iso_utc
from scot_replay.ledger.log import LEDGER
from scot_replay.ledger.read import read_ledger
from scot_replay.new_recording import NewRecording
from scot_replay.recording import DirectoryRecording

_KEYFRAME = int(Flags.KEYFRAME)
_NO_WORDS = frozenset({Kind.VIDEO, Kind.NUMERIC, Kind.WAVEFORM, Kind.POSE})


class Clipped(msgspec.Struct, frozen=True, kw_only=True):
    """What `clip` wrote.

    Attributes:
        path: of the new recording.
        first_ns, last_ns: the stretch in the bus time of the recording it was taken from.
        samples: written, by channel.
        left_out: channels that were not written, with the reason.
        no_keyframe: frames of each video before its first keyframe inside, which were left out.
        texts: that were withheld.
        moved_ns: added to every time.
        origin_head: root of the ledger it was taken from; empty when that has none.
    """

    path: str
    first_ns: int
    last_ns: int
    samples: dict[str, int]
    left_out: dict[str, str]
    no_keyframe: dict[str, int]
    texts: int = 0
    moved_ns: int = 0
    origin_head: str = ""


def clip(
    recording: DirectoryRecording,
    out: str | Path,
    between: tuple[int, int],
    *,
    deid: bool = False,
    keep_times: bool = False,
    notes: bool = False,
    progress: Callable[[float], None] | None = None,
) -> Clipped:
    """Write a stretch of a recording as a recording of its own.

    Args:
        recording: to take it from.
        out: directory that is made.
        between: from inclusive, to exclusive, bus ns.
        deid: leave out what may name the patient, see `scot_replay.deid`; times are moved so
            that the clip begins at 2000-01-01T00:00:00Z.
        keep_times: do not move them.
        notes: with `deid`, keep what people wrote in annotations, cleaned.
        progress: told how much of it is done, 0 to 1.

    Raises:
        RecordingError: nothing lies in the stretch, `out` exists, or the disk does not take it.
    """
    return _Clip(recording, Path(out), between, deid, keep_times, notes).write(progress)


class _Clip:
    def __init__(
        self,
        recording: DirectoryRecording,
        out: Path,
        between: tuple[int, int],
        deid: bool,
        keep_times: bool,
        notes: bool,
    ) -> None:
        self.recording = recording
        self.out = out
        self.between = between
        self.move_ns = NO_DATE_NS - between[0] if deid and not keep_times else 0
        self.left_out: dict[str, str] = {}
        self.samples: dict[str, int] = {}
        self.no_keyframe: dict[str, int] = {}
        self.kinds: dict[str, Kind] = {}
        self.cleaner: Deidentifier | None = None
        if deid:
            case = recording.manifest.case or recording.catalogue.case
            self.cleaner = Deidentifier(learnt(recording), case, self.move_ns, notes)
        for address in recording.channels:
            channel = recording.channel(address)
            why = withheld(channel, bool(self.move_ns)) if deid else ""
            if why:
                self.left_out[address] = why
            else:
                self.kinds[address] = channel.kind

    def write(self, progress: Callable[[float], None] | None) -> Clipped:
        from_ns, to_ns = self.between
        if to_ns <= from_ns:
            raise RecordingError(f"{iso_utc(from_ns)} is not before {iso_utc(to_ns)}")
        if to_ns <= self.recording.first_ns or from_ns > self.recording.last_ns:
            raise RecordingError(
                f"{self.recording.path} has nothing between {iso_utc(from_ns)} and "
                f"{iso_utc(to_ns)}; it goes from {iso_utc(self.recording.first_ns)} to "
                f"{iso_utc(self.recording.last_ns)}"
            )
        manifest = self._manifest()
        versions = self._catalogues()
        state = [one for _, _, one in self._cleaned(self.recording.state(from_ns - 1))]
        span_ns = to_ns - from_ns
        with NewRecording(self.out, manifest, versions[0][1], state) as made:
            waiting = versions[1:]
            frames = self.recording.frames(list(self.kinds), self.between)
            for bus_ns, address, frame in self._cleaned(self._decodable(frames)):
                while waiting and waiting[0][0] <= bus_ns:
                    made.note(waiting[0][0] + self.move_ns, waiting.pop(0)[1])
                made.put([frame])
                self.samples[address] = self.samples.get(address, 0) + 1
                if progress is not None:
                    progress(0.8 * (bus_ns - from_ns) / span_ns)
            if not made.samples:
                raise RecordingError(
                    f"nothing of {self.recording.path} may be written: its channels in this "
                    "stretch are not clinical; `scot info` names them"
                )
            made.finish(
                to_ns + self.move_ns,
                None if progress is None else lambda done, of: progress(0.8 + 0.2 * done / of),
            )
        return Clipped(
            path=str(self.out),
            first_ns=from_ns,
            last_ns=to_ns,
            samples=self.samples,
            left_out=self.left_out,
            no_keyframe=self.no_keyframe,
            texts=self.cleaner.texts if self.cleaner else 0,
            moved_ns=self.move_ns,
            origin_head=manifest.origin_head,
        )

    def _manifest(self) -> Manifest:
        source = self.recording.manifest
        started_ns = self.between[0] + self.move_ns
        return Manifest(
            workspace=source.workspace or self.recording.catalogue.workspace,
            case="" if self.cleaner else source.case,
            started_ns=started_ns,
            started=iso_utc(started_ns),
            origin="de-identified clip" if self.cleaner else "clip",
            origin_head=head(self.recording.path),
        )

    def _catalogues(self) -> list[tuple[int, Catalogue]]:
        """Return the catalogue that was true when the stretch begins, and those within it."""
        from_ns, to_ns = self.between
        known = self.recording.catalogues
        before = [catalogue for at_ns, catalogue in known if at_ns <= from_ns]
        within = [(at_ns, catalogue) for at_ns, catalogue in known if from_ns < at_ns < to_ns]
        found = [(from_ns, before[-1] if before else self.recording.catalogue), *within]
        if self.cleaner is None:
            return found
        return [(at_ns, self.cleaner.catalogue(catalogue)) for at_ns, catalogue in found]

    def _decodable(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """Leave out the frames of a video before its first keyframe."""
        opened: set[bytes] = set()
        for frame in frames:
            if self.kinds.get(frame.address) is Kind.VIDEO and frame.topic not in opened:
                if not read_header(frame).flags & _KEYFRAME:
                    count = self.no_keyframe.get(frame.address, 0)
                    self.no_keyframe[frame.address] = count + 1
                    continue
                opened.add(frame.topic)
            yield frame

    def _cleaned(self, frames: Iterator[Frame] | list[Frame]) -> Iterator[tuple[int, str, Frame]]:
        for frame in frames:
            kind = self.kinds.get(frame.address)
            if kind is None:
                continue
            header = read_header(frame)
            cleaned = self._clean(frame, header, kind)
            if cleaned is not None:
                yield header.bus_ns, frame.address, cleaned

    def _clean(self, frame: Frame, header: Header, kind: Kind) -> Frame | None:
        return frame if self.cleaner is None else self.cleaner.frame(frame, header, kind)


def learnt(recording: DirectoryRecording) -> Names:
    """Return the words of all identity channels of a recording.

    Raises:
        RecordingError: there are more than can be looked for.
    """
    names = Names()
    for address in recording.channels:
        channel = recording.channel(address)
        if channel.sensitivity is not Sensitivity.IDENTITY or channel.kind in _NO_WORDS:
            continue
        for frame in recording.frames([address]):
            try:
                value = decode(frame, channel).value
            except CodecError:
                continue
            if isinstance(value, ImageValue):
                value = value.attrs
            names.learn(msgspec.to_builtins(value) if isinstance(value, msgspec.Struct) else value)
    if names.full:
        raise RecordingError(
            f"{recording.path} names the patient in more than {MAX_WORDS} words, which cannot all "
            "be looked for: nothing is written of it"
        )
    return names


def head(path: Path) -> str:
    """Return the signed root of a recording's ledger, hexadecimal; empty when it has none."""
    if not (path / LEDGER).exists():
        return ""
    lines = read_ledger(path).last.split(b"\n")  # origin, size, root: C2SP tlog-checkpoint
    return b64decode(lines[2]).hex() if len(lines) > 2 else ""
