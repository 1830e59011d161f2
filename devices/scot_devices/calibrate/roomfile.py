"""A device's ``[device.latency]`` in a room file: put in, replaced and taken out as text.

Nothing else of the file changes, comments and ``$names`` included. The text is parsed before and
after; unless the only difference is that table, nothing is written.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Final, NamedTuple

import scot
from scot.config import LatencyTable, parse
from scot.errors import ConfigError

_HEADER: Final = re.compile(r"^\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(#.*)?$")
_DOLLAR: Final = re.compile(r"\$(\$|\w+|\{\w+\})")
_BUNDLED: Final = Path(scot.__file__).parent


class _Section(NamedTuple):
    """Lines from a header to before the next: [begin, end)."""

    name: str
    begin: int
    end: int


def lines_for(table: LatencyTable) -> str:
    """Return the lines that say a latency in a room file."""
    rows = [
        "[device.latency]",
        f"value_ms = {table.value_ms!r}",
        f"err_ms = {table.err_ms!r}",
        *(f"{key} = {_quoted(getattr(table, key))}" for key in ("method", "when", "against")),
        f"channel = {_quoted(table.channel)}",
    ]
    return "\n".join(rows) + "\n"


def is_bundled(path: Path) -> bool:
    """Say whether a room file belongs to SCOT itself and must not be edited."""
    return path.resolve().is_relative_to(_BUNDLED.resolve())


def check(path: Path, device: str) -> LatencyTable | None:
    """Return the latency a room file has for a device, before any work is put into a new one.

    Raises:
        ConfigError: it cannot be read or has no such device.
    """
    try:
        tables = _parsed(path.read_bytes().decode("utf-8"), path)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            path, "", f"cannot be read ({error})", "name a room file with --room"
        ) from None
    found = _device_in(tables, device, path).get("latency")
    return None if found is None else parse(LatencyTable, found, path, f"device {device}.latency")


def write(path: Path, device: str, table: LatencyTable | None) -> None:
    """Put a device's latency into a room file, in place of what it had, or take it out.

    Args:
        path: TOML; written whole or not at all, with the rights it had.
        device: its name.
        table: None takes it out.

    Raises:
        ConfigError: it cannot be read or written, is SCOT's own, or has no such device in a
            shape that can be edited; the lines to write by hand are then in the message.
    """
    if is_bundled(path):
        raise ConfigError(
            path, f"device {device}", "belongs to SCOT and is not changed", "edit a copy of it"
        )
    path = path.resolve()  # a link stays one
    fresh: Path | None = None
    try:
        edited = edit(path.read_bytes().decode("utf-8"), device, table, path)
        with NamedTemporaryFile(
            "wb", dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as new:
            fresh = Path(new.name)
            new.write(edited.encode("utf-8"))
            new.flush()
            os.fsync(new.fileno())
        fresh.chmod(path.stat().st_mode & 0o777)
        fresh.replace(path)
        fresh = None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            path, "", f"cannot be changed ({error})", "name a room file that you may write"
        ) from None
    finally:
        if fresh is not None:
            fresh.unlink(missing_ok=True)


def edit(text: str, device: str, table: LatencyTable | None, where: str | Path = "text") -> str:
    """Return the text of a room file with a device's latency put in, replaced or taken out.

    Raises:
        ConfigError: there is no such device, or it is written in a way that cannot be edited.
    """
    before = _parsed(text, where)
    wanted = _with(before, device, table, where)
    lines = [line for line in re.split(r"(?<=\n)", text) if line]
    newline = "\r\n" if lines[0].endswith("\r\n") else "\n"
    for old in [s for s in _of_device(lines, device, where) if s.name == "device.latency"]:
        apart = not lines[old.begin - 1].strip()
        del lines[old.begin - apart : _last_line(lines, old) + 1]
    if table is not None:
        at = _last_line(lines, _of_device(lines, device, where)[-1]) + 1
        if not lines[at - 1].endswith("\n"):
            lines[at - 1] += newline
        lines[at:at] = [newline, *(row + newline for row in lines_for(table).splitlines())]
    edited = "".join(lines)
    try:
        done = _parsed(edited, where) == wanted
    except ConfigError:
        done = False
    if not done:
        raise _by_hand(where, device, table)
    return edited


def _parsed(text: str, where: str | Path) -> dict[str, Any]:
    """Return the file's tables, with 0 for each ``$name``."""
    try:
        return tomllib.loads(_DOLLAR.sub("0", text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(where, "", f"is not TOML: {error}", "see docs, room file") from None


def _with(
    tables: dict[str, Any], device: str, table: LatencyTable | None, where: str | Path
) -> dict[str, Any]:
    """Return the tables as they must be after the edit."""
    devices = [dict(d) for d in tables.get("device", [])]
    changed = {**tables, "device": devices}
    found = _device_in(changed, device, where)
    found.pop("latency", None)
    if table is not None:
        found["latency"] = table.model_dump()
    return changed


def _device_in(tables: dict[str, Any], device: str, where: str | Path) -> dict[str, Any]:
    """Return a device's own table."""
    devices = tables.get("device", [])
    found: list[dict[str, Any]] = [d for d in devices if d.get("name") == device]
    if not found:
        names = ", ".join(str(d.get("name")) for d in devices) or "none"
        raise ConfigError(where, "device", f"has no {device!r}", f"its devices: {names}")
    return found[0]


def _of_device(lines: list[str], device: str, where: str | Path) -> list[_Section]:
    """Return the sections of a device: its ``[[device]]`` and the sub-tables that follow."""
    found: list[_Section] = []
    for section in _sections(lines):
        if section.name == "device" and lines[section.begin].lstrip().startswith("[["):
            if found:
                return found
            body = "".join(lines[section.begin + 1 : section.end])
            if _parsed(body, where).get("name") == device:
                found = [section]
        elif found:
            if not section.name.startswith("device."):
                return found
            found.append(section)
    if not found:
        raise _by_hand(where, device, None)
    return found


def _sections(lines: list[str]) -> Iterator[_Section]:
    """Yield the sections that begin with a header, skipping strings of several lines."""
    heads: list[tuple[int, str]] = []
    text = ""
    for number, line in enumerate(lines):
        match = _HEADER.match(line)
        if match and _closed(text):
            heads.append((number, re.sub(r"\s*\.\s*", ".", match[2])))
            text = ""
        text += line
    ends = [*(begin for begin, _ in heads[1:]), len(lines)] if heads else []
    for (begin, name), end in zip(heads, ends, strict=True):
        yield _Section(name, begin, end)


def _closed(text: str) -> bool:
    """Say whether a section's text is complete: no array or string is still open."""
    try:
        tomllib.loads(_DOLLAR.sub("0", text))
    except tomllib.TOMLDecodeError:
        return False
    return True


def _last_line(lines: list[str], section: _Section) -> int:
    """Return the number of the last line of a section that says something."""
    last = section.end - 1
    while last > section.begin and not _says(lines[last]):
        last -= 1
    return last


def _says(line: str) -> bool:
    """Say whether a line holds more than a comment, which may belong to what comes after."""
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _by_hand(where: str | Path, device: str, table: LatencyTable | None) -> ConfigError:
    what = "remove its latency" if table is None else f"write {lines_for(table).strip()!r}"
    return ConfigError(
        where,
        f"device {device}",
        "is not written as a [[device]] table of its own, so it cannot be edited safely",
        f"{what} by hand",
    )


def _quoted(text: str) -> str:
    """Return a TOML basic string; a dollar sign is doubled, as room files want it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in escaped) + '"'
