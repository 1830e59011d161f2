"""A replay's clock, and who may move its player: the desk's part in it. Sans-IO."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from scot.access import Grant
from scot.channel import Catalogue
from scot.clock.busmap import BusMap
from scot.errors import AccessError, BusError
from scot.transport import PLAYER, STATE, Pace

Turn: TypeAlias = Callable[[int | None, float], BusMap]
"""Lets bus time go on from a bus time (None: from where it stands) at a rate."""

_pace = msgspec.msgpack.Decoder(Pace)


class Turntable:
    """Turns the clock of a replay room for its player.

    Args:
        turn: does it; None where that cannot be.
    """

    def __init__(self, turn: Turn | None) -> None:
        self._do = turn

    def turn(self, grant: Grant, catalogue: Catalogue, body: bytes) -> BusMap:
        """Let bus time go on as the player says; return the session's new line.

        Raises:
            AccessError: this room is live, or the key is not its player's.
            ClockError: time would go back.
            msgspec.DecodeError: the body cannot be read.
        """
        if not catalogue.replay or self._do is None:
            raise AccessError("bus time of a live room goes as it goes; only a replay's is set")
        if not (grant.serve and grant.may_announce(PLAYER)):
            raise AccessError(f"key {grant.name!r} is not the player of this replay")
        pace = _pace.decode(body)
        return self._do(pace.bus_ns, pace.rate)


def check_wish(grant: Grant, catalogue: Catalogue) -> None:
    """Refuse a wish that is not this key's to have.

    It is no command: no device of a patient's is touched, and a command's lease and expiry are in
    bus time, which the player turns.

    Raises:
        AccessError: the key has no grant for it.
        BusError: this room is live.
    """
    if not catalogue.replay:
        raise BusError("this room is live: there is no player; rewind on the page instead")
    address = f"{catalogue.workspace}/{PLAYER}/{STATE}"
    if not grant.may_command(address):
        raise AccessError(f"key {grant.name!r} may not move the player ({address})")
