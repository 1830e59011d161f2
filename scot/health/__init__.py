"""Health as data: what every process says of itself, and what is known of all. Sans-IO."""

from __future__ import annotations

from scot.health.fields import (
    HEALTH,
    Health,
    Lane,
    Received,
    Sent,
    Times,
    declare,
    declare_broker,
    read,
)
from scot.health.report import Flow, Head, Reports, clock, reception
from scot.health.watch import HealthWatch, Known

__all__ = [
    "HEALTH",
    "Flow",
    "Head",
    "Health",
    "HealthWatch",
    "Known",
    "Lane",
    "Received",
    "Reports",
    "Sent",
    "Times",
    "clock",
    "declare",
    "declare_broker",
    "read",
    "reception",
]
