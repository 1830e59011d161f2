/**
 * What the page shows at one moment, as plain values for the main thread.
 * @import {Catalogue, Cell, Channel, Clock, Sample, View} from "../types.js"
 * @import {Track} from "./store.js"  @import {Room} from "./room.js"  @import {Stage} from "./stage.js"
 * @import {VideoPane} from "./video.js"
 */

import { SIGNALS_ON, alarmsAt, boardOf } from "./alarms.js";
import { AHEAD_MS, since } from "./store.js";
import { DOUBTFUL, SIMULATED } from "./wire.js";

const RECENT_MS = 10_000;
const STREAMING_HZ = 5;
const SILENT_MS = 1_800; // a stream that says nothing for so long is taken for gone, with its numbers
const LATE_MS = 150;
const SAID_MS = 5_000;
const OURS = new Set(["room", "alarms", "consult", "dashboard"]); // the room's own words are no sign of a device's life
const STREAMS = new Set(["numeric", "waveform", "pose", "video", "image"]);

/**
 * Every channel of a catalogue with its address.
 *
 * @param {Catalogue} catalogue
 * @returns {{address: string, device: string, channel: Channel}[]}
 */
export function channelsOf(catalogue) {
  return Object.values(catalogue.devices).flatMap((device) =>
    Object.values(device.channels ?? {}).map((channel) => ({
      address: `${catalogue.workspace}/${device.name}/${channel.name}`,
      device: device.name,
      channel,
    })),
  );
}

/**
 * The last sample at the cursor and how old it was then.
 *
 * @param {Track} track
 * @param {Channel} channel
 * @param {number} t
 * @param {boolean} live
 * @param {(t: number) => number} unix
 * @param {Sample} [newest] of which only the time is here: a video that the page does not show
 * @returns {Cell|null}
 */
export function cellAt(track, channel, t, live, unix, newest) {
  const sample = newest ?? (live ? track.last(t) : track.at(t));
  if (!sample) return null;
  let end = sample.t;
  if (channel.kind === "waveform") end += (sample.value.length * 1000) / (channel.rate_hz || 100);
  // A time that is still to come says nothing of the age: then it counts from when it came.
  const age_ms = Math.max(0, t - Math.min(end, sample.heard ?? end));
  const plain = channel.kind !== "waveform" && channel.kind !== "video" && channel.kind !== "image";
  return {
    value: plain ? sample.value : null,
    age_ms,
    flags: sample.t > (sample.heard ?? sample.t) + AHEAD_MS ? sample.flags | DOUBTFUL : sample.flags,
    stale: !channel.latched && age_ms > (channel.stale_after_s ?? 5) * 1000,
    t_unix_ms: unix(sample.t),
  };
}

/** Facts about devices that hold whatever the cursor says: silence, clocks, simulation. */
export class Witness {
  constructor() {
    /** @type {Map<string, Sample>} the newest sample of each device */
    this.newest = new Map();
    /** @type {Map<string, Map<string, Sample>>} the newest of each of its channels */
    this.times = new Map();
    this.simulated = false;
  }

  /** Another room: nothing of this one holds. */
  forget() {
    this.newest.clear();
    this.times.clear();
  }

  /** @param {string} device @param {Channel} channel @param {Sample} sample */
  see(device, channel, sample) {
    if (OURS.has(device) || channel.sensitivity === "technical") return;
    if (sample.flags & SIMULATED) this.simulated = true;
    const before = this.newest.get(device);
    if (!before || since(sample) >= since(before)) this.newest.set(device, sample);
    if (!STREAMS.has(channel.kind)) return; // a word of long ago says nothing of the clock now
    const times = this.times.get(device) ?? new Map();
    times.set(channel.name, sample);
    this.times.set(device, times);
  }

  /** Milliseconds since each device's newest sample. @param {number} now */
  silence(now) {
    /** @type {Record<string, number>} */
    const silent = {};
    for (const [device, sample] of this.newest) silent[device] = Math.max(0, now - since(sample));
    return silent;
  }

  /** How well the clock of each device that speaks is known: its worst channel. @param {number} now */
  clocks(now) {
    /** @type {Record<string, Clock>} */
    const found = {};
    for (const [device, times] of this.times) {
      const recent = [...times.values()].filter((sample) => now - since(sample) <= RECENT_MS);
      if (recent.length) found[device] = worstOf(recent);
    }
    return found;
  }

  /** The worst clock among devices that speak. @param {Record<string, Clock>} clocks @returns {View["clock"]} */
  clock(clocks) {
    const worst = worstOf(Object.values(clocks));
    const device = Object.keys(clocks).find((name) => worst.state > 0 && clocks[name].state === worst.state);
    return { ...worst, device: device ?? "" };
  }
}

/** @param {Clock[]} clocks @returns {Clock} */
function worstOf(clocks) {
  const most = (/** @type {(number|null)[]} */ values) =>
    values.some((v) => v === null) ? null : Math.max(0, ...values.map(Number));
  return {
    err_ms: most(clocks.map((c) => c.err_ms)),
    bound_ms: most(clocks.map((c) => c.bound_ms)),
    state: Math.max(0, ...clocks.map((c) => c.state)),
  };
}

/** @param {Room} room @param {Stage} stage @param {number} local @returns {View} */
export function viewOf(room, stage, local) {
  const { time, playhead, store, witness, link } = room;
  const now = time.now(local);
  const live = playhead.mode === "live";
  const { direct } = playhead;
  const t = playhead.cursor(local);
  const unix = (/** @type {number} */ x) => time.unix(x);
  /** @type {Record<string, Cell>} */
  const cells = {};
  /** @type {Record<string, Cell>} */
  const heads = {};
  /** @type {[string, Track][]} */
  const alarmTracks = [];
  const silent_ms = witness.silence(now);
  const gone = live ? goneOf(room, silent_ms) : NONE;
  for (const [address, { device, channel }] of room.channels) {
    const track = store.tracks.get(address) ?? (room.shows.told.has(address) ? store.track(address, channel.kind) : null);
    if (!track) continue;
    if (channel.kind === "alarm") alarmTracks.push([device, track]);
    const cell = cellAt(track, channel, t, direct, unix, direct && channel.kind === "video" ? room.shows.newest(address, track.last(t)) : undefined);
    if (cell && channel.rate_hz && gone.has(device)) cell.stale = cell.silent = true;
    if (cell) cells[address] = cell;
    const head = live || channel.kind !== "numeric" ? null : cellAt(track, channel, now, true, unix);
    if (head) heads[address] = head;
  }
  const alive = link?.alive ?? false;
  const clocks = witness.clocks(now);
  const board = boardAt(room, alarmTracks, Infinity, now);
  const panes = [...stage.panes].map(([id, { pane }]) => /** @type {const} */ ([id, pane]));
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
    heads,
    alarms: board.alarms,
    signals: board.signals,
    kept: board.kept,
    cursorAlarms: live ? board.alarms : boardAt(room, alarmTracks, t, t).alarms,
    silent_ms,
    clock: witness.clock(clocks),
    clocks,
    videos: {
      ...Object.fromEntries(panes.map(([id, pane]) => [id, pictureNow(room, pane, t, live)])),
      ...Object.fromEntries([...stage.thumbs.all].map(([id, thumb]) => [id, thumbNow(room, thumb, t)])),
    },
    ranges: stage.traces.ranges,
    simulated: witness.simulated,
    conflated: room.conflated,
    unread: room.unread,
    unshown: room.shows.unshown,
    left_out: panes.reduce((n, [, pane]) => n + pane.decoder.leftOut, 0),
    shows: Object.fromEntries(room.shows.now),
    decoders: panes.filter(([, pane]) => pane.decoder.decoder).length,
    columns: stage.traces.columns,
    frames: panes.reduce((n, [, pane]) => n + pane.frames, 0),
    delay_ms: room.delay_ms,
    seek_ms: playhead.seek_ms,
    sync_ms: time.half_ms,
    arrived: room.moves.arrived,
    player: room.player,
    span_t: room.player && [time.fromNs(BigInt(room.player.first_ns)), time.fromNs(BigInt(room.player.last_ns))],
    loop_t: room.player?.loop.length ? room.player.loop.map((ns) => time.fromNs(BigInt(ns))) : null,
  };
}

/** @type {Set<string>} */
const NONE = new Set();

/**
 * Devices that stream, and have fallen silent: a number that comes each second says nothing yet, but
 * the traces beside it do.
 *
 * @param {Room} room @param {Record<string, number>} silent_ms
 */
function goneOf(room, silent_ms) {
  /** @type {Set<string>} */
  const gone = new Set();
  for (const { device, channel } of room.channels.values()) {
    if (STREAMS.has(channel.kind) && (channel.rate_hz ?? 0) >= STREAMING_HZ && silent_ms[device] > SILENT_MS) gone.add(device);
  }
  return gone;
}

/**
 * The room's alarms at `t`, as the gateway keeps them or, without it, as the devices tell them.
 *
 * @param {Room} room @param {[string, Track][]} tracks @param {number} t @param {number} now
 */
function boardAt(room, tracks, t, now) {
  const track = room.store.tracks.get(`${room.hello?.catalogue.workspace}/alarms/state`);
  const board = boardOf(track?.at(t), now, (ns) => room.time.fromNs(ns));
  if (board) return { ...board, kept: true };
  return { alarms: alarmsAt(tracks, t, now), signals: SIGNALS_ON, kept: false };
}

/** @param {Room} room @param {VideoPane} pane @param {number} t @param {boolean} live */
function pictureNow(room, pane, t, live) {
  const { shown, aspect, framed } = pane.main;
  const age_ms = shown ? Math.max(0, t - since(shown.unit)) : null;
  const lag_ms = shown && live ? Math.max(0, room.time.now(shown.drawn) - since(shown.unit)) : null;
  return {
    address: pane.address,
    age_ms,
    // Between two pictures the first one's delay is said; when the next stays away, its age.
    lag_ms: lag_ms !== null && age_ms !== null && age_ms - lag_ms > LATE_MS ? age_ms : lag_ms,
    fps: pane.fps(),
    aspect,
    framing: framed,
    stale: age_ms === null || age_ms > staleAfter(room, pane.address),
    ns: shown?.unit.ns ?? null,
    t_unix_ms: shown ? room.time.unix(shown.unit.t) : null,
    problem: pane.problem,
    left: leftNow(pane),
    seen: pane.seen,
  };
}

/** What this screen was too slow for, as long as it is worth saying. @param {VideoPane} pane */
function leftNow({ decoder: { left } }) {
  if (!left || performance.now() - left.local > SAID_MS) return null;
  return { count: left.count, ms: left.to - left.from };
}

/**
 * A thumbnail shows keyframes: it is stale when its source is silent, not when no keyframe came.
 *
 * @param {Room} room @param {import("./thumbs.js").Thumb} thumb @param {number} t
 */
function thumbNow(room, { address, screen, problem }, t) {
  const { shown, aspect, framed } = screen;
  const held = room.store.tracks.get(address)?.at(t);
  const newest = room.playhead.mode === "live" ? room.shows.newest(address, held) : held;
  return {
    address,
    age_ms: shown ? Math.max(0, t - since(shown.unit)) : null,
    lag_ms: null,
    fps: 0,
    aspect,
    framing: framed,
    stale: !newest || t - newest.t > staleAfter(room, address),
    ns: shown?.unit.ns ?? null,
    t_unix_ms: shown ? room.time.unix(shown.unit.t) : null,
    problem,
    left: null,
    seen: true,
  };
}

/** @param {Room} room @param {string} address */
function staleAfter(room, address) {
  return (room.channels.get(address)?.channel.stale_after_s ?? 1) * 1000;
}
