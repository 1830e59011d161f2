/**
 * The room as this page knows it: catalogue, samples, clock, and the questions to History.
 * @import {Catalogue, Channel, Hello, Sample, Transport} from "../types.js"
 * @import {Link} from "./link.js"  @import {Question} from "./playhead.js"  @import {Track} from "./store.js"
 */

import { BusTime } from "./bustime.js";
import { Moves } from "./moves.js";
import { Playhead } from "./playhead.js";
import { Shows } from "./shows.js";
import { Store } from "./store.js";
import { Witness, channelsOf } from "./view.js";
import { readSample } from "./wire.js";

const FIRST_FILL_MS = 14_000;
const LOST_FILL_MS = 56_000;
const ALARM_FILL_MS = 600_000;
const LONGEST_DELAY_MS = 1_500;
const NEEDS_MS = 10_000;
const EASE = 0.01;
const SETTLED_MS = 400;
const FORGET_MS = 15_000;
const TRIM_MS = 5_000;
const BACK_IN_TIME_MS = 2_000;
const MOST_ASKED = 1_000; // channels in one question; the gateway takes 1,024
const PLAYER = "player";
export const FLAT_OUT = 1000;

export class Room {
  constructor() {
    this.time = new BusTime();
    this.store = new Store();
    this.witness = new Witness();
    this.shows = new Shows(this);
    this.playhead = new Playhead(this.store, this.time, (question) => this.ask(question));
    this.playhead.small = () => this.of((c) => !isBulk(c) && c.sensitivity !== "technical");
    this.playhead.bulk = () => this.of(isBulk).filter((a) => this.shows.now.has(a) || !this.isVideo(a));
    /** @type {Link|null} */
    this.link = null;
    /** @type {Hello|null} */
    this.hello = null;
    /** @type {Map<string, {device: string, channel: Channel}>} */
    this.channels = new Map();
    /** @type {Map<number, {question: Question, local: number}>} */
    this.asked = new Map();
    /** @type {Record<string, number>} */
    this.conflated = {};
    /** @type {Record<string, number>} samples that nobody can read, by address */
    this.unread = {};
    /** @type {{local: number, need: number}[]} */
    this.needs = [];
    this.delay_ms = 0;
    /** @type {Transport|null} how a replay's player stands */
    this.player = null;
    this.moves = new Moves();
    this.number = 0;
    this.lostAt = 0;
    this.trimmed = 0;
    /** @type {(type: string, body: any) => void} everything the main thread is told as it is */
    this.tell = () => {};
    /** @type {(address: string, unit: Sample) => void} a live picture came */
    this.onPicture = () => {};
    /** @type {(address: string, channel: Channel, sample: Sample) => void} something new, of any channel */
    this.onTrace = () => {};
    /** @type {() => void} what is held is of another time */
    this.onForget = () => {};
    /** @type {() => void} */
    this.onNote = () => {};
    /** @type {() => void} a line of a log came */
    this.onLog = () => {};
    /** @type {() => void} an answer of History is complete */
    this.onFilled = () => {};
  }

  /** @param {any[]} message @param {number} local */
  take(message, local) {
    const [type, first, second, third, fourth] = message;
    if (type === "samples") {
      for (const [address, header, payload] of second) this.sample(address, header, payload, true);
    } else if (type === "clock") this.time.reply(Number(first), local, second);
    else if (type === "history") this.answered(first, second, third, fourth);
    else if (type === "hello") this.greet(first, local);
    else if (type === "catalogue") this.describe(first);
    else if (type === "people") this.tell("people", { people: first });
    else if (type === "layouts") this.tell("layouts", { layouts: first });
    else if (type === "lanes") this.tell("lanes", { lanes: this.lanes(second) });
    else if (type === "trends") this.tell("trends", { trends: this.trends(second) });
    else if (type === "snapshot") this.tell("snapshot", { id: String(first), at_unix_ms: 0, kept: Boolean(second), why: String(third) });
    else if (type === "conflated") this.conflate(first);
    else if (type === "played") this.moves.done(Number(first), BigInt(second));
    else if (type === "unshown") this.shows.notShown(first);
    else if (type === "refused") this.refused(String(first), second, String(third));
    else if (type === "bye") this.bye(Number(first), String(second));
  }

  /** @param {Hello} hello @param {number} local */
  greet(hello, local) {
    const again = this.hello !== null;
    const { time, playhead, store } = this;
    this.hello = hello;
    time.utcOffset = BigInt(Math.round(hello.utc_offset_ns));
    time.hello(hello.bus_now_ns, local);
    playhead.playout_ms = hello.playout_ms;
    this.delay_ms = Math.max(this.delay_ms, hello.playout_ms);
    const now = time.now(local);
    if (again && now < this.lostAt - BACK_IN_TIME_MS) this.forget();
    playhead.oldest = hello.oldest_ns === null ? now : time.fromNs(BigInt(hello.oldest_ns));
    this.describe(hello.catalogue);
    this.tell("hello", { hello });
    this.shows.send();
    this.asked.clear();
    store.bulk.add(now, now + 1);
    this.firstQuestions(now, again ? Math.max(this.lostAt, now - LOST_FILL_MS) : now - FIRST_FILL_MS);
  }

  /** Wish something of a replay's player; times `t` become its own. @param {any} wish @param {number} [move] */
  play(wish, move = 0) {
    const { t, loop_t, ...rest } = wish;
    if (t !== undefined) rest.to_ns = this.time.toNs(t);
    if (loop_t !== undefined) rest.loop = loop_t.map((/** @type {number} */ x) => this.time.toNs(x));
    this.link?.send(["play", ++this.number, rest]);
    this.moves.sent(this.number, move, performance.now());
  }

  /** Where a replay's player stands. @param {Transport} said */
  played(said) {
    const local = performance.now();
    const turned = this.player !== null && this.player.lap !== said.lap;
    const flows = said.playing && said.rate > 0 && said.rate < FLAT_OUT;
    this.player = said;
    const t = this.time.fromNs(BigInt(said.position_ns));
    this.time.pace(t, flows ? said.rate : 0, turned, local);
    this.moves.settle(said, local);
    if (!turned) return;
    this.forget();
    this.playhead.oldest = this.time.fromNs(BigInt(said.first_ns));
    for (const { question } of this.asked.values()) question.failed?.();
    this.asked.clear();
    this.store.bulk.add(t, t + 1);
    this.firstQuestions(t, t - FIRST_FILL_MS);
  }

  /** Another room, or a recording played again: what is held belongs to a future that is not. */
  forget() {
    this.store.tracks.clear();
    this.store.small.spans = [];
    this.store.bulk.spans = [];
    this.witness.forget();
    this.shows.forget();
    this.onForget();
    this.playhead.live();
    this.onNote();
  }

  /** @param {number} now @param {number} from */
  firstQuestions(now, from) {
    const { playhead, store } = this;
    const first = Math.max(playhead.oldest, from);
    const none = () => {};
    const every = [...this.channels.keys()].filter((address) => !this.isVideo(address)); // those come by themselves
    if (!every.length) return;
    this.ask({ addresses: every, at: now, done: none });
    const small = playhead.small();
    if (small.length) {
      this.ask({ addresses: small, between: [first, now], done: () => store.small.add(first, this.time.now()) });
    }
    const kept = this.of((c) => c.kind === "annotation");
    if (kept.length) this.ask({ addresses: kept, between: [playhead.oldest, now], done: none });
    const alarms = this.of((c) => c.kind === "alarm" || Boolean(c.attrs?.log));
    const alarmsFrom = Math.max(playhead.oldest, now - ALARM_FILL_MS);
    if (alarms.length) this.ask({ addresses: alarms, between: [alarmsFrom, now], done: none });
  }

  /** Pictures are shown that were not before: what is held of the past is not whole any more. */
  lacksPictures() {
    const { store, playhead, time } = this;
    store.bulk.spans = [];
    playhead.round++;
    if (!this.hello) return;
    const now = time.now();
    store.bulk.add(now, now + 1);
    playhead.fill(true);
  }

  /** @param {string} address */
  isVideo(address) {
    return this.channels.get(address)?.channel.kind === "video";
  }

  /** @param {Catalogue} catalogue */
  describe(catalogue) {
    if (this.hello) this.hello.catalogue = catalogue;
    this.channels = new Map(
      channelsOf(catalogue).map(({ address, device, channel }) => [address, { device, channel }]),
    );
    this.tell("catalogue", { catalogue });
  }

  /** Addresses of the channels that `test` accepts. @param {(c: Channel) => boolean} test */
  of(test) {
    return [...this.channels].filter(([, { channel }]) => test(channel)).map(([address]) => address);
  }

  /**
   * @param {string} address
   * @param {any[]} header
   * @param {Uint8Array} payload
   * @param {boolean} live
   */
  sample(address, header, payload, live) {
    const known = this.channels.get(address);
    if (!known) return;
    const { device, channel } = known;
    const log = Boolean(channel.attrs?.log);
    const track = this.store.track(address, channel.kind, log);
    const read = this.read(address, channel, header, payload);
    if (!read) return;
    if (live) track.hear(read, this.time.now());
    if (live && channel.kind === "waveform") this.notice(track, channel);
    if (live && device === PLAYER && channel.name === "state") this.played(read.value);
    const isNew = track.add(read);
    if (live) this.witness.see(device, channel, read);
    // A group that begins again, for a pane that shows it again, is decoded again.
    if (live && channel.kind === "video") this.onPicture(address, read);
    if (!isNew) return;
    this.onTrace(address, channel, read);
    if (log) this.onLog();
    if (channel.kind === "annotation") this.onNote();
  }

  /** A sample that cannot be read costs none of those beside it. @param {string} address @param {Channel} channel @param {any[]} header @param {Uint8Array} payload */
  read(address, channel, header, payload) {
    try {
      return readSample(channel, header, payload, (ns) => this.time.fromNs(ns));
    } catch {
      this.unread[address] = (this.unread[address] ?? 0) + 1;
      return null;
    }
  }

  /** How late waveforms come: the head must wait so long. @param {Track} track @param {Channel} c */
  notice(track, c) {
    const before = track.samples[track.samples.length - 1];
    if (!before) return;
    const end = before.t + (before.value.length * 1000) / (c.rate_hz || 100);
    const need = this.time.now() - end;
    if (need > 0 && need < LONGEST_DELAY_MS) this.needs.push({ local: performance.now(), need });
  }

  /** @param {Question} question */
  ask(question) {
    if (question.addresses.length > MOST_ASKED) return this.askParts(question);
    const number = ++this.number;
    this.asked.set(number, { question, local: performance.now() });
    const { addresses, between, at } = question;
    const request = between
      ? { addresses, between: between.map((t) => this.time.toNs(t)) }
      : { addresses, at: this.time.toNs(at ?? 0) };
    this.link?.send(["history", number, request]);
  }

  /** More channels than fit into one question. @param {Question} question */
  askParts({ addresses, done, failed, ...rest }) {
    let left = Math.ceil(addresses.length / MOST_ASKED);
    const one = () => --left || done();
    for (let i = 0; i < addresses.length; i += MOST_ASKED) {
      this.ask({ ...rest, addresses: addresses.slice(i, i + MOST_ASKED), done: one, failed });
    }
  }

  /** @param {number} number @param {boolean} complete @param {any} next @param {any[]} frames */
  answered(number, complete, next, frames) {
    const take = this.asked.get(number)?.question.take;
    for (const [address, header, payload] of frames) {
      if (take) this.hand(take, address, header, payload);
      else this.sample(address, header, payload, false);
    }
    if (!complete) return;
    const entry = this.asked.get(number);
    this.asked.delete(number);
    if (!entry) return;
    const { question } = entry;
    if (next !== null && next !== undefined && question.between) {
      const [from, to] = question.between;
      const onward = this.time.fromNs(BigInt(next));
      if (onward > from && onward < to) return this.ask({ ...question, between: [onward, to] });
    }
    question.done();
    if (!question.take) this.onFilled();
  }

  /** Hand a sample to who asked for it, and to nobody else. @param {(sample: Sample) => void} take @param {string} address @param {any[]} header @param {Uint8Array} payload */
  hand(take, address, header, payload) {
    const channel = this.channels.get(address)?.channel;
    const read = channel && this.read(address, channel, header, payload);
    if (read) take(read);
  }

  /** @param {any} found */
  lanes(found) {
    const t = (/** @type {any} */ ns) => (ns === null ? null : this.time.fromNs(BigInt(ns)));
    const feeds = Object.fromEntries(Object.entries(found.feeds).map(([device, shares]) => [device, Array.from(shares, (s) => Number(s) / 255)]));
    return {
      ...found,
      feeds,
      from_t: t(found.from_ns),
      to_t: t(found.to_ns),
      alarms: found.alarms.map((/** @type {any[]} */ a) => [t(a[0]), t(a[1]), ...a.slice(2)]),
      notes: found.notes.map((/** @type {any[]} */ n) => [t(n[0]), n[1], n[2], n[3]]),
      epochs: (found.epochs ?? []).map((/** @type {any[]} */ e) => [t(e[0]), e[1], e[2]]),
    };
  }

  /** @param {any} found */
  trends(found) {
    const t = (/** @type {any} */ ns) => this.time.fromNs(BigInt(ns));
    const values = (/** @type {Uint8Array} */ packed) => Array.from(new Float32Array(packed.slice().buffer), (v) => (Number.isNaN(v) ? null : v));
    const series = Object.fromEntries(Object.entries(found.series).map(([address, both]) => [address, both.map(values)]));
    return { ...found, series, from_t: t(found.from_ns), to_t: t(found.to_ns) };
  }

  /** @param {number} from_t @param {number} to_t @param {number} bins */
  askLanes(from_t, to_t, bins) {
    const request = { from_ns: this.time.toNs(from_t), to_ns: this.time.toNs(to_t), bins };
    this.link?.send(["lanes", ++this.number, request]);
  }

  /** @param {number} from_t @param {number} to_t @param {number} bins @param {string[]} addresses */
  askTrends(from_t, to_t, bins, addresses) {
    const request = { from_ns: this.time.toNs(from_t), to_ns: this.time.toNs(to_t), bins, addresses };
    this.link?.send(["trends", ++this.number, request]);
  }

  /** @param {string} what @param {any} about @param {string} text */
  refused(what, about, text) {
    if (what === "history") {
      this.asked.get(Number(about))?.question.failed?.();
      this.asked.delete(Number(about));
    } else if (what !== "lanes" && what !== "trends") this.tell("refused", { text });
    if (what === "play") this.moves.refused(Number(about));
  }

  /** @param {Record<string, number>} counts */
  conflate(counts) {
    for (const [address, count] of Object.entries(counts)) {
      this.conflated[address] = (this.conflated[address] ?? 0) + Number(count);
    }
  }

  /** @param {number} code @param {string} text */
  bye(code, text) {
    const final = this.link?.bye(code) ?? true;
    if (final) this.tell("bye", { code, text });
  }

  /** Eight times a second. @param {number} local */
  tick(local) {
    const { playhead, store, link } = this;
    const alive = link?.alive ?? false;
    playhead.fill();
    this.moves.settle(this.player, local);
    this.needs = this.needs.filter((n) => local - n.local < NEEDS_MS);
    const need = this.needs.reduce((most, n) => Math.max(most, n.need + 15), playhead.playout_ms);
    // Later at once, so that the trace does not stop; earlier so gently that nobody sees it.
    this.delay_ms = need > this.delay_ms ? need : this.delay_ms + (need - this.delay_ms) * EASE;
    const now = this.time.now(local);
    if (alive) {
      this.lostAt = now;
      // What streams in live is complete: the feed says what it leaves out.
      for (const { spans } of this.asked.size ? [] : [store.small, store.bulk]) {
        const last = spans[spans.length - 1];
        if (last) last[1] = Math.max(last[1], now - SETTLED_MS);
      }
    }
    if (local - this.trimmed < TRIM_MS) return;
    this.trimmed = local;
    store.trim(now, playhead.cursor(local));
    for (const [number, { local: since }] of this.asked) {
      if (local - since <= FORGET_MS) continue;
      this.asked.get(number)?.question.failed?.();
      this.asked.delete(number);
    }
  }
}

/** @param {Channel} channel */
function isBulk({ kind }) {
  return kind === "video" || kind === "image";
}
