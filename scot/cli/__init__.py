"""The command ``scot``. Nothing is imported before the command that needs it is chosen.

Exit codes: 0 done, 1 a `ScotError` on one stderr line, 2 wrong usage. Results go to stdout (with
``--json`` as one JSON document), progress to stderr.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from typing import Any

import typer
from typer.core import TyperGroup

from scot.errors import ScotError

COMMANDS = {
    "demo": ("scot.cli.rooms:demo", "Start a simulated operating room, live in the browser."),
    "up": ("scot.cli.rooms:up", "Start the room of a room file."),
    "record": ("scot.cli.rooms:record", "Run a room without its page, to record it."),
    "replay": ("scot.cli.replay:replay", "Bring a recorded room up again, as if it were live."),
    "devices": ("scot.cli.watch:devices", "List the devices and channels of a running room."),
    "echo": ("scot.cli.watch:echo", "Print samples as they come."),
    "top": ("scot.cli.top:top", "Watch devices, queues and clocks, and what is wrong now."),
    "doctor": ("scot.cli.doctor:doctor", "Say what is missing or insecure here, and its fix."),
    "host": ("scot.cli.host:host", "Run one device here, for a room on another machine."),
    "command": ("scot.cli.command:app", "Command a device, with a key that may."),
    "keys": ("scot.cli.keys:app", "Say who may join a room from another machine."),
    "provider": ("scot.cli.provider:app", "List providers, or check one of your own."),
}
ELSEWHERE = {
    "calibrate": "Find a device's latency from what its picture and the tracker both show.",
    "sim": "Simulate whole rooms with faults, and check every promise.",
    "info": "Say what a recording holds: channels, counts, gaps.",
    "report": "Write a case report: completeness, clocks, alarms, notes, pictures.",
    "keep": "Tell a room that records with --keep-last to keep everything now.",
    "recover": "Make a valid recording of a broken directory.",
    "redact": "Erase samples from a recording for good; the rest is still proven.",
    "shred": "Destroy the key of an encrypted recording; it is still proven, and unreadable.",
    "witness": "Let a second machine remember how far recordings are.",
    "verify": "Say whether a recording is as it was recorded, and who signed that.",
    "export": "Write channels as Parquet, CSV, MP4, EDF+, .vital, WFDB or XDF.",
    "import": "Make a recording of a .vital, WFDB, XDF, EDF or MCAP file.",
    "clip": "Write a stretch of a recording as a recording of its own, de-identified if asked.",
    "catalog": "Many recordings as one catalogue, asked by SQL.",
    "invite": "Print a link that lets a remote professor ask to come in.",
    "revoke": "Withdraw an invitation; whoever used it is cut off.",
    "people": "List who is invited, waiting and watching.",
}


@cache
def _elsewhere() -> dict[str, str]:
    """Commands other packages add through the entry points ``scot.commands``."""
    return {entry.name: entry.value for entry in entry_points(group="scot.commands")}


class Lazy(TyperGroup):
    """Lists commands from a table and imports one only to run it."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names, our own first."""
        return [*COMMANDS, *sorted(_elsewhere())]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a line for the help page; `resolve_command` loads the real one."""
        known = {name: text for name, (_, text) in COMMANDS.items()}
        for name, target in _elsewhere().items():
            known.setdefault(name, ELSEWHERE.get(name, f"From {target.partition(':')[0]}."))
        if cmd_name not in known:
            return None
        stub = typer.Typer(add_completion=False)
        stub.command(cmd_name, help=known[cmd_name])(_nothing)
        return typer.main.get_command(stub)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Load the command that was asked for."""
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None and command is not None:
            command = load_command(name)
        return name, command, rest


def _nothing() -> None:
    """Stand in for a command on the help page."""


def load_command(name: str) -> Any:
    """Import a command and return it ready to run.

    Raises:
        ConfigError: its package cannot be imported.
    """
    from scot.plugin import resolve

    found = resolve(COMMANDS[name][0] if name in COMMANDS else _elsewhere()[name])
    if isinstance(found, typer.Typer):
        return typer.main.get_command(found)
    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    function: Callable[..., Any] = found
    single.command(name)(function)
    return typer.main.get_command(single)


app = typer.Typer(
    cls=Lazy, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)


@app.callback(no_args_is_help=True)
def _scot() -> None:
    """Put the feeds of an operating room on one bus and one timeline.

    Not a medical device, and no primary alarm: look at the device.
    """


def main() -> None:
    """Run ``scot``."""
    logging.basicConfig(format="%(levelname)s %(message)s", level=logging.WARNING)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code."""
    command = typer.main.get_command(app)
    try:
        result = command.main(args=arguments, prog_name="scot", standalone_mode=False)
    except ScotError as error:
        print(f"scot: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 0
    except Exception as error:
        shown = getattr(error, "show", None)
        if shown is None:
            if type(error).__name__ == "Abort":
                return 130
            raise
        shown()
        return int(getattr(error, "exit_code", 2))
    return result if isinstance(result, int) else 0
