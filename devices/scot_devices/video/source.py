"""Where pictures come from: a file, a V4L2 device or a network stream, through OpenCV."""

from __future__ import annotations

import os
import re
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import cv2

from scot.errors import DeviceError

SCHEMES: Final = ("rtsp", "rtsps", "http", "https", "udp", "tcp")
OPEN_TIMEOUT_MS: Final = 5000
READ_TIMEOUT_MS: Final = 1500
MAX_WIDTH_PX: Final = 7680
MAX_HEIGHT_PX: Final = 4320
DEFAULT_FPS: Final = 25.0

_DEVICE: Final = re.compile(r"^(?:/dev/video)?(\d{1,3})$")

# OpenCV and its FFmpeg take these from the environment only, and the second once for all: they are
# set before anything is opened. What a person has set stays.
_QUIET: Final = {
    "OPENCV_LOG_LEVEL": "SILENT",
    "OPENCV_FFMPEG_LOGLEVEL": "-8",
    "OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT": "2",
}
for _name, _value in _QUIET.items():
    os.environ.setdefault(_name, _value)

_TUNING: Final = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
_TUNED_BY_HAND: Final = _TUNING in os.environ
_LIVE: Final = (
    "rtsp_transport;tcp|fflags;nobuffer|flags;low_delay|probesize;262144|recv_buffer_size;131072"
)
"""For streams: find out what comes from a quarter of a megabyte, hold nothing back, and let the
kernel hold little: on a busy host old pictures would queue up there for seconds."""


class SourceKind(StrEnum):
    """How a source is opened and paced."""

    FILE = "file"
    DEVICE = "device"
    STREAM = "stream"


class Source(NamedTuple):
    """A parsed `source` option.

    Attributes:
        kind: how to open it.
        where: path, device number as text, or URL.
        shown: the same for people: a URL without its user and password.
    """

    kind: SourceKind
    where: str
    shown: str


def parse(text: str) -> Source:
    """Read a `source` option.

    Raises:
        ValueError: a URL with a scheme that is not allowed, or without a host.
    """
    device = _DEVICE.match(text)
    if device:
        return Source(SourceKind.DEVICE, device[1], f"/dev/video{device[1]}")
    if "://" not in text:
        return Source(SourceKind.FILE, text, text)
    url = urlsplit(text)
    if url.scheme not in SCHEMES or not url.netloc:
        raise ValueError(
            f"{url.scheme}:// cannot be a source; allowed: a file, /dev/video0, "
            + ", ".join(f"{scheme}://" for scheme in SCHEMES)
        )
    host = url.netloc.rpartition("@")[2]
    shown = f"{url.scheme}://{host}{url.path}"
    return Source(SourceKind.STREAM, text, shown)


class Capture:
    """An opened source. Used by one thread.

    Attributes:
        fps: as the source says, else `DEFAULT_FPS`.
    """

    def __init__(self, source: Source, fps: float | None, size: tuple[int, int]) -> None:
        """Open it.

        Args:
            source: what to open.
            fps: asked of a V4L2 device.
            size: width and height asked of a V4L2 device, px; it may give another.

        Raises:
            DeviceError: it cannot be opened, or its pictures are larger than 8K.
        """
        self.source = source
        self._capture = _open(source, fps, size)
        width = int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        height = int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        if width > MAX_WIDTH_PX or height > MAX_HEIGHT_PX:
            self.close()
            raise DeviceError(
                f"{source.shown} is {width}x{height}, more than the {MAX_WIDTH_PX}x"
                f"{MAX_HEIGHT_PX} that is accepted; make the source smaller"
            )
        told = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.fps = told if 1.0 <= told <= 240.0 else DEFAULT_FPS

    def grab(self) -> bool:
        """Wait for the next picture; False when there is none any more. May block 2 s."""
        return bool(self._capture.grab())

    def retrieve(self) -> Any:
        """Return the picture grabbed last, (height, width, 3) uint8 BGR; None if it is broken."""
        good, picture = self._capture.retrieve()
        if not good or picture is None or picture.ndim != 3 or picture.shape[2] != 3:
            return None
        return picture

    def close(self) -> None:
        """Let go of the source."""
        self._capture.release()


def _open(source: Source, fps: float | None, size: tuple[int, int]) -> Any:
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    if source.kind is SourceKind.DEVICE:
        return _open_device(source, fps, size)
    if source.kind is SourceKind.FILE:
        problem = _file_problem(Path(source.where))
        if problem:
            raise DeviceError(problem)
    if not _TUNED_BY_HAND:
        os.environ[_TUNING] = _LIVE if source.kind is SourceKind.STREAM else ""
    timeouts = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_TIMEOUT_MS]
    timeouts += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, READ_TIMEOUT_MS]
    # More than one decoding thread holds pictures back, one for each thread.
    options = [*timeouts, cv2.CAP_PROP_N_THREADS, 1]
    capture = cv2.VideoCapture(source.where, cv2.CAP_FFMPEG, options)
    if not capture.isOpened():
        if source.kind is SourceKind.FILE:
            raise DeviceError(
                f"{source.shown} is not a video that FFmpeg can read; "
                "name an MP4, MKV, AVI or MJPEG file"
            )
        raise DeviceError(
            f"no video from {source.shown} within {OPEN_TIMEOUT_MS / 1000:g} s; "
            "is the camera on, and the address right?"
        )
    return capture


def _open_device(source: Source, fps: float | None, size: tuple[int, int]) -> Any:
    if not Path(source.shown).exists():
        raise DeviceError(f"{source.shown} does not exist; is the camera plugged in?")
    capture = cv2.VideoCapture(int(source.where), cv2.CAP_V4L2)
    if not capture.isOpened():
        raise DeviceError(
            f"{source.shown} cannot be opened; is another program using it, "
            "and is this user in the group video?"
        )
    capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
    capture.set(cv2.CAP_PROP_FRAME_WIDTH, size[0])
    capture.set(cv2.CAP_PROP_FRAME_HEIGHT, size[1])
    if fps is not None:
        capture.set(cv2.CAP_PROP_FPS, fps)
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    return capture


def _file_problem(path: Path) -> str:
    """Say in one line why a file cannot be a source, or nothing."""
    try:
        if not path.exists():
            return f"{path} does not exist; name a video file in `source`"
        if not path.is_file():
            return f"{path} is not a file; name a video file in `source`"
        with path.open("rb") as file:
            if not file.read(1):
                return f"{path} is empty; name a video file in `source`"
    except OSError as error:
        return f"{path} cannot be read ({error.strerror}); let this user read it"
    return ""
