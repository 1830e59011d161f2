"""The door over real HTTP and WebSockets: who gets in, under which names, and what is written."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from scot import cli
from scot.access import write_private
from tests.contract.gateway_bench import (
    Page,
    Process,
    Room,
    enter,
    page,
    running_room,
)

pytestmark = [pytest.mark.system]


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """One room for this module; each test makes its own people."""
    with running_room(tmp_path_factory.mktemp("state") / "or1") as running:
        yield running


@pytest.fixture
def client(room: Room) -> Iterator[httpx.Client]:
    """A browser on the room's own page, not signed in."""
    with httpx.Client(
        base_url=room.origin, headers={"Origin": room.origin}, trust_env=False
    ) as browser:
        yield browser


def link_secret(room: Room, **body: Any) -> str:
    secret: str = room.invite(**body)["url"].partition("#")[2]
    return secret


def listed(wall: Page, who: str, state: str) -> bool:
    lists = wall.all("people")
    return bool(lists) and any(r["id"] == who and r["state"] == state for r in lists[-1][1])


# -- HTTP


def test_the_walls_secret_becomes_a_cookie_that_no_script_reads(
    room: Room, client: httpx.Client
) -> None:
    answer = client.post("/enter", json={"secret": room.wall})
    assert answer.status_code == 204
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "path=/" in cookie
    assert room.wall not in cookie


def test_the_engineers_page_and_what_a_recording_is_worth_are_for_staff_and_engineers_only(
    room: Room, client: httpx.Client
) -> None:
    asked = ("/engineer", "/completeness", "/report")
    stranger = client.get("/engineer")
    assert (stranger.status_code, b"/static/js/engineer.js" in stranger.content) == (401, False)
    assert b"/static/js/door.js" in stranger.content
    assert [client.get(path).status_code for path in asked[1:]] == [401, 401]
    assert client.post("/enter", json={"secret": link_secret(room)}).status_code == 204
    refused = [client.get(path) for path in asked]
    assert [answer.status_code for answer in refused] == [403, 403, 403]
    assert "staff and engineers" in refused[0].json()["error"]
    client.cookies.clear()
    assert client.post("/enter", json={"secret": room.wall}).status_code == 204
    page = client.get("/engineer")
    assert (page.status_code, b"/static/js/engineer.js" in page.content) == (200, True)
    assert page.headers["vary"].lower().count("cookie") == 1  # no cache gives it to the next one
    assert client.get("/completeness").json() == {"error": "this room records nothing"}
    assert client.get("/report?format=exe").status_code == 400


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"secret": "guess"}, 401),
        ({"secret": ""}, 400),
        ({"secret": "x" * 201}, 400),
        ({"secret": 7}, 400),
        ({}, 400),
        ({"secret": "a", "role": "or_staff"}, 400),
        ([], 400),
    ],
)
def test_a_wrong_link_gets_one_line_that_names_the_fix(
    client: httpx.Client, body: Any, status: int
) -> None:
    answer = client.post("/enter", json=body)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    assert "\n" not in answer.json()["error"]
    assert "set-cookie" not in answer.headers


def test_a_link_opens_one_browser_once(room: Room, client: httpx.Client) -> None:
    made = room.invite(hours=1, label="Prof. Sato")
    base, _, secret = made["url"].partition("#")
    assert base == f"{room.origin}/consult"
    assert len(secret) * 6 >= 128
    assert client.post("/enter", json={"secret": secret}).status_code == 204
    assert client.post("/enter", json={"secret": secret}).status_code == 204  # a reload
    with httpx.Client(base_url=room.origin, headers={"Origin": room.origin}) as other:
        answer = other.post("/enter", json={"secret": secret})
    assert answer.status_code == 410
    assert "new one" in answer.json()["error"]


def test_wall_and_guest_in_one_browser_do_not_take_each_others_session(
    room: Room, client: httpx.Client
) -> None:
    client.post("/enter", json={"secret": room.wall})
    client.post("/enter", json={"secret": link_secret(room)})
    assert len({cookie.name for cookie in client.cookies.jar}) == 2
    assert client.get("/invitations").status_code == 200  # still staff


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1", "127.0.0.1:1"])
def test_a_foreign_name_gets_nothing(room: Room, host: str) -> None:
    for path in ("/", "/static/volumes/brain.json", "/invitations"):
        answer = httpx.get(f"{room.origin}{path}", headers={"Host": host}, trust_env=False)
        assert answer.status_code == 421
        assert "answers to" in answer.json()["error"]


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1", None])
def test_only_the_rooms_own_page_acts(room: Room, origin: str | None) -> None:
    headers = {} if origin is None else {"Origin": origin}
    with httpx.Client(base_url=room.origin, trust_env=False, headers=headers) as client:
        assert client.post("/enter", json={"secret": room.wall}).status_code == 403
        assert client.post("/invitations", json={}).status_code == 403
        assert client.delete("/invitations/consultant-1").status_code == 403


def test_a_program_with_the_walls_secret_may_act_without_an_origin(room: Room) -> None:
    headers = {"Authorization": f"Bearer {room.wall}"}
    answer = httpx.get(f"{room.origin}/invitations", headers=headers, trust_env=False)
    assert answer.status_code == 200
    foreign = {**headers, "Origin": "http://evil.example"}
    answer = httpx.post(f"{room.origin}/invitations", json={}, headers=foreign, trust_env=False)
    assert answer.status_code == 403
    wrong = {"Authorization": "Bearer guess"}
    answer = httpx.post(f"{room.origin}/invitations", json={}, headers=wrong, trust_env=False)
    assert answer.status_code == 401


def test_a_guest_invites_nobody(room: Room, client: httpx.Client) -> None:
    client.post("/enter", json={"secret": link_secret(room)})
    assert client.post("/invitations", json={}).status_code == 403
    assert client.get("/invitations").status_code == 403
    assert client.delete("/invitations/consultant-1").status_code == 403
    client.cookies.clear()
    assert client.post("/invitations", json={}).status_code == 401


@pytest.mark.parametrize(
    "body",
    [{"hours": 25}, {"hours": 0}, {"role": "or_staff"}, {"role": "admin"}, {"role": "x"},
     {"label": "x" * 81}, {"name": "y"}],
)  # fmt: skip
def test_an_invitation_out_of_bounds_is_refused_in_one_line(
    room: Room, client: httpx.Client, body: dict[str, Any]
) -> None:
    client.post("/enter", json={"secret": room.wall})
    answer = client.post("/invitations", json=body)
    assert answer.status_code == 400
    assert "\n" not in answer.json()["error"]


def test_large_or_unmeasured_bodies_are_not_read(client: httpx.Client) -> None:
    assert client.post("/enter", content=b"x" * 9_000).status_code == 413
    assert client.post("/enter", content=iter([b'{"secret":"a"}'])).status_code == 413


def test_every_answer_carries_the_shield(room: Room, client: httpx.Client) -> None:
    paths = ["/", "/consult", "/static/volumes/brain.json", "/static/none.js", "/nothing"]
    for answer in [*(client.get(path) for path in paths), client.post("/enter", json={})]:
        headers = answer.headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cross-origin-embedder-policy"] == "require-corp"
        assert "server" not in headers
    port = room.origin.rpartition(":")[2]
    page_policy = client.get("/").headers["content-security-policy"]
    assert "script-src 'self'" in page_policy
    assert "worker-src 'self'" in page_policy
    assert f"ws://127.0.0.1:{port}" in page_policy


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/static/volumes/brain.webp", "image/webp"),
        ("/static/volumes/brain_mesh.bin", "application/octet-stream"),
        ("/static/volumes/brain.json", "application/json"),
        ("/static/fonts/inter-latin.woff2", "font/woff2"),
        ("/static/js/clock.js", "text/javascript; charset=utf-8"),
    ],
)
def test_files_come_with_their_type_and_are_not_sent_twice(
    client: httpx.Client, path: str, kind: str
) -> None:
    first = client.get(path)
    assert first.status_code == 200
    assert first.headers["content-type"] == kind
    soon = "private, max-age=5" if kind.startswith(("text/javascript", "font/")) else "no-cache"
    assert first.headers["cache-control"] == soon
    again = client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    assert again.content == b""


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static/js/../../rest.py",
        "/static//etc/passwd",
        "/static/volumes",
        "/static/",
        "/static/.hidden.js",
        "/docs",
        "/openapi.json",
    ],
)
def test_nothing_else_is_served(room: Room, path: str) -> None:
    host, _, port = room.origin.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as sock:  # no client that tidies the path
        sock.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode()
        )
        sock.settimeout(5)
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 404")


# -- the feed


async def test_a_page_without_a_session_is_told_why(room: Room) -> None:
    async with page(room, cookies=httpx.Cookies()) as stranger:
        bye = await stranger.message("bye")
        assert bye[1] == 4401
        assert "link" in bye[2]
        await stranger.until(lambda: stranger.closed)
        assert stranger.closed == 4401
        assert len(stranger.received) == 1


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1", None])
async def test_a_foreign_page_cannot_open_the_feed_with_our_cookie(
    room: Room, origin: str | None
) -> None:
    cookies = httpx.Cookies()
    await enter(room, room.wall, cookies)
    header = {"Cookie": "; ".join(f"{c.name}={c.value}" for c in cookies.jar)}
    with pytest.raises(InvalidStatus) as caught:
        await connect(
            room.origin.replace("http", "ws") + "/feed",
            origin=origin,  # type: ignore[arg-type]
            additional_headers=header,
            proxy=None,
        )
    assert caught.value.response.status_code == 403


@pytest.mark.parametrize(
    "data", [b"\xc1", b"\x91\xa8nonsense", b"\x91" * 1000, b"\x92\xa5admit\x07", "text"]
)
async def test_a_malformed_message_ends_the_page_and_nothing_else(
    room: Room, data: bytes | str
) -> None:
    async with page(room) as wall, page(room) as broken:
        await broken.message("hello")
        await broken.socket.send(data)
        await broken.until(lambda: broken.closed)
        assert broken.closed == 4400
        assert (await broken.message("bye"))[1] == 4400
        await wall.say("clock", 1.0)
        await wall.message("clock", 1.0)
    assert any(r["what"] == "feed" and r["status"] == 4400 for r in room.audit if "status" in r)


async def test_a_message_larger_than_the_bound_ends_the_page(room: Room) -> None:
    async with page(room) as broken:
        await broken.message("hello")
        await broken.socket.send(b"\0" * (64 * 1024 + 1))
        await broken.until(lambda: broken.closed)
        assert broken.closed == 1009


async def test_a_flood_of_messages_ends_the_page(room: Room) -> None:
    async with page(room) as flood:
        await flood.message("hello")
        with suppress(ConnectionClosed):
            for number in range(3_000):
                await flood.say("clock", float(number))
        await flood.until(lambda: flood.closed)
        assert flood.closed == 4400


async def test_a_guest_cannot_let_anybody_in(room: Room) -> None:
    mine, other = room.invite(), room.invite()
    secrets = [made["url"].partition("#")[2] for made in (mine, other)]
    async with page(room) as wall, page(room, secrets[0], guest=True) as guest:
        await wall.until(lambda: listed(wall, mine["id"], "knocking"))
        await wall.say("admit", mine["id"])
        await guest.message("hello")
        async with page(room, secrets[1], guest=True):
            await wall.until(lambda: listed(wall, other["id"], "knocking"))
            for verb in ("admit", "refuse", "revoke"):
                await guest.say(verb, other["id"])
                await guest.message("refused", verb, other["id"])
            assert listed(wall, other["id"], "knocking")
    rows = [r for r in room.audit if r["outcome"] == "failure" and r["what"] == "admit"]
    assert rows[-1]["who"]["id"] == mine["id"]


async def test_a_guest_looks_through_one_window(room: Room) -> None:
    made = room.invite()
    cookies = httpx.Cookies()
    await enter(room, made["url"].partition("#")[2], cookies)
    async with page(room) as wall, page(room, cookies=cookies, guest=True) as first:
        await wall.until(lambda: listed(wall, made["id"], "knocking"))
        await wall.say("admit", made["id"])
        await first.message("hello")
        async with page(room, cookies=cookies, guest=True) as second:
            await first.until(lambda: first.closed)
            assert first.closed == 4409
            await second.message("hello")  # the same person, let in already
        await wall.until(lambda: listed(wall, made["id"], "gone"))


async def test_an_invitation_that_runs_out_ends_the_page(room: Room) -> None:
    made = room.invite(hours=2.5 / 3600)
    async with page(room) as wall, page(room, made["url"].partition("#")[2], guest=True) as guest:
        await wall.until(lambda: listed(wall, made["id"], "knocking"))
        await wall.say("admit", made["id"])
        await guest.message("hello")
        await guest.until(lambda: guest.closed)
        assert guest.closed == 4401
        assert "time is over" in (await guest.message("bye"))[2]


async def test_who_came_and_who_was_refused_is_written_once_and_without_secrets(
    room: Room,
) -> None:
    before = len(room.audit)
    made = room.invite(label="Prof. Sato")
    secret = made["url"].partition("#")[2]
    await enter(room, "wrong link", httpx.Cookies())
    async with page(room) as wall, page(room, secret, guest=True) as guest:
        await wall.until(lambda: listed(wall, made["id"], "knocking"))
        await wall.say("admit", made["id"])
        await guest.message("hello")
        await wall.say("revoke", made["id"])
        await guest.until(lambda: guest.closed)
    rows = room.audit[before:]
    told = [(r["what"], r["outcome"], (r["who"] or {}).get("role"), r.get("entity")) for r in rows]
    assert told == [
        ("invite", "success", None, made["id"]),
        ("enter", "failure", None, None),
        ("view", "success", "or_staff", None),
        ("admit", "success", "or_staff", made["id"]),
        ("view", "success", "consultant", None),
        ("revoke", "success", "or_staff", made["id"]),
    ]
    assert all(r["from"] == "127.0.0.1" and r["recorded"] for r in rows)
    text = (room.state / "audit.jsonl").read_text()
    for hidden in (secret, room.wall, "wrong link", "Sato"):
        assert hidden not in text


def test_what_is_kept_is_readable_by_its_owner_only(room: Room) -> None:
    for name in ("audit.jsonl", "dashboard.json"):
        mode = stat.S_IMODE((room.state / name).stat().st_mode)
        assert mode == 0o600


# -- the command line


@pytest.fixture
def shell(room: Room, monkeypatch: pytest.MonkeyPatch) -> Room:
    """A room that ``scot`` finds."""
    assert room.dashboard is not None
    facts = {
        "pid": os.getpid(),
        "processes": {},
        "facts": {"dashboard": room.dashboard.said["ready"]},
    }
    write_private(room.state / "facts.json", json.dumps(facts).encode())
    monkeypatch.setenv("SCOT_STATE", str(room.state.parent))
    return room


def test_scot_invite_prints_a_link_and_who_must_admit(
    shell: Room, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["invite", "--hours", "2", "--label", "Prof. Sato"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"{shell.origin}/consult#")
    assert said.out.count("\n") == 1
    assert "must let them in" in said.err
    assert cli.run(["invite", "--json", "--workspace", "or1"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert cli.run(["people", "--json"]) == 0
    people = json.loads(capsys.readouterr().out)["people"]
    assert {"id": made["id"], "state": "invited"}.items() <= people[-1].items()
    assert cli.run(["revoke", made["id"]]) == 0
    capsys.readouterr()
    assert cli.run(["people"]) == 0
    assert f"{made['id']:<16}revoked" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["invite", "--hours", "48"], "scot: 48 hours is not allowed; above 0, at most 24"),
        (["invite", "--role", "surgeon"], "scot: role: "),
        (["invite", "--role", "or_staff"], "scot: nobody can be invited as or_staff; invite as"),
        (["revoke", "nobody-1"], "scot: nobody here is called 'nobody-1'; `scot people` lists"),
        (["people", "--workspace", "or9"], "scot: no room 'or9' is up; start one with"),
    ],
)
def test_a_wrong_command_is_one_line_that_names_the_fix(
    shell: Room, capsys: pytest.CaptureFixture[str], arguments: list[str], line: str
) -> None:
    assert cli.run(arguments) == 1
    said = capsys.readouterr()
    assert said.err.startswith(line)
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_a_room_whose_page_is_gone_is_named(
    shell: Room, capsys: pytest.CaptureFixture[str], free_port: int
) -> None:
    facts = json.loads((shell.state / "facts.json").read_text())
    facts["facts"]["dashboard"]["url"] = f"http://127.0.0.1:{free_port}/#wall=x"
    write_private(shell.state / "facts.json", json.dumps(facts).encode())
    assert cli.run(["invite"]) == 1
    assert f"127.0.0.1:{free_port}" in capsys.readouterr().err


# -- starting


def test_a_busy_port_is_one_line_that_names_port_and_fix(room: Room) -> None:
    port = int(room.origin.rpartition(":")[2])
    second = Process(room.state, "service", "dashboard", {"port": port})
    assert second.ended() == 1
    error = second.said["error"]
    assert f"port {port} of 127.0.0.1 is taken" in error
    assert f"--port {port + 1}" in error
    assert "\n" not in error


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"host": "0.0.0.0"}, ("dashboard.host", "'0.0.0.0'", "TLS", "127.0.0.1")),  # noqa: S104
        ({"host": "or1.hospital.example"}, ("dashboard.host", "TLS")),
        ({"public_url": "http://or1.example"}, ("dashboard.public_url", "https://")),
        ({"public_url": "https://or1.example/x"}, ("dashboard.public_url", "https://")),
    ],
)
def test_an_address_others_reach_needs_tls(
    room: Room, options: dict[str, Any], words: tuple[str, ...]
) -> None:
    refused = Process(room.state, "service", "dashboard", {"port": 0, **options})
    assert refused.ended() == 1
    for word in words:
        assert word in refused.said["error"]


def test_behind_a_tls_proxy_links_cookies_and_origins_are_the_public_ones(tmp_path: Path) -> None:
    public = "https://or1.hospital.example"
    with running_room(tmp_path / "or1") as room:
        assert room.dashboard is not None
        room.dashboard.stop()
        room.open(public_url=public)
        made = room.invite()
        assert made["url"].startswith(f"{public}/consult#")
        secret = made["url"].partition("#")[2]
        headers = {"Host": "or1.hospital.example", "Origin": public}
        with httpx.Client(base_url=room.origin, headers=headers, trust_env=False) as client:
            answer = client.post("/enter", json={"secret": secret})
        assert answer.status_code == 204
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-")
        assert "; Secure" in cookie
        with httpx.Client(base_url=room.origin, trust_env=False) as client:
            local = client.post(
                "/enter", json={"secret": room.wall}, headers={"Origin": room.origin}
            )
        assert "Secure" not in local.headers["set-cookie"]


async def test_a_room_that_stops_says_so_to_its_pages(tmp_path: Path) -> None:
    with running_room(tmp_path / "or1") as room:
        async with page(room) as wall:
            await wall.message("hello")
            assert room.dashboard is not None
            code = await asyncio.to_thread(room.dashboard.stop)
            await wall.until(lambda: wall.closed)
            assert (code, wall.closed) == (0, 1012)
            assert (await wall.message("bye"))[1] == 1012
