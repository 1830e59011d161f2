/**
 * The one worker that owns the socket, decoding, waveforms and video. The main thread sends it
 * wishes (`do`) and gets plain values to show (`is`), eight times a second.
 * @import {Catalogue, Channel, Hello, Note, Sample} from "../types.js"
 */

import { BusTime } from "./bustime.js";
import { InkLayer, clockText } from "./ink.js";
import { Link } from "./link.js";
import { Playhead } from "./playhead.js";
import { Store } from "./store.js";
import { Sweep } from "./sweep.js";
import { Follower, Screen, VideoPane } from "./video.js";
import { Witness, alarmsAt, cellAt, channelsOf } from "./view.js";
import { readSample } from "./wire.js";

/** @type {{postMessage(m: any): void, onmessage: ((e: MessageEvent) => void)|null}} */
const outside = /** @type {any} */ (self);

const VIEW_MS = 125;
const NAV_MS = 33;
const SEEN_MS = 250;
const FIRST_FILL_MS = 14_000;
const ALARM_FILL_MS = 600_000;
const LONGEST_DELAY_MS = 1_500;
const SMALL_NOTE_TOOLS = new Set(["pointer", "ink", "arrow", "pin"]);

const time = new BusTime();
const store = new Store();
const witness = new Witness();
const playhead = new Playhead(store, time, ask);

/** @type {Link|null} */
let link = null;
/** @type {Hello|null} */
let hello = null;
/** @type {Map<string, {device: string, channel: Channel}>} */
let channels = new Map();
/** @type {Map<number, {question: import("./playhead.js").Question, local: number}>} */
const asked = new Map();
/** @type {Map<string, {canvas: OffscreenCanvas, sweeps: Sweep[]}>} */
const sheets = new Map();
/** @type {Map<string, {pane: VideoPane, ink: InkLayer|null, scale: number}>} */
const panes = new Map();
/** @type {Map<string, {screen: Screen, follower: Follower, note: Note|null}>} */
const stills = new Map();
/** @type {MessagePort|null} */
let nav = null;
/** @type {{address: string, note: Note}|null} what is being drawn on this very page */
let draft = null;
/** @type {Record<string, number>} */
let conflated = {};
/** @type {{local: number, need: number}[]} */
let needs = [];
const stats = { frames: 0, delay_ms: 0, view: 0, nav: 0, seen: 0, fill: 0, trim: 0, number: 0, tick: 0 };
let utc = false;
let lostAt = 0;

// --- the feed ---------------------------------------------------------------------------------

/** @param {any[]} message @param {number} local */
function take(message, local) {
  const [type, ...rest] = message;
  if (type === "samples") for (const [address, header, payload] of rest[1]) sample(address, header, payload, true);
  else if (type === "clock") time.reply(Number(rest[0]), local, rest[1]);
  else if (type === "history") history(rest[0], rest[1], rest[2], rest[3]);
  else if (type === "hello") greet(rest[0], local);
  else if (type === "catalogue") describe(rest[0]);
  else if (type === "people") outside.postMessage({ is: "people", people: rest[0] });
  else if (type === "lanes") lanes(rest[1]);
  else if (type === "conflated") {
    for (const [address, count] of Object.entries(rest[0])) {
      conflated[address] = (conflated[address] ?? 0) + Number(count);
    }
  } else if (type === "bye") {
    link?.end();
    outside.postMessage({ is: "bye", code: rest[0], text: rest[1] });
  }
}

/** @param {Hello} message @param {number} local */
function greet(message, local) {
  const again = hello !== null && store.small.spans.length > 0;
  hello = message;
  time.utcOffset = BigInt(Math.round(message.utc_offset_ns));
  time.hello(message.bus_now_ns, local);
  playhead.playout_ms = message.playout_ms;
  stats.delay_ms = stats.delay_ms || message.playout_ms;
  const now = time.now(local);
  playhead.oldest = message.oldest_ns === null ? now : time.fromNs(BigInt(message.oldest_ns));
  describe(message.catalogue);
  outside.postMessage({ is: "hello", hello: message });
  store.bulk.add(now, now + 1);
  const from = again ? Math.max(lostAt, now - FIRST_FILL_MS * 4) : now - FIRST_FILL_MS;
  const first = Math.max(playhead.oldest, from);
  ask({ addresses: [...channels.keys()], at: now, done: () => {} });
  ask({
    addresses: playhead.small(),
    between: [first, now],
    done: (complete) => complete && store.small.add(first, time.now()),
  });
  const kept = of((c) => c.kind === "annotation");
  if (kept.length) ask({ addresses: kept, between: [playhead.oldest, now], done: () => {} });
  const alarms = of((c) => c.kind === "alarm");
  const alarmsFrom = Math.max(playhead.oldest, now - ALARM_FILL_MS);
  if (alarms.length) ask({ addresses: alarms, between: [alarmsFrom, now], done: () => {} });
}

/** @param {Catalogue} catalogue */
function describe(catalogue) {
  if (hello) hello.catalogue = catalogue;
  channels = new Map(
    channelsOf(catalogue).map(({ address, device, channel }) => [address, { device, channel }]),
  );
  outside.postMessage({ is: "catalogue", catalogue });
}

/** Addresses of the channels that `test` accepts. @param {(c: Channel) => boolean} test */
function of(test) {
  return [...channels].filter(([, { channel }]) => test(channel)).map(([address]) => address);
}

const isBulk = (/** @type {Channel} */ c) => c.kind === "video" || c.kind === "image";
playhead.small = () => of((c) => !isBulk(c) && c.sensitivity !== "technical");
playhead.bulk = () => of(isBulk);

/**
 * @param {string} address
 * @param {any[]} header
 * @param {Uint8Array} payload
 * @param {boolean} live
 */
function sample(address, header, payload, live) {
  const known = channels.get(address);
  if (!known) return;
  const { device, channel } = known;
  const track = store.track(address, channel.kind);
  const read = readSample(channel, header, payload, (ns) => time.fromNs(ns));
  if (live && channel.kind === "waveform") notice(track, channel);
  const isNew = track.add(read);
  if (live) witness.see(device, channel, read);
  if (!isNew) return;
  if (channel.kind === "annotation") tellNotes();
  if (live && channel.kind === "video") {
    for (const { pane } of panes.values()) if (pane.address === address) pane.push(read);
  }
}

/** How late waveforms may come before the head must wait. @param {any} track @param {Channel} c */
function notice(track, c) {
  const before = track.samples[track.samples.length - 1];
  if (!before) return;
  const end = before.t + (before.value.length * 1000) / (c.rate_hz || 100);
  const need = time.now() - end;
  if (need > 0 && need < LONGEST_DELAY_MS) needs.push({ local: performance.now(), need });
}

/** @param {import("./playhead.js").Question} question */
function ask(question) {
  const number = ++stats.number;
  asked.set(number, { question, local: performance.now() });
  const { addresses, between, at } = question;
  const request = between
    ? { addresses, between: between.map((t) => time.toNs(t)) }
    : { addresses, at: time.toNs(at ?? 0) };
  link?.send(["history", number, request]);
}

/** @param {number} number @param {boolean} complete @param {any} next @param {any[]} frames */
function history(number, complete, next, frames) {
  const entry = asked.get(number);
  for (const [address, header, payload] of frames) sample(address, header, payload, false);
  if (!complete) return;
  asked.delete(number);
  if (!entry) return;
  const { question } = entry;
  if (next !== null && next !== undefined && question.between) {
    const from = time.fromNs(BigInt(next));
    if (from > question.between[0]) {
      return ask({ ...question, between: [from, question.between[1]] });
    }
  }
  question.done(true);
  for (const { pane } of panes.values()) pane.catchUp(store.track(pane.address, "video"));
  for (const { sweeps } of sheets.values()) for (const sweep of sweeps) sweep.head = null;
}

/** @param {any} found */
function lanes(found) {
  const t = (/** @type {any} */ ns) => (ns === null ? null : time.fromNs(BigInt(ns)));
  outside.postMessage({
    is: "lanes",
    lanes: {
      ...found,
      from_t: t(found.from_ns),
      to_t: t(found.to_ns),
      alarms: found.alarms.map((/** @type {any[]} */ a) => [t(a[0]), t(a[1]), a[2], a[3]]),
      notes: found.notes.map((/** @type {any[]} */ n) => [t(n[0]), n[1], n[2], n[3]]),
    },
  });
}

// --- notes ------------------------------------------------------------------------------------

/** Every note, the last word on each id. @returns {Note[]} */
function notes() {
  /** @type {Map<string, Note>} */
  const byId = new Map();
  for (const address of of((c) => c.kind === "annotation")) {
    for (const { t, value } of store.track(address, "annotation").samples) {
      const at_ns = BigInt(value.at_ns);
      const at_t = time.fromNs(at_ns);
      byId.set(value.id, {
        points: [], text: "", ttl_s: 8, ...value, at_ns, at_t, at_unix_ms: time.unix(at_t), t,
      });
    }
  }
  return [...byId.values()].filter((note) => note.ttl_s > 0);
}

let notesDue = false;
function tellNotes() {
  if (notesDue) return;
  notesDue = true;
  queueMicrotask(() => {
    notesDue = false;
    known = notes();
    outside.postMessage({ is: "notes", notes: known });
  });
}
/** @type {Note[]} */
let known = [];

/** Notes to draw over a picture now. @param {string} address @param {number} t @param {boolean} live */
function inkFor(address, t, live) {
  const shown = known.filter((note) => {
    if (note.channel !== address || !SMALL_NOTE_TOOLS.has(note.tool)) return false;
    const begin = live ? note.t : note.at_t - 20;
    return begin <= t + 1 && t < begin + note.ttl_s * 1000 + (playhead.mode === "frozen" ? 60_000 : 0);
  });
  return draft && draft.address === address ? [...shown, draft.note] : shown;
}

/** @param {Note} note */
function caption(note) {
  const hundredths = String(Math.floor((note.at_unix_ms % 1000) / 10)).padStart(2, "0");
  return note.id === "draft" ? "" : `${note.author} · ${clockText(note.at_unix_ms, utc)}.${hundredths}`;
}

// --- drawing ----------------------------------------------------------------------------------

/** @param {number} local */
function frame(local) {
  stats.tick = local;
  requestFrame(frame);
  if (time.base === null) return;
  const cursor = playhead.cursor(local);
  const live = playhead.mode === "live";
  const waveT = live ? cursor - stats.delay_ms : cursor;
  if (link?.alive || !live) {
    for (const { sweeps } of sheets.values()) {
      for (const sweep of sweeps) sweep.draw(store.track(sweep.row.address, "waveform"), waveT);
    }
  }
  for (const { pane, ink, scale } of panes.values()) {
    if (!live) pane.follower.follow(store.track(pane.address, "video"), cursor);
    const shown = pane.main.shown;
    const t = shown && !live ? Math.max(shown.unit.t, cursor) : cursor;
    const { width, height } = pane.main.canvas;
    ink?.draw(inkFor(pane.address, t, live), width / height || 16 / 9, scale, caption);
  }
  for (const still of stills.values()) {
    if (still.note) still.follower.follow(store.track(still.note.channel, "video"), still.note.at_t + 0.0005);
  }
  if (nav && local - stats.nav >= NAV_MS) {
    stats.nav = local;
    nav.postMessage(poses(live, cursor));
  }
}

/** @param {boolean} live @param {number} t */
function poses(live, t) {
  const found = [];
  for (const [address, { channel }] of channels) {
    if (channel.kind !== "pose") continue;
    const cell = cellAt(store.track(address, "pose"), channel, t, live, (x) => x);
    if (cell) found.push({ address, ...cell.value, err_mm: cell.value.err_mm ?? channel.err_mm ?? null, stale: cell.stale });
  }
  return { poses: found };
}

function tick() {
  const local = performance.now();
  // A hidden page gets no animation frames; the rest must go on.
  if (time.base === null || !hello) return;
  playhead.fill();
  stats.fill = local;
  needs = needs.filter((n) => local - n.local < 10_000);
  const need = needs.reduce((most, n) => Math.max(most, n.need + 15), playhead.playout_ms);
  stats.delay_ms = need > stats.delay_ms ? need : Math.max(need, stats.delay_ms - 0.5);
  if (link?.alive && playhead.mode === "live" && asked.size === 0) covered(time.now(local));
  if (local - stats.trim > 5_000) {
    stats.trim = local;
    store.trim(time.now(local), playhead.cursor(local));
    for (const [number, { local: since }] of asked) if (local - since > 15_000) asked.delete(number);
  }
  if (link?.alive) lostAt = time.now(local);
  seen(local);
  outside.postMessage({ is: "view", view: view(local) });
}

/** What streams in live is complete: the feed says what it leaves out. @param {number} now */
function covered(now) {
  const spans = store.small.spans;
  const last = spans[spans.length - 1];
  if (last) last[1] = Math.max(last[1], now - 400);
  const bulk = store.bulk.spans[store.bulk.spans.length - 1];
  if (bulk) bulk[1] = Math.max(bulk[1], now - 400);
}

/** @param {number} local */
function seen(local) {
  if (!hello || hello.role === "or_staff" || local - stats.seen < SEEN_MS) return;
  stats.seen = local;
  for (const { pane } of panes.values()) {
    const screen = playhead.mode === "live" ? pane.main : pane.inset;
    const shown = screen?.shown;
    if (!shown) continue;
    const behind_ms = Math.max(0, time.now(shown.drawn) - shown.unit.t);
    link?.send(["seen", { channel: pane.address, bus_ns: shown.unit.ns, behind_ms: Math.round(behind_ms * 10) / 10 }]);
  }
}

/** @param {number} local @returns {import("../types.js").View} */
function view(local) {
  const now = time.now(local);
  const live = playhead.mode === "live";
  const t = playhead.cursor(local);
  const unix = (/** @type {number} */ x) => time.unix(x);
  /** @type {Record<string, import("../types.js").Cell>} */
  const cells = {};
  /** @type {[string, import("./store.js").Track][]} */
  const alarmTracks = [];
  for (const [address, { device, channel }] of channels) {
    const track = store.tracks.get(address);
    if (!track) continue;
    if (channel.kind === "alarm") alarmTracks.push([device, track]);
    const cell = cellAt(track, channel, t, live, unix);
    if (cell) cells[address] = cell;
  }
  const alive = link?.alive ?? false;
  const alarms = alarmsAt(alarmTracks, Infinity, now);
  let columns = 0;
  for (const { sweeps } of sheets.values()) for (const s of sweeps) columns += s.columns;
  return {
    connected: alive,
    lost_ms: alive ? 0 : local - (link?.heard ?? local),
    now_unix_ms: unix(now),
    now_t: now,
    oldest_t: playhead.oldest,
    mode: playhead.mode,
    cursor_t: t,
    cursor_unix_ms: unix(t),
    behind_ms: playhead.behind(local),
    seeking: playhead.seeking,
    cells,
    alarms,
    cursorAlarms: live ? alarms : alarmsAt(alarmTracks, t, t),
    silent_ms: witness.silence(now),
    clock: witness.clock(now),
    videos: Object.fromEntries([...panes].map(([id, { pane }]) => [id, videoNow(pane, t, live)])),
    ranges: ranges(),
    simulated: witness.simulated,
    conflated,
    columns,
    frames: stats.frames,
    delay_ms: stats.delay_ms,
    seek_ms: playhead.seek_ms,
    sync_ms: time.half_ms,
  };
}

/** What the height of each waveform's row stands for. */
function ranges() {
  /** @type {Record<string, [number, number]>} */
  const found = {};
  for (const { sweeps } of sheets.values()) {
    for (const sweep of sweeps) if (sweep.head !== null) found[sweep.row.address] = [sweep.low, sweep.high];
  }
  return found;
}

/** @param {VideoPane} pane @param {number} t @param {boolean} live */
function videoNow(pane, t, live) {
  const shown = pane.main.shown;
  const channel = channels.get(pane.address)?.channel;
  const newest = live ? shown : null;
  // Live: how old the picture is when its successor is due; smooth enough to read.
  const age_ms = newest ? t - newest.unit.t : shown ? Math.max(0, t - shown.unit.t) : null;
  return {
    age_ms,
    lag_ms: shown && live ? time.now(shown.drawn) - shown.unit.t : null,
    fps: pane.fps(),
    aspect: pane.main.canvas.width / pane.main.canvas.height,
    stale: age_ms === null || age_ms > (channel?.stale_after_s ?? 1) * 1000,
    ns: shown?.unit.ns ?? null,
    t_unix_ms: shown ? time.unix(shown.unit.t) : null,
    problem: pane.problem,
  };
}

// --- wishes of the main thread ----------------------------------------------------------------

/** @type {Record<string, (wish: any) => void>} */
const wishes = {
  open({ url }) {
    link = new Link(url, take, (state, code) => outside.postMessage({ is: "link", state, code }));
  },
  sheet({ id, canvas, width, height, rows, px_mm, line }) {
    const sheet = sheets.get(id) ?? { canvas, sweeps: [] };
    sheets.set(id, sheet);
    sheet.canvas.width = width;
    sheet.canvas.height = height;
    const pen = /** @type {OffscreenCanvasRenderingContext2D} */ (sheet.canvas.getContext("2d"));
    sheet.sweeps = rows.map((/** @type {any} */ row) => new Sweep(pen, row, px_mm, line));
  },
  video({ id, address, main, inset, ink }) {
    const pane = new VideoPane(address, main, inset);
    pane.onDraw = () => stats.frames++;
    pane.setLive(playhead.mode === "live");
    panes.set(id, { pane, ink: ink ? new InkLayer(ink) : null, scale: 16 });
    pane.catchUp(store.track(address, "video"));
  },
  inkSize({ id, width, height, scale }) {
    const entry = panes.get(id);
    if (!entry?.ink) return;
    entry.ink.canvas.width = width;
    entry.ink.canvas.height = height;
    entry.scale = scale;
    entry.ink.key = "";
  },
  still({ id, canvas, note }) {
    let still = stills.get(id);
    if (!still) {
      const screen = new Screen(canvas);
      still = { screen, follower: new Follower(screen), note: null };
      stills.set(id, still);
    }
    still.note = note;
    still.follower.stop();
    if (note && !store.track(note.channel, "video").at(note.at_t + 0.0005)) {
      ask({ addresses: [note.channel], at: note.at_t + 0.0005, done: () => {} });
    }
  },
  clear() {
    for (const { pane } of panes.values()) pane.close();
    sheets.clear();
    panes.clear();
    stills.clear();
    nav = null;
  },
  nav({ port }) {
    nav = port;
  },
  seek({ t, frozen }) {
    playhead.seek(t, Boolean(frozen));
  },
  step({ ms }) {
    playhead.seek(playhead.cursor() + ms, playhead.mode === "frozen" && ms < 0);
  },
  live() {
    playhead.live();
  },
  freeze() {
    playhead.freeze();
  },
  hold({ id }) {
    // Freeze on the very picture that is on the screen, not on the cursor that ran past it.
    const shown = panes.get(id)?.pane.main.shown;
    if (playhead.mode !== "frozen" && shown) playhead.seek(shown.unit.t + 0.0005, true);
  },
  draft({ address, note }) {
    draft = note ? { address, note } : null;
  },
  annotate({ id, note }) {
    const shown = id ? panes.get(id)?.pane.main.shown : null;
    const at_ns = shown && note.at_ns === undefined ? shown.unit.ns : (note.at_ns ?? time.toNs(playhead.cursor()));
    link?.send(["annotate", { ...note, at_ns }]);
  },
  person({ act, session }) {
    link?.send([act, session]);
  },
  lanes({ from_t, to_t, bins }) {
    link?.send(["lanes", ++stats.number, { from_ns: time.toNs(from_t), to_ns: time.toNs(to_t), bins }]);
  },
  clock({ utc: wanted }) {
    utc = wanted;
  },
  end() {
    link?.end();
  },
};

playhead.onJump = () => {
  const live = playhead.mode === "live";
  for (const { pane } of panes.values()) pane.setLive(live);
  for (const { sweeps } of sheets.values()) for (const sweep of sweeps) sweep.head = null;
};

const requestFrame =
  typeof self.requestAnimationFrame === "function"
    ? self.requestAnimationFrame.bind(self)
    : (/** @type {(t: number) => void} */ call) => setTimeout(() => call(performance.now()), 16);

outside.onmessage = ({ data }) => wishes[data.do]?.(data);
setInterval(tick, VIEW_MS);
requestFrame(frame);
