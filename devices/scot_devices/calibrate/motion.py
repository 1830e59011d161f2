"""What moves in a video: H.264 access units in, the movement of each part of the picture out.

Each picture is made small and grey, highlights are cut to the level around them (a wet surface's
glints stay with the lamp, not with the tissue), and dense optical flow (DIS: Kroeger et al., 2016)
to the next gives the median shift of each cell of a grid. The median leaves out small things that
move their own way, such as glints, drops and noise.
"""

from __future__ import annotations

from typing import Any, Final

import av
import cv2
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from scot_devices.calibrate.curves import Array, Movement

WIDTH_PX: Final = 320
ROWS: Final = 5
COLUMNS: Final = 8
GLINT: Final = 190
"""Grey level, 0 to 255, above which all is taken for a highlight."""

MAX_FRAMES: Final = 60 * 60 * 10
_PENDING: Final = 64

Grey = NDArray[np.uint8]


class Watcher:
    """Decodes a video and measures the movement between its pictures.

    Attributes:
        pictures: how many were decoded.
        broken: access units that could not be.
    """

    def __init__(self) -> None:
        self.pictures = 0
        self.broken = 0
        self._count = 0
        self._decoder: Any = None
        self._flow: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._due: dict[int, int] = {}
        self._last: Grey | None = None
        self._times_ns: list[int] = []
        self._steps: list[Array] = []

    def feed(self, data: bytes, time_ns: int, keyframe: bool) -> None:
        """Take the next access unit (Annex B); what comes before a keyframe is left out.

        Args:
            data: of one picture.
            time_ns: when it was taken, any time base.
            keyframe: decoding can start here.
        """
        if self._decoder is None:
            if not keyframe:
                return
            self._decoder = av.CodecContext.create("h264", "r")
            self._decoder.thread_count = 1
            self._decoder.flags |= 1 << 19  # AV_CODEC_FLAG_LOW_DELAY: a picture for each unit
        packet = av.Packet(data)
        packet.pts = packet.dts = self._count
        self._count += 1
        self._due[packet.pts] = time_ns
        while len(self._due) > _PENDING:
            del self._due[next(iter(self._due))]
        try:
            frames = self._decoder.decode(packet)
        except FFmpegError:
            self.broken += 1
            self._decoder = None
            self._due.clear()
            return
        for frame in frames:
            taken_ns = self._due.pop(frame.pts, None)
            if taken_ns is not None:
                self.see(luma(frame), taken_ns)

    def see(self, grey: Grey, time_ns: int) -> None:
        """Take the next picture, (height, width) uint8; one that is not later is left out."""
        late = bool(self._times_ns) and time_ns <= self._times_ns[-1]
        if late or self.pictures >= MAX_FRAMES:
            return
        height = max(2 * ROWS, round(grey.shape[0] * WIDTH_PX / grey.shape[1]))
        small = cv2.resize(grey, (WIDTH_PX, height), interpolation=cv2.INTER_AREA)
        picture = np.minimum(small, GLINT)
        if self._last is not None:
            same = self._last.shape == picture.shape
            self._steps.append(self._moved(picture) if same else np.full(_SIGNALS, np.nan))
        self._last = picture
        self._times_ns.append(time_ns)
        self.pictures += 1

    def movement(self, origin_ns: int) -> Movement:
        """Return what moved so far, in seconds after `origin_ns` and pixels of the small picture.

        Signals are the shift right and down of each of `ROWS` x `COLUMNS` cells.
        """
        times_s = (np.array(self._times_ns, np.int64) - origin_ns) / 1e9
        steps = np.array(self._steps, np.float64).reshape(-1, _SIGNALS)
        return Movement(times_s, steps)

    def _moved(self, picture: Grey) -> Array:
        flow = self._flow.calc(self._last, picture, None)
        tall, wide = flow.shape[0] // ROWS, flow.shape[1] // COLUMNS
        cells = flow[: ROWS * tall, : COLUMNS * wide].reshape(ROWS, tall, COLUMNS, wide, 2)
        cells = cells.transpose(0, 2, 1, 3, 4).reshape(ROWS * COLUMNS, tall * wide, 2)
        moved: Array = np.median(cells, axis=1).astype(np.float64).ravel()
        return moved


_SIGNALS: Final = ROWS * COLUMNS * 2


def luma(frame: Any) -> Grey:
    """Return the grey picture of a decoded frame, (height, width) uint8."""
    plane = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return rows[: frame.height, : frame.width]
