"""``scot provider``: what is installed, and the conformance check anybody can run."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

import typer

from scot import plugin
from scot.config import find_provider
from scot.errors import ConfigError, ScotError
from scot.testing.conformance import as_rows, check_declaration, check_run

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@app.callback()
def provider() -> None:
    """List providers, or check one of your own."""


@app.command("list")
def list_(as_json: Json = False) -> int:
    """List installed providers with their options."""
    rows: list[dict[str, Any]] = []
    for name in plugin.names("scot.devices"):
        try:
            found = find_provider(name)
        except ScotError as error:
            rows.append({"name": name, "error": str(error)})
            continue
        rows.append(
            {
                "name": name,
                "id": found.info.id,
                "label": found.info.label,
                "source": found.info.source,
                "options": found.Options.model_json_schema().get("properties", {}),
            }
        )
    if as_json:
        print(json.dumps(rows))
        return 0
    for row in rows:
        if "error" in row:
            print(f"{row['name']:14} cannot be loaded: {row['error']}")
            continue
        print(f"{row['name']:14} {row['label'].get('en', '')} · {row['source']}")
        for option, schema in row["options"].items():
            print(f"    {option:20} {schema.get('description', '')}")
    return 0


@app.command()
def check(
    name: Annotated[str, typer.Argument(help="An installed name, or module:Class.")],
    options: Annotated[
        str | None, typer.Option(help="JSON; then it is run against its device.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.5, max=600)] = 5.0,
    as_json: Json = False,
) -> int:
    """Check a provider against the rules every provider keeps; exit code 1 if it breaks one."""
    found = find_provider(name)
    if options is None:
        report = check_declaration(found)
    else:
        report = asyncio.run(check_run(found, _read(options), seconds))
    if as_json:
        print(json.dumps(as_rows(report)))
    else:
        for rule in report.passed:
            print(f"ok    {rule}")
        for rule in report.failed:
            print(f"FAIL  {rule}")
        if options is None:
            print("      not run against a device; give --options '{…}' to do so")
    return int(bool(report.failed))


def _read(text: str) -> dict[str, Any]:
    try:
        options = json.loads(text)
    except ValueError as error:
        raise ConfigError("--options", "", f"not JSON: {error}", 'write {"port": 1}') from None
    if not isinstance(options, dict):
        raise ConfigError("--options", "", f"{text} is not an object", 'write {"port": 1}')
    return options
