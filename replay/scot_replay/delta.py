"""What lies between two samples, and what may be said of their order."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from scot.timestamp import Timestamp
from scot_replay.alignment import Anchor


class Delta(msgspec.Struct, frozen=True, kw_only=True):
    """What lies between two samples.

    Attributes:
        delta_ns: from the first to the second.
        err_ns, bound_ns: likely and guaranteed; None when it is not known.
        order: ``before``, ``after`` or ``cannot tell``: the first against the second.
    """

    delta_ns: int
    err_ns: float | None
    bound_ns: int | None
    order: str


def delta(one: Timestamp, two: Timestamp, across: Sequence[Anchor] = ()) -> Delta:
    """Return what lies between two times.

    Args:
        one: the first.
        two: the second.
        across: the anchors of their recordings when those are not the same: how the two lie to
            each other is known no better than these.
    """
    known: list[Timestamp | Anchor] = [one, two, *across]
    bounds = [moment.bound_ns for moment in known]
    errs = [moment.err_ns for moment in known]
    sure = [bound for bound in bounds if bound is not None]
    likely = [err for err in errs if err is not None]
    bound_ns = sum(sure) if len(sure) == len(bounds) else None
    delta_ns = two.bus_ns - one.bus_ns
    apart = bound_ns is not None and abs(delta_ns) > bound_ns
    return Delta(
        delta_ns=delta_ns,
        err_ns=sum(err * err for err in likely) ** 0.5 if len(likely) == len(errs) else None,
        bound_ns=bound_ns,
        order="cannot tell" if not apart else "before" if delta_ns > 0 else "after",
    )
