"""An exception inside the access check, as a bug of ours would raise it, stops nobody else."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from scot.codec import unpack
from tests.attacks.conftest import Target
from tests.attacks.faulty_broker import ADDRESS, HOLDER
from tests.attacks.honest import Honest, joins
from tests.attacks.test_attack_device_key import announcement, ask, desk, header, pack
from tests.attacks.zmtp import Attacker, RefusedError

pytestmark = pytest.mark.system


class Faulty(Target):
    """A broker with a fault planted in its checks; see `faulty_broker`."""

    module = "tests.attacks.faulty_broker"


@pytest.fixture
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faulty]:
    state = tmp_path_factory.mktemp("faulty")
    state.chmod(0o700)
    target = Faulty(state)
    target.start()
    yield target
    assert target.stop() == 0


def test_a_check_that_raises_refuses_and_the_next_is_served(faulty: Faulty) -> None:
    with Honest(faulty.link("monitor"), faulty.link("console")) as honest:
        for _ in range(20):
            with pytest.raises(RefusedError):
                Attacker(faulty.link(HOLDER), "query", patience_s=1.0)
        thief = faulty.link("intruder0")
        with Attacker(thief, "ctl_in") as attacker, desk(thief) as asking:
            ask(asking, b"announce", announcement(thief, hr="numeric", breaks="numeric"))
            for _ in range(200):
                attacker.say(ADDRESS.encode() + b"\0", header(), pack([1.0, "Vld"]))
            attacker.say(f"or1/{thief.name}/hr".encode() + b"\0", header(), pack([1.0, "Vld"]))
            honest.seen(f"or1/{thief.name}/hr")
        joins(faulty.link("late"))
        honest.unharmed()
        assert ADDRESS not in honest.others
    with Attacker(faulty.link("console"), "ctl_out", b"SUB") as reader:
        reader.send(b"\1or1/room/health")
        (packed,) = reader.receive()
    assert msgspec.msgpack.decode(unpack(packed).payload)["faults"] == 200
    log = faulty.log.read_text()
    assert 1 <= log.count("PlantedError: or1/intruder0/breaks") < 20, "each fault in the log"
