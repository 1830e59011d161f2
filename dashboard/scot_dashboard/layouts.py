"""Layouts of the room: where panes stand on a page, named, shared by every display, versioned.

One file in the room's state folder, replaced in one step. Every save is a new version with its
author and bus time; nothing that was saved is written over. Who saves says which version they began
from, so that of two editors the second is told and loses nothing.
"""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from scot.access import write_private
from scot_dashboard.door import RefusedError

log = logging.getLogger(__name__)

FILE = "layouts.json"
COLUMNS = ROWS = 24
MAX_PANES = 96
MAX_NAMES = 32
MAX_VERSIONS = 50
MAX_FILE_B = 4 << 20

Name = Annotated[
    str, Field(pattern=r"^[\w][\w .()+-]{0,38}[\w.)+]$|^\w$", description="what people call it")
]
PaneId = Annotated[str, Field(pattern=r"^[a-z]+(:[A-Za-z0-9_./-]{1,150})?$")]
Cell = Annotated[int, Field(ge=0, lt=COLUMNS)]
Span = Annotated[int, Field(ge=1, le=COLUMNS)]
View = Literal["wall", "station"]


class Place(BaseModel):
    """Where one pane stands, in cells of a grid of 24 by 24 from the upper left."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    pane: PaneId
    x: Cell
    y: Cell
    w: Span
    h: Span

    def cells(self) -> Iterator[tuple[int, int]]:
        """Yield every cell that it takes."""
        for x in range(self.x, self.x + self.w):
            for y in range(self.y, self.y + self.h):
                yield x, y


class Layout(BaseModel):
    """What a page shows where; panes never overlap, and none stands outside the grid.

    Alarm line, header and scrubber are no panes: no layout can hide them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    view: View
    panes: Annotated[list[Place], Field(min_length=1, max_length=MAX_PANES)]
    hidden: Annotated[list[PaneId], Field(max_length=MAX_PANES)] = []

    @model_validator(mode="after")
    def _apart(self) -> Layout:
        names = [place.pane for place in self.panes] + list(self.hidden)
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"pane {twice!r} is named twice")
        taken: dict[tuple[int, int], str] = {}
        for place in self.panes:
            if place.x + place.w > COLUMNS or place.y + place.h > ROWS:
                raise ValueError(
                    f"pane {place.pane!r} ends outside the grid of {COLUMNS} by {ROWS}"
                )
            for cell in place.cells():
                other = taken.setdefault(cell, place.pane)
                if other != place.pane:
                    raise ValueError(f"panes {other!r} and {place.pane!r} overlap at {cell}")
        return self


class Version(Layout):
    """One save of a layout.

    Attributes:
        version: from 1, without holes except for the oldest, which are dropped.
        author: who saved it, as the gateway knows them.
        saved_ns: bus time.
        restored: the version that this one brought back, 0 none.
    """

    version: Annotated[int, Field(ge=1)]
    author: str
    saved_ns: int
    restored: int = 0

    def told(self, name: str) -> dict[str, Any]:
        """Return all of it under its name."""
        return {"name": name, **self.model_dump()}

    def line(self, name: str) -> dict[str, Any]:
        """Return what a list says of it."""
        return {"name": name, **self.model_dump(exclude={"panes", "hidden"})}


class SaveBody(BaseModel):
    """What a page sends: a layout, and the version it began from (0: a new name)."""

    model_config = ConfigDict(extra="forbid")
    base: Annotated[int, Field(ge=0)]
    layout: Layout


class RestoreBody(BaseModel):
    """Which version to bring back, and the newest that the page knows of."""

    model_config = ConfigDict(extra="forbid")
    base: Annotated[int, Field(ge=1)]
    version: Annotated[int, Field(ge=1)]


class ConflictError(RefusedError):
    """Somebody saved meanwhile; `current` is what stands now, None when it was deleted."""

    def __init__(self, name: str, base: int, current: Version | None) -> None:
        now = f"version {current.version} by {current.author}" if current else "deleted"
        super().__init__(
            409,
            f"layout {name!r} is now {now}, and yours began from version {base}: save it under "
            "another name, or save it over theirs",
        )
        self.current = current


class _File(BaseModel):
    """The file as a whole."""

    model_config = ConfigDict(extra="forbid")
    form: Literal["scot-layouts/1"] = "scot-layouts/1"
    layouts: dict[Name, Annotated[list[Version], Field(min_length=1)]] = {}


class Layouts:
    """The layouts of one room.

    Args:
        path: of the file; None keeps them only as long as the process runs.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._kept = _File()
        if path is not None and path.exists():
            self._kept = _read(path)

    def newest(self) -> list[dict[str, Any]]:
        """Return the newest version of each, without its panes, by name."""
        return [versions[-1].line(name) for name, versions in sorted(self._kept.layouts.items())]

    def get(self, name: str, version: int = 0) -> Version:
        """Return a version, the newest with 0.

        Raises:
            RefusedError: there is none such (404).
        """
        versions = self._versions(name)
        for one in versions:
            if one.version == (version or versions[-1].version):
                return one
        held = f"{versions[0].version} to {versions[-1].version}"
        raise RefusedError(404, f"layout {name!r} has no version {version}, only {held}")

    def versions(self, name: str) -> list[dict[str, Any]]:
        """Return who saved a layout when, the oldest first.

        Raises:
            RefusedError: nobody saved one under this name (404).
        """
        return [one.line(name) for one in self._versions(name)]

    def save(
        self, name: str, base: int, layout: Layout, author: str, now_ns: int, *, restored: int = 0
    ) -> Version:
        """Keep a new version.

        Args:
            name: new, or the name of one that is there.
            base: the version that its editor began from; 0 for a new name.
            layout: what to keep.
            author: of the version.
            now_ns: bus time.
            restored: the version that is brought back.

        Raises:
            ConflictError: `base` is not the newest; it carries the newest.
            RefusedError: too many names (409), or the disk does not take it (507).
        """
        name = unicodedata.normalize("NFC", name)
        before = self._kept.layouts.get(name, [])
        newest = before[-1].version if before else 0
        if base != newest:
            raise ConflictError(name, base, before[-1] if before else None)
        if not before and len(self._kept.layouts) >= MAX_NAMES:
            raise RefusedError(409, f"the room keeps {MAX_NAMES} layouts already; delete one")
        made = Version(
            **layout.model_dump(include={"view", "panes", "hidden"}),
            version=newest + 1,
            author=author,
            saved_ns=now_ns,
            restored=restored,
        )
        self._write({**self._kept.layouts, name: [*before, made][-MAX_VERSIONS:]}, name)
        return made

    def restore(self, name: str, base: int, version: int, author: str, now_ns: int) -> Version:
        """Bring an old version back, as a new one.

        Raises:
            RefusedError: as `get` and `save`.
        """
        old = self.get(name, version)
        return self.save(name, base, old, author, now_ns, restored=version)

    def delete(self, name: str, base: int) -> None:
        """Delete a layout with all its versions.

        Raises:
            RefusedError: as `get` and `save`.
        """
        newest = self._versions(name)[-1]
        if newest.version != base:
            raise ConflictError(name, base, newest)
        left = {other: kept for other, kept in self._kept.layouts.items() if other != name}
        self._write(left, "")

    def _versions(self, name: str) -> list[Version]:
        versions = self._kept.layouts.get(unicodedata.normalize("NFC", name))
        if not versions:
            raise RefusedError(404, f"the room has no layout {name[:80]!r}")
        return versions

    def _write(self, layouts: dict[str, list[Version]], name: str) -> None:
        """Replace the file; what is in memory changes only when the disk has it."""
        kept = _File.model_construct(layouts=layouts)
        data = kept.model_dump_json().encode()
        while len(data) > MAX_FILE_B and len(layouts.get(name, [])) > 1:
            layouts[name] = layouts[name][1:]
            data = kept.model_dump_json().encode()
        if len(data) > MAX_FILE_B:
            raise RefusedError(507, f"layouts may take {MAX_FILE_B} B; delete one")
        if self.path is not None:
            try:
                write_private(self.path, data, durable=True)
            except OSError as error:
                raise RefusedError(507, f"not saved, the disk says: {error.strerror}") from None
        self._kept = kept


def _read(path: Path) -> _File:
    """Return the file's layouts; one that is damaged is put aside, and the room begins anew."""
    try:
        if path.stat().st_size > MAX_FILE_B:
            raise ValueError(f"more than {MAX_FILE_B} B")
        return _File.model_validate_json(path.read_bytes())
    except (OSError, ValueError, ValidationError) as error:
        aside = path.with_name(path.name + ".damaged")
        log.warning("%s is not readable (%s); kept as %s", path, str(error)[:300], aside.name)
        try:
            path.replace(aside)
        except OSError as failed:
            log.warning("%s: %s", path, failed)
        return _File()
