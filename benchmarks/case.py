"""A long operation as a recording: made by the recorder's own writer and sealer, at full speed.

8 tools at 60 Hz, 12 waveforms of 500 Hz in 50 blocks a second, 30 numerics each second, alarms that
come and go, marks of people, and a small H.264 video: some 1,150 samples a second. Values are of
the resolution that such devices have (float32 poses with noise, waveforms in steps of an ADC), each
device has a clock of its own, and what a timestamp claims grows from one clock probe to the next:
a file that packs as a real one does. Only the video repeats itself, every ten seconds; its chunks
are not packed. Seeded: the same hours make the same samples.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from scot.channel import Alarm, Catalogue, Channel, Device, Event, Lifecycle, Numeric, Pose
from scot.channel import Video as VideoChannel
from scot.channel import Waveform as WaveformChannel
from scot.codec import write
from scot.sample import AlarmValue, Flags, NumericValue, PoseValue, Sample, Value
from scot.timestamp import TAI_MINUS_UTC_NS, ClockState, Timestamp
from scot_devices.video.encoder import Encoder
from scot_replay.disk import Directory
from scot_replay.layout import Manifest, iso_utc, write_manifest
from scot_replay.ledger.notary import Notary
from scot_replay.open_journal import Arrival, OpenJournal
from scot_replay.parts import JournalPart
from scot_replay.seal import seal

S = 1_000_000_000
START_NS = 1_795_000_000 * S + TAI_MINUS_UTC_NS
SEGMENT_S = 300
SYNC_EVERY_S = 5
PROBE_NS = S // 4
TOOLS, TOOL_HZ = 8, 60
WAVES, BLOCK_HZ, BLOCK = 12, 50, 10
NUMERICS = 30
VIDEO_HZ, VIDEO_PX, VIDEO_KBPS = 10, (320, 180), 100
ALARM_EVERY_S, MARK_EVERY_S = 47, 60
WORKSPACE, PLAIN = "or1", Flags(0)
NUMERIC, POSE = "monitor/number0", "tracker/tool0"
"""A channel of each kind that the benchmark reads."""


def tools() -> list[Channel]:
    return [Pose(f"tool{n}", rate_hz=float(TOOL_HZ), frame="patient") for n in range(TOOLS)]


def waves() -> list[Channel]:
    rate_hz = float(BLOCK_HZ * BLOCK)
    return [WaveformChannel(f"wave{n}", rate_hz=rate_hz, unit="mV") for n in range(WAVES)]


def numerics() -> list[Channel]:
    return [Numeric(f"number{n}", rate_hz=1.0, unit="/min") for n in range(NUMERICS)]


ALARMS, MARKS = Alarm("alarms"), Event("marks", latched=True)
VIDEO = VideoChannel("video", rate_hz=float(VIDEO_HZ), width_px=VIDEO_PX[0], height_px=VIDEO_PX[1])


def catalogue() -> Catalogue:
    """Return what the room offers."""
    found = Catalogue(workspace=WORKSPACE, case="benchmark")
    offered = {
        "tracker": tools(),
        "monitor": [*waves(), *numerics(), ALARMS],
        "scope": [VIDEO],
        "console": [MARKS],
    }
    for name, channels in offered.items():
        device = Device(
            name=name,
            provider="scot.benchmark",
            label={"en": name.capitalize()},
            state=Lifecycle.RUNNING,
            epoch=START_NS,
            channels={channel.name: channel for channel in channels},
        )
        found = found.with_device(device)
    return found


class Stamps:
    """The clock of one device: its own time base, and how well that is known from probe to probe.

    Args:
        seed: of its skew and of the jitter of its readings.
        bound_ns: guaranteed right after a probe; the likely error is an eighth of it.
    """

    def __init__(self, seed: int, bound_ns: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._skew = 1 + self._rng.uniform(-40e-6, 40e-6)
        self._base_ns = int(self._rng.integers(S, 10**5 * S))
        self._bound_ns = bound_ns

    def at(self, due_ns: Any) -> list[Timestamp]:
        """Return the stamps of what happens at these ns from the start."""
        jittered = np.asarray(due_ns) + self._rng.normal(0, 15_000, len(due_ns)).astype(np.int64)
        source = self._base_ns + (jittered * self._skew).astype(np.int64)
        since = jittered % PROBE_NS
        bound = self._bound_ns + since // 20_000
        columns = (source, START_NS + jittered, bound, bound // 8 + since // 90_000)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return [
            Timestamp(told, bus, sure, likely, ClockState.LOCKED)
            for told, bus, sure, likely in rows
        ]


class Case:
    """Makes the case second by second.

    Attributes:
        made: samples so far, by channel.
    """

    def __init__(self) -> None:
        self.made: dict[str, int] = {}
        self._rng = np.random.default_rng(20)
        self._tools, self._waves, self._numerics = tools(), waves(), numerics()
        self._stamps = {
            name: Stamps(seed, bound_ns)
            for seed, (name, bound_ns) in enumerate(
                {
                    "tracker": 180_000,
                    "monitor": 2_400_000,
                    "scope": 350_000,
                    "console": 90_000,
                }.items()
            )
        }
        self._video = pictures()

    def second(self, number: int) -> list[Arrival]:
        """Return what is received within one second, in order of bus time."""
        found = [
            *self._poses(number),
            *self._blocks(number),
            *self._numbers(number),
            *self._units(number),
            *self._rare(number),
        ]
        found.sort(key=lambda arrival: arrival.header.bus_ns)
        return found

    def picture(self, number: int, data: bytes) -> Arrival:
        """Return one picture of other content, the first of each second a keyframe."""
        due_ns = number * S // 30
        (time,) = self._stamps["scope"].at([due_ns])
        opens = Flags.KEYFRAME if number % 30 == 0 else PLAIN
        return self._arrival("scope", VIDEO, time, data, opens)

    def _due(self, device: str, number: int, rate_hz: int, late_ns: int) -> list[Timestamp]:
        due = number * S + late_ns + np.arange(rate_hz) * S // rate_hz
        return self._stamps[device].at(due)

    def _arrival(
        self, device: str, channel: Channel, time: Timestamp, value: Value, flags: Flags = PLAIN
    ) -> Arrival:
        address = f"{WORKSPACE}/{device}/{channel.name}"
        seq = self.made.get(address, 0)
        self.made[address] = seq + 1
        frame, header = write(Sample(address, START_NS, seq, time, flags, value), channel.kind)
        return Arrival(frame, header, channel.kind)

    def _poses(self, number: int) -> Iterator[Arrival]:
        times = self._due("tracker", number, TOOL_HZ, 1_000_000)
        at = number + np.arange(TOOL_HZ) / TOOL_HZ
        for n, channel in enumerate(self._tools):
            phase = at * (0.3 + 0.07 * n) + n
            path = np.stack(
                [40 * np.sin(phase), 30 * np.cos(1.3 * phase), 20 * np.sin(0.7 * phase)]
            )
            place = (path + self._rng.normal(0, 0.06, path.shape)).astype(np.float32).T.tolist()
            half = 0.4 * np.sin(phase / 3) + self._rng.normal(0, 5e-4, TOOL_HZ)
            turn = np.stack([0 * half, np.sin(half) * 0.6, np.sin(half) * 0.8, np.cos(half)])
            turns = turn.astype(np.float32).T.tolist()
            quality = (0.97 - 0.02 * self._rng.random(TOOL_HZ)).round(2).tolist()
            for k, time in enumerate(times):
                value = PoseValue(tuple(place[k]), tuple(turns[k]), quality[k])
                yield self._arrival("tracker", channel, time, value)

    def _blocks(self, number: int) -> Iterator[Arrival]:
        times = self._due("monitor", number, BLOCK_HZ, 2_000_000)
        at = number + np.arange(BLOCK_HZ * BLOCK) / (BLOCK_HZ * BLOCK)
        for n, channel in enumerate(self._waves):
            beat = 2 * np.pi * at * (1.1 + 0.01 * np.sin(at / 40)) + n
            curve = sum(np.sin(k * beat) / k**1.3 for k in range(1, 7))
            steps = np.round((curve + self._rng.normal(0, 0.02, len(at))) / 0.005)
            blocks = (steps * 0.005).astype(np.float32).reshape(BLOCK_HZ, BLOCK)
            for k, time in enumerate(times):
                yield self._arrival("monitor", channel, time, blocks[k])

    def _numbers(self, number: int) -> Iterator[Arrival]:
        (time,) = self._due("monitor", number, 1, 500_000_000)
        drift = 20 * np.sin(number / 400 + np.arange(NUMERICS))
        values = (70 + drift + self._rng.normal(0, 1, NUMERICS)).round(1).tolist()
        for channel, value in zip(self._numerics, values, strict=True):
            yield self._arrival("monitor", channel, time, NumericValue(value))

    def _units(self, number: int) -> Iterator[Arrival]:
        for k, time in enumerate(self._due("scope", number, VIDEO_HZ, 3_000_000)):
            data, opens = self._video[(number * VIDEO_HZ + k) % len(self._video)]
            yield self._arrival("scope", VIDEO, time, data, Flags.KEYFRAME if opens else PLAIN)

    def _rare(self, number: int) -> Iterator[Arrival]:
        if number % ALARM_EVERY_S == 0:
            (time,) = self._due("monitor", number, 1, 700_000_000)
            which, present = divmod(number // ALARM_EVERY_S, 2)
            value = AlarmValue(
                id=f"limit{which % 5}",
                kind="Phy",
                priority=("Lo", "Me", "Hi")[which % 3],
                present=not present,
                presence="Off" if present else "On",
                channel=f"number{which % 5}",
                text={"en": "Above its limit", "ja": "上限を超えています"},
                value=92.5,
                limit=90.0,
            )
            yield self._arrival("monitor", ALARMS, time, value)
        if number % MARK_EVERY_S == 0:
            (time,) = self._due("console", number, 1, 800_000_000)
            mark: dict[str, Any] = {"text": f"minute {number // 60}", "by": "circulating nurse"}
            yield self._arrival("console", MARKS, time, mark)


def pictures(seconds: int = 10) -> list[tuple[bytes, bool]]:
    """Return the access units of a moving picture with noise, and whether each is a keyframe."""
    width, height = VIDEO_PX
    rng = np.random.default_rng(5)
    encoder = Encoder(width, height, VIDEO_HZ, VIDEO_KBPS)
    y, x = np.mgrid[:height, :width]
    units = []
    for n in range(seconds * VIDEO_HZ):
        shades = [128 + 90 * np.sin((x + y) / 23 + n / 6 + c) for c in range(3)]
        noisy = np.stack(shades, axis=-1) + rng.normal(0, 4, (height, width, 3))
        unit = encoder.encode(noisy.clip(0, 255).astype(np.uint8), n * S // VIDEO_HZ)
        units.append((unit.data, unit.keyframe))
    return units


def make(directory: Path, hours: float, workers: int | None = None) -> int:
    """Record a case of so many hours into a new directory and seal it; return how many samples.

    Journals are written, forced down and signed by `OpenJournal` and `Notary` in the case's own
    time, not the machine's; complete ones are sealed meanwhile by processes of their own. The
    site's key and log are beside the directory, not this machine's.

    Raises:
        FileExistsError: the directory is there.
        RecordingError: a journal does not seal.
    """
    directory.mkdir(mode=0o700, parents=True)
    seconds = round(hours * 3600)
    manifest = Manifest(
        workspace=WORKSPACE,
        case="benchmark",
        started_ns=START_NS,
        started=iso_utc(START_NS),
        session="benchmark",
    )
    write_manifest(directory, manifest)
    workers = workers or max(1, (os.cpu_count() or 2) - 1)
    with ProcessPoolExecutor(workers) as pool:
        sealing: list[Future[Path]] = []
        notary = Notary(directory, manifest, site_of(directory))

        def ended(part: JournalPart) -> None:
            sign(notary, journal, part.number * SEGMENT_S * S, at_once=True)
            sealing.append(pool.submit(seal, directory, part.number))

        journal = OpenJournal(
            Directory(directory),
            manifest,
            (START_NS, catalogue()),
            SEGMENT_S,
            ended,
            1,
            0,
            tally=notary.tally,
        )
        case = Case()
        for number in range(seconds):
            journal.put(case.second(number))
            _write(journal, notary, (number + 1) * S)
            while sum(not one.done() for one in sealing) > workers + 1:  # the disk stays small
                next(one for one in sealing if not one.done()).result()
            if (number + 1) % 60 == 0:
                said = f"\r{(number + 1) // 60} of {seconds // 60} min"
                print(said, end="", file=sys.stderr, flush=True)
        journal.finish(seconds * S)
        ended(journal.part)
        for one in sealing:
            one.result()
    print(file=sys.stderr)
    _finish(directory, manifest, START_NS + seconds * S)
    notary.finish()
    return sum(case.made.values())


def site_of(directory: Path) -> Path:
    """Return where the key and the log of the site lie that signs a made recording."""
    return directory.with_name(f"{directory.name}-site")


def sign(notary: Notary, journal: OpenJournal, now_ns: int, *, at_once: bool = False) -> None:
    """Let the ledger have what is on the disk for sure, when a checkpoint is due."""
    notary.freeze(now_ns, at_once=at_once)
    notary.take(*journal.safe)
    notary.sign()


def _write(journal: OpenJournal, notary: Notary, now_ns: int) -> None:
    journal.flush(now_ns)
    if now_ns // S % SYNC_EVERY_S == 0:
        file = journal.begin_sync()
        if file is not None:
            file.sync()
            file.close()
            journal.end_sync()
            sign(notary, journal, now_ns)
    journal.rotate(now_ns)


def _finish(directory: Path, manifest: Manifest, end_ns: int) -> None:
    write_manifest(
        directory, msgspec.structs.replace(manifest, finished_ns=end_ns, finished=iso_utc(end_ns))
    )
