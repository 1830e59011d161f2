"""Each insecure or broken setting is named, with its fix: by real files, ports and sockets."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
import zmq

from scot.access import Grant
from scot.bus.keys import PORTS, KeyPair, issue
from scot.checking import Scope
from scot.cli import run
from scot.cli.machine_checks import disk, kernel, plugins, zeromq
from scot.cli.room_checks import bus, mechanism, ports, privacy, processes, sockets
from scot.config import RoomFile
from scot.finding import Finding
from scot.room import RoomFacts, free_ports
from scot_dashboard.checks import dashboard, tls
from scot_replay.checks import recordings
from scot_replay.layout import Manifest, write_manifest


def only(found: list[Finding], level: str) -> Finding:
    (one,) = [finding for finding in found if finding.level == level]
    assert one.fix or level == "ok"
    return one


def facts(state: Path, **more: object) -> RoomFacts:
    said = {"processes": {}, "facts": {}, **more}
    return RoomFacts("or1", state, os.getpid(), said["processes"], said["facts"])  # type: ignore[arg-type]


def room_state(base: Path) -> Path:
    state = base / "or1"
    state.mkdir(mode=0o700)
    numbers = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    issue(state, "127.0.0.1", numbers, "or1", [Grant(name="monitor"), Grant(name="console")])
    return state


# -- files


def test_keys_of_a_room_are_private_as_it_makes_them(tmp_path: Path) -> None:
    room_state(tmp_path)
    assert [one.level for one in privacy(Scope(tmp_path))] == ["ok"]


@pytest.mark.parametrize(
    ("name", "mode", "fix"),
    [
        ("keys/monitor.json", 0o640, "chmod 600"),
        ("roster.json", 0o644, "chmod 600"),
        ("keys", 0o755, "chmod 700"),
        (".", 0o711, "chmod 700"),
        ("metrics.token", 0o604, "chmod 600"),
        ("audit.jsonl", 0o644, "chmod 600"),
    ],
)
def test_whatever_others_may_read_is_named_with_the_command_that_closes_it(
    tmp_path: Path, name: str, mode: int, fix: str
) -> None:
    path = room_state(tmp_path) / name
    if not path.exists():
        path.write_text("x")
    path.chmod(mode)
    found = only(list(privacy(Scope(tmp_path))), "problem")
    assert f"{path.resolve()} has mode {mode:o}" in found.what
    assert found.fix == f"{fix} {path.resolve()}"


def test_recordings_cut_short_unsealed_or_open_to_others_are_named(tmp_path: Path) -> None:
    for name, finished in (("a", 5), ("b", None), ("now", None)):
        case = tmp_path / name
        case.mkdir(mode=0o700)
        write_manifest(case, Manifest(workspace="or1", finished_ns=finished))
        (case / "segment-1.mcap").touch()
        (case / "journal-2.scotj").touch()
    (tmp_path / "other").mkdir()
    (tmp_path / "a" / "segment-2.mcap").touch()
    (tmp_path / "a").chmod(0o755)
    up = facts(tmp_path, facts={"recorder": {"recording": str(tmp_path / "now")}})
    found = list(recordings(Scope(tmp_path, facts=up)))
    assert [one.level for one in found] == ["warning", "warning", "ok"]
    assert "b: cut short; journal 2 not sealed" in found[0].what
    assert f"scot recover --in-place {tmp_path / 'b'}" in found[0].fix
    assert found[1].what.endswith("can read recordings: a")
    assert found[1].fix == f"chmod -R go= {tmp_path / 'a'}"
    assert found[2].what.startswith("3 recordings")


# -- sockets


@contextmanager
def listening(security: str, pair: KeyPair | None = None, kind: int = zmq.ROUTER) -> Iterator[int]:
    """A ZeroMQ server with a mechanism, of CURVE with that pair; yields its port."""
    context = zmq.Context()
    sock = context.socket(kind)
    if security == "CURVE":
        pair = pair or KeyPair.new()
        sock.curve_publickey, sock.curve_secretkey = pair.public.encode(), pair.secret.encode()
        sock.curve_server = True
    elif security == "PLAIN":
        sock.plain_server = True
    try:
        yield sock.bind_to_random_port("tcp://127.0.0.1")
    finally:
        sock.close(0)
        context.term()


@pytest.mark.parametrize("security", ["CURVE", "PLAIN", "NULL"])
def test_a_sockets_mechanism_is_seen_from_outside(security: str) -> None:
    with listening(security) as port:
        assert mechanism("127.0.0.1", port) == security


def test_a_socket_without_curve_is_a_problem_and_so_is_one_that_is_mute(tmp_path: Path) -> None:
    state = room_state(tmp_path)
    said = json.loads((state / "endpoints.json").read_bytes())
    own = msgspec.json.decode((state / "keys" / "broker.json").read_bytes(), type=KeyPair)
    with (
        listening("NULL") as open_to_all,
        listening("CURVE", own) as sound,
        listening("CURVE", own, zmq.XPUB) as out,
    ):
        said["ports"] = {name: out if name.endswith("_out") else sound for name in PORTS}
        (state / "endpoints.json").write_text(json.dumps(said))
        assert only(list(sockets(facts(state))), "ok").what.startswith("all 6 sockets")
        with listening("CURVE") as other:
            said["ports"] |= {"query": open_to_all, "probe": 9, "ctl_in": other}
            (state / "endpoints.json").write_text(json.dumps(said))
            found = list(sockets(facts(state)))
    assert [one.level for one in found] == ["problem"] * 3
    assert "does not take the console's key" in found[0].what
    assert "speaks NULL, not CURVE: it admits anybody" in found[1].what
    assert "does not answer" in found[2].what
    assert str(state / "logs" / "broker.log") in found[2].fix


def test_a_broker_that_hangs_is_one_problem(tmp_path: Path) -> None:
    state = room_state(tmp_path)  # nobody listens on its ports
    (found,) = sockets(facts(state))
    assert found.what == "none of the 6 sockets of the broker on 127.0.0.1 answers within 2 s"


def test_something_else_on_the_port_is_no_broker() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            line, _ = server.accept()
            with line:
                line.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" + bytes(64))

        thread = threading.Thread(target=answer)
        thread.start()
        assert mechanism("127.0.0.1", server.getsockname()[1]) == "no ZMTP"
        thread.join()


def test_ports_a_room_file_wants_are_checked_before_it_is_started() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        file = RoomFile.model_validate({"dashboard": {"port": taken}})
        found = only(list(ports(file, None)), "problem")
        assert f"[dashboard] port: 127.0.0.1:{taken} is taken" in found.what
        up = facts(Path("or1"))
        assert list(ports(file, up)) == []  # it is that very room that has them
    assert [one.level for one in ports(file, None)] == ["ok"]


def test_a_bus_that_other_machines_can_reach_is_said() -> None:
    assert list(bus(RoomFile())) == []
    assert (
        "other machines"
        in only(list(bus(RoomFile.model_validate({"bus": {"host": "10.0.0.4"}}))), "warning").what
    )


def test_a_page_bound_to_a_public_address_without_tls_is_a_problem(tmp_path: Path) -> None:
    file = RoomFile.model_validate({"dashboard": {"host": "0.0.0.0"}})  # noqa: S104
    found = only(list(dashboard(Scope(tmp_path, file=file))), "problem")
    assert "can be reached by others" in found.what
    assert "TLS proxy" in found.fix
    assert [one.level for one in dashboard(Scope(tmp_path, file=RoomFile()))] == ["ok"]


def test_a_proxy_that_is_away_or_speaks_no_tls_is_said() -> None:
    (port,) = free_ports(1)
    assert (
        "does not answer with TLS" in only(list(tls(f"https://127.0.0.1:{port}")), "warning").what
    )
    with listening("NULL") as port:
        found = only(list(tls(f"https://127.0.0.1:{port}")), "warning")
    assert "does not answer with TLS" in found.what


# -- machine


def test_small_udp_buffers_matter_only_where_video_comes_by_udp(tmp_path: Path) -> None:
    core = tmp_path / "sys/net/core"
    core.mkdir(parents=True)
    (core / "rmem_max").write_text("212992\n")
    (tmp_path / "net").mkdir()
    snmp = "Udp: InDatagrams RcvbufErrors\nUdp: 100 7\n"
    (tmp_path / "net" / "snmp").write_text(snmp)
    camera = {"name": "scope", "provider": "video", "options": {"source": "rtsp://10.0.0.9/1"}}
    file = RoomFile.model_validate({"device": [camera]})
    found = list(kernel(Scope(tmp_path, file=file), tmp_path, tmp_path))
    assert [one.level for one in found][-2:] == ["warning", "warning"]
    assert "212992 B (limit 1048576); scope comes so" in found[-2].what
    assert "sysctl -w net.core.rmem_max=4194304" in found[-2].fix
    assert "dropped 7 UDP datagrams" in found[-1].what
    assert [one.level for one in kernel(Scope(tmp_path), tmp_path, tmp_path)][-1] == "ok"


def test_this_machine_has_what_tests_need_and_says_so(tmp_path: Path) -> None:
    assert [one.level for one in (*zeromq(), *plugins())] == ["ok", "ok"]
    file = RoomFile.model_validate({"recorder": {"directory": str(tmp_path / "not" / "yet")}})
    (one,) = disk(Scope(tmp_path, file=file))
    assert f"GiB free in {tmp_path}" in one.what


# -- the command


def test_processes_that_died_or_were_restarted_are_named_with_their_log(tmp_path: Path) -> None:
    said = {
        "broker": {"pid": 1, "restarts": 0, "error": ""},
        "scope": {"pid": None, "restarts": 3, "error": "no camera"},
        "monitor": {"pid": 2, "restarts": 1, "error": ""},
    }
    found = list(processes(facts(tmp_path, processes=said)))
    assert only(found, "problem").what == "scope does not run: no camera"
    assert only(found, "warning").what == "monitor had to be started again once"
    assert str(tmp_path / "logs" / "monitor.log") in only(found, "warning").fix


def test_an_unknown_provider_makes_doctor_exit_with_1_and_name_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SCOT_STATE", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "room.toml"
    file.write_text('[dashboard]\nport = 0\n[[device]]\nname = "m"\nprovider = "acme"\n')
    assert run(["doctor", str(file), "--json"]) == 1
    rows = json.loads(capsys.readouterr().out)
    (problem,) = [row for row in rows if row["level"] == "problem"]
    assert problem["check"] == "room file"
    assert "device[0].provider: 'acme' is not installed" in problem["what"]
    assert "openigtlink" in problem["fix"]
    file.write_text("[dashboard]\nport = 0\n")
    assert run(["doctor", str(file)]) == 0
    assert "0 devices, all known" in capsys.readouterr().out


def test_a_room_that_is_asked_for_and_not_up_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SCOT_STATE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert run(["doctor", "--workspace", "or9"]) == 1
    assert "PROBLEM no room 'or9' is up" in capsys.readouterr().out
