"""The broker's own accounting, without a network beyond its bound ports."""

from __future__ import annotations

import pytest

from scot.access import Roster
from scot.bus import broker as module
from scot.bus.broker import Broker
from scot.bus.keys import PORTS, Endpoints, KeyPair
from scot.channel import Catalogue
from scot.clock.clock import Clock
from scot.room import free_ports


def test_more_connections_than_it_counts_never_stop_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that reconnects under ever new identities filled the table and broke the next tick."""
    monkeypatch.setattr(module, "CACHE", 3)
    pair = KeyPair.new()
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    endpoints = Endpoints(workspace="or1", host="127.0.0.1", ports=ports, server=pair.public)
    broker = Broker(endpoints, pair, Roster(), Clock.session(), Catalogue(workspace="or1"))
    try:
        for number in range(20):
            broker._credit("ctl_in", number.to_bytes(4, "big"), asked=False)
        ticks = iter([False, False, True])
        broker.run(lambda: next(ticks))
    finally:
        broker.close()
