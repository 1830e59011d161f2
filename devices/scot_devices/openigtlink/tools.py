"""Which channel a tool on the wire belongs to, and what its messages make of it.

Sans-IO. A tool is known by its name on the wire; the room file may name its channel, label and
accuracy, and any other tool gets a channel of its own when it is first heard of. A pose that the
tracker could not measure becomes a value that nobody can mistake for a place: position NaN,
`visible` False, flag `INVALID`.

What says that a tool is not visible: it is missing from a TDATA or QTDATA frame; its TRANSFORM
carries metadata ``TransformStatus`` other than ``OK`` or ``TransformValid`` false (PlusServer); a
STATUS that bears its name has another code than 1.
"""

from __future__ import annotations

import re
from typing import Final

from scot.channel import NAME, Channel, Pose
from scot.errors import RemoteProtocolError
from scot.sample import Flags, PoseValue
from scot_devices.openigtlink import rigid
from scot_devices.openigtlink.messages import Matrix, QuaternionTool, Tool
from scot_devices.openigtlink.options import ToolOptions
from scot_devices.openigtlink.seen import INVISIBLE

MAX_TOOLS: Final = 64
"""Channels that one tracker may have; names beyond it are counted and not shown."""


def channel_name(wire_name: str, taken: set[str]) -> str:
    """Return a channel name for a tool, ``ProbeToReference`` to ``probe_to_reference``."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", wire_name)
    name = re.sub(r"[^a-z0-9]+", "_", parted.lower()).strip("_")[:48]
    if not NAME.fullmatch(name):
        name = f"tool_{name}".rstrip("_")
    unique, n = name, 1
    while unique in taken:
        n += 1
        unique = f"{name}_{n}"
    return unique


class ToolBook:
    """Channels by wire name.

    Args:
        tools: from the room file.
        frame: frame of reference of tools that name none.
        discover: give channels to tools that the room file does not name.
        reserved: channel names that no tool may take.
    """

    def __init__(
        self, tools: list[ToolOptions], frame: str, discover: bool, reserved: set[str]
    ) -> None:
        self.frame = frame
        self.discover = discover
        self._taken = set(reserved)
        self._channels: dict[str, Channel] = {}
        for tool in tools:
            self._add(tool)

    @property
    def channels(self) -> list[Channel]:
        """Channels of all tools known so far, in the order they became known."""
        return list(self._channels.values())

    def names(self) -> list[str]:
        """Wire names of all tools known so far."""
        return list(self._channels)

    def knows(self, wire_name: str) -> bool:
        """Whether the tool has a channel."""
        return wire_name in self._channels

    def channel(self, wire_name: str) -> Channel | None:
        """Return the tool's channel, made now if it may be; None if the tool is not wanted."""
        channel = self._channels.get(wire_name)
        if channel is None and self.discover and wire_name and len(self._channels) < MAX_TOOLS:
            channel = self._add(ToolOptions(name=wire_name[:32]), wire_name)
        return channel

    def _add(self, tool: ToolOptions, wire_name: str = "") -> Channel:
        wire_name = wire_name or tool.name
        name = tool.channel or channel_name(wire_name, self._taken)
        self._taken.add(name)
        channel = Pose(
            name,
            label=tool.label or {"en": wire_name},
            frame=self.frame if tool.frame is None else tool.frame,
            err_mm=tool.error_mm,
            attrs={**tool.attrs, "tool": wire_name},
        )
        self._channels[wire_name] = channel
        return channel


def value(source: Matrix | Tool | QuaternionTool, err_mm: float | None) -> tuple[PoseValue, Flags]:
    """Return the pose of a wire element with its flags.

    Raises:
        RemoteProtocolError: the element holds no pose (see `rigid`).
    """
    if isinstance(source, QuaternionTool):
        found = rigid.from_quaternion(source.position_mm, source.orientation)
    else:
        found = rigid.pose(source.matrix if isinstance(source, Tool) else source)
    flags = Flags.DOUBTFUL if found.doubtful else Flags(0)
    return PoseValue(found.position_mm, found.orientation, err_mm=err_mm), flags


def value_or_invisible(
    source: Matrix | Tool | QuaternionTool, err_mm: float | None
) -> tuple[PoseValue, Flags, bool]:
    """Like `value`; a refused pose becomes `INVISIBLE`, and the last part says so with False."""
    try:
        return *value(source, err_mm), True
    except RemoteProtocolError:
        return INVISIBLE, Flags.INVALID, False
