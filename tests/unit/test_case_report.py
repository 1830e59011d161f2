"""The case report says what a person who was not there must know, in English and Japanese."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import msgspec
import numpy as np
import pytest

from scot.channel import Kind, Lifecycle
from scot.cli import run
from scot.codec import Frame
from scot.sample import AlarmValue, AnnotationValue, Flags
from scot_replay.case_page import draw, since
from scot_replay.case_report import gather
from scot_replay.journal import MAGIC, RecordKind, encode_catalogue, encode_frame, encode_record
from scot_replay.layout import journal_path
from scot_replay.recording import open_recording
from tests.golden.recording_frames import MONITOR, START_NS, S, case, catalogue, frame
from tests.golden.recording_writing import write_recording

ALARMS = "or1/monitor/alarms"
NOTES = "or1/room/notes"
EVIL = "<script>alert(1)</script>"


def alarm(seq: int, t_s: float, present: bool) -> Frame:
    value = AlarmValue(
        id="hr-high", kind="Phy", priority="Hi", present=present, channel="hr",
        presence="On" if present else "Off", text={"en": "HR high", "ja": "心拍数 上昇"},
        value=131.0, limit=120.0,
    )  # fmt: skip
    return frame(ALARMS, Kind.ALARM, seq, t_s, value)


def note(seq: int, t_s: float, tool: str, text: str, at_ns: int = START_NS) -> Frame:
    value = AnnotationValue(
        id=f"n{seq}", channel="or1/scope/video", at_ns=at_ns, author="consultant 1", tool=tool,
        text=text,
    )  # fmt: skip
    return frame(NOTES, Kind.ANNOTATION, seq, t_s, value)


def keyframe() -> bytes:
    """One decodable access unit of a red picture."""
    context: Any = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = 64, 48, "yuv420p"
    context.time_base = Fraction(1, 25)
    context.options = {"preset": "ultrafast", "tune": "zerolatency"}
    red = np.zeros((48, 64, 3), np.uint8)
    red[..., 0] = 220
    picture = av.VideoFrame.from_ndarray(red, format="rgb24").reformat(format="yuv420p")
    return b"".join(bytes(p) for p in [*context.encode(picture), *context.encode(None)])


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("case") / "case-7"
    frames = case(12.0, frozenset({("or1/monitor/hr", 4), ("or1/monitor/hr", 5)}))
    frames = [f for f in frames if f.address not in {ALARMS, "or1/scope/video"}]
    stands = ((2.0, True), (5.0, True), (8.0, False), (9.0, True))
    frames += [alarm(seq, t_s, present) for seq, (t_s, present) in enumerate(stands)]
    frames += [
        note(0, 3.0, "chapter", "Resection"),
        note(1, 4.0, "ink", ""),
        note(2, 6, "text", EVIL),
        note(3, 7.2, "snapshot", "", at_ns=START_NS + 7 * S),
        note(4, 7.3, "snapshot", "", at_ns=START_NS + 7 * S + 1),  # a frame that nobody recorded
    ]
    unit = keyframe()
    frames += [
        frame(
            "or1/scope/video", Kind.VIDEO, n, float(n), unit, flags=Flags.KEYFRAME | Flags.SIMULATED
        )
        for n in range(10)
    ]
    write_recording(path, [frames])
    return path


def test_it_gathers_devices_channels_losses_alarms_notes_and_pictures(recording: Path) -> None:
    found = gather(open_recording(recording), pictures=4)
    assert (found.case, found.workspace, found.finished) == ("case-7", "or1", True)
    heart = next(line for line in found.channels if line.address == "or1/monitor/hr")
    assert (heart.account.expected, heart.account.lost) == (12, 2)
    assert heart.clock.states == {"locked": 1.0}
    assert (heart.clock.err_ns, heart.clock.bound_ns) == (9_000, 40_000)
    assert heart.rate_hz == pytest.approx(9 / 11)
    assert [(address, one.count) for address, one in found.lost] == [("or1/monitor/hr", 2)]
    times = [
        ((a.began_ns - START_NS) / S, None if a.ended_ns is None else (a.ended_ns - START_NS) / S)
        for a in found.alarms
    ]
    assert times == [(2.0, 8.0), (9.0, None)]  # told again at 5 s, and still standing at the end
    assert [value.text for _, _, value in found.annotations] == ["Resection", EVIL, "", ""]
    assert found.drawn == {"ink": 1}
    assert [(p.bus_ns - START_NS) // S for p in found.pictures] == [0, 3, 6, 9]
    assert all(p.jpeg.startswith(b"\xff\xd8") for p in found.pictures)
    assert found.simulated


def test_the_page_needs_nothing_else_and_runs_nothing(recording: Path) -> None:
    case_ = gather(open_recording(recording), pictures=1)
    page = draw(case_)
    assert EVIL not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "<script" not in page
    assert "http:" not in page.replace("http-equiv", "")
    assert "https:" not in page
    assert "HR high" in page
    assert "0:00:02.000" in page
    assert 'class="lost"' in page  # the strip
    assert "data:image/jpeg;base64," in page
    japanese = draw(case_, "ja")
    assert 'lang="ja"' in japanese
    assert "心拍数 上昇" in japanese
    assert "症例記録報告" in japanese
    assert since(-3_723_004_000_000) == "-1:02:03.004"


def test_a_device_is_told_as_it_stood_at_its_last_sample(tmp_path: Path) -> None:
    def known(state: Lifecycle, reason: str) -> bytes:
        device = msgspec.structs.replace(MONITOR, state=state, reason=reason)
        at_ns = {Lifecycle.RUNNING: 0, Lifecycle.DEGRADED: 5 * S, Lifecycle.DISCONNECTED: 60 * S}
        return encode_catalogue(START_NS + at_ns[state], catalogue().with_device(device))

    journal_path(tmp_path, 1).write_bytes(
        MAGIC
        + known(Lifecycle.RUNNING, "")
        + known(Lifecycle.DEGRADED, "lead off")
        + known(Lifecycle.DISCONNECTED, "the room ended")
        + b"".join(encode_frame(one) for one in case(12.0))
        + encode_record(RecordKind.END, b"")
    )
    devices = {one.name: one for one in gather(open_recording(tmp_path), 0).devices}
    assert (devices["monitor"].state, devices["monitor"].reason) == (Lifecycle.DEGRADED, "lead off")


def test_as_a_person_types_it(
    recording: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    chromium_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CHROMIUM", str(chromium_path))
    html, pdf = tmp_path / "r.html", tmp_path / "r.pdf"
    command = ["report", str(recording), "--html", str(html), "--pdf", str(pdf)]
    assert run([*command, "--json", "--pictures", "1"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["files"] == [str(html), str(pdf)]
    assert said["case"] == "case-7"
    assert pdf.read_bytes().startswith(b"%PDF-")
    assert html.stat().st_mode & 0o077 == 0  # it holds pictures of the operation
    assert run(command) == 1
    assert f"{html} exists; name another file, or add --force" in capsys.readouterr().err
    assert run(["report", str(recording), "--lang", "de"]) == 1
    assert "use en or ja" in capsys.readouterr().err
    assert run(["report", str(recording), "--html", str(tmp_path / "no" / "r.html")]) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_without_a_browser_the_fix_is_named(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for name in ("CHROMIUM", "HOME", "PLAYWRIGHT_BROWSERS_PATH", "PATH"):
        monkeypatch.setenv(name, "" if name == "CHROMIUM" else str(tmp_path))
    assert run(["report", str(recording), "--pdf", str(tmp_path / "r.pdf"), "--pictures", "0"]) == 1
    assert "print the HTML from any browser" in capsys.readouterr().err


def test_a_snapshot_is_the_very_frame_and_one_without_its_frame_says_so(recording: Path) -> None:
    with open_recording(recording) as opened:
        exact, gone = opened.snapshots
        marks = opened.annotations
    assert exact.at_ns == START_NS + 7 * S
    assert (exact.author, exact.channel) == ("consultant 1", "or1/scope/video")
    assert exact.image is not None
    assert exact.image.shape == (48, 64, 3)
    assert exact.image[..., 0].mean() > 150 > exact.image[..., 1].mean()
    assert gone.image is None
    assert (marks["tool"] == "snapshot").sum() == 2
    shown = draw(gather(open_recording(recording)), "en")
    assert "does not hold the frame" in shown
    assert shown.count("data:image/jpeg") >= 2
