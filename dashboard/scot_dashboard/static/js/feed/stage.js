/**
 * Everything that is drawn in this worker: pictures with their ink, stills. Waveforms have their own.
 * @import {Note} from "../types.js"  @import {Room} from "./room.js"  @import {Notes} from "./notes.js"
 */

import { InkLayer } from "./ink.js";
import { Thumbs } from "./thumbs.js";
import { Tracing } from "./tracing.js";
import { Follower, Screen, VideoPane } from "./video.js";
import { cellAt } from "./view.js";

const NAV_MS = 33;
const MAIN = "main"; // the pane whose picture people hold and speak of
const SEEN_MS = 250;
const HELD_MS = 2_000; // a picture that is older is not what a person means to hold
const JUST_AFTER_MS = 0.0005; // so that the frame itself is at or before the moment

export class Stage {
  /** @param {Room} room @param {Notes} notes */
  constructor(room, notes) {
    this.room = room;
    this.notes = notes;
    this.traces = new Tracing(room);
    /** @type {Map<string, {pane: VideoPane, ink: InkLayer|null, scale: number}>} */
    this.panes = new Map();
    /** @type {Map<string, {follower: Follower, note: Note|null, ink: InkLayer, scale: number}>} */
    this.stills = new Map();
    this.thumbs = new Thumbs();
    /** @type {Map<string, boolean>} whether it lies on the screen, of panes and thumbnails */
    this.sights = new Map();
    /** @type {MessagePort|null} */
    this.nav = null;
    this.navAt = 0;
    this.seenAt = 0;
    this.away = false; // nobody sees this page
    room.onPicture = (address, unit) => {
      for (const { pane } of this.panes.values()) if (pane.address === address) pane.push(unit);
      if (room.playhead.mode === "live") this.thumbs.offer(address, unit);
    };
    room.onFilled = () => this.anew();
    room.playhead.onJump = () => {
      const live = room.playhead.direct;
      for (const { pane } of this.panes.values()) pane.setLive(live);
      this.anew();
    };
  }

  /** Waveforms are drawn whole next time; pictures that wait for a keyframe get one. */
  anew() {
    for (const { pane } of this.panes.values()) {
      pane.catchUp(this.room.store.track(pane.address, "video"));
    }
    this.traces.anew();
  }

  /** @param {number} local */
  frame(local) {
    const { room, notes } = this;
    const { playhead, store } = room;
    const { mode, direct } = playhead;
    const cursor = playhead.cursor(local);
    this.traces.frame(local);
    for (const { pane, ink, scale } of this.panes.values()) {
      if (!direct && pane.seen) pane.follower.follow(store.track(pane.address, "video"), cursor);
      const shown = pane.main.shown;
      const t = shown && !direct ? Math.max(shown.unit.t, cursor) : cursor;
      const { aspect, framed } = pane.main;
      ink?.draw(notes.over(pane.address, t, mode), aspect, scale, (n) => notes.caption(n), framed);
    }
    for (const { follower, note, ink, scale } of this.stills.values()) {
      if (!note) continue;
      follower.follow(store.track(note.channel, "video"), note.at_t + JUST_AFTER_MS);
      const { aspect, framed, shown } = follower.screen;
      ink.draw(shown ? [note] : [], aspect, scale, () => "", framed);
    }
    if (mode !== "live") this.thumbs.follow(store, cursor);
    if (this.nav && local - this.navAt >= NAV_MS) {
      this.navAt = local;
      this.nav.postMessage({ poses: this.poses(direct, cursor) });
    }
  }

  /** @param {boolean} live @param {number} t */
  poses(live, t) {
    const found = [];
    for (const [address, { channel }] of this.room.channels) {
      if (channel.kind !== "pose") continue;
      const cell = cellAt(this.room.store.track(address, "pose"), channel, t, live, (x) => x);
      if (!cell) continue;
      const err_mm = cell.value.err_mm ?? channel.err_mm ?? null;
      found.push({ address, ...cell.value, err_mm, stale: cell.stale, flags: cell.flags });
    }
    return found;
  }

  /** Tell the room which picture is on this screen, and how late. @param {number} local */
  report(local) {
    const { room } = this;
    if (!room.hello || room.hello.role === "or_staff" || local - this.seenAt < SEEN_MS) return;
    this.seenAt = local;
    for (const { pane } of this.panes.values()) {
      const shown = (room.playhead.mode === "live" ? pane.main : pane.inset)?.shown;
      if (!shown) continue;
      const seenAt = pane.seen ? shown.drawn : local; // who looks elsewhere falls behind
      const behind = Math.max(0, room.time.now(seenAt) - shown.unit.t);
      const behind_ms = Math.round(behind * 10) / 10;
      room.link?.send(["seen", { channel: pane.address, bus_ns: shown.unit.ns, behind_ms }]);
    }
  }

  /** @param {any} wish */
  video({ id, address, main, inset, ink, framing, seen = true }) {
    const pane = new VideoPane(address, main, inset);
    pane.frame(framing);
    this.sights.set(id, seen);
    pane.setSeen(seen && !this.away);
    pane.setLive(this.room.playhead.direct);
    this.panes.set(id, { pane, ink: ink ? new InkLayer(ink) : null, scale: 16 });
    pane.catchUp(this.room.store.track(address, "video"));
    this.small();
  }

  /** Whether a picture lies on the screen, by its id. @param {{id: string, seen: boolean}} wish */
  sight({ id, seen }) {
    this.sights.set(id, seen);
    this.look();
  }

  /** Whether anybody can see the page at all. @param {boolean} away */
  leave(away) {
    this.away = away;
    this.look();
  }

  /** Decode what is seen, and nothing else. */
  look() {
    for (const [id, { pane }] of this.panes) {
      pane.setSeen(!this.away && this.sights.get(id) !== false);
      const { shows, store } = this.room;
      if (shows.fresh(pane.address)) pane.catchUp(store.track(pane.address, "video"));
    }
    this.small();
  }

  /** Small pictures of what is not large, at once; the gateway is told what is shown. */
  small() {
    const large = this.panes.get(MAIN)?.pane.address;
    this.thumbs.leave(new Set(large ? [large] : []));
    /** @type {Map<string, import("./shows.js").Size>} */
    const shows = new Map();
    for (const [id, thumb] of this.thumbs.all) {
      thumb.seen = !this.away && this.sights.get(id) !== false;
      if (thumb.seen && thumb.address !== large) shows.set(thumb.address, "keys");
    }
    for (const { pane } of this.panes.values()) if (pane.seen) shows.set(pane.address, "full");
    this.room.shows.want(shows);
    this.thumbs.follow(this.room.store, this.room.playhead.cursor());
  }

  /** @param {any} wish */
  inkSize({ id, width, height, scale }) {
    const entry = this.panes.get(id);
    if (!entry?.ink) return;
    entry.ink.canvas.width = width;
    entry.ink.canvas.height = height;
    entry.scale = scale;
    entry.ink.key = "";
    entry.pane.main.box = [width, height];
  }

  /** Another source in a pane. @param {any} wish */
  source({ id, address, framing }) {
    const pane = this.panes.get(id)?.pane;
    if (!pane) return;
    pane.turnTo(address);
    pane.frame(framing);
    pane.catchUp(this.room.store.track(address, "video"));
    this.small();
  }

  /** Turned or cropped otherwise, on this display. @param {any} wish */
  framing({ address, framing }) {
    for (const { pane } of this.panes.values()) if (pane.address === address) pane.frame(framing);
    for (const thumb of this.thumbs.all.values()) {
      if (thumb.address !== address) continue;
      thumb.screen.framing = framing;
      if (thumb.asked) this.thumbs.want(thumb, thumb.asked);
    }
  }

  /** A small picture of a source. @param {any} wish */
  thumb({ id, address, canvas, framing, seen = true }) {
    this.sights.set(id, seen);
    this.thumbs.add(id, address, canvas, framing);
    this.small();
  }

  /** Show the very frame of a note, beside the live picture. @param {any} wish */
  still({ id, canvas, ink, note, framing }) {
    const { room } = this;
    const still = this.stills.get(id)
      ?? { follower: new Follower(new Screen(canvas)), note: null, ink: new InkLayer(ink), scale: 16 };
    this.stills.set(id, still);
    const same = note?.at_ns === still.note?.at_ns && note?.channel === still.note?.channel;
    still.note = note;
    still.ink.key = "";
    if (same) return;
    still.follower.stop();
    still.follower.screen.blank();
    still.follower.screen.framing = framing;
    if (!note) return;
    const t = note.at_t + JUST_AFTER_MS;
    if (!room.shows.large(note.channel) || !room.store.bulk.has(note.at_t - 1, note.at_t)) {
      room.ask({ addresses: [note.channel], at: t, done: () => {} });
    }
  }

  /** @param {any} wish */
  stillSize({ id, width, height, scale }) {
    const still = this.stills.get(id);
    if (!still) return;
    [still.ink.canvas.width, still.ink.canvas.height] = [width, height];
    still.scale = scale;
    still.ink.key = "";
  }

  /** Hold the very picture that is on the screen, not the cursor that ran past it. @param {any} wish */
  hold({ id }) {
    const { playhead } = this.room;
    const shown = this.shown(id);
    if (playhead.mode !== "frozen" && shown) playhead.seek(shown.t + JUST_AFTER_MS, true);
  }

  /** Hold everything at the picture that is seen; where none is, at the cursor. */
  freeze() {
    const { playhead, time } = this.room;
    const shown = this.shown(MAIN);
    const seen = playhead.mode === "live" && shown && time.now() - shown.t < HELD_MS;
    if (seen) playhead.seek(shown.t + JUST_AFTER_MS, true);
    else playhead.freeze();
  }

  /** The access unit that a pane shows. @param {string|undefined} id */
  shown(id) {
    return this.panes.get(id ?? "")?.pane.main.shown?.unit ?? null;
  }

  clear() {
    for (const { pane } of this.panes.values()) pane.close();
    for (const { follower } of this.stills.values()) follower.decoder.close();
    this.panes.clear();
    this.stills.clear();
    this.sights.clear();
    this.thumbs.clear();
    this.room.shows.want(new Map());
    this.nav = null;
  }
}
