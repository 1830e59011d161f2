"""The columns of one segment as Parquet files, written and read.

Each file has one row a sample, with its channel, times and values, so that DuckDB, polars or
pandas read it without SCOT; ``utc`` is bus time minus 37 s, as the log time of MCAP is. A busy
channel has row groups of its own, quiet ones share them; the index says which rows are whose.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from scot.channel import Kind
from scot.timestamp import TAI_MINUS_UTC_NS
from scot_replay.heads import NONE
from scot_replay.levels import Envelope
from scot_replay.rows import JSON, POSE, VALIDITIES, Array, Rows
from scot_replay.sidecar import Identity, Place, file_of, file_path

SEGMENT_KEY = b"scot.segment"
GROUP_ROWS = 16_384
_HEADER = {
    "utc": pa.timestamp("ns", tz="UTC"),
    "source_ns": pa.int64(),
    "epoch": pa.int64(),
    "seq": pa.int64(),
    "bound_ns": pa.int64(),
    "err_ns": pa.int64(),
    "state": pa.uint8(),
    "flags": pa.uint16(),
}
_WORD = pa.dictionary(pa.int32(), pa.string())
_VALUES: dict[str, dict[str, Any]] = {
    "numeric": {"value": pa.float64(), "validity": _WORD},
    "pose": {**dict.fromkeys(POSE, pa.float64()), "visible": pa.bool_()},
    "waveform": {"values": pa.list_(pa.float32())},
    "video": {"size": pa.int64()},
    "events": {"json": pa.string()},
}
_LEVELS = {
    "utc": _HEADER["utc"],
    **dict.fromkeys(("low", "high"), pa.float64()),
    "count": pa.int64(),
}
_WORDS = ["channel", "epoch", "state", "flags", "validity", "visible", "json"]
_DELTA = ("utc", "source_ns", "seq", "bound_ns", "err_ns", "size", "count")
_SPLIT = ("value", *POSE, "low", "high", "values.list.element")
_ERRORS = frozenset({"bound_ns", "err_ns", "state"})
Unreadable = (OSError, pa.ArrowException, ValueError, KeyError, IndexError)
"""What a damaged file raises."""


def write(
    directory: Path, number: int, segment: Identity, rows: Mapping[str, Rows]
) -> dict[str, Place]:
    """Write the columns of all channels of a segment; return where each lies.

    Raises:
        OSError: the disk does not take them.
    """
    places: dict[str, Place] = {}
    files: dict[str, dict[str, Any]] = {}
    for address, found in rows.items():
        table = _table(address, found)
        files.setdefault(file_of(found.kind), {})[address] = table
    for name, tables in files.items():
        places.update(_write(file_path(directory, number, name), segment, tables))
    return places


def write_levels(
    directory: Path, number: int, segment: Identity, levels: Mapping[str, Iterable[Envelope]]
) -> dict[str, dict[int, Place]]:
    """Write the levels of all channels of a segment; return where each lies, by its width."""
    widths: dict[int, dict[str, Any]] = {}
    for address, found in levels.items():
        for one in found:
            columns = [
                _word(address, len(one)),
                _utc(one.start_ns),
                pa.array(one.low, from_pandas=True),
                pa.array(one.high, from_pandas=True),
                pa.array(one.count),
            ]
            table = pa.table(columns, _schema("channel", _LEVELS))
            widths.setdefault(one.width_ns, {})[address] = table
    placed: dict[str, dict[int, Place]] = {}
    if widths:
        tables = {(a, w): table for w, some in widths.items() for a, table in some.items()}
        path = file_path(directory, number, "levels")
        for (address, width_ns), place in _write(path, segment, tables).items():
            placed.setdefault(address, {})[width_ns] = place
    return placed


def _write(path: Path, segment: Identity, tables: Mapping[Any, Any]) -> dict[Any, Place]:
    schema = next(iter(tables.values())).schema.with_metadata({SEGMENT_KEY: segment.hex})
    names = set(schema.names)
    encoding = {name: "DELTA_BINARY_PACKED" for name in _DELTA if name in names}
    encoding |= {name: "BYTE_STREAM_SPLIT" for name in _SPLIT if name.partition(".")[0] in names}
    places: dict[Any, Place] = {}
    fresh = path.with_name(f"{path.name}.part")
    try:
        with pq.ParquetWriter(
            fresh,
            schema,
            compression="zstd",
            use_dictionary=[name for name in _WORDS if name in names],
            column_encoding=encoding,
            write_page_checksum=True,
            write_statistics=["utc"],
            store_schema=True,
        ) as writer:
            for group, together in enumerate(_groups(tables)):
                first = 0
                for key in together:
                    places[key] = Place(group, first, len(tables[key]))
                    first += len(tables[key])
                joined = pa.concat_tables([tables[key] for key in together])
                writer.write_table(joined.cast(schema), row_group_size=max(1, first))
        fresh.rename(path)
    except pa.ArrowException as error:
        raise OSError(str(error)) from None
    finally:
        fresh.unlink(missing_ok=True)
    return places


def _groups(tables: Mapping[Any, Any]) -> Iterator[list[Any]]:
    together: list[Any] = []
    count = 0
    for key, table in tables.items():
        if together and count + len(table) > GROUP_ROWS:
            yield together
            together, count = [], 0
        together.append(key)
        count += len(table)
    if together:
        yield together


def _schema(first: str, fields: dict[str, Any]) -> Any:
    return pa.schema([(first, _WORD), *fields.items()])


def _table(address: str, rows: Rows) -> Any:
    header = [
        _utc(rows.bus_ns),
        pa.array(rows.source_ns, mask=rows.no_source),
        pa.array(rows.epoch),
        pa.array(rows.seq),
        pa.array(rows.bound_ns, mask=rows.bound_ns == NONE),
        pa.array(rows.err_ns, mask=rows.err_ns == NONE),
        pa.array(rows.state),
        pa.array(rows.flags),
    ]
    fields = _VALUES[file_of(rows.kind)]
    columns = [_word(address, len(rows)), *header, *_value_columns(rows)]
    return pa.table(columns, _schema("channel", {**_HEADER, **fields}))


def _value_columns(rows: Rows) -> list[Any]:
    known = rows.values
    match rows.kind:
        case Kind.NUMERIC:
            words = pa.array([str(word) for word in VALIDITIES])
            validity = pa.DictionaryArray.from_arrays(
                pa.array(known["validity"], pa.int32()), words
            )
            return [pa.array(known["value"], mask=known["no_value"]), validity]
        case Kind.POSE:
            return [pa.array(known[name]) for name in (*POSE, "visible")]
        case Kind.WAVEFORM:
            ends = np.concatenate(([0], np.cumsum(known["length"]))).astype(np.int32)
            return [pa.ListArray.from_arrays(pa.array(ends), pa.array(known["values"]))]
        case Kind.VIDEO:
            return [pa.array(known["size"])]
        case _:
            return [pa.array(known["json"], pa.string())]


def _word(address: str, count: int) -> Any:
    codes = pa.array(np.zeros(count, np.int32))
    return pa.DictionaryArray.from_arrays(codes, pa.array([address]))


def _utc(bus_ns: Array) -> Any:
    return pa.array(bus_ns - TAI_MINUS_UTC_NS).cast(_HEADER["utc"])


class ColumnFile:
    """A Parquet file of one segment; its footer is read once.

    Args:
        path: of the file.
        segment: that it must have been made from.
    """

    def __init__(self, path: Path, segment: Identity) -> None:
        self._path = path
        self._segment = segment.hex.encode()
        self._meta: Any = None

    def rows(self, place: Place, kind: Kind, brief: bool = False) -> Rows:
        """Return one channel's rows; raises what is in `Unreadable` when the file is damaged.

        Args:
            place: of its rows.
            kind: of the channel.
            brief: leave out how well times are known, see `scot_replay.parts.Part.rows`.
        """
        header = [name for name in _HEADER if not brief or name not in _ERRORS]
        table = self._read(place, [*header, *_VALUES[file_of(kind)]])
        source = table["source_ns"]
        nothing = np.full(len(table), NONE, np.int64) if brief else None
        return Rows(
            kind,
            bus_ns=_bus_ns(table["utc"]),
            epoch=_numpy(table["epoch"]),
            seq=_numpy(table["seq"]),
            source_ns=_numpy(source, 0),
            no_source=_none(source),
            bound_ns=_numpy(table["bound_ns"], NONE) if nothing is None else nothing,
            err_ns=_numpy(table["err_ns"], NONE) if nothing is None else nothing,
            state=_numpy(table["state"]) if nothing is None else np.zeros(len(table), np.uint8),
            flags=_numpy(table["flags"]),
            values=_read_values(table, kind),
        )

    def level(self, place: Place, width_ns: int) -> Envelope:
        """Return one channel's level."""
        table = self._read(place, list(_LEVELS))
        low, high = (_numpy(table[name], np.nan) for name in ("low", "high"))
        return Envelope(width_ns, _bus_ns(table["utc"]), low, high, _numpy(table["count"]))

    def _read(self, place: Place, columns: list[str]) -> Any:
        whole = isinstance(self._path, Path)
        with pq.ParquetFile(
            self._path if whole else self._path.ranges(),  # type: ignore[attr-defined]
            metadata=self._meta,
            memory_map=whole,
            read_dictionary=["validity"] if "validity" in columns else None,
            page_checksum_verification=True,
        ) as file:
            if self._meta is None:
                if (file.metadata.metadata or {}).get(SEGMENT_KEY) != self._segment:
                    raise ValueError(f"{self._path.name} was not made from this segment")
                self._meta = file.metadata
            table = file.read_row_group(place.group, columns, use_threads=False)
        if place.first + place.count > len(table):
            raise ValueError(f"{self._path.name} holds fewer rows than its index says")
        return table.slice(place.first, place.count)


def _bus_ns(column: Any) -> Any:
    return _numpy(column.cast(pa.int64())) + TAI_MINUS_UTC_NS


def _numpy(column: Any, none: Any = None) -> Any:
    if none is not None and column.null_count:
        column = pc.fill_null(column, none)
    return column.to_numpy()


def _none(column: Any) -> Any:
    if not column.null_count:
        return np.zeros(len(column), np.bool_)
    return column.is_null().to_numpy()


def _read_values(table: Any, kind: Kind) -> dict[str, Array]:
    match kind:
        case Kind.NUMERIC:
            value = table["value"]
            validity = table["validity"].combine_chunks()
            if isinstance(validity, pa.ChunkedArray):
                validity = validity.chunk(0)
            codes = np.array([VALIDITIES.index(w) for w in validity.dictionary.to_pylist()], "u1")
            return {
                "value": _numpy(value, np.nan),
                "no_value": _none(value),
                "validity": codes[validity.indices.to_numpy()],
            }
        case Kind.POSE:
            return {name: _numpy(table[name]) for name in (*POSE, "visible")}
        case Kind.WAVEFORM:
            values = table["values"]
            flat = [chunk.flatten() for chunk in values.chunks]
            return {
                "length": _numpy(pc.list_value_length(values)).astype(np.int64),
                "values": pa.chunked_array(flat, pa.float32()).to_numpy(),
            }
        case Kind.VIDEO:
            return {"size": _numpy(table["size"])}
        case _ if kind in JSON:
            return {"json": table["json"].to_numpy()}
        case _:
            raise ValueError(f"channels of kind {kind} have no columns")
