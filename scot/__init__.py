"""SCOT: the feeds of an operating room on one bus and one timeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from pathlib import Path

    from scot.bus.sync import Connection
    from scot.recording import Recording


def open(  # noqa: A001 - the one line an engineer types
    path: str | Path, sync: str = "as-recorded"
) -> Recording:
    """Open a recording, or a room that is up, as a Timeline.

    Args:
        path: directory of a recording, or a file that ``scot pack`` made; a URL of either, such as
            ``s3://cases/case-17``, read by ranges; ``bus:`` for the only room of this machine, or
            ``bus:or1`` for the one of that name.
        sync: ``as-recorded`` keeps the stamps that were given live. ``recomputed`` makes every
            host's clock maps again from the recorded probes, which gives the same maps and stamps
            unless the estimator has changed since. ``refined`` fits them to the later probes too.
            `Recording.sync_report` says what moved, and by how much.

    Raises:
        RecordingError: there is none, it is empty, it is of a newer version, or `sync` is not
            known.
        RoomError, AccessError, BusTimeoutError: of a room, see `connect`.
    """
    from scot.plugin import load

    live = isinstance(path, str) and path.startswith("bus:")
    opener: Any = load("scot.recordings", "bus" if live else "directory")
    recording: Recording = opener(path, sync)
    return recording


def compare(*recordings: Any, align: str = "start", sync: str = "as-recorded") -> Any:
    """Open two to eight recordings side by side, as one Timeline.

    Channels are named by whose they are: ``a_monitor/hr``, ``b_monitor/hr``. Of the result
    ``twins("monitor/hr")`` finds both, ``overlay("monitor/hr")`` draws them in one plot, and
    ``delta(one, two)`` says what lies between two samples and how well that is known.

    Args:
        recordings: as `open` takes them, or what it returned.
        align: ``start``; ``chapter:NAME``; ``utc``; or an instant of each, ``"1:20,0:45.5"``.
        sync: see `open`.

    Raises:
        RecordingError: one cannot be opened, or has no such moment.
    """
    from scot.plugin import load

    return load("scot.recordings", "comparison")(*recordings, align=align, sync=sync)


def connect(
    workspace: str | None = None,
    name: str | None = None,
    *,
    key: str | Path | None = None,
    timeout_s: float = 5.0,
) -> Connection:
    """Join a running room from a script or a notebook, without an event loop.

    Args:
        workspace: of a room on this machine; the only one when None.
        name: of one of its keys; the console's, which may read and not write, when None.
        key: a key file, for a room anywhere; the other two are then not needed.
        timeout_s: to be let in.

    Raises:
        RoomError: no room is up here, or several are.
        AccessError: the key cannot be used.
        BusTimeoutError: the room does not answer, or does not know the key.
    """
    from importlib import import_module  # who asks for our version must not load the bus
    from pathlib import Path

    keys, room = import_module("scot.bus.keys"), import_module("scot.room")
    if key is not None:
        link = keys.KeyFile.load(Path(key)).link
    else:
        link = keys.Link.load(room.find(workspace).state, name or room.CONSOLE)
    joined: Connection = import_module("scot.bus.sync").Connection.join(link, timeout_s)
    return joined
