/**
 * Pictures on canvases. Every picture keeps the exact bus time of its access unit. Live: drawn at
 * once when no other waits behind it, the newest wins when one does. Behind live a second decoder
 * follows the cursor while the live one goes on. What is not seen is not decoded.
 * @import {Sample} from "../types.js"  @import {Track} from "./store.js"
 */

import { Decoder, MAX_QUEUE } from "./decoder.js";
import { PLAIN, isPlain, scaleFor, sizeOf } from "./framing.js";
import { KEYFRAME } from "./wire.js";

const INSET_PX = 640;
const MAX_UNDRAWN_MS = 100;

/**
 * @typedef {object} Shown
 * @property {Sample} unit
 * @property {number} drawn page's clock when it was drawn, ms
 */

/** A canvas that shows one picture, turned and cropped as this display wants it; CSS scales it. */
export class Screen {
  /** @param {OffscreenCanvas} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.pen = canvas.getContext("2d", { alpha: false, desynchronized: true });
    /** @type {Shown|null} */
    this.shown = null;
    this.frames = 0;
    /** @type {[number, number]} px on the screen */
    this.box = [1920, 1080];
    /** @type {[number, number]|null} px that the canvas may have at most */
    this.most = null;
    /** How the next picture is drawn. */
    this.framing = PLAIN;
    /** How the one that is on the screen was drawn. */
    this.framed = PLAIN;
  }

  get aspect() {
    return this.shown ? this.canvas.width / this.canvas.height : 16 / 9;
  }

  /** @param {VideoFrame} frame @param {Sample} unit */
  draw(frame, unit) {
    const { canvas, pen, framing } = this;
    const [across, down] = [frame.displayWidth, frame.displayHeight];
    const [wide, high] = sizeOf(framing, across, down);
    const scale = this.most ? Math.min(1, this.most[0] / wide, this.most[1] / high) : scaleFor(wide, high, this.box);
    const [width, height] = [Math.max(1, Math.round(wide * scale)), Math.max(1, Math.round(high * scale))];
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    if (isPlain(framing)) pen?.drawImage(frame, 0, 0, width, height);
    else if (pen) {
      const [x, y, w, h] = framing.crop;
      const [dw, dh] = framing.turn % 180 === 0 ? [width, height] : [height, width];
      pen.setTransform(1, 0, 0, 1, width / 2, height / 2);
      pen.rotate((framing.turn * Math.PI) / 180);
      pen.drawImage(frame, x * across, y * down, w * across, h * down, -dw / 2, -dh / 2, dw, dh);
      pen.resetTransform();
    }
    frame.close();
    this.framed = framing;
    this.shown = { unit, drawn: performance.now() };
    this.frames++;
  }

  /** Nothing is shown any more. */
  blank() {
    this.shown = null;
    this.pen?.clearRect(0, 0, this.canvas.width, this.canvas.height);
  }
}

/** Decodes a track up to a moment and shows the picture of that moment. */
export class Follower {
  /** @param {Screen} screen */
  constructor(screen) {
    this.screen = screen;
    /** @type {Sample|null} the last unit that was fed */
    this.last = null;
    /** @type {Sample|null} */
    this.wanted = null;
    this.decoder = new Decoder((frame, unit) => {
      if (this.wanted && unit.t > this.wanted.t - 1) this.screen.draw(frame, unit);
      else frame.close();
    });
  }

  /** @param {Track} track @param {number} t */
  follow(track, t) {
    const { samples } = track;
    const index = track.after(t) - 1;
    if (index < 0) return;
    this.wanted = samples[index];
    if (this.wanted === this.last || this.decoder.queue > MAX_QUEUE) return;
    const lastIndex = this.last ? track.after(this.last.t) - 1 : -1;
    const goesOn = this.last !== null && samples[lastIndex] === this.last && lastIndex < index;
    let first = lastIndex + 1;
    let key = index;
    while (key >= 0 && (samples[key].flags & KEYFRAME) === 0) key--;
    if (key < 0) return;
    if (!goesOn || key > first) {
      first = key;
      this.decoder.restart();
    }
    for (let i = first; i <= index; i++) this.decoder.feed(samples[i]);
    this.last = this.wanted;
  }

  stop() {
    this.last = this.wanted = null;
    this.decoder.restart();
  }
}

/** One video channel: the big picture, and a small live one while the big one is behind. */
export class VideoPane {
  /** @param {string} address @param {OffscreenCanvas} main @param {OffscreenCanvas|null} inset */
  constructor(address, main, inset) {
    this.address = address;
    this.main = new Screen(main);
    this.inset = inset ? new Screen(inset) : null;
    if (this.inset) this.inset.most = [INSET_PX, INSET_PX];
    this.follower = new Follower(this.main);
    this.live = true;
    this.seen = true; // by anybody: it lies on the screen
    /** @type {number[]} bus times of the last pictures that went up */
    this.recent = [];
    this.decoder = new Decoder((frame, unit) => this.output(frame, unit));
  }

  /** Another source in the same place. @param {string} address */
  turnTo(address) {
    this.address = address;
    this.decoder.close();
    this.follower.stop();
    this.recent = [];
    this.main.blank();
    this.inset?.blank();
  }

  /** @param {import("./framing.js").Framing} framing */
  frame(framing) {
    this.main.framing = framing;
    if (this.inset) this.inset.framing = framing;
    this.follower.stop(); // a picture that is held is drawn anew
  }

  /** Pictures drawn so far, wherever. */
  get frames() {
    return this.main.frames + (this.inset?.frames ?? 0);
  }

  get problem() {
    return this.decoder.problem || this.follower.decoder.problem;
  }

  /** Take a unit that has just come. @param {Sample} unit */
  push(unit) {
    if (this.seen) this.decoder.push(unit);
  }

  /** What nobody sees is not decoded, and holds no decoder. @param {boolean} seen */
  setSeen(seen) {
    if (this.seen === seen) return;
    this.seen = seen;
    this.recent = [];
    if (seen) return;
    this.decoder.close();
    this.follower.stop();
    this.follower.decoder.close();
  }

  /** Begin with the last group that is held, when none is under way. @param {Track} track */
  catchUp(track) {
    if (this.decoder.begun || !this.seen) return;
    const { samples } = track;
    let key = samples.length - 1;
    while (key >= 0 && (samples[key].flags & KEYFRAME) === 0) key--;
    for (let i = key; i >= 0 && i < samples.length; i++) this.decoder.feed(samples[i]);
  }

  /** @param {VideoFrame} frame @param {Sample} unit */
  output(frame, unit) {
    const screen = this.live ? this.main : this.inset;
    if (!screen) return frame.close();
    const since = performance.now() - (screen.shown?.drawn ?? -Infinity);
    if (this.decoder.queue > 0 && since < MAX_UNDRAWN_MS) return frame.close();
    screen.draw(frame, unit);
    this.recent.push(unit.t);
    if (this.recent.length > 26) this.recent.shift();
  }

  /** @param {boolean} live */
  setLive(live) {
    if (live && !this.live) this.follower.stop();
    this.live = live;
  }

  close() {
    this.decoder.close();
    this.follower.decoder.close();
  }

  /** Pictures a second, from their own times. */
  fps() {
    const n = this.recent.length;
    if (n < 2) return 0;
    const span = this.recent[n - 1] - this.recent[0];
    return span > 0 ? ((n - 1) * 1000) / span : 0;
  }
}
