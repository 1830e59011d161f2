"""``scot invite``, ``scot revoke`` and ``scot people``: they ask the running room's gateway.

They hold the wall's secret, which only the person who started the room can read, so they may do
what the room's staff may.
"""

from __future__ import annotations

import http.client
import json
import sys
import urllib.error
import urllib.request
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

import typer

from scot.errors import AccessError, RoomError
from scot.room import find

TIMEOUT_S = 5.0

Workspace = Annotated[
    str | None, typer.Option(help="Which room, when more than one is up.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def invite(
    role: Annotated[str, typer.Option(help="consultant, or engineer.")] = "consultant",
    hours: Annotated[float, typer.Option(help="How long the link is good, at most 24.")] = 4.0,
    label: Annotated[str, typer.Option(help="Whom it is for; stays in the room.")] = "",
    workspace: Workspace = None,
    as_json: Json = False,
) -> int:
    """Print a link that lets a remote professor ask to come in.

    It opens one browser, once. Whoever opens it waits until somebody at the wall lets them in, and
    sees the room without names.
    """
    made = ask("POST", "/invitations", workspace, {"role": role, "hours": hours, "label": label})
    if as_json:
        _out(json.dumps(made))
        return 0
    _out(made["url"])
    until = _time(made["expires_utc_ns"])
    sys.stderr.write(
        f"{made['author']}: opens one browser, once, until {until}. Somebody at the room's wall "
        f"must let them in. To withdraw it: scot revoke {made['id']}\n"
    )
    return 0


def revoke(
    who: Annotated[str, typer.Argument(help="As `scot people` lists it, such as consultant-1.")],
    workspace: Workspace = None,
    as_json: Json = False,
) -> int:
    """Withdraw an invitation; whoever used it is cut off within a second."""
    ask("DELETE", f"/invitations/{quote(who, safe='')}", workspace)
    _out(json.dumps({"revoked": who}) if as_json else f"{who} is out")
    return 0


def people(workspace: Workspace = None, as_json: Json = False) -> int:
    """List who is invited, waiting and watching."""
    rows = ask("GET", "/invitations", workspace)["people"]
    if as_json:
        _out(json.dumps({"people": rows}))
        return 0
    if not rows:
        _out("nobody is invited; `scot invite` prints a link")
    for row in rows:
        state = "expired" if row["over"] and row["state"] != "revoked" else row["state"]
        label = f"  {row['label']}" if row["label"] else ""
        _out(f"{row['id']:<16}{state:<10}until {_time(row['expires_utc_ns'])}{label}")
    return 0


def ask(method: str, path: str, workspace: str | None, body: Any = None) -> Any:
    """Ask the gateway of a running room.

    Args:
        method: of the request.
        path: of the request.
        workspace: which room; the only one when None.
        body: sent as JSON.

    Returns:
        The decoded answer, None when it has none.

    Raises:
        RoomError: no room is up, it has no page, or the page does not answer.
        AccessError: it refused, in its own words.
    """
    room = find(workspace)
    url = room.facts.get("dashboard", {}).get("url", "")
    if not url:
        raise RoomError(f"room {room.workspace!r} has no page; start it without --headless")
    parts = urlsplit(url)
    request = urllib.request.Request(  # noqa: S310 - the URL comes from the room's own state
        f"{parts.scheme}://{parts.netloc}{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Authorization": f"Bearer {parts.fragment.removeprefix('wall=')}",
            "Content-Type": "application/json",
        },
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never by a proxy
    try:
        with opener.open(request, timeout=TIMEOUT_S) as answer:
            data = answer.read()
    except urllib.error.HTTPError as error:
        raise AccessError(_why(error)) from None
    except (OSError, http.client.HTTPException) as error:
        raise RoomError(
            f"the page of room {room.workspace!r} does not answer at {parts.netloc} ({error}); "
            "see `scot doctor`"
        ) from None
    return json.loads(data) if data else None


def _why(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read())["error"])
    except (ValueError, KeyError, TypeError):
        return f"the page answered {error.code} {error.reason}"


def _time(utc_ns: int) -> str:
    local = datetime.fromtimestamp(utc_ns / 1e9, UTC).astimezone()
    return local.strftime("%d %b %H:%M")


def _out(line: str) -> None:
    sys.stdout.write(line + "\n")
