/**
 * Hands waveforms, their marks and the moment of the head to the worker that draws them.
 * @import {Channel, Sample} from "../types.js"  @import {Room} from "./room.js"
 */

const HEAD_MS = 100;
const LOOK_MS = 50; // to see how fast the head runs

export class Tracing {
  /** @param {Room} room */
  constructor(room) {
    this.room = room;
    /** @type {MessagePort|null} */
    this.port = null;
    /** @type {[string, Sample][]} */
    this.waves = [];
    /** @type {[string, number][]} */
    this.marks = [];
    this.headAt = -Infinity;
    /** @type {Record<string, [number, number]>} drawing range of each waveform */
    this.ranges = {};
    this.columns = 0;
    room.onTrace = (address, channel, sample) => this.take(address, channel, sample);
    room.onForget = () => {
      this.waves = [];
      this.marks = [];
      this.port?.postMessage({ forget: true });
    };
  }

  /** @param {MessagePort} port */
  open(port) {
    this.port = port;
    port.onmessage = ({ data }) => Object.assign(this, data);
    for (const [address, { channel }] of this.room.channels) {
      const track = this.room.store.tracks.get(address);
      if (isTrace(channel)) for (const sample of track?.samples ?? []) this.take(address, channel, sample);
    }
    this.anew();
  }

  /** @param {string} address @param {Channel} channel @param {Sample} sample */
  take(address, channel, sample) {
    if (!this.port || !isTrace(channel)) return;
    if (channel.kind === "waveform") {
      // A copy: a view would take the whole message along.
      this.waves.push([address, { ...sample, value: sample.value.slice() }]);
    } else if (typeof sample.value?.channel === "string") {
      this.marks.push([address.replace(/[^/]*$/, sample.value.channel), sample.t]);
    }
  }

  /** Each trace is drawn whole: the moment jumped, or what was missing has come. */
  anew() {
    this.send(performance.now(), true);
  }

  /** Many times a second. @param {number} local */
  frame(local) {
    const due = local - this.headAt >= HEAD_MS;
    if (due || this.waves.length || this.marks.length) this.send(local, false);
  }

  /** @param {number} local @param {boolean} anew */
  send(local, anew) {
    if (!this.port || this.room.time.base === null) return;
    this.headAt = local;
    const { waves, marks } = this;
    this.waves = [];
    this.marks = [];
    this.port.postMessage({ waves, marks, anew, head: this.head(local) });
  }

  /** @param {number} local */
  head(local) {
    const { playhead, link, delay_ms, time } = this.room;
    const live = playhead.mode === "live";
    const cursor = playhead.cursor(local);
    return {
      t: live ? Math.min(cursor, time.now(local) - delay_ms) : cursor,
      at: performance.timeOrigin + local,
      rate: (playhead.cursor(local + LOOK_MS) - cursor) / LOOK_MS,
      now: time.now(local),
      runs: !live || Boolean(link?.alive),
    };
  }
}

/** @param {Channel} channel */
function isTrace(channel) {
  return channel.kind === "waveform" || Boolean(channel.attrs?.marks);
}
