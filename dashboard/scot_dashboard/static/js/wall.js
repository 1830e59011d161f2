/**
 * The wall: picture and numbers for three metres, and one scrubber; and the station, the same room
 * on a clinician's desk. What stands where is the layout's. @import {Catalogue, Note, Person, View} from "./types.js"
 */

import { closeOne, h, setClass, setHidden, setText } from "./dom.js";
import { Drawer } from "./drawer.js";
import { AlarmLine } from "./alarmline.js";
import { AlarmLog } from "./alarmlog.js";
import { galleryKeys } from "./gallery.js";
import { Chips } from "./header.js";
import { expose } from "./hook.js";
import { Address } from "./address.js";
import { BehindBanner, timeKeys } from "./behind.js";
import { Lanes } from "./lanes.js";
import { Board, docking } from "./layout/board.js";
import { Dvr } from "./layout/dvr.js";
import { Editor } from "./layout/editor.js";
import { Layouts } from "./layout/layouts.js";
import { Shelf } from "./layout/shelf.js";
import { Marker } from "./marker.js";
import { Mirror } from "./mirror.js";
import { Door } from "./people.js";
import { Panel } from "./panel.js";
import { SIZES, layoutOf } from "./plan.js";
import { Session, enter } from "./session.js";
import { StandingBar } from "./standing.js";
import { lang, spanText, word } from "./text.js";
import { Thread } from "./thread.js";
import { Toasts } from "./toasts.js";
import { Tour } from "./tour.js";
import { Trends } from "./trends.js";

const UTC_OFFSET_MS = 37_000;

document.documentElement.lang = lang;
const session = new Session();
const root = /** @type {HTMLElement} */ (document.querySelector("#room"));
const message = /** @type {HTMLElement} */ (document.querySelector("#message"));
const alarmLog = new AlarmLog(session);
const alarmLine = new AlarmLine(session, () => alarmLog.toggle());
const chips = new Chips();
const standing = new StandingBar();
const lanes = new Lanes(session);
lanes.smooth();
alarmLog.steer(lanes);
const banner = new BehindBanner(session, { returns: true });
const marker = new Marker(session, (text) => toasts.warn(text));
const mirror = new Mirror();
const door = new Door(session);
const toasts = new Toasts();
const address = new Address(session, (text) => toasts.warn(text), (t) => lanes.seek(t, true));
const drawer = new Drawer();
const panel = new Panel();
const trends = new Trends(session);
const tour = new Tour("room", { itself: location.pathname === "/station" });
panel.onTour = () => tour.begin();
const desk = location.pathname === "/station";
setClass(document.body, "station", desk);
const dvr = desk ? new Dvr(session) : null;
const thread = new Thread(session, { write: true });
const tools = { log: docking(alarmLog), trends: docking(trends) };
const layouts = new Layouts(desk ? "station" : "wall", (text) => (editor.on ? setText(editor.status, text) : toasts.warn(text)));
const shelf = new Shelf(layouts);
const editor = new Editor(layouts, shelf.button);
const hiddenAlarm = h("button.hidden-alarm", { type: "button" });
layouts.onChange = () => {
  editor.update();
  shelf.update();
  if (session.shown) show(session.shown); // what has just come to stand is never empty
};
hiddenAlarm.addEventListener("click", () => layouts.show(hiddenAlarm.dataset.pane ?? ""));
lanes.side.append(h("div.side-tools", {}, [marker.button, alarmLog.button, trends.button, address.button, drawer.button, panel.button, editor.key, address.field]));
if (dvr) lanes.element.append(dvr.element);

/** @type {Catalogue|null} */
let catalogue = null;
/** @type {ReturnType<typeof build>|null} */
let board = null;
let shape = "";
let goodbye = false;

/** @param {Catalogue} described */
function build(described) {
  const layout = layoutOf(described);
  const made = new Board(session, layout, described, {
    tools, notes: thread.element, openAll: () => drawer.toggle(true), replay: described.replay,
  });
  made.element.append(toasts.element, hiddenAlarm);
  root.replaceChildren(
    h("header.top", {}, [alarmLine.element, chips.element]), made.element, editor.bar, lanes.element,
    banner.element, standing.element, mirror.element, door.knocks, door.viewers, drawer.element, alarmLog.element, trends.element, panel.element, shelf.element,
  );
  drawer.build(layout, described);
  trends.build(layout);
  return made;
}

/** Devices and channels, without what changes by itself. @param {Catalogue} c */
const shapeOf = (c) => JSON.stringify(
  Object.entries(c.devices).map(([n, d]) => [n, d.label, d.channels]),
  (key, value) => (SIZES.has(key) ? 0 : typeof value === "bigint" ? String(value) : value),
);

/** Whether and how long the recorder has run: a service of the room, so its name is fixed. */
function recording() {
  const view = session.view;
  const recorder = catalogue?.devices.recorder;
  if (!view || !recorder || catalogue?.replay) return null;
  const health = view.cells[`${catalogue?.workspace}/recorder/health`];
  const running = Boolean(health && !health.stale && view.connected);
  const since_ms = view.now_unix_ms - (Number(recorder.epoch ?? 0) / 1e6 - UTC_OFFSET_MS);
  const lost = health?.value?.lost ? ` · ${word("lostSamples")} ${health.value.lost}` : "";
  return running
    ? { text: `● ${word("rec")} ${spanText(Math.max(0, since_ms))}${lost}`, fine: !lost }
    : { text: word("notRecording"), fine: false };
}

/** @param {View} view */
function show(view) {
  if (!board || !catalogue) return;
  standing.update(view, catalogue);
  lanes.blind = standing.blind.all();
  alarmLine.update(view, catalogue, board.layout, true);
  alarmLog.update(view, catalogue, board.layout);
  chips.update(catalogue, view, { recording: recording() });
  board.update(view);
  dvr?.update(view);
  warnOfHidden(board.alarmed(view));
  lanes.update(view, catalogue);
  banner.update(view, catalogue.replay, board.layout);
  address.update(view);
  marker.update();
  mirror.update(view, catalogue, board.layout);
  toasts.update(view);
  trends.update(view);
  drawer.update(view);
  tour.update(alarmLine.worth > 0, view.connected);
  board.pin(pinned);
  if (pinned && view.now_t > pinnedUntil) pinned = null;
}

/** @param {Catalogue} described */
function arrange(described) {
  if (shapeOf(described) === shape) return;
  // A canvas can be handed to a worker once: a new set of channels is a new set of panes.
  shape = shapeOf(described);
  board?.end();
  session.do({ do: "clear" });
  board = build(described);
  void layouts.open(board);
  if (session.shown) show(session.shown); // new tiles are never empty, not even for a moment
  setHidden(message, true);
  document.title = `SCOT · ${desk ? `${word("station")} · ` : ""}${described.title.en ?? described.workspace}`;
}

session.listen({
  catalogue(described) {
    catalogue = described;
    if (session.view) arrange(described);
  },
  view(view) {
    // Panes and first values come in one step: until then only their places are drawn.
    if (!board && catalogue) arrange(catalogue);
    show(view);
  },
  layouts: (lines) => layouts.follow(lines),
  people(people) {
    door.update(people);
    chips.showPeople(people, () => door.open());
  },
  notes(notes) {
    toasts.take(notes, author);
    marker.take(notes);
    door.thread.update(notes);
    thread.update(notes);
    const view = session.view;
    const fresh = notes.filter((n) => n.points.length && n.author !== author && view && n.t + n.ttl_s * 1000 > view.now_t);
    pinned = fresh[fresh.length - 1] ?? null;
    pinnedUntil = pinned ? pinned.t + pinned.ttl_s * 1000 : 0;
  },
  hello(hello) {
    author = door.thread.author = thread.author = hello.author;
  },
  link(state, code) {
    if (goodbye) return; // it said more than a code does
    if (state === "final") say(word(code === 4401 || code === 1008 ? "needKey" : "ended"));
    else if (state === "closed" && !board) say(word("noAnswer"), true);
  },
  refused(text) {
    toasts.warn(text);
  },
  bye(code, text) {
    goodbye = true;
    say(code === 4401 ? word("needKey") : text || word("ended"));
  },
});
/** @type {Note|null} */
let pinned = null;
let pinnedUntil = 0;
let author = "";

/** An alarm is in the alarm line whatever stands here; its pane is one press away. @param {import("./layout/arrange.js").Spec[]} panes */
function warnOfHidden(panes) {
  setHidden(hiddenAlarm, !panes.length);
  if (!panes.length) return;
  hiddenAlarm.dataset.pane = panes[0].id;
  setText(hiddenAlarm, `${word("alarmHidden")}: ${panes.map((p) => p.title).join(" · ")} — ${word("showPane")}`);
}

/** @param {string} text @param {boolean} [waiting] for what comes by itself */
function say(text, waiting = false) {
  setText(message, text);
  setClass(message, "waiting", waiting);
  setHidden(message, false);
}

timeKeys(session, {
  a: () => alarmLine.acknowledge(),
  p: () => alarmLine.togglePause(),
  x: () => alarmLine.switchOff(),
  o: () => alarmLog.toggle(),
  b: () => lanes.jumpAlarm(-1),
  n: () => lanes.jumpAlarm(1),
  t: () => trends.toggle(),
  m: () => marker.mark("key"),
  y: () => address.copy(),
  ",": () => lanes.jump(-1),
  ".": () => lanes.jump(1),
  i: () => mirror.speak(),
  s: () => panel.toggle("display"),
  e: () => editor.toggle(),
  ...galleryKeys(() => board?.picture),
  "?": () => panel.toggle("keys"),
}, () => closeOne([tour, panel, shelf, alarmLog, trends, drawer, editor, ...(board?.picture ? [board.picture] : [])]));
expose(
  session,
  () => (board?.tiles ?? []).flatMap((t) => t.state()),
  () => ({ standing: document.body.dataset.state ?? "", blind: standing.blind.spans, navigation: board?.navigation?.state() ?? null, pictures: board?.picture?.state() ?? null, alarmLine: alarmLine.shown ?? [], pinned: pinned?.at_ns ?? null, layout: layouts.state(), ...lanes.state() }),
);
say(word("opening"), true);
const { error } = await enter(/^#wall=(.+)$/);
if (error) say(error);
else session.open();
