"""Whether something keeps this machine's UTC right, as its kernel says."""

from __future__ import annotations

import ctypes
from typing import NamedTuple

TIME_ERROR = 5
STA_UNSYNC = 0x40


class Discipline(NamedTuple):
    """What the kernel knows of its clock.

    Attributes:
        synchronised: a time service (chrony, systemd-timesyncd, ntpd) keeps it.
        within_s: greatest error that service claims, s.
    """

    synchronised: bool
    within_s: float


class _Timex(ctypes.Structure):
    """The head of Linux's ``struct timex``; the rest is room."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


def read() -> Discipline | None:
    """Return what Linux says; None where it does not (another system, a strict container).

    Source: adjtimex(2), modes 0, which changes nothing.
    """
    found = _Timex()
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.byref(found))
    except (AttributeError, OSError):
        return None
    if state < 0:
        return None
    synchronised = state != TIME_ERROR and not found.status & STA_UNSYNC
    return Discipline(synchronised, found.maxerror / 1e6)
