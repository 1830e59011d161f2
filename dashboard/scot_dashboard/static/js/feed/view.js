/**
 * What the page shows at one moment, as plain values for the main thread.
 * @import {AlarmNow, Catalogue, Cell, Channel, Sample, View} from "../types.js"
 * @import {Store, Track} from "./store.js"
 */

import { SIMULATED } from "./wire.js";

const RECENT_MS = 10_000;
const RANK = { Hi: 3, Me: 2, Lo: 1, None: 0 };

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
 * @returns {Cell|null}
 */
export function cellAt(track, channel, t, live, unix) {
  const sample = live ? track.samples[track.samples.length - 1] : track.at(t);
  if (!sample) return null;
  let end = sample.t;
  if (channel.kind === "waveform") end += (sample.value.length * 1000) / (channel.rate_hz || 100);
  const age_ms = Math.max(0, t - end);
  const plain = channel.kind !== "waveform" && channel.kind !== "video" && channel.kind !== "image";
  return {
    value: plain ? sample.value : null,
    age_ms,
    flags: sample.flags,
    stale: !channel.latched && age_ms > (channel.stale_after_s ?? 5) * 1000,
    t_unix_ms: unix(sample.t),
  };
}

/**
 * Alarms that hold at `t`, the most urgent first.
 *
 * @param {Iterable<[string, Track]>} tracks alarm channels by device name
 * @param {number} t
 * @param {number} now for the age
 * @returns {AlarmNow[]}
 */
export function alarmsAt(tracks, t, now) {
  /** @type {AlarmNow[]} */
  const holding = [];
  for (const [device, track] of tracks) {
    /** @type {Set<string>} */
    const seen = new Set();
    for (let i = track.after(t) - 1; i >= 0; i--) {
      const sample = track.samples[i];
      const alarm = sample.value;
      if (seen.has(alarm.id)) continue;
      seen.add(alarm.id);
      const presence = alarm.presence ?? "On";
      const activation = alarm.activation ?? "On";
      const shown = alarm.present || presence === "Latch";
      if (!shown || activation === "Off") continue;
      holding.push({
        device,
        id: alarm.id,
        kind: alarm.kind,
        priority: alarm.priority,
        presence,
        activation,
        channel: alarm.channel ?? "",
        text: alarm.text ?? {},
        value: alarm.value ?? null,
        limit: alarm.limit ?? null,
        age_ms: Math.max(0, now - sample.t),
      });
    }
  }
  const rank = (/** @type {AlarmNow} */ a) =>
    (RANK[/** @type {"Hi"} */ (a.priority)] ?? 0) * 2 + (a.presence === "Ack" ? 0 : 1);
  return holding.sort((a, b) => rank(b) - rank(a) || a.age_ms - b.age_ms);
}

/** Facts about devices that hold whatever the cursor says: silence, clocks, simulation. */
export class Witness {
  constructor() {
    /** @type {Map<string, Sample>} the newest sample of each device */
    this.newest = new Map();
    this.simulated = false;
  }

  /** @param {string} device @param {Channel} channel @param {Sample} sample */
  see(device, channel, sample) {
    if (device === "room" || channel.sensitivity === "technical") return;
    if (sample.flags & SIMULATED) this.simulated = true;
    const before = this.newest.get(device);
    if (!before || sample.t >= before.t) this.newest.set(device, sample);
  }

  /** Milliseconds since each device's newest sample. @param {number} now */
  silence(now) {
    /** @type {Record<string, number>} */
    const silent = {};
    for (const [device, sample] of this.newest) silent[device] = Math.max(0, now - sample.t);
    return silent;
  }

  /** The worst clock among devices that speak. @param {number} now @returns {View["clock"]} */
  clock(now) {
    /** @type {View["clock"]} */
    const worst = { err_ms: 0, bound_ms: 0, state: 0 };
    for (const { t, err_ms, bound_ms, state } of this.newest.values()) {
      if (now - t > RECENT_MS) continue;
      const max = (/** @type {number|null} */ a, /** @type {number|null} */ b) =>
        a === null || b === null ? null : Math.max(a, b);
      worst.err_ms = max(worst.err_ms, err_ms);
      worst.bound_ms = max(worst.bound_ms, bound_ms);
      worst.state = Math.max(worst.state, state);
    }
    return worst;
  }
}
