"""Thousands of recordings as two tables and two sets of columns, asked by SQL.

A directory: ``cases.sqlite`` holds what there is of each recording and its channels; beside it
Parquet files in hive partitions, ``numerics/workspace=or1/case=17/ID.parquet`` and ``alarms/…``,
hold the values that people ask about over many cases. All of it can be made again from the
recordings.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from scot.channel import Kind, Sensitivity
from scot.clock import machine
from scot.errors import RecordingError
from scot.sample import AlarmValue
from scot.timestamp import TAI_MINUS_UTC_NS
from scot_replay.formats import signals
from scot_replay.layout import iso_utc
from scot_replay.place import names_of, size_of, url_of
from scot_replay.recording import DirectoryRecording

FILE = "cases.sqlite"
VERSION = 1
NO_CASE = "__HIVE_DEFAULT_PARTITION__"
NUMERICS, ALARMS = "numerics", "alarms"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS cases (
  id TEXT PRIMARY KEY, url TEXT NOT NULL UNIQUE, workspace TEXT, "case" TEXT, started TEXT,
  started_ns INTEGER, duration_s REAL, channels INTEGER, samples INTEGER, missing INTEGER,
  bytes INTEGER, origin TEXT, damage TEXT, added TEXT);
CREATE TABLE IF NOT EXISTS channels (
  id TEXT NOT NULL REFERENCES cases(id) ON DELETE CASCADE, device TEXT, channel TEXT, kind TEXT,
  unit TEXT, code TEXT, rate_hz REAL, sensitivity TEXT, samples INTEGER, missing INTEGER,
  first_ns INTEGER, last_ns INTEGER, PRIMARY KEY (id, device, channel));
"""


class Case(msgspec.Struct, kw_only=True):
    """What a catalogue knows of one recording; times are bus ns, or UTC as text.

    Attributes:
        id: of the recording: the same wherever a copy of it lies.
        url: where it lies.
        workspace, case: of the room.
        started, started_ns: when it begins.
        duration_s: from its first sample to its last.
        channels, samples, missing: how many.
        bytes: on the disk.
        origin: what it was made from; empty for what was recorded.
        damage: lines, empty when it is whole.
        added: when it came into the catalogue.
    """

    id: str
    url: str
    workspace: str = ""
    case: str = ""
    started: str = ""
    started_ns: int = 0
    duration_s: float = 0.0
    channels: int = 0
    samples: int = 0
    missing: int = 0
    bytes: int = 0
    origin: str = ""
    damage: str = ""
    added: str = ""


class Summary(msgspec.Struct):
    """What is entered of a recording: the case, its channels, and what was written of it."""

    case: Case
    channels: list[tuple[Any, ...]]
    rows: int


def summarise(recording: DirectoryRecording, catalogue: str) -> Summary:
    """Write a recording's columns into a catalogue's directory, and return what is entered of it.

    Raises:
        RecordingError: the disk does not take them.
    """
    manifest, known = recording.manifest, recording.channels
    url = url_of(recording.path)
    session = manifest.session or url
    case = Case(
        id=hashlib.sha256(f"{session}/{manifest.started_ns}".encode()).hexdigest()[:16],
        url=url,
        workspace=manifest.workspace or recording.catalogue.workspace,
        case=manifest.case,
        started=iso_utc(recording.first_ns),
        started_ns=recording.first_ns,
        duration_s=recording.duration_s,
        channels=len(known),
        samples=sum(one.count for one in known.values()),
        missing=sum(gap.count for one in known.values() for gap in one.gaps),
        bytes=size_of(recording.path),
        origin=manifest.origin,
        damage="\n".join(recording.damage),
        added=iso_utc(machine.utc_ns() + TAI_MINUS_UTC_NS),
    )
    rows = _write(recording, Path(catalogue), case)
    channels = [
        (
            case.id, address.split("/")[1], address.split("/")[2], one.channel.kind.value,
            one.channel.unit, one.channel.code, one.channel.rate_hz,
            one.channel.sensitivity.value, one.count, sum(gap.count for gap in one.gaps),
            one.first_ns, one.last_ns,
        )
        for address, one in known.items()
    ]  # fmt: skip
    return Summary(case, channels, rows)


def _write(recording: DirectoryRecording, catalogue: Path, case: Case) -> int:
    rows = 0
    for what, table in ((NUMERICS, _numerics), (ALARMS, _alarms)):
        found = table(recording, case)
        if found is None:
            continue
        from pyarrow import parquet

        path = partition(catalogue, what, case)
        fresh = path.with_name(f".{path.name}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            parquet.write_table(found, fresh, compression="zstd")
            fresh.replace(path)
        except OSError as error:
            raise RecordingError(f"{path} cannot be written: {error.strerror or error}") from None
        finally:
            fresh.unlink(missing_ok=True)
        rows += found.num_rows
    return rows


def partition(catalogue: Path, what: str, case: Case) -> Path:
    """Return where the columns of a case lie."""
    room, named = (quote(text, safe=" -_.") or NO_CASE for text in (case.workspace, case.case))
    return catalogue / what / f"workspace={room}" / f"case={named}" / f"{case.id}.parquet"


def _numerics(recording: DirectoryRecording, case: Case) -> Any:
    import numpy as np
    import pyarrow as pa

    span = (recording.first_ns, recording.last_ns + 1)
    tables = []
    for address, one in recording.channels.items():
        channel = one.channel
        if channel.kind is not Kind.NUMERIC or channel.sensitivity is Sensitivity.IDENTITY:
            continue
        known = signals.readings(recording, address, span)
        size = len(known.times)
        if size:
            _, device, name = address.split("/")
            texts = (case.id, device, name, channel.code, channel.unit)
            words = [pa.array([text] * size).dictionary_encode() for text in texts]
            at = pa.array(known.times - TAI_MINUS_UTC_NS, pa.timestamp("ns", "UTC"))
            since = pa.array((known.times - span[0]) / 1e9)
            value = pa.array(known.values, mask=np.isnan(known.values))
            tables.append(pa.table(
                [words[0], at, since, *words[1:], value],
                names=["id", "utc", "t_s", "device", "channel", "code", "unit", "value"],
            ))  # fmt: skip
    return pa.concat_tables(tables).unify_dictionaries() if tables else None


def _alarms(recording: DirectoryRecording, case: Case) -> Any:
    import pyarrow as pa

    span = (recording.first_ns, recording.last_ns + 1)
    rows: list[dict[str, Any]] = []
    for address, one in recording.channels.items():
        channel = one.channel
        if channel.kind is not Kind.ALARM or channel.sensitivity is Sensitivity.IDENTITY:
            continue
        for sample in signals.samples(recording, address, span):
            value = sample.value
            if isinstance(value, AlarmValue):
                at_ns = sample.time.bus_ns
                rows.append({
                    "id": case.id, "utc": at_ns - TAI_MINUS_UTC_NS, "t_s": (at_ns - span[0]) / 1e9,
                    "device": address.split("/")[1], "alarm": value.id, "kind": value.kind,
                    "priority": value.priority, "present": value.present,
                    "presence": value.presence, "channel": value.channel,
                    "text": value.text.get("en", ""), "value": value.value, "limit": value.limit,
                })  # fmt: skip
    if not rows:
        return None
    return pa.Table.from_pylist(rows, schema=_alarm_schema())


def _alarm_schema() -> Any:
    import pyarrow as pa

    text = pa.string()
    return pa.schema([
        ("id", text), ("utc", pa.timestamp("ns", "UTC")), ("t_s", pa.float64()), ("device", text),
        ("alarm", text), ("kind", text), ("priority", text), ("present", pa.bool_()),
        ("presence", text), ("channel", text), ("text", text), ("value", pa.float64()),
        ("limit", pa.float64()),
    ])  # fmt: skip


class Cases:
    """A catalogue of cases; every call opens the file anew, so several may use it.

    Args:
        path: its directory; made by `enter`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def _open(self, *, write: bool = False) -> Iterator[sqlite3.Connection]:
        file = self.path / FILE
        if not write and not file.exists():
            raise RecordingError(f"{self.path} has no {FILE}; make one: scot catalog add REC …")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            link = sqlite3.connect(file, timeout=30)
            try:
                link.row_factory = sqlite3.Row
                link.execute("PRAGMA foreign_keys = ON")
                (version,) = link.execute("PRAGMA user_version").fetchone()
                if version > VERSION:
                    raise RecordingError(
                        f"{file} is of version {version}, this release reads {VERSION}; install a "
                        "newer scot-bus"
                    )
                if write and version < VERSION:
                    link.executescript(_SCHEMA)
                    link.execute(f"PRAGMA user_version = {VERSION}")
                with link:
                    yield link
            finally:
                link.close()
        except (OSError, sqlite3.Error) as error:
            raise RecordingError(f"{file} cannot be used: {error}") from None

    def enter(self, found: Summary) -> str:
        """Enter a recording, or what it is now; returns where it was before when it moved."""
        case = found.case
        fields = msgspec.structs.asdict(case)
        with self._open(write=True) as link:
            before = link.execute("SELECT url FROM cases WHERE id = ?", (case.id,)).fetchone()
            link.execute("DELETE FROM cases WHERE id = ? OR url = ?", (case.id, case.url))
            names = ", ".join(f'"{name}"' for name in fields)
            marks = ", ".join("?" * len(fields))
            # the names are the fields of `Case`
            link.execute(f"INSERT INTO cases ({names}) VALUES ({marks})", tuple(fields.values()))  # noqa: S608
            link.executemany(
                "INSERT INTO channels VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", found.channels
            )
        return before["url"] if before is not None and before["url"] != case.url else ""

    def prepare(self) -> None:
        """Make the catalogue if there is none.

        Raises:
            RecordingError: the disk does not take it.
        """
        with self._open(write=True):
            pass

    def all(self) -> list[Case]:
        """Return every case, oldest first.

        Raises:
            RecordingError: there is no catalogue, or it cannot be read.
        """
        with self._open() as link:
            rows = link.execute("SELECT * FROM cases ORDER BY started_ns, id").fetchall()
        return [msgspec.convert(dict(row), Case) for row in rows]

    def find(self, which: str) -> Case:
        """Return one case by its id, the beginning of it, or where it lies.

        Raises:
            RecordingError: there is none, or there are several.
        """
        found = [
            one for one in self.all() if one.id.startswith(which) or which in names_of(one.url)
        ]
        if len(found) != 1:
            raise RecordingError(
                f"{self.path} has {len(found)} cases {which!r}; see scot catalog ls"
            )
        return found[0]

    def remove(self, which: str) -> Case:
        """Take a case out of the catalogue; the recording stays where it is."""
        case = self.find(which)
        with self._open(write=True) as link:
            link.execute("DELETE FROM cases WHERE id = ?", (case.id,))
        for what in (NUMERICS, ALARMS):
            partition(self.path, what, case).unlink(missing_ok=True)
        return case

    def sql(self, query: str) -> Any:
        """Ask by SQL of DuckDB; returns an Arrow table.

        The tables are ``cases``, ``channels``, ``numerics`` and ``alarms``. The query reads nothing
        else of this machine, and writes nothing.

        Raises:
            RecordingError: there is no catalogue, or the query is wrong.
        """
        import duckdb

        with self._open() as link:
            tables = {name: _arrow(link, name) for name in ("cases", "channels")}
        with duckdb.connect() as database:
            for name, table in tables.items():
                database.register(f"_{name}", table)
                database.table(f"_{name}").create_view(name)
            for what in (NUMERICS, ALARMS):
                self._view(database, what)
            folder = str(self.path.resolve()).replace("'", "''")
            database.execute(f"SET allowed_directories = ['{folder}']")
            database.execute("SET enable_external_access = false")
            database.execute("SET lock_configuration = true")
            try:
                asked = database.extract_statements(query)
                # COPY and ATTACH may write where the columns may be read
                if [one.type for one in asked] != [duckdb.StatementType.SELECT]:
                    raise RecordingError("the query is not one SELECT; ask with exactly one")
                found: Any = database.sql(query)
                return found.to_arrow_table()
            except duckdb.Error as error:
                said = " ".join(str(error).split())
                raise RecordingError(f"the query cannot be answered: {said}") from None

    def _view(self, database: Any, what: str) -> None:
        found = sorted((self.path.resolve() / what).rglob("*.parquet"))
        if not found:
            database.register(f"_{what}", _schema_of(what).empty_table())
            database.table(f"_{what}").create_view(what)
            return
        names = ", ".join("'" + str(file).replace("'", "''") + "'" for file in found)
        types = "{'workspace': VARCHAR, 'case': VARCHAR}"
        read = f"read_parquet([{names}], hive_partitioning = true, hive_types = {types})"
        database.execute(f'CREATE VIEW "{what}" AS FROM {read} SEMI JOIN cases USING (id)')


def _schema_of(what: str) -> Any:
    """Return the columns of the numerics or the alarms of all cases."""
    import pyarrow as pa

    text, figure = pa.string(), pa.float64()
    numerics = [
        ("id", text), ("utc", pa.timestamp("ns", "UTC")), ("t_s", figure), ("device", text),
        ("channel", text), ("code", text), ("unit", text), ("value", figure),
    ]  # fmt: skip
    own = pa.schema(numerics) if what == NUMERICS else _alarm_schema()
    return own.append(pa.field("workspace", text)).append(pa.field("case", text))


def _arrow(link: sqlite3.Connection, name: str) -> Any:
    import pyarrow as pa

    types = {"TEXT": pa.string(), "INTEGER": pa.int64(), "REAL": pa.float64()}
    columns = link.execute(f'PRAGMA table_info("{name}")').fetchall()
    schema = pa.schema([(one["name"], types[one["type"]]) for one in columns])
    rows = link.execute(f'SELECT * FROM "{name}"').fetchall()  # noqa: S608 - one of two names
    return pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
