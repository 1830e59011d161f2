"""Two recordings by one player: each under its own addresses, both moved by every wish."""

from __future__ import annotations

from pathlib import Path

import msgspec

from scot.clock.clock import Clock
from scot.codec import read_header
from scot.history import HistoryRequest
from scot.transport import Answer, Wish
from scot_replay.compare import compare
from scot_replay.player import serve
from tests.contract.recorder_bus import Bus, Collector, Running
from tests.golden.made_recording import START_NS, S, make
from tests.unit.test_compare import LATER_NS, expert


async def test_a_seek_moves_both_and_history_answers_for_both_where_they_lie(
    tmp_path: Path,
) -> None:
    trainee, other = make(tmp_path / "trainee"), expert(tmp_path / "expert")
    (tmp_path / "bus").mkdir(mode=0o700)
    bus = Bus(tmp_path / "bus", Clock.session(START_NS, 0.0), replay=True)
    console = await bus.join("console")
    seen = Collector()
    console.subscribe(["or1/"], seen)
    options = {
        "recording": str(trainee),
        "beside": [str(other)],
        "align": "0:02,0:12",
        "playing": False,
    }
    running = Running(bus, await bus.join("player"), serve, options)
    await running.ready()
    try:
        body = msgspec.msgpack.encode(Wish(to_ns=START_NS + 5_500_000_000))
        answer, *_ = await console.request(b"play", body)
        told = msgspec.msgpack.decode(answer, type=Answer).transport
        assert told is not None
        lap = told.laps

        def stood(address: str) -> list[int]:
            came = [
                read_header(f) for f in seen.of("a_monitor", "b_monitor") if f.address == address
            ]
            return [lap.recorded(h.bus_ns) for h in came if lap.number(h.bus_ns) == told.lap]

        hr = ["or1/a_monitor/hr", "or1/b_monitor/hr"]
        await seen.until(lambda: all(stood(address) for address in hr))
        shift_ns = START_NS + 2 * S - (LATER_NS + 12 * S)
        assert stood(hr[0]) == [START_NS + 3 * S]  # the trainee's next two are missing
        assert stood(hr[1]) == [LATER_NS + 15 * S + shift_ns]

        whole = compare(trainee, other, align="0:02,0:12", workspace="or1")
        ask = HistoryRequest(addresses=hr, between=(whole.first_ns, whole.last_ns + 1))
        shift = lap.shift_ns(told.lap)
        between = (whole.first_ns + shift, whole.last_ns + 1 + shift)
        reply = await console.history(msgspec.structs.replace(ask, between=between))
        assert [f.payload for f in reply.frames] == [f.payload for f in whole.history(ask).frames]
        sides = console.catalogue.devices["player"].channels["state"].attrs["sides"]
        assert sides == whole.layout()
        whole.close()
    finally:
        await running.stop()
        await console.close()
        bus.stop()
