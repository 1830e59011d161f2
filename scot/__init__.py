"""SCOT: the feeds of an operating room on one bus and one timeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from pathlib import Path

    from scot.recording import Recording


def open(path: str | Path) -> Recording:  # noqa: A001 - the one line an engineer types
    """Open a recording as a Timeline.

    Args:
        path: directory of the recording.

    Raises:
        RecordingError: there is none, it is empty, or it is of a newer version.
    """
    from scot.plugin import load

    opener: Any = load("scot.recordings", "directory")
    recording: Recording = opener(path)
    return recording
