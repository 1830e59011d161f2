"""SCOT: the feeds of an operating room on one bus and one timeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from pathlib import Path

    from scot.recording import Recording


def open(  # noqa: A001 - the one line an engineer types
    path: str | Path, sync: str = "as-recorded"
) -> Recording:
    """Open a recording as a Timeline.

    Args:
        path: directory of the recording.
        sync: ``as-recorded`` keeps the stamps that were given live. ``recomputed`` makes every
            host's clock maps again from the recorded probes, which gives the same maps and stamps
            unless the estimator has changed since. ``refined`` fits them to the later probes too.
            `Recording.sync_report` says what moved, and by how much.

    Raises:
        RecordingError: there is none, it is empty, it is of a newer version, or `sync` is not
            known.
    """
    from scot.plugin import load

    opener: Any = load("scot.recordings", "directory")
    recording: Recording = opener(path, sync)
    return recording
