"""The navigation pane in a real browser: what it draws, what it says of the tool, when it warns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.async_api import Page

pytestmark = [pytest.mark.system, pytest.mark.browser]

PANE = """async ({ frame, volumes, maps_to }) => {
    const { NavigationPane } = await import("/static/js/navigation.js");
    const { layoutOf } = await import("/static/js/plan.js");
    const attrs = { axis: "+z", target_mm: [-33, 18, 2], entry_mm: [-44, 50, 36], margin_mm: 2,
        corridor_mm: 8, beyond_mm: 2, avoid_mm: [[-38, 18, 6, 2]], avoid_names: ["<b>Vessel"] };
    const channels = {
        probe: { name: "probe", kind: "pose", frame, label: { en: "Probe" }, attrs },
        pointer: { name: "pointer", kind: "pose", frame: "ct", label: { en: "Pointer" },
            attrs: { axis: "+z" } },
    };
    if (maps_to) channels.registration = { name: "registration", kind: "pose", frame: maps_to,
        attrs: { maps_from: frame, fre_mm: 0.6 } };
    const catalogue = { workspace: "or1", title: {}, volumes,
        devices: { tracker: { name: "tracker", channels } } };
    const session = { do: (wish) => { session.port = wish.port; } };
    const pane = new NavigationPane(session, layoutOf(catalogue).navigation);
    for (const name of ["base", "navigation"]) {
        const link = document.createElement("link");
        Object.assign(link, { rel: "stylesheet", href: `/static/css/${name}.css` });
        document.head.append(link);
    }
    document.body.replaceChildren(pane.element);
    pane.element.style.height = "400px";
    window.pane = pane;
    let poses = [];
    setInterval(() => session.port.postMessage({ poses }), 40);
    window.say = (more, cellMore = {}) => {
        const value = { position: [-44, 50, 36], orientation: [0, 0, 0, 1], visible: true,
            err_mm: 0.5, ...more };
        const cell = { value, age_ms: 20, flags: 0, stale: false, ...cellMore };
        const { stale, flags } = cell;
        const pose = { address: "or1/tracker/probe", ...value, stale, flags };
        poses = [pose]; // the feed tells them again and again
        const cells = { "or1/tracker/probe": cell };
        if (window.lead) {
            cells["or1/tracker/registration"] = window.lead;
            cells["or1/tracker/registration_state"] = { value: window.why, flags: 0 };
            const { stale, flags } = window.lead;
            const address = "or1/tracker/registration";
            poses.push({ address, ...window.lead.value, stale, flags });
        }
        pane.update({ clocks: {}, cells });
        return { ...pane.state(), unit: pane.unit.textContent, detail: pane.detail.textContent,
            lost: pane.lost.hidden ? "" : pane.lost.textContent,
            images: document.querySelectorAll("b").length, strangers: pane.strangers.textContent };
    };
}"""


async def until(page: Page, what: str, seen: Callable[[Any], bool]) -> Any:
    """Return what an expression gives as soon as `seen` holds of it."""
    for _ in range(200):
        if seen(got := await page.evaluate(what)):
            return got
        await page.wait_for_timeout(25)
    return pytest.fail(f"{what} stayed {got}")


async def test_the_pane_warns_at_the_planned_margin_and_never_draws_a_tool_it_cannot_believe(
    page: Page, origin: str
) -> None:
    await page.goto(f"{origin}/static/fonts/?lang=en")
    await page.evaluate(PANE, {"frame": "mni152", "volumes": {"mni152": "brain"}})
    far = await page.evaluate("say({})")
    near = await page.evaluate("say({ position: [-38, 18, 10.4] })")
    inside = await page.evaluate("say({ position: [-38, 18, 7] })")
    off = await page.evaluate("say({ position: [-38, 20, 36], err_mm: null })")
    assert far["tool"] == "seen"
    assert (far["breach"], far["text"], far["unit"]) == ("", "48.0", "mm ± 0.5")
    assert "may be inside" in near["breach"].lower(), "2.4 mm is outside 2 mm, and its ± is not"
    assert "2.4 mm" in near["breach"]
    assert inside["breach"].startswith("⚠ Inside the margin — to <b>Vessel: 1.0 mm within")
    assert inside["images"] == 0, "what a plan calls a structure is text"
    assert "corridor" in off["breach"]
    assert "± unknown" in off["unit"]
    assert "Pointer (ct)" in far["strangers"], "a tool of another frame is named, not drawn"
    states = [
        await page.evaluate(f"say({more})")
        for more in (
            "{ visible: false, position: [NaN, NaN, NaN] }, { flags: 16 }",
            "{ position: [NaN, 0, 0] }",
            "{}, { flags: 16 }",
            "{ orientation: [0, 0, 0, 9] }",
            "{}, { stale: true, age_ms: 4000 }",
            "{}, { flags: 32 }",
        )
    ]
    assert [s["tool"] for s in states] == ["hidden", "error", "error", "error", "stale", "doubtful"]
    assert [s["text"] for s in states[:5]] == ["– –"] * 5, "no number is held"
    assert [s["breach"] for s in states] == [""] * 6
    assert states[0]["lost"] == "Probe: tool not seen"
    assert states[1]["lost"] == "Probe: tool position invalid"
    assert "position doubtful" in states[5]["detail"]


GREEN = """async (name) => {
    const picture = await createImageBitmap(pane.element.querySelector(`.nav-${name} canvas`));
    const canvas = new OffscreenCanvas(picture.width, picture.height);
    const pen = canvas.getContext("2d");
    pen.drawImage(picture, 0, 0);
    const { data } = pen.getImageData(0, 0, canvas.width, canvas.height);
    let green = 0, grey = 0;
    for (let i = 0; i < data.length; i += 4) {
        const [r, g, b] = data.subarray(i, i + 3);
        if (g > r + 15 && g > b + 6) green++;
        else if (r > 60 && Math.abs(r - g) < 6 && Math.abs(g - b) < 6) grey += r;
    }
    return { green, grey };
}"""


async def test_the_halo_grows_with_the_error_and_the_window_moves_by_key_drag_and_preset(
    page: Page, origin: str
) -> None:
    await page.goto(f"{origin}/static/fonts/?lang=en")
    await page.evaluate(PANE, {"frame": "mni152", "volumes": {"mni152": "brain"}})
    await until(page, "pane.windowing.presets.length", bool)
    look = f"({GREEN})('axial')"
    await page.evaluate("say({ position: [-20, 0, 20], err_mm: 2 })")
    small = await until(page, look, lambda seen: seen["green"] > 0 and seen["grey"] > 0)
    await page.evaluate("say({ position: [-20, 0, 20], err_mm: 8 })")
    await until(page, look, lambda seen: seen["green"] > small["green"] + 150)
    start = await page.evaluate("pane.state().window")
    assert start == {"centre": 136, "width": 236}
    await page.keyboard.press("]")
    await page.keyboard.press("{")
    moved = await page.evaluate("pane.state().window")
    assert moved["centre"] < start["centre"], "] is brighter"
    assert moved["width"] < start["width"]
    await page.keyboard.press("w")
    assert await page.evaluate("pane.state().window") == start, "back to the first preset"
    box = await page.locator(".nav-coronal").bounding_box()
    assert box
    await page.mouse.move(box["x"] + 60, box["y"] + 100)
    await page.mouse.down()
    await page.mouse.move(box["x"] + 140, box["y"] + 100)
    await page.mouse.up()
    wide = await page.evaluate("pane.state().window")
    assert wide["width"] > start["width"]
    assert wide["centre"] == start["centre"]
    before = await page.evaluate(look)
    await page.locator(".nav-axial").focus()
    for _ in range(8):
        await page.keyboard.press("ArrowDown")
    await until(page, look, lambda seen: seen["grey"] != before["grey"])
    kept = await page.evaluate("JSON.parse(localStorage.getItem('scot.window.brain'))")
    assert kept == await page.evaluate("pane.state().window"), "this display keeps its window"


async def test_a_frame_without_a_picture_says_so_and_still_measures(
    page: Page, origin: str
) -> None:
    await page.goto(f"{origin}/static/fonts/?lang=en")
    await page.evaluate(PANE, {"frame": "patient", "volumes": {"mni152": "brain"}})
    told = await page.evaluate("say({ position: [-33, 18, 5] })")
    assert told["problem"] == "no picture for this frame of reference · “patient”"
    assert told["text"] == "3.0"


REGISTERED = """(more) => {
    // A quarter turn about z, then 10 mm to the right.
    const value = { position: [10, 0, 0], orientation: [0, 0, Math.SQRT1_2, Math.SQRT1_2],
        visible: true, err_mm: 1.2, ...more.value };
    window.lead = more.never ? null : { value, age_ms: 100, flags: 0, stale: false, ...more };
    window.lead && (window.lead.value = value);
    window.why = more.why ?? "";
}"""


async def test_a_tool_of_the_trackers_frame_is_drawn_through_its_registration_or_not_at_all(
    page: Page, origin: str
) -> None:
    await page.goto(f"{origin}/static/fonts/?lang=en")
    where = {"frame": "reference", "maps_to": "mni152", "volumes": {"mni152": "brain"}}
    await page.evaluate(PANE, where)
    await until(page, "pane.windowing.presets.length", bool)
    await page.evaluate(REGISTERED, {})
    # (18, 43, 2) turned by a quarter is (-43, 18, 2), and shifted the target itself.
    told = await page.evaluate("say({ position: [18, 43, 2], err_mm: 0.5 })")
    assert (told["text"], told["unit"]) == ("0.0", "mm ± 1.3"), "both errors are in the ball"
    assert told["registration"] == "registered · TRE 1.2 mm · FRE 0.6 mm"
    assert told["problem"] == ""
    look = f"({GREEN})('axial')"
    drawn = await until(page, look, lambda seen: seen["green"] > 40 and seen["grey"] > 0)
    reasons: list[tuple[dict[str, Any], str]] = [
        ({"never": True}, "not registered · no data yet"),
        ({"stale": True, "age_ms": 4000}, "not registered · no data 4.0 s"),
        (
            {"flags": 16, "value": {"visible": False}, "why": "not registered: it moved by 3 mm"},
            "not registered · it moved by 3 mm",
        ),
        ({"value": {"orientation": [0, 0, 1, 1]}}, "not registered"),
        ({"flags": 32}, "not registered"),
    ]
    for lead, said in reasons:
        await page.evaluate(REGISTERED, lead)
        told = await page.evaluate("say({ position: [-38, 18, 6] })")
        assert told["text"] == "– –", "no distance without a registration"
        assert told["breach"] == ""
        assert told["registration"].startswith(said)
        assert told["lost"] == "not registered: no tool is drawn on the picture"
        await until(page, look, lambda seen: seen["green"] < drawn["green"] / 4)
        await page.evaluate(REGISTERED, {})
        await page.evaluate("say({ position: [18, 43, 2] })")
        await until(page, look, lambda seen: seen["green"] > drawn["green"] / 2)
    await page.evaluate(REGISTERED, {"value": {"err_mm": None}})
    told = await page.evaluate("say({ position: [18, 43, 2], err_mm: 0.5 })")
    assert "± unknown" in told["unit"], "an error nobody told is not counted as none"


HEADSET = """() => {
    const fake = { ended: false };
    window.XRWebGLLayer = class {
        constructor(session, gl) { fake.gl = gl; this.framebuffer = null; }
        getViewport() { return { x: 0, y: 0, width: 400, height: 400 }; }
    };
    const session = {
        addEventListener(name, heard) { fake.heard = heard; },
        updateRenderState() { Object.assign(fake.gl.canvas, { width: 400, height: 400 }); },
        requestReferenceSpace: async (kind) => kind,
        requestAnimationFrame(draw) { fake.draw = draw; },
        end() { fake.ended = true; fake.heard(); },
    };
    Object.defineProperty(navigator, "xr", { configurable: true, value: {
        isSessionSupported: async () => true, requestSession: async () => session } });
    const [near, far] = [0.1, 10];
    const projectionMatrix = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, (near + far) / (near - far), -1,
        0, 0, 2 * near * far / (near - far), 0];
    const inverse = { matrix: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1] };
    // An eye at the session's origin that looks ahead, 90 degrees wide.
    window.look = (x, y, z) => {
        fake.draw(0, { getViewerPose: () => ({ views: [{ projectionMatrix,
            transform: { inverse } }] }) });
        const at = new Uint8Array(4);
        const [px, py] = [x, y].map((v) => Math.round(200 + 200 * v / -z));
        fake.gl.readPixels(px, py, 1, 1, fake.gl.RGBA, fake.gl.UNSIGNED_BYTE, at);
        return [...at];
    };
    window.headset = fake;
}"""


async def test_a_headset_sees_the_tool_in_metres_where_the_patients_frame_puts_it(
    page: Page, origin: str
) -> None:
    await page.goto(f"{origin}/static/fonts/?lang=en")
    await page.evaluate(PANE, {"frame": "patient", "volumes": {}})
    assert await page.locator(".nav-xr").is_hidden(), "no headset, no button"
    await page.evaluate(HEADSET)
    await page.evaluate(PANE, {"frame": "patient", "volumes": {}})
    await page.locator(".nav-xr").click()
    await until(page, "pane.state().problem.includes('headset') || Boolean(headset.draw)", bool)
    # 50 mm right, 20 mm behind, 100 mm above: 0.05 m right, 0.05 m above the eye, 0.58 m ahead.
    tip = "{ position: [50, -20, 100], err_mm: 15 }"
    await page.evaluate(f"say({tip})")
    red, green, _, _ = await page.evaluate("look(0.05, 0.05, -0.58)")
    assert green > red + 40, "the ball that holds the tip"
    assert max((await page.evaluate("look(-0.05, 0.05, -0.58)"))[:3]) < 40, "and nothing mirrored"
    red, green, blue, _ = await page.evaluate("look(-0.033, -0.048, -0.618)")
    assert red > green > blue + 40, "the target, in amber"
    await page.evaluate(f"say({tip}, {{ stale: true }})")
    assert max((await page.evaluate("look(0.05, 0.05, -0.58)"))[:3]) < 40, "no tool is held"
    lps = await page.evaluate(
        """async () => [...(await import("/static/js/nav/xr.js")).toSession(true, [0, 0, 0])]"""
    )
    assert lps[0] == pytest.approx(-0.001), "the patient's left is at the left"
    await page.locator(".nav-xr").click()
    assert await page.evaluate("headset.ended && pane.immersed === null")


async def test_a_slice_of_an_oblique_volume_shows_each_voxel_where_its_affine_puts_it(
    page: Page, origin: str
) -> None:
    await page.goto(f"{origin}/static/icon.svg")
    got = await page.evaluate(
        """async () => {
            const { Slice, applied, valueAt, volumeOf } =
                await import("/static/js/nav/volume.js");
            const [ca, sa] = [Math.cos(0.4), Math.sin(0.4)];
            // 0.8 mm by 1.1 mm by 2.5 mm, turned about z and then about x
            const affine = [[0.8 * ca, -1.1 * sa, 0, -20],
                [0.8 * sa * ca, 1.1 * ca * ca, -2.5 * sa, 5],
                [0.8 * sa * sa, 1.1 * ca * sa, 2.5 * ca, -30], [0, 0, 0, 1]];
            const [nc, nr, ns] = [40, 36, 20];
            const grey = new Int16Array(nc * nr * ns);
            const spots = [[5, 7, 3], [33, 30, 16], [20, 4, 11], [39, 35, 19]];
            for (const [c, r, s] of spots) grey[(s * nr + r) * nc + c] = 1000;
            const shape = { columns: nc, rows: nr, slices: ns };
            const result = { values: [], brightest: [], round: 0 };
            for (const axes of ["RAS", "LPS"]) {
                const volume = volumeOf({ shape, affine, axes, modality: "CT" }, grey);
                for (const spot of spots) {
                    const mm = applied(volume.toMm, spot);
                    const back = applied(volume.toVoxel, mm);
                    const off_by = back.map((v, k) => Math.abs(v - spot[k]));
                    result.round = Math.max(result.round, ...off_by);
                    result.values.push(Math.round(valueAt(volume, mm)));
                    for (const plane of ["axial", "coronal", "sagittal"]) {
                        const slice = new Slice(volume, plane);
                        slice.aim(mm, { width: 300, height: 300, zoom: 4, inset: 0 });
                        slice.cut(mm, { centre: 500, width: 1000 });
                        const canvas = new OffscreenCanvas(300, 300);
                        const pen = canvas.getContext("2d");
                        slice.paint(pen);
                        const { data } = pen.getImageData(0, 0, 300, 300);
                        let [sum, sx, sy] = [0, 0, 0];
                        for (let i = 0; i < 90000; i++) {
                            const v = data[i * 4] / 255;
                            sum += v;
                            sx += v * (i % 300 + 0.5);
                            sy += v * (Math.floor(i / 300) + 0.5);
                        }
                        const [x, y, out] = slice.place(mm, mm);
                        const off = Math.hypot(sx / sum - x, sy / sum - y) / slice.px_mm;
                        result.brightest.push([spot.join() === "39,35,19" ? 0 : off, out]);
                    }
                }
            }
            const { right } = new Slice(volumeOf({ shape, affine, axes: "LPS" }, grey), "axial");
            const ras = new Slice(volumeOf({ shape, affine, axes: "RAS" }, grey), "axial").right;
            return { ...result, right, ras };
        }"""
    )
    assert got["round"] < 1e-9
    assert got["values"] == [1000] * 8, "at a voxel's centre stands its own value"
    assert max(off for off, _ in got["brightest"]) < 0.5, "mm from where the point is drawn"
    assert all(out == 0 for _, out in got["brightest"])
    assert got["right"] == [1, 0, 0], "the patient's left is at the right: +x in LPS"
    assert got["ras"] == [-1, 0, 0]
