/**
 * The one worker that owns the socket, decoding, waveforms and video. The main thread sends it
 * wishes (`do`) and gets plain values to show (`is`), eight times a second.
 */

import { AlarmLog } from "./alarmlog.js";
import { Link } from "./link.js";
import { Notes } from "./notes.js";
import { Probe } from "./probe.js";
import { Room } from "./room.js";
import { Stage } from "./stage.js";
import { viewOf } from "./view.js";

/** @type {{postMessage(m: any): void, onmessage: ((e: MessageEvent) => void)|null}} */
const outside = /** @type {any} */ (self);

const VIEW_MS = 125;
const LOST_MS = 5_000; // a page that has not taken a view for so long may never have got it

const room = new Room();
const notes = new Notes(room);
const alarmLog = new AlarmLog(room);
const stage = new Stage(room, notes);
const probe = new Probe(room);
const { playhead, time } = room;
const jumped = playhead.onJump;
playhead.onJump = () => {
  jumped();
  setTimeout(tick); // numbers of another moment do not wait for the next view
};
const filled = room.onFilled;
let seen = false;
room.onFilled = () => {
  filled();
  if (!seen) setTimeout(tick); // nor do the first ones of all
  seen = true;
};
room.tell = (/** @type {string} */ is, /** @type {any} */ body) => outside.postMessage({ is, ...body });

/** @param {number} local */
function frame(local) {
  nextFrame(frame);
  if (time.base !== null) stage.frame(local);
}

/** @type {number|null} since when a view is on its way that the page has not taken */
let under_way = null;
let due = false;

/** Goes on while the page is hidden, when there are no frames. */
function tick() {
  if (time.base === null) return;
  const local = performance.now();
  room.tick(local);
  stage.report(local);
  // A page that is busy gets the newest view when it has time, and never a queue of old ones.
  due = under_way !== null && local - under_way < LOST_MS;
  if (due) return;
  under_way = local;
  outside.postMessage({ is: "view", view: viewOf(room, stage, local), made: performance.timeOrigin + local });
}

/** @param {string} url */
function loadFont(url) {
  const face = new FontFace("Inter", `url(${url})`, { weight: "400 750" });
  // Without it captions are in the system's font, and nothing else is different.
  face.load().then((loaded) => /** @type {any} */ (self).fonts.add(loaded), () => {});
}

/** @type {Record<string, (wish: any) => void>} */
const wishes = {
  taken() {
    under_way = null;
    if (due) setTimeout(tick);
  },
  open({ url, font }) {
    loadFont(font);
    room.link = new Link(
      url,
      (message, local) => room.take(message, local),
      (state, code) => room.tell("link", { state, code }),
    );
  },
  traces: ({ port }) => stage.traces.open(port),
  video: (wish) => stage.video(wish),
  inkSize: (wish) => stage.inkSize(wish),
  source: (wish) => stage.source(wish),
  framing: (wish) => stage.framing(wish),
  thumb: (wish) => stage.thumb(wish),
  still: (wish) => stage.still(wish),
  stillSize: (wish) => stage.stillSize(wish),
  sight: (wish) => stage.sight(wish),
  away: ({ away }) => stage.leave(away),
  hold: (wish) => stage.hold(wish),
  clear: () => stage.clear(),
  nav({ port }) {
    stage.nav = port;
  },
  seek({ t, frozen, move }) {
    playhead.seek(t, Boolean(frozen));
    room.moves.here(move);
  },
  step: ({ ms }) => playhead.seek(playhead.cursor() + ms, playhead.mode === "frozen" && ms < 0),
  live: () => playhead.live(),
  smooth: ({ ms }) => playhead.smooth(ms),
  freeze({ move }) {
    stage.freeze();
    room.moves.here(move);
  },
  draft({ address, note }) {
    notes.draft = note ? { address, note } : null;
  },
  annotate({ id, note, t }) {
    const at_ns = stage.shown(id)?.ns ?? time.toNs(t ?? playhead.cursor());
    room.link?.send(["annotate", { ...note, at_ns }]);
  },
  snapshot({ id, note }) {
    const shown = stage.shown(id);
    const sent = Boolean(shown && room.link?.alive);
    const at_unix_ms = shown ? time.unix(shown.t) : 0;
    room.tell("snapshot", { id: note.id, at_unix_ms, kept: sent ? null : false, why: "lost" });
    if (sent && shown) room.link?.send(["annotate", { ...note, at_ns: shown.ns }]);
  },
  trends: ({ from_t, to_t, bins, addresses }) => room.askTrends(from_t, to_t, bins, addresses),
  alarm: ({ wish }) => room.link?.send(["alarm", wish]),
  alarmLog: () => alarmLog.want(),
  play: ({ wish, move }) => room.play(wish, move),
  probe: ({ wish }) => probe.want(wish),
  person: ({ act, session }) => room.link?.send([act, session]),
  lanes: ({ from_t, to_t, bins }) => room.askLanes(from_t, to_t, bins),
  clock({ zone }) {
    notes.zone = zone;
  },
  end: () => room.link?.end(),
};

const nextFrame =
  typeof self.requestAnimationFrame === "function"
    ? self.requestAnimationFrame.bind(self)
    : (/** @type {(t: number) => void} */ call) => setTimeout(() => call(performance.now()), 16);

outside.onmessage = ({ data }) => wishes[data.do]?.(data);
setInterval(tick, VIEW_MS);
nextFrame(frame);
