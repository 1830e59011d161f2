"""The promises of DESIGN §12 that a simulated room must keep, and when each is looked at.

Safety is checked at every event (`scot_replay.sim.truth`, `recording`, `rogue`) and here each
second; liveness after everything has healed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scot.bus.questions import MAX_PENDING
from scot.bus.reply import read_reply
from scot.bus.session import Answered
from scot.bus.subscriber import MAX_HELD, Subscription
from scot.channel import Lifecycle
from scot.codec import read_header, topic
from scot.history import HistoryRequest
from scot_replay.sim.nodes import BUS_NS, WORKSPACE, DeviceNode, Member, Node
from scot_replay.sim.truth import BrokenPromiseError, Watch
from scot_replay.sim.world import MS, S

if TYPE_CHECKING:
    from scot_replay.sim.room import Room

READY_NS = 3 * S  # P4
FLAGGED_NS = 2 * S  # P5
FLOWS_NS = 2 * S  # P5
FILLED_NS = 10 * S  # P5, after the link is back
RECONNECTED_NS = 3 * S  # until a socket that was cut off is surely back
SETTLED_NS = 150 * S  # after many faults: the filler's longest wait and its questions
STEP_SEEN_NS = 1_200 * MS  # P9: two probes and an answer
LOOK_NS = 250 * MS
MAX_QUESTIONS = 1_000
MAX_FILLS = 4_096


class Promises:
    """Looks at a room whether it keeps its promises; raises BrokenPromiseError when not."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._world = room.world
        self._disturbed_ns: dict[str, int] = {}
        self._due: dict[str, None] = {}
        self._mark: tuple[int, int] | None = None

    def begin(self) -> None:
        """Begin to look."""
        room = self._room
        self._world.after(S, None, self._each_second)
        self._world.at(max(room.plan.starts_ns.values()) + READY_NS, None, self._ready)

    # -- while it runs

    def _each_second(self) -> None:
        self._world.after(S, None, self._each_second)
        self.check_sets()
        self._check_bounds()

    def check_sets(self) -> None:
        """What was delivered and what is stated missing are together all there was."""
        for watch, subscription in self._watches():
            watch.check_sets(subscription)

    def _watches(self) -> list[tuple[Watch, Subscription]]:
        room = self._room
        return [
            (member.watch, member.subscription)
            for member in (room.viewer, room.recorder)
            if member.life is not None
            and member.watch is not None
            and member.subscription is not None
        ]

    def _check_bounds(self) -> None:
        room = self._room
        for member in room.members.values():
            if member.life is None:
                continue
            client = member.client
            _bound(client.history.bytes, client.history.keep_bytes, member, "History")
            for lane in client.lanes.values():
                flying = sum(frame.size for frame in lane._flying)
                _bound(lane._bytes, max(lane._keep_bytes, flying), member, f"lane {lane.name}")
                _bound(len(lane._flying), lane._window, member, f"window of {lane.name}")
            _bound(len(client.session._questions), MAX_QUESTIONS, member, "questions")
            _bound(len(client.filler._fills), MAX_FILLS, member, "gaps to fill")
            for subscription in client.subscriptions:
                _bound(len(subscription._held), MAX_HELD, member, "held frames")
        if room.broker.life is not None:
            _bound(len(room.broker.desk.questions), MAX_PENDING, room.broker, "pending")
        journal = room.recorder.journal
        if journal is not None:
            waiting = journal.facts().waiting_bytes
            _bound(waiting, journal.max_waiting, room.recorder, "waiting for the disk")

    def _ready(self) -> None:
        """P4: whatever the order of start, all work within 3 s of the last."""
        room = self._room
        known = room.broker.desk.catalogue.devices
        for name, device in room.devices.items():
            if name not in known or known[name].state is not Lifecycle.RUNNING:
                raise BrokenPromiseError(f"P4: {name} is not in the catalogue 3 s after the start")
            for channel in device.channels if room.plan.rate >= 1.0 else ():
                if f"{WORKSPACE}/{name}/{channel.name}" not in self._seen_by_viewer():
                    raise BrokenPromiseError(f"P4: {name}/{channel.name} is not seen 3 s after")
        if room.recorder.journal is None:
            raise BrokenPromiseError("P4: the recorder does not record 3 s after the start")

    def _seen_by_viewer(self) -> dict[str, int]:
        watch = self._room.viewer.watch
        return {} if watch is None else watch.last_ns

    def before_crash(self, node: Node) -> None:
        """A process is about to end; P5: within 2 s the room is told."""
        if isinstance(node, DeviceNode) and node.joined and node.life is not None:
            self._world.after(FLAGGED_NS, None, self._flagged, node, self._world.now_ns)

    def _flagged(self, node: DeviceNode, ended_ns: int) -> None:
        broker = self._room.broker
        away = node.life is None and node.ended_ns == ended_ns
        if not away or not broker.running or not self._calm(broker, ended_ns - S):
            return
        device = broker.desk.catalogue.devices.get(node.name)
        if device is not None and device.state is Lifecycle.RUNNING:
            raise BrokenPromiseError(
                f"P5: {node.name} has been gone for 2 s and is shown as running"
            )

    def back(self, node: Node) -> None:
        """A process has begun again; P5: of a broker, within 2 s data flows."""
        plan = self._room.plan
        if node is self._room.broker and plan.single and plan.quiet_ns > plan.heals_ns + FLOWS_NS:
            self._world.after(FLOWS_NS, None, self._flows, self._world.now_ns, "P5: broker back")

    def _flows(self, since_ns: int, what: str) -> None:
        seen = self._seen_by_viewer()
        for name, device in self._room.devices.items():
            for channel in device.channels:
                address = f"{WORKSPACE}/{name}/{channel.name}"
                if (channel.rate_hz or 0.0) < 2.0 or device.probing:
                    continue
                if seen.get(address, 0) < BUS_NS + since_ns:
                    after_s = (self._world.now_ns - since_ns) / S
                    raise BrokenPromiseError(f"{what}, but after {after_s} s no new {address}")

    def _calm(self, node: Node, since_ns: int) -> bool:
        """Whether a node has been up, and no fault of it been on, since then."""
        faults = self._room.plan.faults
        return node.started_ns < since_ns and not any(
            fault.node == node.name
            and fault.to_ns > since_ns
            and fault.from_ns < self._world.now_ns
            for fault in faults
        )

    def stepped(self, node: Node, by_ns: int) -> None:
        """A node's clock has stepped; P9: it is found and flagged."""
        if isinstance(node, Member) and node.joined and node.clock.map is not None:
            epoch, life = node.clock.map.epoch, node.life
            self._world.after(STEP_SEEN_NS, life, self._step_seen, node, epoch, by_ns)

    def _step_seen(self, node: Member, epoch: int, by_ns: int) -> None:
        if not self._room.plan.single:
            return
        if node.clock.map is None or node.clock.map.epoch == epoch:
            raise BrokenPromiseError(
                f"P9: the clock of {node.name} stepped by {by_ns / MS:.1f} ms, and nobody said so"
            )

    # -- after healing

    def settle(self) -> None:
        """Everything has healed: let the room come to rest, and see what it has."""
        room, world = self._room, self._world
        self._due = {address: None for address, _, _ in self._channels()}
        healed_ns = world.now_ns
        world.run(healed_ns + RECONNECTED_NS)
        since_ns = world.now_ns
        world.run(since_ns + 1_200 * MS)
        if room.plan.single and room.plan.quiet_ns > world.now_ns:
            self._flows(since_ns, "the room has healed")
        room.quiet()
        limit_ns = healed_ns + RECONNECTED_NS + (FILLED_NS if room.plan.single else SETTLED_NS)
        while (why := self._unsettled()) and world.now_ns < limit_ns:
            world.run(world.now_ns + LOOK_NS)
        if why:
            after_s = (world.now_ns - healed_ns) / S
            raise BrokenPromiseError(f"{after_s:.1f} s after all has healed: {why}")
        self.check_sets()
        self._check_bounds()
        self._check_catalogue()
        self._check_missing()
        self._check_history()
        self._check_disk()

    def _unsettled(self) -> str:
        """Return what is still to come, empty when nothing is."""
        room = self._room
        for name, member in room.members.items():
            if not member.running or not member.joined:
                return f"{name} has not joined"
            for lane in member.client.lanes.values():
                if any(frame.address in self._due for frame in (*lane._waiting, *lane._flying)):
                    return f"{name} still holds samples for the broker"
        for watch, subscription in self._watches():
            if why := self._incomplete(watch, subscription):
                return why
        return self._unwritten()

    def _unwritten(self) -> str:
        """Return why not all the recorder has by now is safe; empty when it is."""
        journal = self._room.recorder.journal
        if journal is None:
            return "the recorder does not record"
        if self._mark is None:
            if journal.facts().waiting_bytes > 2_000:
                return "the recorder has not written everything"
            self._mark = journal.part.number, journal._end + journal.facts().waiting_bytes
        return "" if tuple(journal.safe) > self._mark else "the recording is not safe on the disk"

    def _incomplete(self, watch: Watch, subscription: Subscription) -> str:
        member = self._room.members[watch.name]
        if member.client.filler._fills:
            return f"{watch.name} still asks for what is missing"
        for address, device, bulk in self._channels():
            if bulk:
                continue
            count = len(self._room.truth.frames[address].get(device.epoch, ()))
            detector = subscription.gaps.get(address)
            if detector is None and watch.name == "viewer" and self._fell_quiet():
                continue  # it came when there was nothing to see any more
            if count and (detector is None or detector.epoch != device.epoch):
                return f"{watch.name} does not know the last epoch of {address}"
            if count and detector is not None and detector.next_seq != count:
                return f"{watch.name} knows {address} up to {detector.next_seq} of {count}"
        return ""

    def _fell_quiet(self) -> bool:
        return self._room.plan.quiet_ns <= self._room.plan.heals_ns

    def _channels(self) -> list[tuple[str, DeviceNode, bool]]:
        return [
            (f"{WORKSPACE}/{name}/{channel.name}", device, channel.kind.value == "video")
            for name, device in self._room.devices.items()
            for channel in device.channels
        ]

    def _check_catalogue(self) -> None:
        """Everybody knows every device, as running."""
        room = self._room
        for of in (room.broker.desk, room.viewer.client, room.recorder.client):
            for name in room.devices:
                device = of.catalogue.devices.get(name)
                if device is None or device.state is not Lifecycle.RUNNING:
                    raise BrokenPromiseError(f"after all has healed {name} is not in the catalogue")

    def _check_history(self) -> None:
        """One verb gives back what the recorder has: rewind and late join."""
        room, viewer = self._room, self._room.viewer
        answers: list[Answered] = []
        address = f"{WORKSPACE}/monitor/hr"
        ask = HistoryRequest(addresses=[address], between=(0, 1 << 62), max_bytes=1 << 24)
        asked = viewer.client.ask_history(ask, viewer.crystal.read())
        viewer.request(asked, answers.append)
        self._world.run(self._world.now_ns + S)
        if not answers or answers[0].error is not None:
            raise BrokenPromiseError(f"History was not answered: {answers}")
        reply = read_reply(answers[0].parts, [address])
        headers = [read_header(frame) for frame in reply.frames]
        given = {(header.epoch, header.seq) for header in headers}
        held = room.recorder.held().items()
        there = {(epoch, seq) for (a, epoch), seqs in held if a == address for seq in seqs}
        if given != there:
            raise BrokenPromiseError(
                f"History gave {len(given)} samples of {address}, the recorder has {len(there)}"
            )

    def _check_missing(self) -> None:
        """P1, P2: what is stated missing is missing from everybody who could have given it."""
        recorded = self._room.recorder.held()
        for watch, subscription in self._watches():
            for address, detector in subscription.gaps.items():
                if watch.name == "viewer" and address in watch.bulk:
                    continue  # of video the live picture matters; it is not asked for again
                published = self._held_by_publisher(address)
                for gap in detector.missing:
                    seqs = set(range(gap.first, gap.last + 1))
                    if seqs & published.get(gap.epoch, set()):
                        raise BrokenPromiseError(
                            f"{watch.name} misses {address} {gap}, which its publisher still has"
                        )
                    if watch.name == "viewer" and seqs & recorded.get((address, gap.epoch), set()):
                        raise BrokenPromiseError(
                            f"{watch.name} misses {address} {gap}, which the recorder has"
                        )
                    if self._room.plan.single and self._brief():
                        raise BrokenPromiseError(f"P1: {watch.name} lost {address} {gap}")

    def _held_by_publisher(self, address: str) -> dict[int, set[int]]:
        """Return the seqs of a channel that its publisher has, by epoch."""
        room, name = self._room, address.split("/")[1]
        history = room.broker.desk._own if name == "room" else room.members[name].client.history
        held: dict[int, set[int]] = {}
        shelf = history._shelves.get(topic(address))
        for kept in () if shelf is None else shelf.queue:
            held.setdefault(kept.epoch, set()).add(kept.seq)
        return held

    def _brief(self) -> bool:
        """Whether the one fault was as short as P1 says."""
        return all(fault.to_ns - fault.from_ns <= 60 * S for fault in self._room.plan.faults)

    def _check_disk(self) -> None:
        """What the recorder was given is on its disk, or said to be lost; P1: all there was."""
        room = self._room
        recorder, watch = room.recorder, room.recorder.watch
        recorder.finish()
        recorder.check_frames()
        held = recorder.held()
        flips = len(recorder.disk.flipped)
        for (address, epoch), seqs in recorder.kept.items():
            gone = seqs - held.get((address, epoch), set())
            if len(gone) > flips:
                raise BrokenPromiseError(f"{address} {epoch}: {len(gone)} went from the disk")
        for address, epochs in ({} if watch is None else watch.got).items():
            gone_count = sum(
                len(seqs - held.get((address, epoch), set())) for epoch, seqs in epochs.items()
            )
            if gone_count > recorder.lost.get(address, 0) + flips:
                raise BrokenPromiseError(
                    f"{address}: the recorder took {gone_count} samples which are not on its disk, "
                    f"and says so of {recorder.lost.get(address, 0)}"
                )
        if room.plan.single and self._brief():
            self._check_all(held, flips)

    def _check_all(self, held: dict[tuple[str, int], set[int]], flips: int) -> None:
        room = self._room
        for address, device, bulk in self._channels():
            if bulk and self._fell_quiet():
                continue  # P1 is about the others: nobody tells how far a video went
            for epoch, frames in room.truth.frames[address].items():
                passed = room.truth.passed[address].get(epoch, set())
                due = set(range(len(frames))) if epoch == device.epoch and not bulk else passed
                gone = due - held.get((address, epoch), set())
                excused = flips + (room.recorder.lost.get(address, 0) if bulk else 0)
                if len(gone) > excused:  # P7, P8: video goes first, and it is said
                    raise BrokenPromiseError(
                        f"P1: {len(gone)} of {len(due)} samples of {address} {epoch} are not in "
                        f"the recording: {sorted(gone)[:5]}"
                    )


def _bound(size: int, limit: int, node: Node, what: str) -> None:
    if size > limit:
        raise BrokenPromiseError(f"{node.name}: {what} holds {size}, its limit is {limit}")
