/**
 * Whose clock this screen reads: the room's, the viewer's own, or UTC. A press on the clock changes
 * it and the screen remembers; a room that names no zone is read in the viewer's own.
 */

import { knownZone, offsetMs } from "./feed/zone.js";

/** @typedef {"room"|"own"|"utc"} Whose */

const KEY = "scot.clock";
/** @type {Whose[]} */
const TURNS = ["room", "own", "utc"];
/** @type {Whose} */
let whose = (() => {
  try {
    return TURNS.find((one) => one === localStorage.getItem(KEY)) ?? "room";
  } catch {
    return "room";
  }
})();
let room = "";
/** @type {(() => void)[]} */
const listeners = [];

/** The zone of every time on this screen, as feed/zone.js takes it. */
export const shownZone = () => zoneOf(whose);

/** The room's zone; empty when it names none. */
export const roomZone = () => room;

export const whoseClock = () => (whose === "room" && !room ? "own" : whose);

/** @param {Whose} one */
const zoneOf = (one) => (one === "utc" ? "UTC" : one === "room" ? room : "");

/** The other clock that belongs beside the one that is shown. @returns {Whose|null} null when it reads the same or is not known @param {number} unix_ms */
export function besideClock(unix_ms) {
  const other = whoseClock() === "room" ? "own" : "room";
  if (!room || offsetMs(unix_ms, zoneOf(other)) === offsetMs(unix_ms, shownZone())) return null;
  return other;
}

/** @param {() => void} call after each change of the zone that is shown */
export function onZone(call) {
  listeners.push(call);
}

/** Take the zone that the room's catalogue names. @param {string|undefined} name */
export function adoptZone(name) {
  const known = knownZone(name);
  if (known === room) return;
  room = known;
  for (const call of listeners) call();
}

/** Read the next clock that says something else. @param {number} unix_ms */
export function turnClock(unix_ms) {
  const now = offsetMs(unix_ms, shownZone());
  const start = TURNS.indexOf(whoseClock());
  const order = TURNS.map((_, i) => TURNS[(start + 1 + i) % TURNS.length]).filter((one) => one !== "room" || room);
  whose = order.find((one) => offsetMs(unix_ms, zoneOf(one)) !== now) ?? order.find((one) => one !== whoseClock()) ?? whose;
  try {
    localStorage.setItem(KEY, whose);
  } catch {
    // A browser that stores nothing forgets it at the next start, no more.
  }
  for (const call of listeners) call();
}
