/**
 * H.264 to pictures, in a worker. Before a decoder nothing is left out but what runs to the next key
 * picture, and what is left out is counted with its stretch of time.
 * @import {Sample} from "../types.js"
 */

import { codecOf, KEYFRAME } from "./wire.js";

export const MAX_QUEUE = 30;
const MOST = 90; // never more wait
const MAX_TAIL = 3; // of an older group, when a new one begins
const MAX_BEHIND_MS = 150; // of the picture that is decoded behind the newest
const KEY_EVERY_MS = 1_000; // until two have come
const BURST_MS = 100;
const STUCK_MS = 3_000;
const SAME_MS = 2_000; // what is left out in so short a time is said as one
const EASE = 0.2;

/**
 * What was left out because this machine is too slow.
 *
 * @typedef {object} Left
 * @property {number} count pictures
 * @property {number} from bus time of the first, ms
 * @property {number} to of the last
 * @property {number} local page's clock when it was, ms
 */

/** One WebCodecs decoder that starts at key pictures and names each picture's access unit. */
export class Decoder {
  /** @param {(frame: VideoFrame, unit: Sample) => void} take closes the frame */
  constructor(take) {
    this.take = take;
    this.problem = "";
    this.codec = "";
    this.count = 0;
    this.begun = false;
    this.skipping = false; // to the next key picture
    this.given = 0; // pictures since it was opened
    this.openedAt = 0;
    /** @type {Map<number, Sample>} what waits or is being decoded, oldest first */
    this.units = new Map();
    /** @type {VideoDecoder|null} */
    this.decoder = null;
    /** @type {Left|null} the last time */
    this.left = null;
    this.leftOut = 0; // pictures, ever
    this.pace_ms = 0; // of one picture, while others wait
    this.every_ms = 0; // of the source, bus time
    this.keyEvery_ms = KEY_EVERY_MS;
    this.keyT = NaN;
    this.lastT = NaN;
    this.outputAt = 0;
    this.busy = false;
  }

  get queue() {
    return this.decoder ? this.decoder.decodeQueueSize : 0;
  }

  /**
   * A starved machine must not begin anew with each group and show none: once begun, a group is left
   * when it has given a picture, when more comes in the same breath, or when nothing comes of it.
   */
  mayDrop() {
    const since = performance.now() - this.openedAt;
    return this.given > 0 || since < BURST_MS || since > STUCK_MS;
  }

  /** Forget the group under way; the next unit must be a keyframe. */
  restart() {
    this.begun = false;
    this.skipping = false;
  }

  /**
   * Take a unit that has just come. When the decoder is behind, and will not have caught up before
   * the next key picture, what comes until then is left out.
   *
   * @param {Sample} unit
   */
  push(unit) {
    const key = (unit.flags & KEYFRAME) !== 0;
    this.meter(unit, key);
    if (this.begun && this.units.size > MOST && key && !this.mayDrop()) this.skipping = true;
    else if (key) this.skipping = false;
    else if (this.begun && !this.skipping) this.skipping = this.late(unit);
    if (this.skipping) this.leave([unit]);
    else this.feed(unit);
  }

  /** @param {Sample} unit @param {boolean} key */
  meter({ t }, key) {
    const step = t - this.lastT;
    if (step > 0 && step < KEY_EVERY_MS) this.every_ms += (step - this.every_ms) * (this.every_ms ? EASE : 1);
    this.lastT = t;
    if (!key) return;
    if (t - this.keyT > 0) this.keyEvery_ms = Math.min(10 * KEY_EVERY_MS, t - this.keyT);
    this.keyT = t;
  }

  /** Whether waiting for the next key picture shows something new sooner. @param {Sample} unit */
  late({ t }) {
    const waiting = this.units.size;
    if (waiting > MOST) return true;
    const [oldest] = this.units.values();
    if (!oldest || waiting <= MAX_TAIL || this.given < 2) return false;
    if (t - oldest.t <= MAX_BEHIND_MS && waiting <= MAX_QUEUE) return false;
    const gains = 1 - this.pace_ms / (this.every_ms || Infinity);
    const drained_ms = gains > 0 ? (waiting * this.pace_ms) / gains : Infinity;
    return drained_ms > this.keyT + this.keyEvery_ms - t;
  }

  /** @param {Sample[]} units */
  leave(units) {
    if (!units.length) return;
    const local = performance.now();
    const [from, to] = [units[0].t, units[units.length - 1].t];
    const same = this.left && local - this.left.local < SAME_MS ? this.left : null;
    this.left = same
      ? { count: same.count + units.length, from: Math.min(same.from, from), to: Math.max(same.to, to), local }
      : { count: units.length, from, to, local };
    this.leftOut += units.length;
  }

  /** @param {Sample} unit @returns {boolean} whether it went in */
  feed(unit) {
    const key = (unit.flags & KEYFRAME) !== 0;
    if (!this.begun && !key) return false;
    if (key && this.begun && this.queue > MAX_TAIL && this.mayDrop()) {
      this.leave([...this.units.values()]); // what waits is older than this
      this.restart();
    }
    if (key && !this.open(unit)) return false;
    this.begun = true;
    const stamp = ++this.count;
    this.units.set(stamp, unit);
    try {
      /** @type {VideoDecoder} */ (this.decoder).decode(
        new EncodedVideoChunk({ type: key ? "key" : "delta", timestamp: stamp, data: unit.value }),
      );
    } catch (error) {
      this.fail(error);
      return false;
    }
    return true;
  }

  /** @param {Sample} unit */
  open(unit) {
    const codec = codecOf(unit.value);
    if (!codec) {
      this.problem = "codec";
      return false;
    }
    const stale = !this.decoder || this.decoder.state !== "configured" || codec !== this.codec;
    if (!stale && this.begun) return true;
    if (typeof VideoDecoder === "undefined") {
      this.problem = "WebCodecs";
      return false;
    }
    try {
      if (!this.decoder || this.decoder.state === "closed") {
        this.decoder = new VideoDecoder({
          output: (frame) => this.output(frame),
          error: (error) => this.fail(error),
        });
      } else this.decoder.reset();
      this.units.clear();
      this.decoder.configure({ codec, optimizeForLatency: true });
      this.codec = codec;
      this.given = 0;
      this.busy = false;
      this.openedAt = performance.now();
      return true;
    } catch (error) {
      this.fail(error);
      return false;
    }
  }

  /** @param {VideoFrame} frame */
  output(frame) {
    const unit = this.units.get(frame.timestamp);
    this.units.delete(frame.timestamp);
    this.problem = "";
    this.given++;
    const local = performance.now();
    if (this.busy) this.pace_ms += (local - this.outputAt - this.pace_ms) * (this.pace_ms ? EASE : 1);
    this.outputAt = local;
    this.busy = this.units.size > 0;
    if (unit) this.take(frame, unit);
    else frame.close();
  }

  /** @param {unknown} error */
  fail(error) {
    this.problem = String(error);
    this.close();
  }

  close() {
    this.restart();
    this.units.clear();
    if (this.decoder && this.decoder.state !== "closed") this.decoder.close();
    this.decoder = null;
  }
}
