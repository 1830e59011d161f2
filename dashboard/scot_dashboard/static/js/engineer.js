/**
 * The engineer's view: every channel of a recording or a live room as it is, on one axis, and the
 * player under one's hands. @import {Catalogue, View} from "./types.js"  @import {Series, RawRow} from "./feed/probe.js"
 */

import { instantOf } from "./address.js";
import { shownZone } from "./clock.js";
import { h, setClass, setHidden, setText } from "./dom.js";
import { AlarmKeys } from "./engineer/alarms.js";
import { keySheet } from "./engineer/keys.js";
import { between, markAt } from "./engineer/marks.js";
import { SideBar, across, sideOf, sidesOf, twinsOf, videosOf } from "./engineer/sides.js";
import { Plot } from "./engineer/plot.js";
import { Transport } from "./engineer/transport.js";
import { Tree } from "./engineer/tree.js";
import { Worth } from "./engineer/worth.js";
import { clockText } from "./feed/zone.js";
import { Chips } from "./header.js";
import { expose } from "./hook.js";
import { Picture } from "./picture.js";
import { layoutOf } from "./plan.js";
import { Session, enter } from "./session.js";
import { StandingBar } from "./standing.js";
import { lang, word } from "./text.js";
import { Toasts } from "./toasts.js";
import { Tour } from "./tour.js";

const ASK_MS = 250;
const TRIES = 12;
const MARKS = new Set(["[", "]"]);
const MOST_WAITING = 64;
const SPANS_MS = [1_000, 2_000, 5_000, 10_000, 30_000, 60_000, 120_000, 300_000, 900_000];
const AHEAD = 0.3; // of the axis, in a replay: what comes is known
const FLAGS = ["KEY", "ARRIVAL", "INFERRED", "SIM", "INVALID", "DOUBTFUL"];
const STATES = ["locked", "converging", "holdover", "one-way", "unsynced"];

document.documentElement.lang = lang;
const session = new Session();
const root = /** @type {HTMLElement} */ (document.querySelector("#room"));
const message = /** @type {HTMLElement} */ (document.querySelector("#message"));
const chips = new Chips();
const toasts = new Toasts();
const standing = new StandingBar();
const transport = new Transport(session, () => tree.listed);
const alarms = new AlarmKeys(session, transport);
const tree = new Tree((plotted) => {
  arrange(plotted);
  ask();
});
const plots = h("section.plots", { "aria-label": word("plots") });
const rows = h("tbody");
const rawName = h("h2.raw-name");
const raw = h("section.raw", { "aria-label": word("samples"), tabindex: "0" }, [rawName, h("table.raw-table", {}, [
  h("thead", {}, [h("tr", {}, ["time", "seq", "value", "likely", "sure", "state", "flags"].map((k) => h("th", { text: word(k) })))]), rows,
])]);
const worth = new Worth((unix, address) => {
  const { view } = session;
  if (!view) return;
  tree.choose(address);
  transport.seek(unix - view.now_unix_ms + view.now_t);
});
const tour = new Tour("engineer");
const keys = keySheet(() => tour.begin());
const helpKey = keyButton("?", "keys", "?");
helpKey.dataset.tour = "help";
const delta = h("output.delta", { "aria-live": "polite" });
const spanText_ = h("span.span-text");
const marksBar = h("div.marks-bar", {}, [
  keyButton("A", "setA", "["), keyButton("B", "setB", "]"), delta,
  keyButton("−", "zoomOut", "z"), spanText_, keyButton("+", "zoomIn", "Z"), keyButton("Σ", "completeness", "c"), helpKey,
]);
const side = h("aside.side");

/** @type {Catalogue|null} */
let catalogue = null;
/** @type {Picture[]} */
let pictures = [];
/** @type {import("./engineer/sides.js").Side[]} recordings side by side; none when there is one */
let sides = [];
/** @type {SideBar|null} */
let sideBar = null;
let plan = layoutOf({ workspace: "", version: 0, replay: false, title: {}, case: "", devices: {}, volumes: {}, time_zone: "" });
/** @type {Map<string, Plot>} */
const drawn = new Map();
/** @type {Set<string>} */
const errors = new Set();
/** @typedef {import("./engineer/marks.js").Mark & {side: string, address: string}} SideMark */
/** @type {{A: SideMark|null, B: SideMark|null}} */
const marks = { A: null, B: null };
/** @type {Map<number, {which: "A"|"B", mark: SideMark, tries: number}>} questions for the sample of a mark */
const pending = new Map();
/** @type {RawRow[]} */
let held = [];
let heldOf = ""; // the channel that these are of: the listed one's may still be on their way
/** @type {string[]} keys that wait until the player is where the key before them sent it */
const waiting = [];
let span_ms = 30_000;
let utcOffset = 37_000;
let asked = 0;
let number = 0;
let shape = "";
let wanted = instantOf(new URLSearchParams(location.search).get("t")); // ?t=, ms of UTC

/** @param {string} text @param {string} name @param {string} key */
function keyButton(text, name, key) {
  const button = h("button.key", { type: "button", text, title: `${word(name)} (${key})`, "aria-label": word(name) });
  button.addEventListener("click", () => press(key));
  return button;
}

/** One plot for the same channel of every recording. @param {string[]} plotted */
function arrange(plotted) {
  /** @type {Map<string, string[]>} */
  const wanted = new Map();
  const taken = new Set();
  for (const address of plotted) {
    if (taken.has(address)) continue;
    const twins = twinsOf(sides, catalogue, address).filter((a) => plotted.includes(a));
    for (const twin of twins) taken.add(twin);
    wanted.set(address, twins);
  }
  for (const [address, plot] of drawn) {
    if (plot.parts.map((p) => p.address).join() !== wanted.get(address)?.join()) drawn.delete(address);
  }
  for (const [address, twins] of wanted) if (!drawn.has(address)) plotOf(address, twins);
  const order = [...wanted.keys()];
  plots.replaceChildren(...order.flatMap((a) => drawn.get(a)?.element ?? []));
  for (const [address, plot] of drawn) plot.last = address === order[order.length - 1];
  setClass(plots, "empty", plotted.length === 0);
  if (!plotted.length) plots.textContent = word("chooseChannels");
}

/** @param {string} address @param {string[]} twins */
function plotOf(address, twins) {
  const [, device, name] = address.split("/");
  const channel = catalogue?.devices[device]?.channels?.[name];
  if (!channel) return;
  const toggled = () => {
    if (!errors.delete(address)) errors.add(address);
    drawn.delete(address);
    arrange(tree.plotted);
    ask();
  };
  const parts = twins.map((twin) => ({ address: twin, key: sideOf(sides, twin) }));
  drawn.set(address, new Plot(address, channel, errors.has(address), toggled, parts));
}

/** The stretch that the plots show. @param {View} view @returns {[number, number]} */
function stretch(view) {
  const ahead = view.player ? span_ms * AHEAD : span_ms * 0.04;
  return [view.cursor_t + ahead - span_ms, view.cursor_t + ahead];
}

function ask() {
  const { view } = session;
  if (!view || !tree.listed) return;
  asked = performance.now();
  const [from_t, to_t] = stretch(view);
  session.do({ do: "probe", wish: { id: ++number, addresses: tree.plotted, rows: tree.listed, from_t, to_t, at_t: view.cursor_t } });
}

/** The sample of a mark whose rows have not come yet. @param {"A"|"B"} which @param {number} [tries] */
function findSample(which, tries = TRIES) {
  const mark = marks[which];
  if (!mark || mark.sample || !tries) return;
  pending.set(++number, { which, mark, tries });
  const near = span_ms / 200;
  session.do({ do: "probe", wish: { id: number, addresses: [], rows: mark.address, from_t: mark.t - 10 * near, to_t: mark.t + near, at_t: mark.t + near } });
}

/** @param {{id: number, series: Series[], rows: RawRow[], of: string}} found */
function take({ id, series, rows: found, of }) {
  const due = pending.get(id);
  if (due) {
    pending.delete(id);
    if (marks[due.which] !== due.mark) return;
    const sample = markAt(found, due.mark.t, span_ms / 200);
    if (sample.sample) return putMark(due.which, { ...due.mark, ...sample });
    setTimeout(() => findSample(due.which, due.tries - 1), ASK_MS);
    return;
  }
  for (const one of series) [...drawn.values()].some((plot) => plot.take(one));
  [held, heldOf] = [found, of];
  list();
  draw();
}

function list() {
  setText(rawName, heldOf);
  rows.replaceChildren(...held.map((r) => h("tr", {}, [
    `${clockText(r.t_unix_ms, shownZone())}.${String(Number((r.ns / 1000n) % 1_000_000n)).padStart(6, "0")}`,
    String(r.seq), r.text, msText(r.err_ms), msText(r.bound_ms), STATES[r.state] ?? "",
    FLAGS.filter((_, i) => r.flags & (1 << i)).join(" "),
  ].map((text, i) => h(i === 2 ? "td.raw-value" : "td", { text, ...(i === 2 ? { title: text } : {}) })))));
}

/** @param {number|null} ms */
function msText(ms) {
  return ms === null ? "?" : `±${ms < 1 ? ms.toFixed(3) : ms.toFixed(1)}`;
}

function draw() {
  const { shown: view } = session;
  if (!view) return;
  const [from, to] = stretch(view);
  const axis = { from, to, cursor: view.cursor_t, A: marks.A?.t ?? null, B: marks.B?.t ?? null, unix: (/** @type {number} */ t) => t + view.now_unix_ms - view.now_t };
  for (const plot of drawn.values()) {
    plot.axis = axis;
    plot.draw();
  }
}

/** What stands between A and B, in words that claim no more than is known. */
function sayDelta() {
  const apart = across(sides, marks.A?.side ?? "", marks.B?.side ?? "");
  const found = between(marks.A, marks.B, apart);
  if (!found) return setText(delta, word(marks.A || marks.B ? "setOther" : "setBoth"));
  const size = `Δt ${(found.delta_ms / 1000).toFixed(6)} s`;
  const sure = found.bound_ms === null ? `${word("sure")} ?` : `≤ ${found.bound_ms.toFixed(3)} ms ${word("sure")}`;
  if (!marks.A?.sample || !marks.B?.sample) {
    setText(delta, `${size} · ${marks.A?.sample ? "B" : "A"}: ${word("noSample")}`);
    return setClass(delta, "doubt", true);
  }
  const likely = found.err_ms === null ? "± ?" : `±${found.err_ms.toFixed(3)} ms ${word("likely")}`;
  const whose = apart ? ` · ${word("recordings")} ${marks.A.side.toUpperCase()} → ${marks.B.side.toUpperCase()}` : "";
  setText(delta, `${size} · ${likely} · ${sure} · ${word(found.order)}${whose}`);
  setClass(delta, "doubt", found.order === "order_cannotTell");
}

/** @param {"A"|"B"} which @param {number} t */
function setMark(which, t) {
  putMark(which, { ...markAt(heldOf === tree.listed ? held : [], t, span_ms / 200), side: sideOf(sides, tree.listed), address: tree.listed });
  findSample(which);
}

/** @param {"A"|"B"} which @param {SideMark} mark */
function putMark(which, mark) {
  marks[which] = mark;
  transport.marks[which] = mark.t;
  sayDelta();
  draw();
}

/** Keys are done in their order: a mark is set where the moves before it lead. @param {string} key @returns {boolean} */
function press(key) {
  if (MARKS.has(key)) transport.lanes.flush();
  if (!waiting.length && (session.arrived || !MARKS.has(key))) return act(key);
  if (waiting.length < MOST_WAITING) waiting.push(key);
  return true;
}

function pressWaiting() {
  while (waiting.length && (session.arrived || !MARKS.has(waiting[0]))) act(/** @type {string} */ (waiting.shift()));
}

/** @param {string} key @returns {boolean} */
function act(key) {
  const { view } = session;
  if (!view) return false;
  if (key === "[" || key === "]") setMark(key === "[" ? "A" : "B", view.cursor_t);
  else if (key === "z" || key === "Z") zoom(key === "z" ? 1 : -1);
  else if (key === "?" || (key === "Escape" && keys.open())) keys.toggle();
  else if (key === "Escape" && tour.close()) return true;
  else if (key === "c") worth.toggle();
  else if (key === "Escape" && alarms.log.close()) return true;
  else if (alarms.key(key)) return true;
  else if (key === "Escape" && worth.open) worth.toggle();
  else if (key === "Escape") {
    marks.A = marks.B = transport.marks.A = transport.marks.B = null;
    sayDelta();
    draw();
  } else return transport.key(key);
  return true;
}

/** @param {number} by */
function zoom(by) {
  const place = SPANS_MS.indexOf(span_ms) + by;
  span_ms = SPANS_MS[Math.max(0, Math.min(SPANS_MS.length - 1, place))];
  setText(spanText_, span_ms >= 60_000 ? `${span_ms / 60_000} min` : `${span_ms / 1000} s`);
  ask();
  draw();
}

window.addEventListener("keydown", (event) => {
  const target = /** @type {HTMLElement} */ (event.target);
  if (target.matches("input[type=search], textarea, select") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === " " && target.matches("button, summary, input")) return;
  if (press(event.key)) event.preventDefault();
});
plots.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(event.deltaY > 0 ? 1 : -1);
}, { passive: false });
plots.addEventListener("pointerdown", (event) => {
  const canvas = /** @type {HTMLElement} */ (event.target);
  const { view } = session;
  if (!view || !canvas.matches("canvas")) return;
  const box = canvas.getBoundingClientRect();
  const [from, to] = stretch(view);
  const t = from + ((event.clientX - box.left) / box.width) * (to - from);
  if (event.shiftKey) setMark("B", t);
  else if (event.altKey) setMark("A", t);
  else transport.seek(t);
});

session.listen({
  hello: (hello) => (utcOffset = Number(hello.utc_offset_ns) / 1e6),
  catalogue(described) {
    catalogue = described;
    const now = JSON.stringify(Object.entries(described.devices).map(([n, d]) => [n, Object.keys(d.channels ?? {})]));
    if (now === shape) return;
    shape = now;
    session.do({ do: "clear" });
    sides = sidesOf(described);
    sideBar = sides.length ? new SideBar(sides) : null;
    plan = layoutOf(described);
    const { video } = plan;
    const places = sides.length ? videosOf(sides, described) : video ? [video] : [];
    pictures = places.map((place, i) => new Picture(session, i ? `side${i}` : "main", place, { inset: false, still: false }));
    tree.sides = sides;
    worth.build(described, sides);
    tree.build(described);
    arrange(tree.plotted);
    const seen = h("div.side-pictures", {}, pictures.map((p) => p.element));
    setClass(seen, "two", pictures.length > 1);
    side.replaceChildren(...(pictures.length ? [seen] : []), raw);
    root.replaceChildren(
      h("header.top", {}, [h("h1.engineer-title", { text: word("engineer") }), ...(sideBar ? [sideBar.element] : []), chips.element]),
      h("main.desk", {}, [tree.element, h("div.middle", {}, [marksBar, worth.element, plots]), side]),
      transport.element, toasts.element, standing.element, keys.element, alarms.log.element,
    );
    document.title = `SCOT · ${word("engineer")} · ${described.title.en ?? described.workspace}`;
    setHidden(message, true);
    zoom(0);
    sayDelta();
  },
  view(view) {
    if (!catalogue) return;
    chips.update(catalogue, view, { recording: null });
    tree.update(view);
    alarms.update(view, catalogue, plan);
    transport.update(view, catalogue);
    pressWaiting();
    if (wanted !== null && view.connected && (view.player || !catalogue.replay)) {
      transport.seek(wanted - view.now_unix_ms + view.now_t);
      wanted = null;
    }
    for (const picture of pictures) picture.update(view, catalogue.replay);
    sideBar?.update(view, utcOffset);
    toasts.update(view);
    standing.update(view, catalogue);
    tour.update(!catalogue.replay && view.alarms.some((a) => a.state === "active"), view.connected);
    if (performance.now() - asked > ASK_MS) ask();
    draw();
  },
  series: take,
  notes: (notes) => toasts.take(notes, ""),
  refused: (text) => toasts.warn(text),
  link(state, code) {
    if (state === "final") say(word(code === 4401 || code === 1008 ? "needKey" : "ended"));
    else if (state === "closed" && !catalogue) say(word("noAnswer"));
  },
  bye: (code, text) => say(code === 4401 ? word("needKey") : text || word("ended")),
});

/** UTC of `t` 0 on the page's axis, ms. */
function unixOf() {
  const { shown } = session;
  return shown ? shown.now_unix_ms - shown.now_t : 0;
}

/** @param {string} text */
function say(text) {
  setText(message, text);
  setHidden(message, false);
}

expose(session, () => [], () => ({
  player: session.shown?.player ?? null, plotted: tree.plotted, listed: tree.listed, delta: delta.textContent,
  sides: sideBar?.element.textContent ?? "", worth: worth.rows.length, videos: Object.keys(session.shown?.videos ?? {}),
  rows: heldOf === tree.listed ? held.slice(0, 5).map((r) => ({ seq: r.seq, text: r.text })) : [],
  marks: [marks.A, marks.B].map((mark) => mark && { unix_ms: mark.t + unixOf(), address: mark.address, sample: mark.sample }),
  standing: document.body.dataset.state ?? "", blind: standing.blind.spans,
  lanes: { feeds: transport.lanes.found?.feeds ?? {}, ...transport.lanes.state() },
  points: Object.fromEntries([...drawn].map(([a, p]) => [a, p.lines.reduce((n, l) => n + l.t.length, 0)])),
}));
say(word("opening"));
const { error } = await enter(/^#wall=(.+)$/);
if (error) say(error);
else session.open();
