"""Write the pages of the reference that the code itself knows best.

The command line from its commands, the room file from its models, the providers from their
options, and one page a package for the docstrings. `docs/conf.py` calls it before each build.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from typer.main import get_command

from scot import cli, plugin
from scot.config import RoomFile, find_provider

PACKAGES = {
    "scot": "the bus: what every other part may import",
    "scot_devices": "providers, and the simulators at the other end of their sockets",
    "scot_replay": "recordings: written, read and played",
    "scot_dashboard": "the page: who may enter, what may leave",
}


def write_all(folder: Path) -> None:
    """Write every generated page below `folder`, leaving alone what has not changed."""
    pages = {
        "room_file.md": room_file_page(),
        "providers.md": providers_page(),
        "cli.md": cli_page(),
    }
    pages.update({f"{name}.md": package_page(name, what) for name, what in PACKAGES.items()})
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages.items():
        page = folder / name
        if not page.exists() or page.read_text("utf-8") != text:
            page.write_text(text, "utf-8")
    for stale in set(folder.glob("*.md")) - {folder / name for name in pages}:
        stale.unlink()


# ---- room file -------------------------------------------------------------------------------


def room_file_page() -> str:
    """Return the page of the room file's tables and keys."""
    schema = RoomFile.model_json_schema()
    lines = [
        "# Room file",
        "",
        "One TOML file names everything in a room. A key that is not listed here is refused, with "
        "the file, the key, the value and what is allowed.",
        "",
    ]
    for name, field in schema["properties"].items():
        many = field.get("type") == "array"
        table = _resolve(field["items"] if many else field, schema)
        lines += [f"## `{'[[' if many else '['}{name}{']]' if many else ']'}`", ""]
        meaning = _sentence(table.get("description", "")).removeprefix(f"`[{name}]`: ")
        lines += [meaning[:1].upper() + meaning[1:], "", *_keys(table, schema), ""]
    return "\n".join(lines)


def providers_page() -> str:
    """Return the page of the installed providers and their options."""
    lines = [
        "# Providers",
        "",
        "A device in a room file names its provider and gives it `options`. These come with SCOT; "
        "a package of your own adds more through the entry-point group `scot.devices`.",
        "",
    ]
    for name in plugin.names("scot.devices"):
        provider = find_provider(name)
        options: type[BaseModel] = provider.Options
        lines += [f"## `{name}`", "", _doc(provider), ""]
        if provider.info.source:
            lines += [f"Speaks: {provider.info.source}.", ""]
        schema = options.model_json_schema()
        lines += [*_keys(schema, schema), ""]
    return "\n".join(lines)


def _keys(table: dict[str, Any], schema: dict[str, Any]) -> list[str]:
    """Return a Markdown table of the keys of one JSON Schema object."""
    properties: dict[str, Any] = table.get("properties", {})
    if not properties:
        return ["It has no options."]
    rows = ["| Key | Type | Default | Meaning |", "|---|---|---|---|"]
    for key, field in properties.items():
        default = "required" if key in table.get("required", []) else _default(field)
        meaning = field.get("description", "")
        rows.append(f"| `{key}` | {_type(field, schema)} | {default} | {_cell(meaning)} |")
    return rows


def _type(field: dict[str, Any], schema: dict[str, Any]) -> str:
    """Say what values a field takes."""
    field = _resolve(field, schema)
    if "anyOf" in field:
        kinds = [_type(one, schema) for one in field["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in field or "const" in field:
        return ", ".join(f"`{one}`" for one in field.get("enum", [field.get("const")]))
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {}), schema)}"
    low = field.get("minimum", field.get("exclusiveMinimum"))
    high = field.get("maximum", field.get("exclusiveMaximum"))
    kind = str(field.get("type", "any"))
    if low is None or high is None:
        return kind if low is None else f"{kind} {'≥' if 'minimum' in field else '>'} {low:g}"
    above = "above " if "exclusiveMinimum" in field else ""
    return f"{kind}, {above}{low:g} to {high:g}"


def _default(field: dict[str, Any]) -> str:
    if "default" not in field or field["default"] is None:
        return "–"
    return f"`{_cell(json.dumps(field['default'], ensure_ascii=False))}`"


def _resolve(field: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference into the schema's definitions."""
    reference = field.get("$ref")
    if reference is None:
        return field
    found: dict[str, Any] = schema["$defs"][reference.rsplit("/", 1)[1]]
    return found


# ---- command line ----------------------------------------------------------------------------


def cli_page() -> str:
    """Return the page of every command with its usage and options."""
    lines = [
        "# Command line",
        "",
        "Results go to standard output, progress to standard error. Exit code 0: done; 1: one "
        "line on standard error says what is wrong and how to repair it; 2: wrong usage. `--json` "
        "prints one JSON document for machines.",
        "",
    ]
    root: Any = get_command(cli.app)
    names = root.list_commands(root.context_class(root))
    loaded = [(f"scot {name}", cli.load_command(name)) for name in names]
    for path, command in chain.from_iterable(_commands(found, path) for path, found in loaded):
        context = command.context_class(command, info_name=path)
        usage = " ".join([path, *command.collect_usage_pieces(context)])
        lines += [f"## `{path}`", "", _sentence(command.help or ""), ""]
        lines += ["```text", usage, "```", "", *_options(command, context), ""]
    return "\n".join(lines)


def _commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield every command that can be run, with the words that run it.

    Typer builds Click commands, of its own copy of Click in some releases: hence no types.
    """
    if not hasattr(command, "list_commands"):
        yield path, command
        return
    context = command.context_class(command, info_name=path)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        if found is not None and not found.hidden:
            yield from _commands(found, f"{path} {name}")


def _options(command: Any, context: Any) -> list[str]:
    rows = []
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and "--help" not in record[0]:
            rows.append(f"| `{_cell(record[0])}` | {_cell(record[1])} |")
    return ["| Option | Meaning |", "|---|---|", *rows] if rows else []


# ---- docstrings ------------------------------------------------------------------------------


def package_page(name: str, what: str) -> str:
    """Return the page that autodoc fills from one package's docstrings."""
    package = importlib.import_module(name)
    modules = [name]
    modules += [module.name for module in pkgutil.walk_packages(package.__path__, f"{name}.")]
    public = [m for m in modules if not any(part.startswith("_") for part in m.split("."))]
    lines = [f"# `{name}`", "", f"{what.capitalize()}.", ""]
    for module in public:
        lines += [f"## {module}", "", "```{eval-rst}", f".. automodule:: {module}"]
        lines += ["   :members:", "   :ignore-module-all:", "   :show-inheritance:", "```", ""]
    return "\n".join(lines)


def _doc(thing: object) -> str:
    """Return a docstring as a paragraph or more, without its sections."""
    text = (thing.__doc__ or "").split("\n    Args:")[0].split("\n    Attributes:")[0]
    return _sentence("\n".join(line.strip() for line in text.strip().splitlines()))


def _sentence(text: str) -> str:
    """Turn reStructuredText literals into Markdown ones."""
    return text.replace("``", "`").strip()


def _cell(text: str) -> str:
    """Make text safe inside a table's cell."""
    return " ".join(text.replace("|", "\\|").split())


if __name__ == "__main__":
    write_all(Path("docs/reference/generated"))
