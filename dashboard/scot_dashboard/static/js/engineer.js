/**
 * The engineer's view: every channel of a recording or a live room as it is, on one axis, and the
 * player under one's hands. @import {Catalogue, View} from "./types.js"  @import {Series, RawRow} from "./feed/probe.js"
 */

import { usesUtc } from "./clock.js";
import { h, setClass, setHidden, setText } from "./dom.js";
import { between, markAt } from "./engineer/marks.js";
import { Plot } from "./engineer/plot.js";
import { Transport } from "./engineer/transport.js";
import { Tree } from "./engineer/tree.js";
import { clockText } from "./feed/ink.js";
import { Chips } from "./header.js";
import { expose } from "./hook.js";
import { Picture } from "./picture.js";
import { layoutOf } from "./plan.js";
import { Session, enter } from "./session.js";
import { lang, word } from "./text.js";
import { Toasts } from "./toasts.js";

const ASK_MS = 250;
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
const transport = new Transport(session, () => tree.listed);
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
const delta = h("output.delta", { "aria-live": "polite" });
const spanText_ = h("span.span-text");
const marksBar = h("div.marks-bar", {}, [
  keyButton("A", "setA", "["), keyButton("B", "setB", "]"), delta,
  keyButton("−", "zoomOut", "z"), spanText_, keyButton("+", "zoomIn", "Z"),
]);
const side = h("aside.side");

/** @type {Catalogue|null} */
let catalogue = null;
/** @type {Picture|null} */
let picture = null;
/** @type {Map<string, Plot>} */
const drawn = new Map();
/** @type {Set<string>} */
const errors = new Set();
/** @type {{A: import("./engineer/marks.js").Mark|null, B: import("./engineer/marks.js").Mark|null}} */
const marks = { A: null, B: null };
/** @type {RawRow[]} */
let held = [];
let span_ms = 30_000;
let asked = 0;
let number = 0;
let shape = "";

/** @param {string} text @param {string} name @param {string} key */
function keyButton(text, name, key) {
  const button = h("button.key", { type: "button", text, title: `${word(name)} (${key})`, "aria-label": word(name) });
  button.addEventListener("click", () => press(key));
  return button;
}

/** @param {string[]} plotted */
function arrange(plotted) {
  for (const address of [...drawn.keys()]) if (!plotted.includes(address)) drawn.delete(address);
  for (const address of plotted) if (!drawn.has(address)) plotOf(address);
  plots.replaceChildren(...plotted.flatMap((a) => drawn.get(a)?.element ?? []));
  for (const [address, plot] of drawn) plot.last = address === plotted[plotted.length - 1];
  setClass(plots, "empty", plotted.length === 0);
  if (!plotted.length) plots.textContent = word("chooseChannels");
}

/** @param {string} address */
function plotOf(address) {
  const [, device, name] = address.split("/");
  const channel = catalogue?.devices[device]?.channels?.[name];
  if (!channel) return;
  drawn.set(address, new Plot(address, channel, errors.has(address), () => {
    if (!errors.delete(address)) errors.add(address);
    drawn.delete(address);
    arrange(tree.plotted);
    ask();
  }));
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

/** @param {{id: number, series: Series[], rows: RawRow[]}} found */
function take({ series, rows: found }) {
  for (const one of series) {
    const plot = drawn.get(one.address);
    if (plot) plot.series = one;
  }
  held = found;
  list();
  draw();
}

function list() {
  setText(rawName, tree.listed);
  rows.replaceChildren(...held.map((r) => h("tr", {}, [
    `${clockText(r.t_unix_ms, usesUtc())}.${String(Number((r.ns / 1000n) % 1_000_000n)).padStart(6, "0")}`,
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
  const found = between(marks.A, marks.B);
  if (!found) return setText(delta, word(marks.A || marks.B ? "setOther" : "setBoth"));
  const size = `Δt ${(found.delta_ms / 1000).toFixed(6)} s`;
  const sure = found.bound_ms === null ? `${word("sure")} ?` : `≤ ${found.bound_ms.toFixed(3)} ms ${word("sure")}`;
  if (!marks.A?.sample || !marks.B?.sample) {
    setText(delta, `${size} · ${marks.A?.sample ? "B" : "A"}: ${word("noSample")}`);
    return setClass(delta, "doubt", true);
  }
  const likely = found.err_ms === null ? "± ?" : `±${found.err_ms.toFixed(3)} ms ${word("likely")}`;
  setText(delta, `${size} · ${likely} · ${sure} · ${word(found.order)}`);
  setClass(delta, "doubt", found.order === "order_cannotTell");
}

/** @param {"A"|"B"} which @param {number} t */
function setMark(which, t) {
  marks[which] = markAt(held, t, span_ms / 200);
  transport.marks[which] = marks[which]?.t ?? null;
  sayDelta();
  draw();
}

/** @param {string} key @returns {boolean} */
function press(key) {
  const { view } = session;
  if (!view) return false;
  if (key === "[" || key === "]") setMark(key === "[" ? "A" : "B", view.cursor_t);
  else if (key === "z" || key === "Z") zoom(key === "z" ? 1 : -1);
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
  catalogue(described) {
    catalogue = described;
    const now = JSON.stringify(Object.entries(described.devices).map(([n, d]) => [n, Object.keys(d.channels ?? {})]));
    if (now === shape) return;
    shape = now;
    session.do({ do: "clear" });
    const layout = layoutOf(described);
    picture = layout.video ? new Picture(session, "main", layout.video, { inset: false, still: false }) : null;
    tree.build(described);
    arrange(tree.plotted);
    side.replaceChildren(...[picture?.element, raw].flatMap((e) => e ?? []));
    root.replaceChildren(
      h("header.top", {}, [h("h1.engineer-title", { text: word("engineer") }), chips.element]),
      h("main.desk", {}, [tree.element, h("div.middle", {}, [marksBar, plots]), side]),
      transport.element, toasts.element,
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
    transport.update(view);
    picture?.update(view, catalogue.replay);
    toasts.update(view);
    setClass(document.body, "disconnected", !view.connected);
    if (performance.now() - asked > ASK_MS) ask();
    draw();
  },
  series: take,
  notes: (notes) => toasts.take(notes),
  refused: (text) => toasts.warn(text),
  link(state, code) {
    if (state === "final") say(word(code === 4401 || code === 1008 ? "needKey" : "ended"));
  },
  bye: (code, text) => say(code === 4401 ? word("needKey") : text || word("ended")),
});

/** @param {string} text */
function say(text) {
  setText(message, text);
  setHidden(message, false);
}

chips.onClock = () => session.do({ do: "clock", utc: usesUtc() });
chips.onClock();
expose(session, () => [], () => ({
  player: session.shown?.player ?? null, plotted: tree.plotted, listed: tree.listed, delta: delta.textContent,
  rows: held.slice(0, 5).map((r) => ({ seq: r.seq, text: r.text })),
  points: Object.fromEntries([...drawn].map(([a, p]) => [a, p.lines.reduce((n, l) => n + l.t.length, 0)])),
}));
say(word("opening"));
const { error } = await enter(/^#wall=(.+)$/);
if (error) say(error);
else session.open();
