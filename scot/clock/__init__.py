"""Time: the only package that reads the machine's clock."""

from __future__ import annotations

from scot.clock.busmap import BusMap
from scot.clock.clock import Clock
from scot.clock.estimator import Estimator
from scot.clock.probe import Probe

__all__ = ["BusMap", "Clock", "Estimator", "Probe"]
