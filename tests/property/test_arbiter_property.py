"""P12: whatever is lost, doubled, late or restarted, a command runs at most once, by its holder.

One device's arbiter, its book on a disk that may be slow or fail, three people, and a network that
keeps every message for ever: any of them may come again at any time, in any order, or never.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from scot import issued as caller
from scot.arbiter import Arbiter
from scot.arbitration import (
    Audit,
    Ended,
    Event,
    Execute,
    NotWritten,
    Offered,
    Received,
    Reply,
    Restored,
    Ticked,
    Write,
    Written,
)
from scot.channel import Argument, Command, Risk
from scot.command import (
    NEXT,
    Answer,
    Call,
    Caller,
    Confirm,
    Offer,
    Outcome,
    Release,
    Request,
    Standing,
    State,
    Take,
    Why,
    Withdraw,
)
from scot.issued import Issued
from scot.timestamp import ClockState, Timestamp

DEVICE = "or1/pump"
COMMANDS = {
    "pulse": Command("pulse", Risk.MEDIUM, limit_s=5.0),
    "rate": Command("rate", Risk.HIGH, [Argument("to", lower=0, upper=9)], limit_s=5.0),
}
PEOPLE = ("ann", "ben", "kim")
S = 1_000_000_000
BOUND_NS = S // 10
START_NS = 1_000 * S


@dataclass
class Packet:
    """A message that the network may deliver as often as it likes."""

    sender: str
    call: Call | None = None
    answer: Answer | None = None
    sent_ns: int = 0
    key: str = ""


@dataclass
class Person:
    """Somebody with a key: what they know, and the commands they gave."""

    name: str
    terms: list[int] = field(default_factory=lambda: [0])
    issued: dict[str, Issued] = field(default_factory=dict)
    told: dict[str, list[State]] = field(default_factory=dict)


@dataclass
class World:
    """Everything, with the truth beside it."""

    now_ns: int = START_NS
    host_error_ns: int = 0
    people: dict[str, Person] = field(default_factory=lambda: {n: Person(n) for n in PEOPLE})
    network: list[Packet] = field(default_factory=list)
    disk: list[Outcome] = field(default_factory=list)
    unwritten: list[Outcome] = field(default_factory=list)
    executed: Counter[str] = field(default_factory=Counter)
    running: list[str] = field(default_factory=list)
    confirmed: set[tuple[str, str, str]] = field(default_factory=set)
    steps: dict[str, State] = field(default_factory=dict)
    waiting_for: dict[bytes, Packet] = field(default_factory=dict)
    count: int = 0
    count_given: int = 0
    slow_network: bool = False
    no_host: bool = False
    turned_away: set[str] = field(default_factory=set)
    slow_disk: bool = False
    carried: int = 0

    def __post_init__(self) -> None:
        self.boot()
        self.now_ns += S

    # -- the device's host

    @property
    def stamp(self) -> Timestamp:
        bus_ns = self.now_ns + self.host_error_ns
        return Timestamp(None, bus_ns, BOUND_NS, BOUND_NS, ClockState.LOCKED)

    def boot(self) -> None:
        """Start the host anew: what was not on the disk is forgotten."""
        self.unwritten.clear()
        self.waiting_for.clear()
        self.running.clear()
        self.steps = {row.key: row.state for row in self.disk}
        self.arbiter = Arbiter(DEVICE, self.stamp)
        self.host(Restored(list(self.disk)))
        self.host(Offered(COMMANDS, ready=True))

    def host(self, event: Event) -> None:
        for effect in self.arbiter.on(event, self.now_ns):
            if isinstance(effect, Execute):
                self.execute(effect)
            elif isinstance(effect, Write):
                (self.unwritten if effect.durable else self.disk).append(effect.row)
            elif isinstance(effect, Audit):
                self.check_step(effect.step)
            elif isinstance(effect, Reply):
                asked = self.waiting_for.pop(effect.id)
                self.network.append(
                    Packet(asked.sender, asked.call, effect.answer, asked.sent_ns, asked.key)
                )

    def execute(self, effect: Execute) -> None:
        self.executed[effect.key] += 1
        assert self.executed[effect.key] == 1, "it ran twice"
        request = self.request(effect.key)
        assert self.now_ns < request.expires_ns, "it ran after its expiry"
        lease = self.arbiter.lease(self.now_ns)
        asker = next(p.name for p in self.people.values() if effect.key in p.issued)
        assert lease is not None
        assert (lease.holder, lease.term) == (asker, request.term), "its caller has no control"
        assert effect.key in {row.key for row in self.disk}, "it ran before it was written down"
        if COMMANDS[effect.name].risk is Risk.HIGH:
            seconds = {who for key, who, what in self.confirmed
                       if key == effect.key and what == repr(effect.arguments)}  # fmt: skip
            assert seconds - {asker}, "no second person confirmed it"
        self.running.append(effect.key)

    def request(self, key: str) -> Request:
        return next(p.issued[key].request for p in self.people.values() if key in p.issued)

    def check_step(self, step: dict[str, Any]) -> None:
        if step["step"] == "command":
            before, after = self.steps.get(step["key"]), State(step["state"])
            assert after in NEXT[before], f"{before} became {after}"
            self.steps[step["key"]] = after

    def flow(self) -> None:
        """Carry what is new, and write what waits, where nothing is slow."""
        while not self.slow_disk and self.unwritten:
            self.write()
        while not self.slow_network and self.carried < len(self.network):
            self.carried += 1
            self.deliver(self.network[self.carried - 1])
            while not self.slow_disk and self.unwritten:
                self.write()

    def write(self, at: int = 0) -> None:
        row = self.unwritten.pop(at % len(self.unwritten))
        self.disk.append(row)
        self.host(Written(row.key, self.stamp))

    # -- the people

    def send(self, who: str, call: Call, key: str = "") -> None:
        self.network.append(Packet(who, call, None, self.now_ns, key))

    def give(self, who: str, name: str, value: int) -> None:
        person = self.people[who]
        self.count_given += 1
        key = f"k{self.count_given}"
        request = Request(
            address=f"{DEVICE}/{name}", key=key, arguments={"to": value} if name == "rate" else {},
            term=person.terms[-1], issued_ns=self.now_ns, expires_ns=self.now_ns + 4 * S,
        )  # fmt: skip
        person.issued[key] = Issued(request)
        self.follow(person, key, caller.Begun())

    def follow(self, person: Person, key: str, event: caller.Event) -> None:
        for effect in person.issued[key].on(event, self.now_ns):
            if isinstance(effect, caller.Send):
                if isinstance(effect.call, Request):
                    sent = [
                        p.call
                        for p in self.network
                        if p.answer is None and isinstance(p.call, Request)
                    ]
                    assert key not in [call.key for call in sent], "it was sent twice"
                self.send(person.name, effect.call, key)
            else:
                person.told.setdefault(key, []).append(effect.outcome.state)

    def turn_away(self, packet: Packet, call: Call) -> None:
        """Answer as a broker does that has not heard of the device."""
        answer: Answer = Standing(address=DEVICE, why=Why.NO_DEVICE)
        if isinstance(call, Request):
            self.turned_away.add(call.key)
            answer = Outcome(address=call.address, key=call.key, state=State.REFUSED)
        self.network.append(Packet(packet.sender, call, answer, packet.sent_ns, packet.key))

    def deliver(self, packet: Packet) -> None:
        if packet.call is not None and packet.answer is None:
            if isinstance(packet.call, Confirm):
                # What the device is told, the person has said.
                self.confirmed.add((packet.call.key, packet.sender, repr(packet.call.arguments)))
            if self.no_host or getattr(packet.call, "key", "") in self.turned_away:
                self.turn_away(packet, packet.call)
                return
            self.count += 1
            call_id = str(self.count).encode()
            self.waiting_for[call_id] = packet
            self.host(Received(call_id, Caller(packet.sender, "or_staff"), packet.call, self.stamp))
        elif packet.answer is not None:
            person = self.people[packet.sender]
            if packet.key in person.issued:
                assert packet.call is not None
                reply = caller.Replied(packet.answer, packet.call, packet.sent_ns)
                self.follow(person, packet.key, reply)
                return
            lease = packet.answer.lease if isinstance(packet.answer, Standing) else None
            if lease is not None and lease.holder == packet.sender:
                person.terms.append(lease.term)

    def tick(self) -> None:
        self.host(Ticked(self.stamp))
        for person in self.people.values():
            for key in person.issued:
                late = Timestamp(None, self.now_ns - BOUND_NS, BOUND_NS, None, ClockState.LOCKED)
                self.follow(person, key, caller.Ticked(late))

    def check_told(self) -> None:
        for person in self.people.values():
            for key, told in person.told.items():
                if {State.REFUSED, State.EXPIRED} & set(told):
                    assert not self.executed[key], f"{told} was told, and it ran"
                if State.DONE in told:
                    assert self.executed[key], "done was told, and it never ran"


ACTS = (
    ["command", "command pulse", "confirm", "confirm other", "again", "again", "wait", "end"] * 4
    + ["take", "give", "newest", "slow network", "slow disk", "write", "quick"] * 2
    + [
        "disk fails",
        "lose",
        "release",
        "offer",
        "withdraw",
        "drift",
        "restart",
        "away",
        "back",
        "back",
    ]
)
"""What may happen, the likely more often; each with one number that says how."""
TROUBLE = st.binary(min_size=60, max_size=160)
WAITS_MS = (1, 200, 900, 2_500, 4_000, 6_000)


def acts(trouble: bytes) -> list[tuple[str, int]]:
    return [(ACTS[act % len(ACTS)], how) for act, how in batched(trouble)]


def batched(data: bytes) -> list[tuple[int, int]]:
    return list(zip(data[::2], data[1::2], strict=False))


def step(world: World, what: str, how: int) -> None:  # noqa: C901, PLR0912 - a table
    who, other = PEOPLE[how % 3], PEOPLE[how // 3 % 3]
    name = ("rate", "pulse")[how // 3 % 2]
    keys = [key for person in world.people.values() for key in person.issued]
    if what == "again" and world.network:
        world.deliver(world.network[-1 - how % len(world.network)])
    elif what == "newest" and world.network:
        world.deliver(world.network[-1])
    elif what == "lose" and world.carried < len(world.network):
        del world.network[world.carried]
    elif what in ("take", "command", "command pulse"):
        world.count += 1
        world.send(who, Take(
            address=DEVICE, id=str(world.count), for_ns=5 * S, expires_ns=world.now_ns + 2 * S
        ))  # fmt: skip
        if what != "take":
            world.flow()
            world.give(who, name if what == "command" else "pulse", how % 2)
    elif what == "release":
        world.send(who, Release(address=DEVICE, term=world.people[who].terms[-1]))
    elif what == "offer":
        world.send(who, Offer(address=DEVICE, term=world.people[who].terms[-1], to=other))
    elif what == "give":
        world.give(who, name, how % 2)
    elif what in ("confirm", "confirm other", "withdraw") and keys:
        newest = sorted(keys, key=lambda key: -int(key[1:]))
        request = world.request(newest[how // 9 % min(2, len(keys))])
        call: Call = Withdraw(address=request.address, key=request.key)
        if what != "withdraw":
            arguments = request.arguments if what == "confirm" else {"to": how % 2}
            call = Confirm(address=request.address, key=request.key, arguments=arguments)
        world.send(who, call)
    elif what == "slow network":
        world.slow_network = True
    elif what == "slow disk":
        world.slow_disk = True
    elif what == "quick":
        world.slow_network = world.slow_disk = False
    elif what == "write" and world.unwritten:
        world.write(how)
    elif what == "disk fails" and world.unwritten:
        row = world.unwritten.pop(how % len(world.unwritten))
        world.host(NotWritten(row.key, "no space left on device"))
    elif what == "end" and world.running:
        ends = (State.DONE, State.DONE, State.FAILED, State.UNKNOWN)
        world.host(Ended(world.running.pop(how % len(world.running)), ends[how % 4]))
    elif what == "wait":
        world.now_ns += WAITS_MS[how % len(WAITS_MS)] * 1_000_000
        world.tick()
    elif what == "drift":
        world.host_error_ns = (how - 128) * BOUND_NS // 128
    elif what == "restart":
        world.boot()
        world.now_ns += how * 2_000_000
    elif what in ("broker away", "broker back"):
        world.no_host = what == "broker away"
    elif what in ("away", "back"):
        world.host(Offered(COMMANDS, ready=what == "back", text="no answer"))
    world.flow()


@settings(max_examples=1_500, deadline=None)
@given(TROUBLE)
def test_a_command_runs_at_most_once_by_its_holder_and_nobody_is_told_otherwise(
    trouble: bytes,
) -> None:
    world = World()
    for what, how in acts(trouble):
        step(world, what, how)
    step(world, "quick", 0)
    step(world, "broker back", 0)
    for packet in list(world.network):  # and then everything comes again
        world.deliver(packet)
        world.flow()
    world.check_told()


@settings(max_examples=60, deadline=None)
@given(TROUBLE, st.sampled_from(list(COMMANDS)))
def test_after_any_trouble_a_device_can_be_commanded_again(trouble: bytes, name: str) -> None:
    world = World()
    for what, how in acts(trouble):
        step(world, what, how)
    step(world, "quick", 0)
    step(world, "broker back", 0)
    step(world, "back", 0)
    for _ in range(14):  # longer than any lease, limit and expiry
        step(world, "wait", 2)
    step(world, "command" if name == "rate" else "command pulse", 0)
    key = f"k{world.count_given}"
    if name == "rate":
        step(world, "confirm", 1)
    world.host(Ended(key, State.DONE, 3))
    assert world.executed[key] == 1
    assert world.steps[key] is State.DONE
