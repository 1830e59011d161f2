"""One packing for everybody of a role, everything at once for a newcomer."""

from __future__ import annotations

from typing import Any

import msgpack
import msgspec

from scot.bus.subscriber import Delivery
from scot.channel import Sensitivity
from scot.codec import Frame, Header
from scot.sample import AlarmValue, Flags
from scot_dashboard.feed import Fanout
from scot_dashboard.outbox import Outbox
from scot_dashboard.roles import Role
from scot_dashboard.showing import NOTHING, Showing
from tests.unit.gateway_room import (
    ALARMS,
    PATIENT,
    SECOND_NS,
    START_NS,
    alarm,
    catalogue,
    delivery,
    ecg,
    hr,
    note,
    picture,
    pose,
)

NOW_NS = START_NS + 100 * SECOND_NS
NAME = "or1/monitor/patient"


VIDEO = "or1/scope/video"
LARGE = Showing(full=frozenset({VIDEO}))
SMALL = Showing(keys=frozenset({VIDEO}))


def joined(fanout: Fanout, role: Role, now_ns: int = NOW_NS, showing: Showing = LARGE) -> Outbox:
    outbox = Outbox()
    outbox.show(showing)
    fanout.join(role, outbox, now_ns)
    return outbox


def samples(outbox: Outbox) -> list[tuple[str, list[Any], bytes]]:
    found: list[tuple[str, list[Any], bytes]] = []
    while (data := outbox.take(NOW_NS)) is not None:
        found += [tuple(entry) for entry in msgpack.unpackb(data)[2]]
    return found


def seqs(found: list[tuple[str, list[Any], bytes]], address: str) -> list[int]:
    return [header[2] for where, header, _ in found if where == address]


def broken_alarm(seq: int) -> Delivery:
    good = alarm(seq)
    return good._replace(frame=Frame(good.frame.topic, good.frame.header, b"\xc1"))


def test_every_viewer_of_a_role_gets_the_same_bytes_object() -> None:
    fanout = Fanout(catalogue())
    staff = [joined(fanout, Role.OR_STAFF) for _ in range(3)]
    guest = joined(fanout, Role.CONSULTANT)
    fanout.add([hr(1), ecg(1)])
    assert set(fanout.flush(NOW_NS)) == {*staff, guest}
    first = staff[0].take(NOW_NS)
    assert first is not None
    assert all(outbox.take(NOW_NS) is first for outbox in staff[1:])
    assert guest.take(NOW_NS) == first  # nothing in it is hidden, so even those are equal


def test_header_and_payload_come_through_as_they_were_on_the_bus() -> None:
    fanout = Fanout(catalogue())
    outbox = joined(fanout, Role.OR_STAFF)
    fanout.add([hr(3), ecg(3, own=Flags.AFTER_GAP)])
    fanout.flush(NOW_NS)
    (_, first, payload), (_, second, _) = samples(outbox)
    original = hr(3).frame
    assert msgspec.convert(first, Header) == msgspec.msgpack.decode(original.header, type=Header)
    assert payload == original.payload
    assert second[:8] == msgpack.unpackb(ecg(3).frame.header)[:8]
    assert second[8] == Flags.AFTER_GAP


def test_only_alarms_notes_and_pictures_cannot_wait() -> None:
    fanout = Fanout(catalogue())
    joined(fanout, Role.OR_STAFF)
    assert not fanout.add([hr(1), pose(1), ecg(1)])
    assert all(fanout.add([one]) for one in (alarm(1), note(1), picture(0)))


def test_without_viewers_nothing_is_packed() -> None:
    fanout = Fanout(catalogue())
    assert not fanout.add([alarm(1), hr(1)])
    assert not fanout.due


def test_a_newcomer_gets_the_newest_of_everything_at_once() -> None:
    fanout = Fanout(catalogue())
    for number in range(60):
        fanout.add([hr(number), ecg(number), pose(number), picture(number)])
    fanout.add([alarm(7, "spo2_low"), alarm(9, "hr_high"), alarm(8, "spo2_low", present=False)])
    fanout.add([note(95, "alive"), note(50, "over"), note(96, "removed")])
    fanout.add([note(97, "removed", ttl_s=0)])
    found = samples(joined(fanout, Role.OR_STAFF))
    assert seqs(found, "or1/monitor/hr") == [59]
    assert seqs(found, "or1/tracker/probe") == [59]
    assert seqs(found, "or1/scope/video") == list(range(50, 60))
    assert sorted(seqs(found, "or1/monitor/alarms")) == [8, 9]
    assert seqs(found, "or1/consult/notes") == [95]


def test_live_goes_on_after_the_snapshot_without_a_sample_twice_or_missing() -> None:
    fanout = Fanout(catalogue())
    first = joined(fanout, Role.OR_STAFF)
    for number in range(30):
        fanout.add([picture(number)])
        if number == 20:
            fanout.add([hr(20)])  # waits for the next flush when the second viewer joins
            second = joined(fanout, Role.OR_STAFF)
    fanout.flush(NOW_NS)
    assert seqs(samples(first), "or1/scope/video")[-5:] == list(range(25, 30))
    pictures = seqs(found := samples(second), "or1/scope/video")
    assert pictures == sorted(set(pictures))
    assert seqs(found, "or1/monitor/hr") == [20]


def test_an_older_sample_never_replaces_a_newer_for_newcomers() -> None:
    fanout = Fanout(catalogue())
    fanout.add([hr(9), alarm(9)])
    fanout.add([hr(4, own=Flags.BACKFILLED), alarm(4, own=Flags.BACKFILLED)])
    found = samples(joined(fanout, Role.OR_STAFF))
    assert seqs(found, "or1/monitor/hr") == [9]
    assert seqs(found, "or1/monitor/alarms") == [9]


def test_of_a_clock_that_ran_ahead_a_newcomer_gets_nothing_that_looks_new() -> None:
    fanout = Fanout(catalogue())
    fanout.add([hr(8, at_s=3_600), pose(8, at_s=3_600)])
    fanout.add([hr(9, at_s=9)])
    found = samples(joined(fanout, Role.OR_STAFF))
    assert seqs(found, "or1/monitor/hr") == [9], "what came after it counts, whatever its time"
    assert seqs(found, "or1/tracker/probe") == [], "and what nobody can tell the age of is not sent"


def test_a_group_of_pictures_with_a_hole_is_not_given_to_newcomers() -> None:
    fanout = Fanout(catalogue())
    fanout.add([picture(0), picture(1), picture(3, own=Flags.AFTER_GAP), picture(4)])
    assert seqs(samples(joined(fanout, Role.OR_STAFF)), "or1/scope/video") == []


def test_no_byte_to_a_consultant_names_the_patient() -> None:
    fanout = Fanout(catalogue())
    fanout.add([delivery(NAME, PATIENT, 0), delivery("or1/monitor/remark", PATIENT, 0)])
    guest, staff = joined(fanout, Role.CONSULTANT), joined(fanout, Role.OR_STAFF)
    fanout.add(
        [
            delivery(NAME, PATIENT, 1),
            delivery("or1/monitor/remark", f"{PATIENT} is cold", 1),
            delivery("or1/monitor/bed", f"bed of {PATIENT}", 1),
            delivery("or1/monitor/health", {"reason": PATIENT}, 1),
            alarm(1, text=f"{PATIENT}: SpO2 low"),
            note(1, author="OR staff", text="Tanaka wakes up"),
            hr(1),
        ]
    )
    fanout.flush(NOW_NS)
    sent = b"".join(iter(lambda: guest.take(NOW_NS) or b"", b""))
    inside = b"".join(iter(lambda: staff.take(NOW_NS) or b"", b""))
    for word in PATIENT.split():
        assert word.encode() in inside
        assert word.encode() not in sent
    assert b"or1/monitor/hr" in sent
    assert b"or1/monitor/alarms" in sent


def test_a_name_learnt_in_the_same_batch_does_not_leave_with_it() -> None:
    fanout = Fanout(catalogue())
    guest = joined(fanout, Role.CONSULTANT)
    fanout.add([alarm(1, text=f"{PATIENT}: SpO2 low"), delivery(NAME, PATIENT, 1)])
    fanout.flush(NOW_NS)
    ((_, _, payload),) = samples(guest)
    assert msgspec.msgpack.decode(payload, type=AlarmValue).text == {"en": "–"}


def test_a_channel_that_becomes_identity_is_stopped_in_what_waits() -> None:
    source = catalogue()
    fanout = Fanout(source)
    guest, staff = joined(fanout, Role.CONSULTANT), joined(fanout, Role.OR_STAFF)
    fanout.add([alarm(1), hr(1)])
    fanout.flush(NOW_NS)
    fanout.add([alarm(2), hr(2)])  # one lies in the outbox, one in the fan-out
    monitor = source.devices["monitor"]
    hidden = msgspec.structs.replace(ALARMS, sensitivity=Sensitivity.IDENTITY)
    fanout.follow(
        source.with_device(
            msgspec.structs.replace(monitor, channels={**monitor.channels, "alarms": hidden})
        )
    )
    fanout.flush(NOW_NS)
    assert seqs(found := samples(guest), "or1/monitor/alarms") == []
    assert seqs(found, "or1/monitor/hr") == [2]
    assert seqs(samples(staff), "or1/monitor/alarms") == [1, 2]


def test_a_sample_of_a_device_that_is_not_in_the_catalogue_stays() -> None:
    source = catalogue()
    small = msgspec.structs.replace(
        source, devices={name: d for name, d in source.devices.items() if name != "monitor"}
    )
    fanout = Fanout(small)
    guest = joined(fanout, Role.CONSULTANT)
    fanout.add([hr(1), pose(1)])
    fanout.flush(NOW_NS)
    assert [address for address, _, _ in samples(guest)] == ["or1/tracker/probe"]


def test_what_cannot_be_read_is_counted_and_the_rest_goes_on() -> None:
    fanout = Fanout(catalogue())
    outbox = joined(fanout, Role.OR_STAFF)
    fanout.add([broken_alarm(1), hr(1)])
    fanout.flush(NOW_NS)
    assert fanout.malformed == 1
    assert [address for address, _, _ in samples(outbox)] == ["or1/monitor/hr"]


def test_who_has_left_gets_nothing_more() -> None:
    fanout = Fanout(catalogue())
    outbox = joined(fanout, Role.CONSULTANT)
    fanout.add([hr(1)])
    fanout.leave(outbox)
    assert fanout.flush(NOW_NS) == []
    assert outbox.take(NOW_NS) is None


def test_an_engineer_gets_a_recording_that_plays_and_nothing_of_a_live_room() -> None:
    for replay, expected in ((False, []), (True, ["or1/monitor/hr"])):
        fanout = Fanout(catalogue(replay=replay))
        outbox = joined(fanout, Role.ENGINEER)
        fanout.add([hr(1), delivery(NAME, PATIENT, 1)])
        fanout.flush(NOW_NS)
        assert [address for address, _, _ in samples(outbox)] == expected


def test_a_page_gets_only_the_videos_that_it_shows_and_hears_that_the_others_go_on() -> None:
    fanout = Fanout(catalogue())
    large, small, none = (
        joined(fanout, Role.OR_STAFF, showing=showing) for showing in (LARGE, SMALL, NOTHING)
    )
    got: list[list[tuple[str, list[Any], bytes]]] = [[], [], []]
    for number in range(60):
        fanout.add([hr(number), picture(number)])
        fanout.flush(NOW_NS)
        for found, outbox in zip(got, (large, small, none), strict=True):
            found.extend(samples(outbox))
    assert [seqs(found, VIDEO) for found in got] == [list(range(60)), [0, 25, 50], []]
    assert all(seqs(found, "or1/monitor/hr") == list(range(60)) for found in got)
    assert small.report() == none.report() == {}, "what is not asked for is not lost"
    for outbox, count in ((small, 57), (none, 60)):
        assert outbox.unshown == {VIDEO: count}
        assert outbox.report_unshown()[VIDEO].header()[2] == 59
        assert outbox.report_unshown() == {}
    assert large.report_unshown() == {}


def test_a_video_that_comes_into_view_begins_at_once_with_its_group_and_misses_nothing() -> None:
    fanout = Fanout(catalogue())
    outbox = joined(fanout, Role.OR_STAFF, showing=NOTHING)
    for number in range(30):
        fanout.add([picture(number)])
        fanout.flush(NOW_NS)
    assert samples(outbox) == []
    assert outbox in fanout.show(Role.OR_STAFF, outbox, SMALL, NOW_NS)
    assert seqs(samples(outbox), VIDEO) == [25], "small: the key picture"
    fanout.add([picture(30)])
    fanout.show(Role.OR_STAFF, outbox, LARGE, NOW_NS)
    fanout.add([picture(31)])
    fanout.flush(NOW_NS)
    assert seqs(samples(outbox), VIDEO) == list(range(25, 32)), "large: from the key picture on"
    fanout.show(Role.OR_STAFF, outbox, SMALL, NOW_NS)
    for number in range(32, 52):
        fanout.add([picture(number)])
        fanout.flush(NOW_NS)
    assert seqs(samples(outbox), VIDEO) == [50]
    fanout.show(Role.OR_STAFF, outbox, NOTHING, NOW_NS)
    fanout.add([picture(75)])
    fanout.flush(NOW_NS)
    assert samples(outbox) == []
    assert outbox.report() == {}, "what is not asked for is not lost"


def test_a_page_may_show_no_video_that_its_role_may_not_have() -> None:
    fanout = Fanout(catalogue())
    guest = joined(fanout, Role.CONSULTANT, showing=NOTHING)
    fanout.add([delivery(NAME, PATIENT), picture(0)])
    fanout.show(Role.CONSULTANT, guest, Showing(frozenset({NAME, VIDEO}), frozenset()), NOW_NS)
    assert {address for address, _, _ in samples(guest)} == {VIDEO}
