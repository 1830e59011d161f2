"""The page's own modules in a real browser, without a room."""

from __future__ import annotations

import json
from typing import Any

import msgpack
import pytest
from playwright.async_api import Page

from tests.system.page_driver import DASH

pytestmark = [pytest.mark.system, pytest.mark.browser]


@pytest.fixture
async def document(page: Page, origin: str) -> Page:
    """The same, for modules that make elements of HTML."""
    await page.goto(f"{origin}/static/fonts/")
    return page


VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    127,
    128,
    255,
    256,
    65535,
    65536,
    2**32 - 1,
    2**32,
    2**53 - 1,
    -1,
    -32,
    -33,
    -128,
    -129,
    -(2**31),
    -(2**53) + 1,
    0.1,
    -1.5e300,
    "",
    "SpO₂ 低下",
    "x" * 31,
    "x" * 32,
    "x" * 300,
    [],
    list(range(15)),
    list(range(16)),
    {},
    {f"k{i}": i for i in range(16)},
    ["samples", {"a": [1, {"b": None}]}],
    [
        "history",
        7,
        {"addresses": [f"or1/monitor/channel_{i}" for i in range(128)], "at": 2**53 - 1},
    ],
]


async def test_messagepack_of_the_page_is_that_of_the_reference(blank: Page) -> None:
    packed = [list(msgpack.packb(value)) for value in VALUES]
    decoded, again = await blank.evaluate(
        """async (packed) => {
            const { decode, encode } = await import("/static/js/feed/msgpack.js");
            const values = packed.map((bytes) => decode(new Uint8Array(bytes)));
            return [JSON.stringify(values), values.map((value) => Array.from(encode(value)))];
        }""",
        packed,
    )
    assert json.loads(decoded) == VALUES
    for value, sent in zip(VALUES, again, strict=True):
        assert msgpack.unpackb(bytes(sent), strict_map_key=False) == value


async def test_times_past_53_bits_come_and_go_exactly(blank: Page) -> None:
    times = [2**53, 1_795_494_085_347_563_001, 2**63 - 1, -(2**63), -1_795_494_085_347_563_001]
    read, again = await blank.evaluate(
        """async (packed) => {
            const { decode, encode } = await import("/static/js/feed/msgpack.js");
            const times = decode(new Uint8Array(packed));
            return [times.map((t) => `${typeof t} ${t}`), Array.from(encode(times))];
        }""",
        list(msgpack.packb(times)),
    )
    assert read == [f"bigint {time}" for time in times]
    assert msgpack.unpackb(bytes(again)) == times


@pytest.mark.parametrize(
    ("packed", "said"),
    [
        (b"\xc4\x05abc", "cut short"),
        (b"\xdd\xff\xff\xff\xff", "is a lie"),
        (b"\xdf\x7f\xff\xff\xff", "is a lie"),
        (b"\x91" * 40 + b"\xc0", "nested deeper"),
        (b"\xd4\x01\x00", "not used"),
        (b"\xc0\xc0", "left after"),
        (b"\x81\xa9__proto__\x01", "refused"),
        (b"", "cut short"),
    ],
)
async def test_bad_messages_are_refused_without_allocating(
    blank: Page, packed: bytes, said: str
) -> None:
    error = await blank.evaluate(
        """async (packed) => {
            const { decode } = await import("/static/js/feed/msgpack.js");
            try {
                decode(new Uint8Array(packed));
            } catch (error) {
                return error.message;
            }
            return "accepted";
        }""",
        list(packed),
    )
    assert said in error


async def test_bus_time_takes_the_shortest_round_trip_and_the_speed_of_a_replay(
    blank: Page,
) -> None:
    live, fourfold, paused = await blank.evaluate(
        """async () => {
            const { BusTime } = await import("/static/js/feed/bustime.js");
            const start = 1795494085347563001n;
            const run = (rate, trips) => {
                const time = new BusTime();
                time.hello(start, 0);
                trips.forEach(([out, back], i) => {
                    const sent = 1000 + i * 250;
                    const bus = start + BigInt(Math.round((sent + out) * rate * 1e6));
                    time.reply(sent, sent + out + back, bus);
                });
                return time.now(5000);
            };
            const trips = [[9, 1], [3, 30], [1, 1], [40, 2], [2, 50], [7, 3], [30, 30], [5, 5]];
            const even = trips.map(() => [1, 1]);
            return [run(1, trips), run(4, even), run(0, even)];
        }"""
    )
    assert live == pytest.approx(5000, abs=0.01)
    assert fourfold == pytest.approx(20_000, abs=50)
    assert paused == pytest.approx(0, abs=10)


async def test_a_track_keeps_order_and_drops_what_it_has(blank: Page) -> None:
    seqs, at, missing, spans = await blank.evaluate(
        """async () => {
            const { Cover, Track } = await import("/static/js/feed/store.js");
            const track = new Track("numeric");
            const add = (t, seq) => track.add({ t, seq, epoch: 1, value: seq });
            const sent = [[0, 0], [30, 3], [10, 1], [10, 1], [20, 2], [30, 3]];
            const news = sent.map((a) => add(...a));
            const cover = new Cover();
            cover.add(0, 10);
            cover.add(20, 30);
            const missing = cover.missing(5, 25);
            cover.add(10, 20);
            return [
                track.samples.map((s) => s.seq).concat(news.map(Number)),
                [track.at(-1)?.seq ?? null, track.at(15).seq, track.at(99).seq],
                missing,
                cover.spans,
            ];
        }"""
    )
    assert seqs == [0, 1, 2, 3, 1, 1, 1, 0, 1, 0]
    assert at == [None, 1, 3]
    assert missing == [10, 20]
    assert spans == [[0, 30]]


async def test_the_layout_comes_from_the_catalogue_alone(blank: Page) -> None:
    catalogue = {
        "workspace": "or9",
        "volumes": {"head": "brain"},
        "title": {},
        "devices": {
            "anything": {
                "name": "anything",
                "label": {"en": "Camera A"},
                "channels": {
                    "w": {"name": "w", "kind": "waveform", "numeric_of": ["p_sys", "p_dia", "n"]},
                    "p_dia": {"name": "p_dia", "kind": "numeric", "label": {"en": "P dia"}},
                    "p_sys": {"name": "p_sys", "kind": "numeric", "label": {"en": "P sys"}},
                    "n": {"name": "n", "kind": "numeric"},
                    "lone": {"name": "lone", "kind": "numeric"},
                    "words": {"name": "words", "kind": "text"},
                    "name": {"name": "name", "kind": "text", "sensitivity": "identity"},
                    "tool": {
                        "name": "tool",
                        "kind": "pose",
                        "frame": "head",
                        "attrs": {"target_mm": [1, 2, 3], "axis": "-x"},
                    },
                    "elsewhere": {"name": "elsewhere", "kind": "pose", "frame": "none"},
                    "cam": {"name": "cam", "kind": "video"},
                    "up": {"name": "up", "kind": "event", "sensitivity": "technical"},
                },
            }
        },
    }
    layout = await blank.evaluate(
        """async (catalogue) => {
            const { layoutOf } = await import("/static/js/plan.js");
            const layout = layoutOf(catalogue);
            const names = (places) => places.map((p) => p.channel.name);
            return {
                rows: layout.rows.map((r) => [
                    r.wave.channel.name, r.groups.map((g) => names(g.members)),
                ]),
                pair: layout.rows[0].groups[0].label,
                foot: layout.foot.map((g) => names(g.members)),
                video: [layout.video.channel.name, layout.video.title],
                tool: layout.navigation.main.channel.name,
                axis: layout.navigation.axes["or9/anything/tool"],
                target: layout.navigation.target,
                extras: names(layout.extras),
            };
        }""",
        catalogue,
    )
    assert layout == {
        "rows": [["w", [["p_sys", "p_dia"], ["n"]]]],
        "pair": "P",
        "foot": [["lone"]],
        "video": ["cam", "Camera A"],
        "tool": "tool",
        "axis": [-1, 0, 0],
        "target": [1, 2, 3],
        "extras": ["words", "elsewhere"],
    }


async def test_units_and_numbers_read_as_people_write_them(blank: Page) -> None:
    shown = await blank.evaluate(
        """async () => {
            const { ageText, numberText, spanText, unitText } = await import("/static/js/text.js");
            return [
                ["mm[Hg]", "{beats}/min", "Cel", "cm[H2O]", "uV", "%", "1", "L/min", "ug/kg"]
                    .map(unitText),
                [numberText(36.44, { unit: "Cel" }), numberText(72, {}), numberText(7.416, {}),
                 numberText(12.5, {}), numberText(0.5, { attrs: { resolution: 0.25 } })],
                [ageText(400), ageText(12000), ageText(360000)],
                [spanText(42000), spanText(7_448_000)],
            ];
        }"""
    )
    assert shown == [
        ["mmHg", "/min", "°C", "cmH₂O", "µV", "%", "", "L/min", "µg/kg"],
        ["36.4", "72", "7.42", "12.5", "0.5"],
        ["0.4 s", "12 s", "6 min"],
        ["00:42", "2:04:08"],
    ]


async def test_a_number_past_its_limit_is_never_held(blank: Page) -> None:
    texts = await blank.evaluate(
        """async () => {
            const { readingOf } = await import("/static/js/tiles.js");
            const place = { channel: { name: "spo2", kind: "numeric", stale_after_s: 5 } };
            const cell = (age_ms, flags, value, validity = "Vld") =>
                ({ age_ms, flags, value: { value, validity } });
            return [
                cell(4900, 0, 97), cell(5100, 0, 97), cell(100, 16, 97), cell(100, 0, null),
                cell(100, 0, 97, "Inv"), cell(100, 32, 97), undefined,
            ].map((c) => {
                const r = readingOf(place, c);
                return [r.text, r.state, r.doubtful];
            });
        }"""
    )
    dash = "– –"
    assert texts == [
        ["97", "ok", False],
        [dash, "stale", False],
        [dash, "invalid", False],
        [dash, "invalid", False],
        [dash, "invalid", False],
        ["97", "ok", True],
        [dash, "never", False],
    ]


async def test_alarms_are_ordered_and_ended_ones_leave(blank: Page) -> None:
    alarms = await blank.evaluate(
        """async () => {
            const { Track } = await import("/static/js/feed/store.js");
            const { alarmsAt } = await import("/static/js/feed/alarms.js");
            const track = new Track("alarm");
            let seq = 0;
            const say = (t, id, priority, present, more = {}) => track.add(
                { t, ns: BigInt(t * 1e6), seq: seq++, epoch: 1,
                  value: { id, kind: "Phy", priority, present, ...more } });
            say(1, "low", "Lo", true);
            say(2, "med", "Me", true);
            say(3, "high", "Hi", true);
            say(4, "med", "Me", false, { presence: "Off" });
            say(5, "latched", "Hi", false, { presence: "Latch" });
            say(6, "off", "Hi", true, { activation: "Off" });
            const ids = (t) => alarmsAt([["monitor", track]], t, 10)
                .map((a) => a.id.replace("monitor/", ""));
            return [ids(2.5), ids(3.5), ids(99)];
        }"""
    )
    assert alarms == [["med", "low"], ["high", "med", "low"], ["high", "latched", "low"]]


async def test_a_waveform_leaves_a_gap_where_samples_are_missing(blank: Page) -> None:
    filled = await blank.evaluate(
        """async () => {
            const { Track } = await import("/static/js/feed/store.js");
            const { Sweep } = await import("/static/js/feed/sweep.js");
            const canvas = new OffscreenCanvas(500, 100);
            const pen = canvas.getContext("2d", { willReadFrequently: true });
            const row = { address: "a", x: 0, y: 0, w: 500, h: 100, color: "#ffffff",
                          rate_hz: 100, low: 0, high: 1, stale_ms: 5000 };
            const sweep = new Sweep(pen, row, 4, 2);           // 100 px a second: 5 s across
            const track = new Track("waveform");
            for (let i = 0; i < 40; i++) {
                if (i >= 10 && i < 20) continue;               // 1 s to 2 s never came
                const value = new Float32Array(10).fill(0.5);
                track.add({ t: i * 100, seq: i, epoch: 1, value });
            }
            for (let t = 1; t <= 3500; t += 16) sweep.draw(track, t);
            const inked = (from, to) => {
                const { data } = pen.getImageData(from, 0, to - from, 100);
                let columns = 0;
                for (let x = 0; x < to - from; x++) {
                    for (let y = 0; y < 100; y++) {
                        if (data[(y * (to - from) + x) * 4 + 3] > 80) { columns++; break; }
                    }
                }
                return columns / (to - from);
            };
            return [inked(5, 95), inked(105, 195), inked(205, 340), inked(365, 375), sweep.columns];
        }"""
    )
    before, missing, after, bar, columns = filled
    assert before == 1
    assert missing == 0
    assert after == 1
    assert bar == 0
    assert columns >= 345


BOARD = """
    const condition = (id, priority, state, more = {}) => ({
        id, device: "monitor", kind: "Phy", priority, state, under: state, activation: "On",
        text: { en: id }, since_ns: 5_000_000_000n, by: "", ...more });
    const sample = { value: { conditions: [
        condition("monitor/acked", "Hi", "acked", { by: "OR staff" }),
        condition("monitor/low", "Lo", "active"),
        condition("monitor/<img src=x onerror=alert(1)>", "Me", "active", { value: NaN }),
        condition("monitor/latched", "Hi", "latched"),
        condition("monitor/quiet", "Hi", "unknown", { under: "inactive" }),
        condition("room/lost/scope", "Me", "active", { device: "scope", kind: "Tec" }),
        condition("monitor/info", "None", "active"),
    ], signals: { activation: "Psd", until_ns: 70_000_000_000n } } };
    const { boardOf } = await import("/static/js/feed/alarms.js");
    const board = boardOf(sample, 10_000, (ns) => Number(ns / 1_000_000n));
"""


async def test_the_alarm_line_says_priority_by_mark_colour_and_word_and_acts_on_what_is_unseen(
    document: Page,
) -> None:
    shown = await document.evaluate(
        f"""async () => {{ {BOARD}
            const {{ AlarmLine }} = await import("/static/js/alarmline.js");
            const wishes = [];
            const line = new AlarmLine({{ do: (wish) => wishes.push(wish) }}, () => {{}});
            document.body.append(line.element);
            const view = {{ ...board, kept: true, connected: true }};
            const catalogue = {{ workspace: "or1", replay: false, devices: {{}} }};
            line.update(view, catalogue, {{ byAddress: {{}} }}, true);
            const pills = [...line.element.querySelectorAll(".alarm-pill:not([hidden])")];
            line.acknowledge();
            line.togglePause();
            pills[0].click();
            const spoken = line.spoken.textContent;
            const told = pills.map((p) => [p.dataset.priority, p.dataset.state, p.textContent]);
            line.update({{ ...view, connected: false, lost_ms: 3000 }}, catalogue,
                {{ byAddress: {{}} }}, true);
            return {{
                pills: told,
                images: line.element.querySelectorAll("img").length,
                acks: wishes.map((w) => w.wish.do + (w.wish.seen ?? []).length),
                left: line.keys.left.textContent, spoken, rest: line.rest.textContent,
                note: line.element.querySelector(".alarm-note").textContent,
                blind: line.shown.map((l) => [l.state, l.title]),
            }}; }}"""
    )
    first, second = shown["pills"]
    assert first[:2] == ["Hi", "latched"]
    assert "!!!" in first[2]
    assert second[:2] == ["Me", "active"]
    assert "!!" in second[2]
    assert shown["images"] == 0, "what a device calls its alarm is text"
    assert shown["acks"] == ["ack4", "on0", "ack1"]
    assert shown["left"] == "01:00"
    assert "high priority" in shown["spoken"]
    assert "not for primary alarm notification" in shown["note"]
    assert shown["blind"] == [["unknown", "alarms unknown: no data"]]


async def test_signals_go_off_by_two_presses_of_staff_and_then_say_who_and_since_when(
    document: Page,
) -> None:
    shown = await document.evaluate(
        f"""async () => {{ {BOARD}
            const {{ AlarmLine }} = await import("/static/js/alarmline.js");
            const wishes = [];
            const line = new AlarmLine({{ do: (wish) => wishes.push(wish.wish.do) }}, () => {{}});
            document.body.append(line.element);
            const catalogue = {{ workspace: "or1", replay: false, devices: {{}} }};
            const [key] = line.element.querySelectorAll(".signal-keys button:last-child");
            const view = (signals) => ({{ ...board, kept: true, connected: true, signals,
                now_t: 240_000, now_unix_ms: 1_790_000_240_000 }});
            const update = (signals, staff) =>
                line.update(view(signals), catalogue, {{ byAddress: {{}} }}, staff);
            const on = {{ activation: "On", left_ms: 0, by: "", since_t: null }};
            update(on, false);
            const stranger = [key.hidden];
            line.switchOff();
            line.switchOff();
            stranger.push(wishes.length);
            line.update({{ ...view(on), alarms: [] }}, catalogue, {{ byAddress: {{}} }}, true);
            const quiet = key.hidden;
            update(on, true);
            const offered = [key.hidden, key.textContent];
            key.click();
            const asked = [wishes.length, key.textContent, key.getAttribute("aria-label")];
            key.click();
            update({{ activation: "Off", left_ms: 0, by: "<b>OR staff", since_t: 0 }}, true);
            const held = line.keys.pause;
            const off = [held.textContent, held.hidden, document.body.className, key.hidden];
            held.click();
            return {{ stranger, quiet, offered, asked, wishes, off,
                markup: line.element.querySelectorAll(".signal-keys b").length }}; }}"""
    )
    assert shown["stranger"] == [True, 0], "who may not act has no key"
    assert shown["quiet"], "beside no alarm it would read as the state of the signals"
    assert shown["offered"] == [False, "switch off"]
    assert shown["asked"][0] == 0, "one press does nothing yet"
    assert "Press again" in shown["asked"][1]
    assert "Press again" in shown["asked"][2]
    assert shown["wishes"] == ["off", "on"]
    text, hidden, body, key_hidden = shown["off"]
    assert "ALARM SIGNALS OFF" in text
    assert "<b>OR staff" in text
    assert "4 min" in text
    assert (hidden, key_hidden) == (False, True)
    assert "signals-off" in body
    assert shown["markup"] == 0


async def test_an_alarm_that_stepped_down_unseen_says_how_high_it_was(document: Page) -> None:
    detail = await document.evaluate(
        f"""async () => {{ {BOARD}
            const {{ AlarmLine }} = await import("/static/js/alarmline.js");
            const line = new AlarmLine({{ do: () => {{}} }}, () => {{}});
            const one = {{ ...board.alarms.find((a) => a.state === "active"), priority: "Me" }};
            const catalogue = {{ workspace: "or1", replay: false, devices: {{}} }};
            const of = (unseen) =>
                line.line({{ ...one, unseen }}, catalogue, {{ byAddress: {{}} }}).detail;
            return [of("Hi"), of("Me"), of("")]; }}"""
    )
    assert "was !!!" in detail[0]
    assert "was" not in detail[1] + detail[2]


async def test_a_replay_shows_alarms_and_offers_no_act(document: Page) -> None:
    shown = await document.evaluate(
        f"""async () => {{ {BOARD}
            const {{ AlarmLine }} = await import("/static/js/alarmline.js");
            const wishes = [];
            const line = new AlarmLine({{ do: (wish) => wishes.push(wish) }}, () => {{}});
            const view = {{ ...board, kept: true, connected: true }};
            const catalogue = {{ workspace: "or1", replay: true, devices: {{}} }};
            line.update(view, catalogue, {{ byAddress: {{}} }}, true);
            line.acknowledge();
            line.togglePause();
            return [line.shown.length, line.ack.hidden, wishes.length,
                typeof AudioContext, line.element.querySelectorAll("audio").length]; }}"""
    )
    assert shown[:3] == [2, True, 0]


async def test_the_alarm_log_tells_what_changed_and_who_acted_and_each_line_is_a_moment(
    document: Page,
) -> None:
    lines = await document.evaluate(
        """async () => {
            const { linesOf } = await import("/static/js/feed/alarmlog.js");
            const c = (state, more = {}) => ({ id: "monitor/low", device: "monitor", kind: "Phy",
                priority: "Hi", state, under: state, ...more });
            const values = [
                { at_ns: 1_000_000n, was: "inactive", condition: c("active") },
                { at_ns: 2_000_000n, was: "", condition: c("active") },
                { at_ns: 3_000_000n, was: "active", by: "OR staff", condition: c("acked") },
                { at_ns: 4_000_000n, was: "inactive",
                  condition: c("unknown", { under: "inactive" }) },
                { at_ns: 5_000_000n, by: "OR staff", signals: { activation: "Psd" } },
                {},
            ];
            const track = { samples: values.map((value) => ({ t: 0, value })) };
            return linesOf(track, (ns) => Number(ns) / 1e6).map((l) => [l.t, l.was, l.to, l.by]);
        }"""
    )
    assert lines == [
        [1, "inactive", "active", ""],
        [3, "active", "acked", "OR staff"],
        [5, "", "Psd", "OR staff"],
    ]


async def test_pacing_is_a_line_and_what_is_invalid_is_no_line_at_all(document: Page) -> None:
    above, before, after, gap = await document.evaluate(
        """async () => {
            const { Traces } = await import("/static/js/feed/traces.js");
            const canvas = new OffscreenCanvas(400, 100);
            const row = { address: "a", x: 0, y: 0, w: 400, h: 100, color: "#f00", rate_hz: 100,
                low: 0, high: 10, stale_ms: 5000, mark: "#fff" };
            const traces = new Traces();
            traces.sheet({ id: "s", canvas, width: 400, height: 100, rows: [row], px_mm: 4,
                line: 2, speed: 25 });
            const value = new Float32Array(100).fill(1);
            const block = (n, flags) => ({ t: n * 1000, seq: n, epoch: 1, flags, value });
            traces.take({ waves: [["a", block(0, 0)], ["a", block(1, 16)], ["a", block(2, 0)]],
                marks: [["a", 500], ["b", 700]] });
            const head = { t: 2500, at: 0, rate: 1, now: 2500, runs: true };
            for (let local = 0; local < 300; local += 16) {
                traces.take({ head: { ...head, t: 2500 + local, at: local } });
                traces.frame(local);
            }
            const pen = canvas.getContext("2d");
            const inked = (x, y, w, h) =>
                pen.getImageData(x, y, w, h).data.filter((v, i) => i % 4 === 3 && v > 0).length;
            return [inked(46, 5, 8, 30), inked(10, 5, 30, 30), inked(60, 5, 30, 30),
                inked(104, 0, 92, 100)];
        }"""
    )
    assert above > 40, "a line down from the top, at the moment of the spike"
    assert before == after == 0, "and another channel's mark is not drawn here"
    assert gap == 0, "an invalid stretch is a gap: a line would be read as a flat one"


async def test_a_waveform_of_ten_kilohertz_is_bounded_and_hides_no_spike(blank: Page) -> None:
    points, tall, flat, gap = await blank.evaluate(
        """async () => {
            const { Sweep } = await import("/static/js/feed/sweep.js");
            const { Track } = await import("/static/js/feed/store.js");
            const pen = new OffscreenCanvas(400, 100).getContext("2d");
            let points = 0;
            const { lineTo } = pen;
            pen.lineTo = (...at) => { points++; lineTo.apply(pen, at); };
            const track = new Track("waveform");
            const value = new Float32Array(40_000).fill(0.5);
            value[10_005] = 0.95;                                // a tenth of a millisecond
            value.fill(NaN, 20_000, 25_000);
            value[5_000] = Infinity;
            track.add({ t: 0, seq: 0, epoch: 1, flags: 0, value });
            const row = { address: "a", x: 0, y: 0, w: 400, h: 100, color: "#f00", rate_hz: 10_000,
                low: 0, high: 1, stale_ms: 5000 };
            const sweep = new Sweep(pen, row, 4, 1);             // 100 px a second
            sweep.draw(track, 3900);
            const top = (x) => {
                const { data } = pen.getImageData(x, 0, 1, 100);
                for (let y = 0; y < 100; y++) if (data[4 * y + 3] > 60) return y;
                return -1;
            };
            return [points, top(100), top(60), top(220)];
        }"""
    )
    assert points <= 5 * 400, "a few points for each column, not 40,000"
    assert 0 <= tall < flat - 20
    assert gap == -1


async def test_a_source_that_streams_takes_its_numbers_along_when_it_falls_silent(
    document: Page,
) -> None:
    states = await document.evaluate(
        """async () => {
            const { readingOf } = await import("/static/js/tiles.js");
            const place = { channel: { name: "hr", stale_after_s: 5, rate_hz: 1 } };
            const cell = { value: { value: 72, validity: "Vld" }, age_ms: 2_000, flags: 0 };
            return [readingOf(place, cell).state, readingOf(place, { ...cell, silent: true }).state,
                readingOf(place, { ...cell, silent: true }).text];
        }"""
    )
    assert states == ["ok", "stale", DASH]


async def test_traces_are_true_to_the_millimetre_and_units_are_this_displays_own(
    document: Page,
) -> None:
    shown = await document.evaluate(
        """async () => {
            const { Sweep } = await import("/static/js/feed/sweep.js");
            const { Track } = await import("/static/js/feed/store.js");
            const { change, pxPerMm, settings, widthOf } = await import("/static/js/settings.js");
            const { limitText, unitOf, valueText } = await import("/static/js/units.js");
            const pen = new OffscreenCanvas(400, 100).getContext("2d");
            const track = new Track("waveform");
            const saw = (_, i) => (i === 9 ? Infinity : (i % 25) / 25);
            const value = Float32Array.from({ length: 250 }, saw);
            track.add({ t: 0, ns: 0n, seq: 0, epoch: 1, value });
            const sweep = (speed, gain) => {
                const row = { address: "a", x: 0, y: 0, w: 400, h: 100, color: "#fff", rate_hz: 250,
                    low: -1, high: 2, stale_ms: 5000, gain, mv: 1 };
                const made = new Sweep(pen, row, 4, 1, speed); // 4 px are a millimetre
                made.draw(track, 900);
                const px_mv = Math.abs(made.y(1) - made.y(0));
                return [made.span_ms, px_mv / 4];
            };
            const pressure = { name: "art_mean", unit: "mm[Hg]", code: "", rate_hz: 1 };
            const gas = { name: "etco2", unit: "mm[Hg]", code: "MDC_AWAY_CO2_ET", rate_hz: 1 };
            change({ pressure: "kPa", gas: "mmHg", screen_mm: 500 });
            return {
                speeds: [12.5, 25, 50].map((v) => sweep(v, 1)[0]),
                gains: [0.5, 1, 2].map((g) => sweep(25, g)[1]),
                texts: [valueText(120, pressure), unitOf(pressure), limitText(60, 110, pressure),
                    valueText(36, gas), unitOf(gas)],
                ruler: [pxPerMm() * 500 === screen.width, widthOf(pxPerMm() * 100)],
                kept: JSON.parse(localStorage.getItem("scot.display")).screen_mm,
            }; }"""
    )
    assert shown["speeds"] == [8000, 4000, 2000], "100 mm of screen at each speed"
    assert shown["gains"] == pytest.approx([5, 10, 20], rel=0.01), "mm a millivolt"
    assert shown["texts"] == ["16.0", "kPa", "8.0–14.7", "36", "mmHg"]
    assert shown["ruler"] == [True, 500]
    assert shown["kept"] == 500


async def test_names_with_markup_nonsense_numbers_and_a_clock_in_1970_are_inert_and_legible(
    document: Page,
) -> None:
    shown = await document.evaluate(
        """async () => {
            const { Tile } = await import("/static/js/tiles.js");
            const { rangeOf } = await import("/static/js/trends.js");
            const evil = "<img src=x onerror=window.hit=1>";
            const channel = { name: "hr", unit: evil, kind: "numeric", lower: NaN, upper: 100,
                label: {} };
            const place = { address: "a/b/hr", device: "b", channel };
            const tile = new Tile({ key: "k", label: evil, color: "red", members: [place] });
            document.body.append(tile.element);
            const texts = [];
            const alarm = { device: "b", channel: "hr", priority: "Hi", state: "unknown" };
            for (const [value, validity, t_unix_ms] of [[NaN, "Vld", 0], [Infinity, "Vld", 0],
                [null, "NA", 0], [1e308, "Vld", -37_000], [72, "Oflw", 0], [72, "Vld", 8e15]]) {
                const cell = { value: { value, validity }, age_ms: 10, flags: 0, stale: false,
                    t_unix_ms };
                tile.update({ cells: { "a/b/hr": cell } }, [alarm]);
                texts.push([tile.value.textContent, tile.note.textContent.slice(0, 12)]);
            }
            return { texts, images: document.images.length, hit: window.hit ?? 0,
                mark: tile.mark.textContent,
                ranges: [[null], [5]].map((line) => rangeOf([[line, line]], channel)) }; }"""
    )
    assert [text for text, _ in shown["texts"][:3]] == ["– –"] * 3
    assert shown["texts"][2][1] == "not measured"
    assert shown["texts"][4] == ["– –", "above what i"]
    assert (shown["images"], shown["hit"], shown["mark"]) == (0, 0, "?")
    assert shown["ranges"][0] is None
    assert shown["ranges"][1][0] < 5 < shown["ranges"][1][1]


async def test_a_scrubber_of_half_a_century_has_no_more_ticks_than_a_screen_can_show(
    document: Page,
) -> None:
    count = await document.evaluate(
        """async () => {
            const { Lanes } = await import("/static/js/lanes.js");
            const lanes = Object.create(Lanes.prototype);
            let texts = 0;
            const pen = { fillText: () => texts++, canvas: { width: 1000 } };
            const view = { now_unix_ms: 1.8e12, now_t: 0, mode: "live" };
            lanes.axis(pen, (t) => (t / 1.8e12 + 1) * 1000, -1.8e12, 0, view, 100, 10, 10);
            return texts; }"""
    )
    assert 0 < count < 30


async def test_a_seek_whose_answer_was_lost_is_asked_again_and_a_late_answer_still_counts(
    blank: Page,
) -> None:
    said = await blank.evaluate(
        """async () => {
            const { Playhead } = await import("/static/js/feed/playhead.js");
            const { Cover } = await import("/static/js/feed/store.js");
            let clock = 1_000;
            performance.now = () => clock;
            const asked = [];
            const store = { small: new Cover(), bulk: new Cover() };
            const time = { now: () => 100_000, paced: false, rate: 1 };
            const head = new Playhead(store, time, (question) => asked.push(question));
            head.small = () => ["or1/monitor/hr"];
            head.oldest = 0;
            const states = () => asked.filter((question) => question.at !== undefined);
            head.seek(50_000, true);
            asked.filter((question) => question.between).forEach((question) => question.done());
            const waits = [head.seeking, states().length];
            clock += 3_000;
            head.fill();
            waits.push(states().length); // not yet
            clock += 2_000;
            head.fill();
            waits.push(states().length);
            states()[0].done(); // the first answer, later than its second question
            return [...waits, head.seeking];
        }"""
    )
    assert said == [True, 1, 1, 2, False]


async def test_what_is_large_is_asked_for_once_numbers_are_there_or_soon(blank: Page) -> None:
    seen = await blank.evaluate(
        """async () => {
            const { afterNumbers, drew } = await import("/static/js/first.js");
            const cell = (value, stale) => ({ cells: { "a/b/c": { value, stale } } });
            const asked = [];
            afterNumbers(() => asked.push("volume"));
            drew(cell({ value: 72 }, true));
            drew(cell(null, false));
            const before = [...asked];
            drew(cell({ value: 72 }, false));
            afterNumbers(() => asked.push("at once"));
            const again = await import("/static/js/first.js?where=nothing-comes");
            await new Promise((done) => again.afterNumbers(done));
            return [before, asked];
        }"""
    )
    assert seen == [[], ["volume", "at once"]]
