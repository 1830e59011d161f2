"""Whether a tracker could measure what it tells, and what a pose is that it could not.

What says that a tool is not visible: it is missing from a TDATA or QTDATA frame; its TRANSFORM
carries metadata ``TransformStatus`` other than ``OK`` or ``TransformValid`` false (PlusServer); a
STATUS that bears its name has another code than 1.
"""

from __future__ import annotations

import math
import re
from typing import Final

from scot.sample import PoseValue
from scot_devices.openigtlink.messages import Transform

INVISIBLE: Final = PoseValue(
    (math.nan, math.nan, math.nan), (0.0, 0.0, 0.0, 1.0), quality=0.0, visible=False
)
"""What a tool that cannot be seen reports: no place, so that none can be held."""

_SEEN = re.compile(r"OK|SWITCH\d_IS_ON", re.IGNORECASE)
_FALSE = frozenset({"0", "false", "no"})


def seen(transform: Transform) -> bool:
    """Whether a TRANSFORM says of itself that the tracker saw the tool."""
    metadata = transform.metadata
    if not metadata:
        return True
    status = metadata.get("TransformStatus", "OK")
    return (
        _SEEN.fullmatch(status) is not None
        and metadata.get("TransformValid", "true").lower() not in _FALSE
    )
