"""Entry points: how packages outside the core are found by name."""

from __future__ import annotations

import importlib
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from scot.errors import ConfigError


def names(group: str) -> list[str]:
    """Return the names registered in an entry-point group, sorted."""
    return sorted({entry.name for entry in entry_points(group=group)})


def load(group: str, name: str) -> Any:
    """Import and return what is registered as `name`.

    Raises:
        ConfigError: nobody registered it, or its import fails; says why.
    """
    found = _found(group, name)
    try:
        return found.load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"entry points {group}",
            name,
            f"{found.value} cannot be imported: {error}",
            "install what it needs, or remove the package",
        ) from error


def resolve(path: str) -> Any:
    """Import and return ``module:attribute``.

    Raises:
        ConfigError: there is no such module or attribute.
    """
    module, _, attribute = path.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(path, "", f"cannot be imported: {error}", "write module:Class") from error


@cache
def _found(group: str, name: str) -> EntryPoint:
    """Return an entry point; looked for once, for that reads what every package says of itself."""
    for entry in entry_points(group=group):
        if entry.name == name:
            return entry
    raise ConfigError(
        f"entry points {group}",
        name,
        "nothing of that name is installed",
        f"installed: {', '.join(names(group)) or 'none'}",
    )
