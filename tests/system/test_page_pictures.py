"""How the page decodes, turns and crops pictures: its own modules in a real browser."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from playwright.async_api import Page

from tests.system.moving_pictures import quadrants, units

pytestmark = [pytest.mark.system, pytest.mark.browser]

# Hands access units to a pane as the room does, and lets a test read what is on its canvas.
BENCH = """
globalThis.bench = async (sent) => {
    const { Screen, VideoPane } = await import("/static/js/feed/video.js");
    const { Thumbs } = await import("/static/js/feed/thumbs.js");
    const samples = sent.map(([data, key], i) => ({
        t: i * 40, ns: BigInt(i), epoch: 1, seq: i, flags: key ? 1 : 0,
        value: Uint8Array.from(atob(data), (c) => c.charCodeAt(0)),
    }));
    const pane = new VideoPane("or1/scope/video", new OffscreenCanvas(2, 2), null);
    const drawn = async (seq) => {
        for (let i = 0; i < 1000 && pane.main.shown?.unit.seq !== seq; i++)
            await new Promise((done) => setTimeout(done, 5));
        return pane.main.shown?.unit.seq ?? null;
    };
    const colour = (u, v, screen = pane.main) => {
        const { canvas, pen } = screen;
        const [x, y] = [Math.floor(u * canvas.width), Math.floor(v * canvas.height)];
        const [r, g, b] = pen.getImageData(x, y, 1, 1).data;
        return r > 120 ? "red" : g > 120 ? "green" : b > 120 ? "blue" : "grey";
    };
    return { samples, pane, drawn, colour, Thumbs, Screen };
};
true
"""


@pytest.fixture
async def blank(page: Page, origin: str) -> Page:
    """A page of our origin with nothing on it but the bench."""
    await page.goto(f"{origin}/static/fonts/")
    await page.evaluate(BENCH)
    return page


def packed(*found: list[tuple[bytes, bool]]) -> list[Any]:
    return [[base64.b64encode(data).decode(), key] for some in found for data, key in some]


async def test_what_a_consultant_points_at_stays_there_however_the_picture_is_turned(
    blank: Page,
) -> None:
    seen = await blank.evaluate(
        """async (sent) => {
            const { samples, pane, drawn, colour } = await bench(sent);
            const { PLAIN, toPicture, toScreen, turned, cropped, readFraming } =
                await import("/static/js/feed/framing.js");
            const places = {
                red: [0.2, 0.3], green: [0.8, 0.3], blue: [0.2, 0.7], grey: [0.8, 0.7],
            };
            const found = [];
            let framing = PLAIN;
            for (let quarter = 0; quarter < 4; quarter++, framing = turned(framing)) {
                for (const [one, other] of [[[0, 0], [1, 1]], [[0.1, 0.2], [0.95, 0.9]]]) {
                    const cut = cropped(framing, one, other);
                    pane.frame(cut);
                    pane.push(samples[0]);
                    await drawn(0);
                    pane.main.shown = null;
                    for (const [name, place] of Object.entries(places)) {
                        const [u, v] = toScreen(cut, place);
                        const back = toPicture(cut, [u, v]);
                        const off = Math.hypot(back[0] - place[0], back[1] - place[1]);
                        found.push([name, colour(u, v), off]);
                    }
                    found.push(["size", pane.main.canvas.width > pane.main.canvas.height]);
                }
            }
            const kept = [null, { turn: 45, crop: [0, 0, 1, 1] },
                { turn: 90, crop: [0, 0, NaN, 1] }, { turn: 0, crop: [0.9, 0, 0.5, 1] }];
            return { found, bad: kept.map((one) => readFraming(one) === PLAIN) };
        }""",
        packed(units([quadrants(320, 180)])),
    )
    wide = [row[1] for row in seen["found"] if row[0] == "size"]
    assert wide == [True, True, False, False, True, True, False, False]
    points = [row for row in seen["found"] if row[0] != "size"]
    assert len(points) == 32
    assert all(name == colour and off < 1e-9 for name, colour, off in points), points
    assert seen["bad"] == [True] * 4, "what was kept and makes no sense is the whole picture"


async def test_a_source_that_changes_its_size_in_mid_stream_goes_on(blank: Page) -> None:
    sizes = [(320, 180), (180, 320), (2, 2), (640, 480)]
    sent = [units([quadrants(*size)] * 2) for size in sizes]
    seen = await blank.evaluate(
        """async (sent) => {
            const { samples, pane, drawn } = await bench(sent);
            const sizes = [];
            for (const sample of samples) {
                pane.push(sample);
                await drawn(sample.seq);
                sizes.push([pane.main.canvas.width, pane.main.canvas.height]);
            }
            return { sizes, problem: pane.problem };
        }""",
        packed(*sent),
    )
    assert seen["sizes"] == [[*size] for size in sizes for _ in range(2)]
    assert seen["problem"] == ""


async def test_an_8k_picture_costs_a_canvas_of_the_screens_size(blank: Page) -> None:
    seen = await blank.evaluate(
        """async () => {
            const { scaleFor } = await import("/static/js/feed/framing.js");
            const of = (w, h, box) => { const s = scaleFor(w, h, box); return [w * s, h * s]; };
            return [of(7680, 4320, [1200, 600]), of(7680, 4320, [7680, 4320]),
                of(1920, 1080, [300, 200]), of(4320, 7680, [3840, 2160])];
        }"""
    )
    assert all(wide * high <= 3840 * 2160 * 1.01 for wide, high in seen)
    assert seen[0][0] == pytest.approx(1927, abs=5), "a small box gets no more than Full HD"
    assert seen[2] == [1920, 1080], "what fits is drawn as it comes"
    assert seen[3][0] / seen[3][1] == pytest.approx(9 / 16)


async def test_a_stream_that_cannot_be_decoded_says_so_and_the_next_one_plays(blank: Page) -> None:
    broken = [(b"\x00\x00\x00\x01\x40\x01\x0c\x01\xff\xff", True)]  # HEVC, which has no SPS of ours
    seen = await blank.evaluate(
        """async (sent) => {
            const { samples, pane, drawn } = await bench(sent);
            pane.push(samples[0]);
            const problem = pane.problem;
            pane.push(samples[1]);
            return { problem, drawn: await drawn(1), after: pane.problem };
        }""",
        packed(broken, units([quadrants(64, 48)])),
    )
    assert seen == {"problem": "codec", "drawn": 1, "after": ""}


async def test_a_viewer_that_is_overloaded_goes_on_with_the_newest_group(blank: Page) -> None:
    pictures = [quadrants(320, 180, 40 + n) for n in range(40)]
    seen = await blank.evaluate(
        """async (sent) => {
            const { samples, pane, drawn } = await bench(sent);
            // A decoder that is busy elsewhere: everything waits, then it looks again.
            for (const sample of samples) pane.push(sample);
            const waiting = pane.decoder.queue;
            const last = await drawn(39);
            return { waiting, last, frames: pane.main.frames, kept: pane.decoder.units.size };
        }""",
        packed(units(pictures, group=10)),
    )
    assert seen["last"] == 39, "the newest picture is what stands there"
    assert seen["waiting"] <= 10, "of older groups nothing waits when a new one has begun"
    assert seen["frames"] < 40, "what could not be shown in time was not drawn"


async def test_a_starved_machine_still_shows_some_of_it(blank: Page) -> None:
    seen = await blank.evaluate(
        """async (sent) => {
            const Real = VideoDecoder;
            globalThis.VideoDecoder = class {
                // A quarter of a second for anything, as where others have the processors.
                constructor(init) { this.real = new Real(init); this.due = new Set(); }
                get state() { return this.real.state; }
                get decodeQueueSize() { return this.due.size + this.real.decodeQueueSize; }
                configure(config) { this.real.configure(config); }
                reset() { this.due.forEach(clearTimeout); this.due.clear(); this.real.reset(); }
                close() { this.reset(); this.real.close(); }
                decode(chunk) {
                    const late = () => { this.due.delete(due); this.real.decode(chunk); };
                    const due = setTimeout(late, 250);
                    this.due.add(due);
                }
            };
            const { samples, pane } = await bench(sent);
            for (let i = 0; i < 8; i++) {
                for (const sample of samples.slice(i * 5, i * 5 + 5)) pane.push(sample);
                await new Promise((done) => setTimeout(done, 150));
            }
            return { frames: pane.main.frames, waiting: pane.decoder.queue };
        }""",
        packed(units([quadrants(64, 48)] * 40, group=5)),
    )
    assert seen["frames"] > 0, "beginning anew with each group would show none at all"
    assert seen["waiting"] <= 20, "and what waits is bounded"


SLOW = """
globalThis.slow = (ms) => {
    const Real = VideoDecoder;
    globalThis.VideoDecoder = class {
        // One picture at a time, so many ms each: a machine that is too slow, or was for a moment.
        constructor(init) { this.real = new Real(init); this.due = []; this.under = false; }
        get state() { return this.real.state; }
        get decodeQueueSize() { return this.due.length; }
        configure(config) { this.real.configure(config); }
        reset() { this.due = []; this.real.reset(); }
        close() { this.reset(); this.real.close(); }
        decode(chunk) { this.due.push(chunk); if (!this.under) void this.work(); }
        async work() {
            this.under = true;
            for (let next = this.due.shift(); next; next = this.due.shift()) {
                await new Promise((done) => setTimeout(done, ms()));
                if (this.real.state === "configured") this.real.decode(next);
            }
            this.under = false;
        }
    };
};
true
"""


async def test_a_viewer_too_slow_for_a_video_shows_none_that_is_old_and_says_what_it_left_out(
    blank: Page,
) -> None:
    await blank.evaluate(SLOW)
    seen = await blank.evaluate(
        """async (sent) => {
            slow(() => 60); // where a picture comes each 40 ms
            const { samples, pane } = await bench(sent);
            const [waited, ages] = [[], []];
            const draw = pane.main.draw.bind(pane.main);
            let now = 0;
            pane.main.draw = (frame, unit) => { ages.push(now - unit.t); draw(frame, unit); };
            for (const sample of samples) {
                now = sample.t;
                pane.push(sample);
                waited.push(pane.decoder.units.size);
                await new Promise((done) => setTimeout(done, 40));
            }
            const { left, leftOut } = pane.decoder;
            return { waited: Math.max(...waited), ages, left, leftOut, frames: pane.main.frames };
        }""",
        packed(units([quadrants(64, 48)] * 75, group=25)),
    )
    assert seen["frames"] > 5
    assert seen["waited"] <= 8, "150 ms of pictures wait, not all of them"
    assert max(seen["ages"]) <= 400, "what is drawn is of now"
    assert seen["leftOut"] > 10
    assert 0 < seen["left"]["count"] <= seen["leftOut"]
    assert 0 < seen["left"]["to"] - seen["left"]["from"] < 3_000


async def test_a_decoder_that_was_held_up_for_a_moment_catches_up_and_leaves_nothing_out(
    blank: Page,
) -> None:
    await blank.evaluate(SLOW)
    seen = await blank.evaluate(
        """async (sent) => {
            slow(() => 1);
            const { samples, pane, drawn } = await bench(sent);
            for (const sample of samples.slice(0, 5)) pane.push(sample);
            await drawn(4);
            pane.decoder.pace_ms = 5; // as known so far
            for (const sample of samples.slice(5, 20)) pane.push(sample); // 0.6 s at once
            return { last: await drawn(19), leftOut: pane.decoder.leftOut };
        }""",
        packed(units([quadrants(64, 48)] * 50, group=50)),
    )
    assert seen == {"last": 19, "leftOut": 0}, "it would wait longer for the next key picture"


async def test_a_pane_that_is_hidden_holds_no_decoder_and_begins_again_with_the_group(
    blank: Page,
) -> None:
    seen = await blank.evaluate(
        """async (sent) => {
            const { samples, pane, drawn } = await bench(sent);
            for (const sample of samples.slice(0, 5)) pane.push(sample);
            await drawn(4);
            pane.setSeen(false);
            const hidden = pane.decoder.decoder === null;
            for (const sample of samples.slice(5, 15)) pane.push(sample);
            pane.setSeen(true);
            const held = pane.main.shown.unit.seq;
            for (const sample of samples.slice(17, 20)) pane.push(sample); // not decodable
            for (const sample of samples.slice(10, 20)) pane.push(sample); // the group again
            return { hidden, held, last: await drawn(19), problem: pane.problem };
        }""",
        packed(units([quadrants(64, 48)] * 20, group=10)),
    )
    assert seen == {"hidden": True, "held": 4, "last": 19, "problem": ""}


async def test_many_cameras_hold_less_of_the_past_and_the_page_knows_it(blank: Page) -> None:
    seen = await blank.evaluate(
        """async () => {
            const { Store } = await import("/static/js/feed/store.js");
            const looked = [];
            for (const cameras of [1, 40]) {
                const store = new Store();
                for (let c = 0; c < cameras; c++)
                    for (let t = 0; t <= 40_000; t += 100)
                        store.track(`or1/cam${c}/video`, "video").add(
                            { t, seq: t, epoch: 1, flags: 0, value: { length: 1000 } });
                store.bulk.add(0, 40_000);
                store.trim(40_000, 40_000, 1_000_000);
                const tracks = [...store.tracks.values()];
                const first = Math.min(...tracks.map((track) => track.samples[0].t));
                looked.push([tracks.reduce((sum, track) => sum + track.bytes, 0), first,
                    store.bulk.spans[0][0]]);
            }
            return looked;
        }"""
    )
    one, many = seen
    assert one == [401_000, 0, 0], "one camera is held whole"
    assert many[0] <= 1_000_000 + 40 * 1000
    assert 35_000 < many[2] <= many[1] < 40_000, "what was let go is asked for again"


async def test_any_number_of_thumbnails_is_one_decoder_and_keyframes_only(blank: Page) -> None:
    sent = units([quadrants(320, 180)] * 6, group=3)
    seen = await blank.evaluate(
        """async (sent) => {
            const { samples, Thumbs, colour } = await bench(sent);
            const made = [];
            const Real = VideoDecoder;
            globalThis.VideoDecoder = class extends Real {
                constructor(init) { super(init); made.push(this); }
            };
            const thumbs = new Thumbs();
            const rests = [];
            thumbs.rest = async (ms) => void rests.push(ms);
            for (let i = 0; i < 30; i++) {
                const canvas = new OffscreenCanvas(160, 90);
                thumbs.add(`t${i}`, `or1/cam${i}/video`, canvas, { turn: 0, crop: [0, 0, 1, 1] });
            }
            thumbs.leave(new Set(["or1/cam7/video"]));
            for (let i = 0; i < 30; i++)
                for (const sample of samples) thumbs.offer(`or1/cam${i}/video`, sample);
            while (thumbs.busy) await new Promise((done) => setTimeout(done, 5));
            const all = [...thumbs.all.values()];
            const shown = all.map((t) => t.screen).filter((screen) => screen.frames);
            return {
                decoders: made.length, drawn: shown.length,
                seqs: [...new Set(all.map((t) => t.screen.shown?.unit.seq ?? null))],
                decoded: all.reduce((n, t) => n + t.screen.frames, 0),
                sizes: [...new Set(shown.map(({ canvas: c }) => `${c.width}x${c.height}`))],
                red: colour(0.2, 0.2, shown[0]),
                problems: all.map((t) => t.problem).filter(Boolean),
            };
        }""",
        packed(sent),
    )
    assert seen["problems"] == []
    assert seen["decoders"] == 1
    assert seen["drawn"] == 29, "what is large elsewhere needs no small picture"
    assert set(seen["seqs"]) == {3, None}, "the newest keyframe of each, and none before it"
    assert seen["decoded"] <= 31
    assert (seen["sizes"], seen["red"]) == (["160x90"], "red")
