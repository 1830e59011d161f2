"""The latencies that a running room was given since its start: a file for each device.

`scot calibrate` writes them into the room's 0700 folder; the device's host takes them up within a
fraction of a second, and again when it is started anew. A room's start forgets them: what shall
outlast it stands in the room file.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from scot.access import write_private
from scot.config import LatencyTable
from scot.errors import ConfigError

FOLDER = "latency"


class _Given(BaseModel):
    """One file. None: the device has no latency any more, whatever the room file says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    latency: LatencyTable | None


def give(state: Path, device: str, table: LatencyTable | None) -> None:
    """Give a running room's device a latency, in place of what it has; None takes it away.

    Args:
        state: the room's folder.
        device: its name.
        table: as in the room file.

    Raises:
        ConfigError: the folder cannot be written.
    """
    try:
        (state / FOLDER).mkdir(mode=0o700, exist_ok=True)
        data = _Given(latency=table).model_dump_json().encode()
        write_private(state / FOLDER / f"{device}.json", data)
    except OSError as error:
        why = f"cannot be written ({error.strerror})"
        raise ConfigError(state / FOLDER, device, why, "use the account the room runs as") from None


def forget(state: Path) -> None:
    """Forget all that were given, as a room's start does."""
    for old in (state / FOLDER).glob("*.json"):
        old.unlink(missing_ok=True)


class Given:
    """What one device of a running room was given, looked at again and again by its host.

    Args:
        state: the room's folder.
        device: its name.
        first: what the room file says.

    Attributes:
        table: the latency to take off now.
    """

    def __init__(self, state: Path, device: str, first: LatencyTable | None) -> None:
        self.table = first
        self._path = state / FOLDER / f"{device}.json"
        self._seen: tuple[int, int] | None = None

    def look(self) -> bool:
        """Return whether `table` has changed; what cannot be read changes nothing.

        Raises:
            ConfigError: what was given is not a latency; said once.
        """
        try:
            stat = self._path.stat()
            seen = (stat.st_mtime_ns, stat.st_ino)
            if seen == self._seen:
                return False
            self._seen = seen
            table = _Given.model_validate_json(self._path.read_bytes()).latency
        except OSError:
            return False
        except ValidationError as error:
            what = f"{error.error_count()} things are wrong in it"
            raise ConfigError(self._path, "latency", what, "run `scot calibrate` again") from None
        changed, self.table = table != self.table, table
        return changed
