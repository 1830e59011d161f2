/** The professor's page: one large picture, four numbers, the probe, a thread. @import {Catalogue, View} from "./types.js" */

import { AlarmLine } from "./alarmline.js";
import { AlarmLog } from "./alarmlog.js";
import { ClockFace } from "./clockface.js";
import { closeOne, h, setClass, setHidden, setText } from "./dom.js";
import { DrawingTools } from "./draw.js";
import { Gallery, galleryKeys } from "./gallery.js";
import { showClocks } from "./header.js";
import { expose } from "./hook.js";
import { BehindBanner, firstOfEach, timeKeys } from "./behind.js";
import { Lanes } from "./lanes.js";
import { NavigationPane } from "./navigation.js";
import { Panel } from "./panel.js";
import { SIZES, layoutOf } from "./plan.js";
import { Session, enter } from "./session.js";
import { StandingBar } from "./standing.js";
import { delayText, lang, label, spanText, word } from "./text.js";
import { Thread } from "./thread.js";
import { Toasts } from "./toasts.js";
import { Tour } from "./tour.js";
import { Trends } from "./trends.js";
import { Tile } from "./tiles.js";

const NUMBERS = 4;

document.documentElement.lang = lang;
const session = new Session();
const root = /** @type {HTMLElement} */ (document.querySelector("#room"));
const message = /** @type {HTMLElement} */ (document.querySelector("#message"));
const alarmLog = new AlarmLog(session);
const alarmLine = new AlarmLine(session, () => alarmLog.toggle());
const standing = new StandingBar();
const lanes = new Lanes(session);
lanes.smooth();
alarmLog.steer(lanes);
const panel = new Panel({ staff: false });
const trends = new Trends(session);
const tour = new Tour("consult");
panel.onTour = () => tour.begin();
lanes.side.append(h("div.side-tools", {}, [alarmLog.button, trends.button, panel.button]));
const banner = new BehindBanner(session);
const toasts = new Toasts();
const thread = new Thread(session, { write: true });

const behind = h("span.chip.chip-behind", { role: "status" });
const lost = h("span.chip.chip-lost");
const clocks = h("span.chip");
const title = h("h1.case");
const clock = new ClockFace();
const swap = h("button.nav-window.nav-swap", { type: "button", text: word("enlargeNav") });
swap.addEventListener("click", exchange);

/** @type {Catalogue|null} */
let catalogue = null;
/** @type {ReturnType<typeof build>|null} */
let board = null;
let shape = "";
let author = "";
let ended = false;

/** @param {Catalogue} described */
function build(described) {
  const layout = layoutOf(described);
  const groups = [...layout.rows.flatMap((r) => r.groups), ...layout.foot];
  const tiles = firstOfEach(groups).slice(0, NUMBERS).map((group) => new Tile(group));
  const picture = layout.videos.length ? new Gallery(session, "main", layout.videos, { still: false, snapshots: !described.replay }) : null;
  trends.build(layout);
  const tools = picture && !described.replay ? new DrawingTools(session, picture.picture) : null;
  tools?.setAuthor(author);
  const navigation = layout.navigation ? new NavigationPane(session, layout.navigation) : null;
  if (navigation && picture) navigation.element.append(swap);
  const hand = action("raiseHand", () => thread.say(word("handUp")));
  const leave = action("leave", () => end(word("ended")));
  setClass(leave, "leave", true);
  root.replaceChildren(
    h("header.top", {}, [
      title, described.replay ? h("span.chip.replay.chip-state", { text: word("replay") }) : null,
      h("span.chip", { text: word("noNames") }), behind, clocks, lost,
      h("span.top-space"), clock.element, described.replay ? null : hand, leave,
    ]),
    h(layout.navigation && !picture ? "main.stage.nav-large" : "main.stage", {}, [
      h("div.view", {}, [picture?.element, tools?.element, toasts.element]),
      h("aside.side", {}, [
        h("div.numbers", {}, tiles.map((t) => t.element)), navigation?.element, thread.element,
      ]),
    ]),
    alarmLine.element, lanes.element, banner.element, standing.element, alarmLog.element, trends.element, panel.element,
  );
  setText(title, /^\d+$/.test(described.case) ? `Case ${described.case}` : described.case || label(described.title, described.workspace));
  document.title = `SCOT · ${title.textContent}`;
  return { layout, tiles, picture, tools, navigation };
}

/** Either the slices or the video is large; the other stands beside it and goes on. */
function exchange() {
  const stage = root.querySelector(".stage");
  if (!stage || !board?.navigation || !board.picture) return;
  setClass(stage, "nav-large", !stage.classList.contains("nav-large"));
  setText(swap, word(stage.classList.contains("nav-large") ? "enlargePicture" : "enlargeNav"));
}

/** @param {string} key @param {() => void} act */
function action(key, act) {
  const button = h("button.action", { type: "button", text: word(key) });
  button.addEventListener("click", act);
  return button;
}

/** @param {View} view */
function show(view) {
  if (!board || !catalogue || ended) return;
  standing.update(view, catalogue);
  lanes.blind = standing.blind.all();
  setHidden(lost, view.connected);
  setText(lost, word("lost"));
  clock.update(view, catalogue.replay);
  showBehind(view);
  showClocks(clocks, view, catalogue);
  for (const tile of board.tiles) tile.update(view, view.cursorAlarms);
  board.picture?.update(view, catalogue.replay);
  board.navigation?.update(view);
  alarmLine.update(view, catalogue, board.layout);
  alarmLog.update(view, catalogue, board.layout);
  lanes.update(view, catalogue);
  banner.update(view, catalogue.replay);
  toasts.update(view);
  trends.update(view);
  tour.update(alarmLine.worth > 0, view.connected);
}

/** @param {Catalogue} described */
function arrange(described) {
  const now = JSON.stringify(
    Object.entries(described.devices).map(([n, d]) => [n, d.label, d.channels]),
    (key, value) => (SIZES.has(key) ? 0 : typeof value === "bigint" ? String(value) : value),
  );
  if (now === shape) return;
  shape = now;
  board?.navigation?.worker.terminate();
  session.do({ do: "clear" });
  board = build(described);
  if (session.shown) show(session.shown);
  setHidden(message, true);
}

session.listen({
  hello(hello) {
    author = thread.author = hello.author;
    board?.tools?.setAuthor(author);
  },
  catalogue(described) {
    catalogue = described;
    if (session.view) arrange(described);
  },
  view(view) {
    // Panes and first values come in one step: until then only their places are drawn.
    if (!board && catalogue) arrange(catalogue);
    show(view);
  },
  notes(notes) {
    thread.update(notes);
  },
  people(people) {
    if (!board && people.some((p) => p.state === "knocking")) say(word("asked"));
  },
  link(state, code) {
    if (ended) return; // the goodbye that came before says more
    if (state === "open" && !board) say(word("asked"));
    else if (state === "final") end(word(code === 4401 ? "needInvitation" : "ended"));
    else if (state === "closed" && !board) say(word("noAnswer"));
  },
  refused(text) {
    toasts.warn(text);
  },
  bye(code, text) {
    end(code === 4401 ? word("needInvitation") : text || word("ended"));
  },
});

/** Say why, and keep nothing of the room on this machine. @param {string} why */
function end(why) {
  ended = true;
  tour.end({ kept: false });
  board?.navigation?.worker.terminate();
  session.close();
  root.replaceChildren();
  board = null;
  say(why);
}

/** @param {import("./types.js").View} view */
function showBehind(view) {
  const live = view.mode === "live";
  const lag = board?.picture ? view.videos.main?.lag_ms : view.sync_ms;
  const text = live ? (lag == null ? "" : delayText(lag)) : spanText(view.behind_ms);
  setHidden(behind, !text);
  setText(behind, word("youBehind").replace("{}", text));
  setClass(behind, "warn", !live || (lag ?? 0) > 400);
}

/** @param {string} text @param {boolean} [waiting] for what comes by itself */
function say(text, waiting = false) {
  setText(message, text);
  setClass(message, "waiting", waiting);
  setHidden(message, false);
}

timeKeys(session, {
  o: () => alarmLog.toggle(),
  b: () => lanes.jumpAlarm(-1),
  n: () => lanes.jumpAlarm(1),
  t: () => trends.toggle(),
  s: () => panel.toggle("display"),
  g: exchange,
  ...galleryKeys(() => board?.picture),
  "?": () => panel.toggle("keys"),
}, () => closeOne([tour, panel, alarmLog, trends, ...(board?.picture ? [board.picture] : [])]));
expose(session, () => board?.tiles.flatMap((t) => t.state()) ?? [], () => ({
  navigation: board?.navigation?.state() ?? null,
  pictures: board?.picture?.state() ?? null,
  message: message.hidden ? "" : message.textContent,
  alarmLine: alarmLine.shown ?? [],
  standing: document.body.dataset.state ?? "",
}));
say(word("opening"), true);
const { error } = await enter(/^#(.+)$/);
if (error) say(error);
else session.open("consultant");
