"""Makes what lies beside a segment: its index and its columns (see `scot_replay.sidecar`).

It is made by the sealer from the journal, and again by ``scot columns`` from the segment, with the
same result.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from scot.channel import Channel, Kind
from scot.errors import RecordingError
from scot_replay import raw, sidecar
from scot_replay import rows as reading
from scot_replay.came import gather
from scot_replay.found import with_headers
from scot_replay.layout import Manifest
from scot_replay.levels import LEVELLED, WIDTHS_NS, Envelope, envelope, worth
from scot_replay.parts import JournalPart, Part, newest_catalogue
from scot_replay.rows import KINDS, Rows

if TYPE_CHECKING:
    from scot_replay.index import Span


def make(part: Part, segment: Path, manifest: Manifest) -> None:
    """Write index and columns of a sealed segment.

    Args:
        part: the segment, or the journal it was made from.
        segment: where it lies.
        manifest: as in it.

    Raises:
        OSError: the disk does not take them; what was there before is gone, and the segment is
            read without.
    """
    if manifest.encrypted:  # columns of what nobody may read would be read
        return
    from scot_replay import parquet  # a sealer without columns need not load it

    directory, number = segment.parent, part.number
    identity = sidecar.identity(segment)
    sidecar.remove(directory, number)
    sidecar.index_path(directory, number).parent.mkdir(exist_ok=True)
    catalogue = newest_catalogue([part])
    spans: dict[str, Span] = {}
    kinds: dict[str, Kind] = {}
    held: dict[str, Rows] = {}
    levels: dict[str, list[Envelope]] = {}
    for address in part.addresses():
        span = part.span(address)
        channel = catalogue.channel(address) or Channel(name="undescribed", kind=Kind.EVENT)
        if span is None:
            continue
        spans[address], kinds[address] = span, channel.kind
        if channel.kind is not Kind.VIDEO:
            spans[address] = msgspec.structs.replace(span, keys=[])
        rows = _rows(part, address, channel)
        if rows is not None:
            held[address] = rows
            levels[address] = _levels(rows, channel)
    index = sidecar.Index(
        segment=identity,
        manifest=manifest,
        state=list(part.state.values()),
        catalogues=[(at_ns, msgspec.msgpack.encode(known)) for at_ns, known in part.catalogues],
        losses=part.losses,
        damage=part.damage,
        came=gather(part.came),
        spans=spans,
        kinds=kinds,
        places=parquet.write(directory, number, identity, held),
        levels=parquet.write_levels(directory, number, identity, levels),
        quality={address: reading.quality(rows) for address, rows in held.items()},
    )
    sidecar.write_index(sidecar.index_path(directory, number), index)


def _rows(part: Part, address: str, channel: Channel) -> Rows | None:
    """Return all samples of a channel; None when its columns could not give them back."""
    if channel.kind not in KINDS:
        return None
    if isinstance(part, JournalPart):
        return raw.rows(part.raw(address), channel.kind)
    total = len(part.times(address))
    frames = part.read(address, 0, total)
    found = with_headers(address, frames)
    if len(found) != total:
        return None
    try:
        return reading.of(found, channel.kind, exact=True).in_order()
    except RecordingError:
        return None


def _levels(rows: Rows, channel: Channel) -> list[Envelope]:
    if channel.kind not in LEVELLED:
        return []
    try:
        made = [envelope(rows, channel, width_ns) for width_ns in WIDTHS_NS]
    except RecordingError:  # a waveform of which nothing says the rate
        return []
    return [one for one in made if worth(one)]
