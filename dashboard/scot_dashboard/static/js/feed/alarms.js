/**
 * Alarms as the room keeps them: the gateway's state, one sample for all that matters. A recording
 * without it has only the devices' own words.
 * @import {AlarmNow, Channel, Sample, Signals} from "../types.js"  @import {Track} from "./store.js"
 */

const RANK = { Hi: 3, Me: 2, Lo: 1, None: 0 };
const STATES = { active: 4, unknown: 3, latched: 2, acked: 1, pending: 1 };

/** @type {Signals} */
export const SIGNALS_ON = { activation: "On", left_ms: 0, by: "", since_t: null };

/** Most urgent first; what nobody has seen yet before what somebody has. @param {AlarmNow[]} alarms */
export function ranked(alarms) {
  const rank = (/** @type {AlarmNow} */ a) =>
    (a.state === "acked" ? 0 : 100)
    + (RANK[/** @type {"Hi"} */ (a.priority)] ?? 0) * 10
    + (STATES[/** @type {"active"} */ (a.state)] ?? 0);
  return alarms.sort((a, b) => rank(b) - rank(a) || a.age_ms - b.age_ms);
}

/**
 * The room's state at a moment.
 *
 * @param {Sample|undefined} sample of `alarms/state`
 * @param {number} now ms, for ages
 * @param {(ns: bigint) => number} toT
 * @returns {{alarms: AlarmNow[], signals: Signals}|null} null when there is none
 */
export function boardOf(sample, now, toT) {
  const told = sample?.value;
  if (!told || !Array.isArray(told.conditions)) return null;
  const alarms = told.conditions.map((/** @type {any} */ c) => alarmOf(c, now, toT));
  const { activation = "On", until_ns = null, since_ns = null, by = "" } = told.signals ?? {};
  const left_ms = until_ns === null ? 0 : Math.max(0, toT(BigInt(until_ns)) - now);
  return { alarms: ranked(alarms), signals: { activation, left_ms, by: String(by), since_t: since_ns === null ? null : toT(BigInt(since_ns)) } };
}

/** @param {any} c as `scot.condition.Condition` @param {number} now @param {(ns: bigint) => number} toT @returns {AlarmNow} */
function alarmOf(c, now, toT) {
  return {
    device: String(c.device),
    id: String(c.id),
    kind: String(c.kind),
    priority: String(c.priority),
    state: c.state,
    under: c.under,
    activation: c.activation,
    channel: c.channel ?? "",
    text: c.text ?? {},
    value: c.value ?? null,
    limit: c.limit ?? null,
    since_ns: BigInt(c.since_ns),
    age_ms: Math.max(0, now - toT(BigInt(c.since_ns))),
    by: c.by ?? "",
    unseen: c.unseen ?? "",
    own: String(c.id).startsWith("room/"),
  };
}

/**
 * What devices themselves say at `t`, where nobody keeps the room's alarms.
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
      if (seen.has(sample.value.id)) continue;
      seen.add(sample.value.id);
      const alarm = wordOf(device, sample, now);
      if (alarm) holding.push(alarm);
    }
  }
  return ranked(holding);
}

/** @param {string} device @param {Sample} sample @param {number} now @returns {AlarmNow|null} null: nothing holds */
function wordOf(device, sample, now) {
  const { id, kind, priority, present, presence = "On", activation = "On", ...rest } = sample.value;
  if ((!present && presence !== "Latch") || activation === "Off") return null;
  const state = presence === "Ack" ? "acked" : presence === "Latch" ? "latched" : "active";
  return {
    device, id: `${device}/${id}`, kind, priority, state, under: state, activation,
    channel: rest.channel ?? "", text: rest.text ?? {}, value: rest.value ?? null, limit: rest.limit ?? null,
    since_ns: sample.ns, age_ms: Math.max(0, now - sample.t), by: state === "acked" ? device : "", unseen: "", own: false,
  };
}
