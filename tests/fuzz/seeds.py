"""Write the first inputs of each corpus, from the golden vectors: ``python -m tests.fuzz.seeds``.

What fuzzing found is beside them and stays.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from scot.access import Grant, Key, Roster
from scot.channel import Alarm, Catalogue, Device, Kind, Lifecycle, Numeric
from scot.clock.probe import Probe, Request, encode
from scot.clock.sealed import ANSWER, ASK, seal
from scot.codec import Frame, bundle
from scot.codec import pack as frame_pack
from scot.command import Ask, Confirm, Look, Offer, Release, Take, Withdraw
from scot.command import Request as CommandRequest
from scot.history import HistoryReply, HistoryRequest, Level
from scot_devices.simulators.monitor_mdib import MSG, PM, mdib_xml
from scot_replay import journal
from scot_replay.formats.commands import write
from scot_replay.formats.written import Asked
from scot_replay.ledger.log import lines
from scot_replay.pack import pack as pack_file
from scot_replay.recording import open_recording
from tests.attacks.bombs import BOMBS
from tests.fuzz.__main__ import CORPUS, ROOT
from tests.fuzz.readers import ADDRESS, COLUMNS
from tests.fuzz.targets import KINDS, NOTE, NOTE_TEXT, PROBE_KEY, VERBS
from tests.golden.recording_frames import case
from tests.golden.recording_writing import write_recording
from tests.unit.ledger_recording import recorded

pack = msgspec.msgpack.Encoder().encode
SMALL = 2_048
REPORT = """<msg:R xmlns:pm="{pm}" xmlns:msg="{msg}"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" SequenceId="{sequence}" MdibVersion="9">
<msg:ReportPart><msg:MetricState xsi:type="pm:NumericMetricState"
 DescriptorHandle="numeric.hr"><pm:MetricValue Value="72" DeterminationTime="1700000000000">
<pm:MetricQuality Validity="Vld" Mode="Real"/></pm:MetricValue></msg:MetricState>
<msg:State DescriptorHandle="wave.ecg_ii"><pm:MetricValue Samples="1 2.5 -3"
 DeterminationTime="1700000000000"/></msg:State>
<msg:AlertState xsi:type="pm:LimitAlertConditionState" DescriptorHandle="hr.high"
 ActivationState="On" Presence="true"><pm:Limits Upper="120"/></msg:AlertState>
</msg:ReportPart></msg:R>"""
WFDB = (
    "rec 2 125 100 17:27:45 15/08/1994\nrec.dat 16x4 200/mV 16 0 0 0 0 II\n"
    "rec.dat 16 10(-100)/mmHg 16 0 0 0 0 ABP\n"
)


def golden() -> dict[str, tuple[str, Frame]]:
    """Return kind and frame of each golden sample, by name."""
    rows: dict[str, Any] = json.loads((ROOT / "tests/golden/wire/frames.json").read_text())
    return {
        name: (row["kind"], Frame(*(bytes.fromhex(row[part]) for part in Frame._fields)))
        for name, row in rows.items()
    }


def small(bombs: dict[str, bytes]) -> list[bytes]:
    """Return what is no larger than a file of a corpus should be."""
    return [data for data in bombs.values() if len(data) <= SMALL]


def desk() -> list[bytes]:
    """Return questions to the desk, each behind the byte of its verb."""
    channels = {"hr": Numeric("hr", unit="/min"), "alarms": Alarm("alarms")}
    device = Device(
        name="device", provider="x", state=Lifecycle.RUNNING, epoch=1, channels=channels
    )
    asks = [
        HistoryRequest(addresses=["or1/device/hr"], between=(0, 2**62)),
        HistoryRequest(addresses=["or1/device/hr"], seqs=(1, 0, 9), holder="publisher"),
        HistoryRequest(addresses=["or1/room/clock"], at=5),
    ]
    bodies = [(b"announce", pack(device)), *((b"history", pack(ask)) for ask in asks)]
    bodies += [(verb, b"\xc0") for verb in VERBS]
    bodies += [(verb, bomb) for verb in (b"announce", b"history") for bomb in small(BOMBS)]
    return [bytes([VERBS.index(verb)]) + body for verb, body in bodies]


def journals() -> list[bytes]:
    """Return journals: whole, cut short, with a record that is none."""
    frame = encode_some()
    whole = journal.MAGIC + b"".join(map(journal.encode_frame, frame))
    return [whole, whole[:-3], whole + bytes(20), journal.MAGIC, journal.MAGIC[:3]]


def encode_some() -> list[Frame]:
    """Return a few golden frames."""
    return [frame for _, frame in golden().values()][:3]


def of_hex(path: Path) -> bytes:
    """Return the bytes of a golden message; what follows a # is for people."""
    lines = path.read_text("utf-8").splitlines()
    return bytes.fromhex("".join(line.partition("#")[0] for line in lines))


def rosters() -> list[bytes]:
    """Return rosters with a key that ends and one that was revoked."""
    grant = Grant(name="pump", publish=["or1/pump/"], devices=["pump"])
    keys = {
        "0" * 40: Key(holder="pump", until_ns=2**62),
        "1" * 40: Key(holder="pump", revoked_ns=1, reason="lost"),
    }
    return [Roster(workspace="or1", serial=4, holders={"pump": grant}, keys=keys).text()]


def calls() -> list[Any]:
    """Return one of each command call."""
    address, times = "or1/device/nibp", {"issued_ns": 1, "expires_ns": 2}
    return [
        Take(address="or1/device", id="a", for_ns=10**9, expires_ns=2),
        Release(address="or1/device", term=1),
        Offer(address="or1/device", term=1, to="console"),
        CommandRequest(address=address, key="k", arguments={"a": [1.5, "mm[Hg]"]}, term=1, **times),
        Confirm(address=address, key="k", arguments={}),
        Withdraw(address=address, key="k"),
        Ask(address=address, key="k"),
        Look(address="or1/device"),
    ]


def files() -> dict[str, list[bytes]]:
    """Return small files of each format that is imported, and what lies in a recording."""
    made: dict[str, list[bytes]] = {}
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        path = Path(name)
        patch.setenv("SCOT_STATE", name)
        few = [frame for frame in case(2.0) if frame.address.split("/")[1] == "monitor"]
        write_recording(path / "rec", [few], sealed=1)
        with open_recording(path / "rec") as opened:
            for target, suffix in (("edf", ".edf"), ("vital", ".vital"), ("xdf", ".xdf")):
                out = path / f"out{suffix}"
                asked = Asked(out=out, channels=[], span=opened.stretch(None), force=False)
                write(opened, asked, [])
                made[target] = [out.read_bytes()]
            pack_file(opened, path / "out.mcap")
        made["mcap"] = [(path / "out.mcap").read_bytes()]
        beside = path / "rec" / "columns"
        made["columns"] = [
            bytes([place]) + (file.read_bytes()[10:] if name == "index" else file.read_bytes())
            for place, name in enumerate(COLUMNS)
            for file in beside.glob(f"{name}-1.*")
        ]
        desk = recorded(path / "signed", [few[:9]])
        data = (desk.path / "ledger.scotl").read_bytes()
        bodies = [bytes([line.kind - 1]) + line.body for line in lines(data)]
        made["ledger"] = [data, *bodies]
    whole = Level(
        width_ns=5, first_ns=1, places=bytes(8), low=bytes(16), high=bytes(16), count=bytes(8)
    )
    made["levels"] = [pack(HistoryReply(levels={ADDRESS: whole}))]
    made["wfdb_import"] = [WFDB.encode(), b"rec 1 100 1099511627776\nrec.dat 16 100/mV 12\n"]
    return made


def seeds() -> dict[str, list[bytes]]:
    """Return the first inputs of every target."""
    probe = Probe(1_000, 2_000, 2_100, 3_200)
    hexes = sorted((ROOT / "tests/golden/openigtlink").glob("*.hex"))
    messages = [of_hex(path) for path in hexes]
    report = REPORT.format(pm=PM, msg=MSG, sequence="urn:uuid:" + "0" * 8)
    sps = bytes.fromhex("000000016742c01e000000016800000000000001650102")
    stroke: Any = {
        "id": "a",
        "channel": "or1/a/b",
        "at_ns": 1,
        "tool": "ink",
        "points": [[0.1, 0.2]],
    }
    between: Any = {"addresses": ["or1/monitor/hr"], "between": [0, 10]}
    said = [["clock", 1], ["history", 1, between], ["annotate", stroke], ["admit", "x"]]
    said += [["lanes", 1, {"from_ns": 0, "to_ns": 9, "bins": 4}]]
    frames = golden().values()
    signed = NOTE.sign(NOTE_TEXT)
    keys = [NOTE.text().encode(), NOTE.verifier.text().encode()]
    question = encode(Request(1, probe))
    return {
        "packed": [frame_pack(frame) for _, frame in frames],
        "bundles": [*bundle(frame for _, frame in frames), *bundle(encode_some())],
        "note": [signed, signed[:-9] + b"AAAAAAAA\n", signed.replace(b"or1", b"or2"), *keys],
        "roster": [Roster(workspace="or1", serial=3).text(), *rosters()],
        "call": [pack(one) for one in calls()] + small(BOMBS),
        "sealed": [seal(PROBE_KEY, side, 1, question) for side in (ASK, ANSWER)] + [question],
        "header": [frame.header for _, frame in frames] + small(BOMBS),
        "topic": [frame.topic for _, frame in frames] + [b"\0", b"//\0", bytes(201)],
        "payload": [bytes([KINDS.index(Kind(k))]) + frame.payload for k, frame in frames],
        "bounds": [frame.payload for _, frame in frames] + small(BOMBS),
        "desk": desk(),
        "probe": [encode(Request(1, None)), encode(Request(1, probe)), *small(BOMBS)],
        "openigtlink": [b"\x06" + data for data in (*messages, b"".join(messages[:4]))],
        "h264": [sps, sps[3:], bytes(4) + sps, b"\0\0\1", b"\0\0\0\1\x67\x42\xc0\x1e"],
        "journal": journals(),
        "journal_body": [journal.encode_frame(f)[journal.RECORD_BYTES :] for f in encode_some()]
        + [journal.encode_catalogue(5, Catalogue(workspace="or1"))[journal.RECORD_BYTES :]],
        "feed": list(map(pack, said)),
        "names": [pack({"a": ["Zaphod", 1]}), pack(["山田 太郎"]), *small(BOMBS)],
        "sdc": [b"\x01" + report.encode(), b"\x00" + mdib_xml("7")],
        "wfdb": [WFDB.encode(), WFDB[:60].encode(), b"rec 1 100 8\nrec.dat 212 100/mV 12\n"],
        **files(),
        "room_file": [(ROOT / "scot/rooms/demo.toml").read_bytes(), b"[room]\nworkspace = 'a'\n"],
    }


def main() -> None:
    """Write each seed that is not there."""
    for name, inputs in seeds().items():
        folder = CORPUS / name
        folder.mkdir(parents=True, exist_ok=True)
        for data in inputs:
            path = folder / f"seed-{hashlib.sha256(data).hexdigest()[:12]}"
            if not path.exists():
                path.write_bytes(data)


if __name__ == "__main__":
    main()
