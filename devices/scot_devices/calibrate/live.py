"""A running room's latencies: what its hosts take off now, and giving them another."""

from __future__ import annotations

from pathlib import Path

from scot.access import state_folder
from scot.config import LatencyTable, RoomFile
from scot.errors import ConfigError, RoomError
from scot.recalibration import Given, give
from scot.room import RoomFacts, find
from scot_devices.calibrate.lag import CalibrationError


def running_from(path: Path) -> RoomFacts | None:
    """Return the room that is up and was started from a room file; None when there is none."""
    for folder in sorted(state_folder("x").parent.glob("*")):
        try:
            room = find(folder.name)
        except RoomError:
            continue
        if room.room_file is not None and room.room_file.resolve() == path.resolve():
            return room
    return None


def taken_off(room: RoomFacts, device: str) -> LatencyTable | None:
    """Return what a running room takes off a device's times now.

    Raises:
        CalibrationError: it has no such device.
    """
    devices = _devices(room)
    if device not in devices:
        names = ", ".join(devices) or "none"
        raise CalibrationError(f"room {room.workspace!r} has no device {device!r}; it has: {names}")
    given = Given(room.state, device, devices[device])
    try:
        given.look()
    except ConfigError:  # what is no latency is not taken off
        pass
    return given.table


def take_off(room: RoomFacts, device: str, table: LatencyTable | None) -> bool:
    """Have a running room take a latency off from now on, or none; say whether that is new."""
    new = taken_off(room, device) != table
    if new:
        give(room.state, device, table)
    return new


def _devices(room: RoomFacts) -> dict[str, LatencyTable | None]:
    try:
        file = RoomFile.model_validate_json((room.state / "room.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return {device.name: device.latency for device in file.device}
