/**
 * Which videos this page shows and how large: the gateway is told at each change and sends only
 * these. Of the others it says that they go on, so that a source nobody looks at is not taken for
 * silent.
 * @import {Sample} from "../types.js"  @import {Room} from "./room.js"
 */

import { readSample } from "./wire.js";

const LATE_MS = 700;
const FRESH_MS = 1_200;

/** @typedef {"full"|"keys"} Size every picture, or key pictures only */

export class Shows {
  /** @param {Room} room */
  constructor(room) {
    this.room = room;
    /** @type {Map<string, Size>} */
    this.now = new Map();
    /** @type {Map<string, Sample>} the newest that was not asked for, without its picture */
    this.told = new Map();
    /** @type {Record<string, number>} pictures not asked for */
    this.unshown = {};
    this.words = "";
  }

  /** @param {string} address */
  large(address) {
    return this.now.get(address) === "full";
  }

  /** @param {Map<string, Size>} wanted */
  want(wanted) {
    const words = JSON.stringify([...wanted].sort());
    if (words === this.words) return;
    this.words = words;
    const begun = [...wanted].filter(([address, size]) => size === "full" || !this.now.has(address));
    const grown = begun.filter(([address, size]) => this.now.get(address) !== size).map(([address]) => address);
    this.now = wanted;
    this.send();
    if (!grown.length) return;
    this.room.lacksPictures();
    setTimeout(() => this.ask(grown), LATE_MS);
  }

  /** Say it; after each `hello`, too. */
  send() {
    this.room.link?.send(["show", Object.fromEntries(this.now)]);
  }

  /** The gateway has no group of some, as when it was started again: History has. @param {string[]} grown */
  ask(grown) {
    const { room } = this;
    if (!room.hello || room.playhead.mode !== "live") return;
    const now = room.time.now();
    const lacking = grown.filter((a) => this.now.has(a) && !this.fresh(a));
    if (lacking.length) room.ask({ addresses: lacking, at: now, done: () => {} });
  }

  /** @param {Record<string, [number, any[]]>} counts and the newest header of each */
  notShown(counts) {
    const { room } = this;
    for (const [address, [count, header]] of Object.entries(counts)) {
      const known = room.channels.get(address);
      if (!known) continue;
      this.unshown[address] = Number(count);
      const sample = readSample(known.channel, header, new Uint8Array(), (ns) => room.time.fromNs(ns));
      this.told.set(address, sample);
      room.witness.see(known.device, known.channel, sample);
    }
  }

  /** Whether what is held of a video is about the newest there is. @param {string} address */
  fresh(address) {
    const samples = this.room.store.tracks.get(address)?.samples ?? [];
    const held = samples[samples.length - 1];
    const newest = this.newest(address, held);
    return held !== undefined && newest !== undefined && newest.t - held.t < FRESH_MS;
  }

  /** What is known to have come last of a video, shown or not. @param {string} address @param {Sample|undefined} held */
  newest(address, held) {
    const told = this.told.get(address);
    return told && (!held || told.t > held.t) ? told : held;
  }

  /** What is held is of another time. */
  forget() {
    this.told.clear();
  }
}
