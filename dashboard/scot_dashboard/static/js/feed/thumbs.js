/**
 * Small pictures of the sources that are not large: keyframes only, by one decoder for all of them,
 * which rests four times as long as it worked. However many sources there are, they cost one
 * decoder's memory and at most a fifth of a core.
 * @import {Sample} from "../types.js"  @import {Store, Track} from "./store.js"
 */

import { Screen } from "./video.js";
import { KEYFRAME, codecOf } from "./wire.js";

const RESTS = 4;
const LONGEST_REST_MS = 1_000;

/**
 * @typedef {object} Thumb
 * @property {string} address
 * @property {Screen} screen
 * @property {Sample|null} wanted the keyframe to show next
 * @property {Sample|null} asked the one that was wanted last
 * @property {string} problem
 * @property {boolean} seen it lies on the screen
 */

export class Thumbs {
  constructor() {
    /** @type {Map<string, Thumb>} */
    this.all = new Map();
    /** @type {Set<string>} */
    this.large = new Set();
    this.busy = false;
    /** @type {VideoDecoder|null} */
    this.decoder = null;
    /** @type {{thumb: Thumb, unit: Sample}|null} what is being decoded */
    this.under = null;
    /** @type {(ms: number) => Promise<void>} */
    this.rest = (ms) => new Promise((done) => setTimeout(done, ms));
  }

  /** @param {string} id @param {string} address @param {OffscreenCanvas} canvas @param {import("./framing.js").Framing} framing */
  add(id, address, canvas, framing) {
    const screen = new Screen(canvas);
    screen.most = [canvas.width, canvas.height];
    screen.framing = framing;
    this.all.set(id, { address, screen, wanted: null, asked: null, problem: "", seen: true });
  }

  /** Only what is not large elsewhere needs a small picture. @param {Set<string>} large addresses */
  leave(large) {
    this.large = large;
    for (const thumb of this.all.values()) if (large.has(thumb.address)) thumb.wanted = thumb.asked = null;
  }

  /** A unit has just come. @param {string} address @param {Sample} unit */
  offer(address, unit) {
    if ((unit.flags & KEYFRAME) === 0) return;
    for (const thumb of this.all.values()) if (thumb.address === address) this.want(thumb, unit);
  }

  /** Show how the sources stood at `t`. @param {Store} store @param {number} t */
  follow(store, t) {
    for (const thumb of this.all.values()) {
      if (!thumb.seen || this.large.has(thumb.address)) continue;
      const unit = keyframeAt(store.track(thumb.address, "video"), t);
      if (unit && unit !== thumb.asked) this.want(thumb, unit);
    }
  }

  /** @param {Thumb} thumb @param {Sample} unit */
  want(thumb, unit) {
    if (!thumb.seen || this.large.has(thumb.address)) return;
    thumb.wanted = thumb.asked = unit;
    void this.work();
  }

  async work() {
    if (this.busy) return;
    this.busy = true;
    for (let id = this.next(); id !== null; id = this.next()) {
      const began = performance.now();
      await this.show(id);
      await this.rest(Math.min(LONGEST_REST_MS, (performance.now() - began) * RESTS));
    }
    this.busy = false;
  }

  /** Whose picture waits longest: who was served goes to the end. */
  next() {
    for (const [id, thumb] of this.all) {
      if (!thumb.wanted) continue;
      this.all.delete(id);
      this.all.set(id, thumb);
      return id;
    }
    return null;
  }

  /** @param {string} id */
  async show(id) {
    const thumb = this.all.get(id);
    const unit = thumb?.wanted;
    if (!thumb || !unit) return;
    thumb.wanted = null;
    const codec = codecOf(unit.value);
    if (typeof VideoDecoder === "undefined" || !codec) {
      thumb.problem = codec ? "WebCodecs" : "codec";
      return;
    }
    this.under = { thumb, unit };
    try {
      this.decoder ??= new VideoDecoder({ output: (frame) => this.output(frame), error: () => { this.decoder = null; } });
      this.decoder.reset();
      this.decoder.configure({ codec, optimizeForLatency: true });
      this.decoder.decode(new EncodedVideoChunk({ type: "key", timestamp: 0, data: unit.value }));
      await this.decoder.flush();
    } catch (error) {
      thumb.problem = String(error);
      if (this.decoder?.state === "closed") this.decoder = null;
    }
    this.under = null;
  }

  /** @param {VideoFrame} frame */
  output(frame) {
    if (!this.under) return frame.close();
    const { thumb, unit } = this.under;
    thumb.problem = "";
    thumb.screen.draw(frame, unit);
  }

  clear() {
    this.all.clear();
    this.large.clear();
    if (this.decoder && this.decoder.state !== "closed") this.decoder.close();
    this.decoder = null;
  }
}

/** The last keyframe at or before `t`. @param {Track} track @param {number} t @returns {Sample|null} */
export function keyframeAt(track, t) {
  const { samples } = track;
  let at = track.after(t) - 1;
  while (at >= 0 && (samples[at].flags & KEYFRAME) === 0) at--;
  return samples[at] ?? null;
}
