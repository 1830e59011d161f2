"""The time zone of a room, by its IANA name: what a clock on the wall of that room reads.

Bus time and every recorded time stay as they are; a zone only says how a person there reads them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

LOCALTIME = Path("/etc/localtime")
_NO_ZONES = ("posix/", "right/", "localtime", "posixrules", "Factory")  # no browser knows these


def known(name: str) -> bool:
    """Say whether a name is one of the IANA time zone database."""
    if not name or name.startswith(_NO_ZONES):
        return False
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown; a path; a folder, or not to be read
        return False
    return True


def like(name: str) -> list[str]:
    """Return up to three names that somebody may have meant, the likeliest first."""
    zones = sorted(available_timezones())
    wanted = name.strip().replace(" ", "_").casefold()
    same = [zone for zone in zones if wanted and wanted in (_city(zone), zone.casefold())]
    if same:
        return same[:3]
    by_name = {zone.casefold(): zone for zone in zones}
    by_city = {_city(zone): zone for zone in zones}
    near = [by_name[one] for one in get_close_matches(wanted, by_name, 3, 0.75)]
    near += [by_city[one] for one in get_close_matches(wanted, by_city, 3, 0.75)]
    return [*dict.fromkeys(near)][:3]


def _city(zone: str) -> str:
    return zone.rpartition("/")[2].casefold()


def of_machine(environment: Mapping[str, str] = os.environ, localtime: Path = LOCALTIME) -> str:
    """Return the zone that this machine is set to, empty where it does not say one by name.

    Args:
        environment: whose ``TZ`` comes first, as for every program (POSIX.1-2017, 8.3).
        localtime: a link into the zone database.
    """
    stated = environment.get("TZ", "").removeprefix(":")
    if known(stated):
        return stated
    if stated:  # a rule or a file: it has no name that another machine knows
        return ""
    try:
        parts = localtime.resolve(strict=True).parts
    except OSError:
        return ""
    if "zoneinfo" not in parts:
        return ""
    name = "/".join(parts[parts.index("zoneinfo") + 1 :])
    return name if known(name) else ""
