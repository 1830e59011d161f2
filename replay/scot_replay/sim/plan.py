"""What goes wrong in a run, drawn from its seed: which faults are on, when, where and how long."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from scot_replay.sim.world import MS, S

DEVICES = ("monitor", "tracker", "scope")
CLIENTS = (*DEVICES, "recorder", "viewer")
NODES = ("broker", *CLIENTS)
STARTED_NS = 5 * S  # nothing goes wrong before: all must have started by then
KINDS = {
    "kill": (*NODES, "recorder"),
    "power": (*NODES, "recorder", "recorder", "recorder"),  # it has most to lose
    "stop": NODES,
    "cut": CLIENTS,
    "cut-there": CLIENTS,
    "cut-back": CLIENTS,
    "slow": CLIENTS,
    "delay": CLIENTS,
    "disk-full": ("recorder",),
    "disk-slow": ("recorder",),
    "write-error": ("recorder",),
    "sync-error": ("recorder",),
    "bit-flip": ("recorder",),
    "clock-step": ("tracker",),
}
LASTS_S = {
    "kill": (0.1, 5.0),
    "power": (0.5, 6.0),
    "stop": (0.1, 6.0),
    "cut": (0.1, 9.0),
    "cut-there": (0.1, 9.0),
    "cut-back": (0.1, 9.0),
    "slow": (1.0, 8.0),
    "delay": (1.0, 8.0),
    "disk-full": (0.5, 5.0),
    "disk-slow": (0.5, 5.0),
    "write-error": (0.3, 4.0),
    "sync-error": (0.3, 2.5),
    "bit-flip": (0.0, 0.0),
    "clock-step": (0.0, 0.0),
}
TOGETHER = ("sync-error", "power")  # what only one fault after another can show


class Fault(NamedTuple):
    """One thing that goes wrong, from when to when (true time)."""

    kind: str
    node: str
    from_ns: int
    to_ns: int
    size: int


class Plan(NamedTuple):
    """One seed's room and its faults.

    Attributes:
        starts_ns: when each node starts.
        faults: in order of time.
        single: one fault only, of a kind for which P1 promises that nothing is lost.
        heals_ns: from when on nothing is wrong any more.
        kernel: messages that TCP takes of one direction.
        hwm: of the broker's sockets.
        probing: the tracker's host finds bus time by probes.
        rogue: somebody with a valid key tries what it may not.
        rate: of samples, to an ordinary room's.
        segment_s: length of a journal.
        max_waiting: bytes that may wait for the disk; 0 as the recorder has it.
        keep: bytes that a publisher keeps; 0 as it has it.
        quiet_ns: when devices stop to publish; before all has healed, only their health can tell
            of what was lost last.
    """

    starts_ns: dict[str, int]
    faults: list[Fault]
    single: bool
    heals_ns: int
    kernel: int
    hwm: dict[str, int]
    probing: bool
    rogue: bool
    rate: float
    segment_s: float
    max_waiting: int
    keep: int
    quiet_ns: int


def plan(random: Random, minutes: float) -> Plan:
    """Draw a plan whose faults end within `minutes`."""
    starts_ns = {node: round(random.random() * 1.5 * S) for node in NODES}
    single = random.random() < 0.5
    probing = random.random() < 0.08
    long = single and random.random() < 0.05
    until_ns = max(round(minutes * 60 * S), STARTED_NS + 4 * S)
    if long:
        faults = [_long(random)]
    elif single:
        faults = [_draw(random, until_ns, _kinds(random, probing, single=True))]
    else:
        kinds = _kinds(random, probing, single=False)
        count = 1 + int((until_ns - STARTED_NS) / (4 * S) * random.random())
        faults = [_draw(random, until_ns, kinds) for _ in range(max(2, count))]
        if random.random() < 0.1:
            faults += _one_after_another(random, until_ns)
    faults.sort(key=lambda fault: fault.from_ns)
    tight = not single and random.random() < 0.3
    heals_ns = max(fault.to_ns for fault in faults)
    quiet = random.random() < 0.3
    last = faults[-1]
    return Plan(
        starts_ns=starts_ns,
        faults=faults,
        single=single,
        heals_ns=heals_ns,
        kernel=random.choice((4, 16, 64, 256)),
        hwm={"ctl_out": random.choice((8, 32)), "bulk_out": 4} if tight else {},
        probing=probing,
        rogue=random.random() < 0.15,
        rate=0.3 if long else 1.0,
        segment_s=random.choice((5.0, 300.0)),
        max_waiting=random.choice((0, 20_000)) if not single else 0,
        keep=8_000 if tight else 0,
        quiet_ns=random.randrange(last.from_ns, heals_ns + 1) if quiet else 1 << 62,
    )


def _kinds(random: Random, probing: bool, *, single: bool) -> list[str]:
    """Return the kinds of faults that are on for this seed (swarm testing)."""
    known = [kind for kind in KINDS if probing or kind != "clock-step"]
    if single:
        return ["clock-step"] if probing else known
    return [kind for kind in known if random.random() < 0.4] or known


def _draw(random: Random, until_ns: int, kinds: list[str]) -> Fault:
    kind = random.choice(kinds)
    least_s, most_s = LASTS_S[kind]
    lasts_ns = round(random.uniform(least_s, most_s) * S)
    from_ns = random.randrange(STARTED_NS, max(STARTED_NS + 1, until_ns - lasts_ns))
    size = random.choice((-1, 1)) * random.randrange(10 * MS, 2_000 * MS)
    return Fault(kind, random.choice(KINDS[kind]), from_ns, from_ns + lasts_ns, size)


def _long(random: Random) -> Fault:
    """Return a cut of 60 s, which must cost nothing, or of more than publishers keep."""
    lasts_ns = round(random.choice((random.uniform(40, 60), random.uniform(165, 190))) * S)
    node = random.choice(CLIENTS)
    return Fault("cut", node, STARTED_NS + S, STARTED_NS + S + lasts_ns, 0)


def _one_after_another(random: Random, until_ns: int) -> list[Fault]:
    first = _draw(random, until_ns - 3 * S, [TOGETHER[0]])
    second = _draw(random, until_ns, [TOGETHER[1]])
    from_ns = first.to_ns + random.randrange(2 * S)
    return [first, second._replace(node="recorder", from_ns=from_ns, to_ns=from_ns + 2 * S)]
