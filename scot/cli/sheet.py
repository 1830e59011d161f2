"""The sheet of ``scot top``: rows of devices and channels, laid out for a window of any size.

Readable without colour: a sign stands before what is wrong, and words say what.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from scot.channel import Catalogue, Lifecycle
from scot.cli.clocks import words
from scot.cli.heard import ChannelRow, Heard
from scot.clock.machine import TAI_MINUS_UTC_NS
from scot.finding import Finding
from scot.health import Health

SIGNS = {"problem": ("✗", "bold red"), "warning": ("!", "yellow"), "ok": (" ", "")}
NARROW = 80
WIDE = 100
MOST_WRONG = 4
DASH = "–"


@dataclass(frozen=True)
class DeviceRow:
    """One device with its channels.

    Attributes:
        health: what it says of itself now; None when that is too old.
        wrong: its state, or a channel of it, is not as it should be.
        drift_ppm: by how much its host's clock is fast; None while that is not known.
        steps: how often its host's clock stepped.
    """

    name: str
    state: str
    reason: str
    health: Health | None
    channels: list[ChannelRow]
    wrong: bool
    drift_ppm: float | None = None
    steps: int | None = None


@dataclass(frozen=True)
class Sheet:
    """A room at one instant.

    Attributes:
        chosen: somebody asked for these devices only.
    """

    workspace: str
    replay: bool
    bus_ns: int
    title: str
    devices: list[DeviceRow]
    wrong: list[Finding] = field(default_factory=list)
    chosen: bool = False


def rows_of(
    catalogue: Catalogue, heard: Heard, channels: list[ChannelRow], now_ns: int
) -> list[DeviceRow]:
    """Return a row for each device, the room's own last."""
    rows = []
    order = sorted(catalogue.devices.values(), key=lambda d: d.name in _ROOM)
    for device in order:
        mine = [c for c in channels if c.device == device.name and c.channel != "health"]
        health = heard.health.now(device.name, now_ns)
        clock = words(heard.clocks.of(device.name))
        wrong = device.state is not Lifecycle.RUNNING or any(c.stale or c.lost for c in mine)
        row = DeviceRow(device.name, device.state, device.reason, health, mine, wrong)
        rows.append(replace(row, drift_ppm=clock["drift_ppm"], steps=clock["epochs"]))
    return rows


_ROOM = frozenset({"room", "recorder", "consult", "alarms"})


def drawn(sheet: Sheet, width: int, height: int | None) -> list[Text]:
    """Return the sheet's lines for a window; all of them, uncut, when `height` is None."""
    lines = [_head(sheet, width), *_wrong(sheet, width, height is not None)]
    lines.append(_columns(width))
    lines += _table(sheet, width, None if height is None else height - len(lines))
    return lines[:height]


def _head(sheet: Sheet, width: int) -> Text:
    total = [c for row in sheet.devices for c in row.channels]
    rate, size = sum(c.hz for c in total), sum(c.bytes_hz for c in total)
    seconds = (sheet.bus_ns - TAI_MINUS_UTC_NS) // 1_000_000_000 % 86_400
    utc = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02} UTC"
    left = sheet.workspace + ("  REPLAY" if sheet.replay else "")
    right = f"{rate:.0f} samples/s  {bytes_text(size)}/s{_disk(sheet)}  {utc}"
    title = f" · {sheet.title}" if sheet.title else ""
    right = cut(right, max(0, width - cell_len(left) - 2))
    middle = cut(title, max(0, width - cell_len(left) - cell_len(right) - 2))
    pad = " " * max(1, width - cell_len(left) - cell_len(middle) - cell_len(right))
    return _line((left, "bold"), (middle, "dim"), (pad, ""), (right, ""))


def _disk(sheet: Sheet) -> str:
    for row in sheet.devices:
        if row.health is not None and row.health.disk_left_s is not None:
            return f"  disk {span_text(row.health.disk_left_s)}"
    return ""


def _wrong(sheet: Sheet, width: int, short: bool) -> list[Text]:
    if not sheet.wrong:
        return [_line(("ok nothing is wrong now", "green"))]
    shown = sheet.wrong[:MOST_WRONG] if short and len(sheet.wrong) > MOST_WRONG else sheet.wrong
    if len(shown) < len(sheet.wrong):
        shown = sheet.wrong[: MOST_WRONG - 1]
    lines = []
    for finding in shown:
        sign, style = SIGNS[finding.level]
        lines.append(
            _line((f"{sign} {cut(finding.what, width - 2) if short else finding.what}", style))
        )
        if not short and finding.fix:
            lines.append(_line((f"    fix: {finding.fix}", "dim")))
    if len(shown) < len(sheet.wrong):
        more = len(sheet.wrong) - len(shown)
        text = f"  and {more} more: `scot doctor` names each and its fix"
        lines.append(_line((cut(text, width), "yellow")))
    return lines


def _columns(width: int) -> Text:
    wide = width >= WIDE
    cells = ["", "DEVICE", "STATE", "1/s", *(["kB/s"] if wide else [])]
    cells += ["AGE s", "QUEUE", "LOST", "FILL", "±ms likely", "sure"]
    cells += [*(["ppm"] if wide else []), "CLOCK"]
    return _line((_cells(cells, width), "reverse"))


def _cells(cells: list[str], width: int) -> str:
    """Return cells in their columns, 80 wide or more: name, state and clock to the left."""
    spare = max(0, width - (WIDE if width >= WIDE else NARROW))
    name, state = 12 + min(spare, 20), 9 + (3 if width >= WIDE else 0)
    wide = [9], [7]
    bytes_, drift = wide if width >= WIDE else ([], [])
    figures = [6, *bytes_, 6, 6, 5, 5, 11, 7, *drift]
    sizes = [1, name, state, *figures, 10]
    lefts = {0, 1, 2, len(sizes) - 1}
    out = []
    for place, (cell, size) in enumerate(zip(cells, sizes, strict=True)):
        text = cut(cell, size if place in lefts else max(size, len(cell)))
        out.append(text.ljust(size) if place in lefts else text.rjust(size))
    line = f"{out[0]}{out[1]} {out[2]}{''.join(out[3:-1])} {out[-1]}"
    return line[:width].ljust(width)


def _table(sheet: Sheet, width: int, height: int | None) -> list[Text]:
    """Return the lines of devices and channels: all, or the worst that fit."""
    channels = sum(len(row.channels) for row in sheet.devices)
    left = channels
    if height is not None:
        left = max(0, height - len(sheet.devices))
        if left < channels:
            left = max(0, left - 1)  # a line says what is left out
    ranked = sorted(
        (c for row in sheet.devices for c in row.channels),
        key=lambda c: (not (c.stale or c.lost), c.device in _ROOM),
    )
    shown = {c.address for c in ranked[:left]}
    lines = []
    for row in sheet.devices:
        lines.append(_device_line(row, width))
        lines += [_channel_line(c, width) for c in row.channels if c.address in shown]
    if left < channels:
        hidden = ranked[left:]
        bad = sum(c.stale or c.lost > 0 for c in hidden)
        what = f"{bad} of them wrong" if bad else "none of them wrong"
        more = f"  … {len(hidden)} channels more, {what}: a taller window, or scot top DEVICE"
        lines.append(_line((cut(more, width), "dim")))
    return lines


def _device_line(row: DeviceRow, width: int) -> Text:
    health = row.health
    sign, style = ("!", "bold yellow") if row.wrong else (" ", "bold")
    if row.state in (Lifecycle.DISCONNECTED, Lifecycle.FAULT):
        sign, style = "✗", "bold red"
    sent = None if health is None else (health.received or health.sent)
    rate = None if sent is None else sent.ctl.samples_hz + sent.bulk.samples_hz
    if health is not None and health.forwarded_hz is not None:
        rate, sent = health.forwarded_hz, None  # the broker counts no bytes
    size = None if sent is None else sent.ctl.bytes_hz + sent.bulk.bytes_hz
    times = None if health is None else (health.times or health.clock)
    lost = filled = queue = None
    if health is not None:
        lost = health.dropped + (health.lost or 0)
        queue = number(health.held)
        if health.received is not None:
            lost += health.received.missing
            filled = health.received.backfilled
        waiting = health.waiting_bytes if health.waiting_bytes is not None else health.queued_bytes
        queue = queue if waiting is None else bytes_text(waiting)
    cells = [sign, row.name, row.state, number(rate)]
    cells += [number(None if size is None else size / 1e3)] if width >= WIDE else []
    cells += [number(None if health is None else health.age_s, 2), queue or DASH]
    cells += [number(lost), number(filled)]
    cells += _times(
        None if times is None or times.err_ns is None else times.err_ns / 1e6,
        None if times is None or times.bound_ns is None else times.bound_ns / 1e6,
    )
    drift = DASH if row.drift_ppm is None else f"{row.drift_ppm:+.1f}"
    cells += [drift] if width >= WIDE else []
    return _line((_cells([*cells, DASH if times is None else times.state], width), style))


def _channel_line(row: ChannelRow, width: int) -> Text:
    sign, style = ("!", "yellow") if row.stale or row.lost else (" ", "")
    cells = [sign, f"  {row.channel}", "silent" if row.stale else row.kind, number(row.hz)]
    cells += [number(row.bytes_hz / 1e3)] if width >= WIDE else []
    cells += [number(row.age_s, 2), "", number(row.lost), number(row.backfilled)]
    cells += [*_times(row.err_ms, row.bound_ms), *([""] if width >= WIDE else []), row.clock]
    return _line((_cells(cells, width), style))


def _times(err_ms: float | None, bound_ms: float | None) -> list[str]:
    return [number(err_ms, 3), number(bound_ms, 3)]


def number(value: float | None, places: int = 1) -> str:
    """Return a figure in at most six characters: fewer digits behind the point as it grows."""
    if value is None:
        return DASH
    if isinstance(value, int) or abs(value) >= 1000:
        return str(round(value)) if abs(value) < 100_000 else f"{value / 1e3:.0f}k"
    if abs(value) >= 100:
        places = min(places, 0)
    elif abs(value) >= 10:
        places = min(places, 1)
    return f"{value:.{places}f}"


def bytes_text(size: float) -> str:
    """Return a number of bytes for people."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f}{unit}" if unit == "B" or size >= 10 else f"{size:.1f}{unit}"
        size /= 1000
    return f"{size:.1f}GB"


def span_text(seconds: float) -> str:
    """Return a span of time for people."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def cut(text: str, width: int) -> str:
    """Return a text that fits into so many cells of a terminal, with a mark where it was cut."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(0, width - 1)) + "…" * (width > 0)


def _line(*parts: tuple[str, str]) -> Text:
    return Text.assemble(*parts, no_wrap=True)
