"""Channels that were described in more than one way while they were recorded. Sans-IO."""

from __future__ import annotations

from collections.abc import Sequence

from scot.channel import Catalogue, Channel, Kind
from scot.codec import Header

Version = tuple[int, int, Channel]  # since (bus ns), epoch of the device, description


def described(catalogues: Sequence[tuple[int, Catalogue]]) -> dict[str, list[Version]]:
    """Return, by address, the descriptions of each channel whose kind changed, in order of time.

    Args:
        catalogues: versions with the bus time from which each was true, ascending.
    """
    kinds: dict[tuple[str, str], set[Kind]] = {}
    last = None
    for _, catalogue in catalogues:
        devices = catalogue.devices
        for device in devices.values():
            if last is None or last.devices.get(device.name) is not device:
                for name, channel in device.channels.items():
                    kinds.setdefault((device.name, name), set()).add(channel.kind)
        last = catalogue
    changed = [key for key, found in kinds.items() if len(found) > 1]
    versions: dict[str, list[Version]] = {}
    for bus_ns, catalogue in catalogues if changed else ():
        for device_name, name in changed:
            found = catalogue.devices.get(device_name)
            if found is not None and name in found.channels:
                address = f"{catalogue.workspace}/{device_name}/{name}"
                known = versions.setdefault(address, [])
                one = bus_ns, found.epoch, found.channels[name]
                if not known or known[-1][1:] != one[1:]:
                    known.append(one)
    return versions


def as_of(versions: Sequence[Version], header: Header) -> Channel | None:
    """Return how a channel was described when a sample of it was made; None when unknown.

    The device's epoch decides; where none fits, the description that was true at the time.
    """
    of_epoch = [channel for _, epoch, channel in versions if epoch == header.epoch]
    if of_epoch:
        return of_epoch[-1]
    before = [channel for bus_ns, _, channel in versions if bus_ns <= header.bus_ns]
    return before[-1] if before else None
