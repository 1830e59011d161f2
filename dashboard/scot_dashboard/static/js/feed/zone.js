/**
 * Times of day as people of a place read them. A zone is an IANA name, "UTC", or empty for the zone
 * of this very display.
 */

const QUARTER_MS = 900_000; // every zone has changed its clocks at a whole quarter of an hour, UTC
const MOST_KEPT = 2_000;
const LAST_MS = 8.64e15;

/** @type {Map<string, Intl.DateTimeFormat>} */
const formats = new Map();
/** @type {Map<string, number>} */
const kept = new Map();

/** A zone that this browser knows too; empty when it does not. @param {unknown} name */
export function knownZone(name) {
  if (typeof name !== "string" || !name) return "";
  try {
    format(name);
    return name;
  } catch {
    return "";
  }
}

/** @param {string} zone */
function format(zone) {
  let found = formats.get(zone);
  if (!found) {
    found = new Intl.DateTimeFormat("en-US", {
      timeZone: zone, hourCycle: "h23", calendar: "gregory", numberingSystem: "latn",
      year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric",
    });
    formats.set(zone, found);
  }
  return found;
}

/** How far ahead of UTC the clocks of a zone were at a moment, ms. @param {number} unix_ms @param {string} zone */
export function offsetMs(unix_ms, zone) {
  if (zone === "UTC" || !(Math.abs(unix_ms) < LAST_MS)) return 0;
  const quarter = Math.floor(unix_ms / QUARTER_MS) * QUARTER_MS;
  if (!zone) return -new Date(quarter).getTimezoneOffset() * 60_000;
  const key = `${zone} ${quarter}`;
  const known = kept.get(key);
  if (known !== undefined) return known;
  /** @type {Record<string, number>} */
  const read = {};
  for (const { type, value } of format(zone).formatToParts(quarter)) read[type] = Number(value);
  const offset = Date.UTC(read.year, read.month - 1, read.day, read.hour, read.minute, read.second) - quarter;
  if (kept.size >= MOST_KEPT) kept.clear();
  kept.set(key, offset);
  return offset;
}

/** @param {number} unix_ms @param {string} zone */
function shifted(unix_ms, zone) {
  const date = new Date(unix_ms + offsetMs(unix_ms, zone));
  return Number.isNaN(date.getTime()) ? null : date;
}

const two = (/** @type {number} */ n) => String(n).padStart(2, "0");

/** hh:mm:ss. @param {number} unix_ms @param {string} zone */
export function clockText(unix_ms, zone) {
  const date = shifted(unix_ms, zone);
  if (!date) return "--:--:--";
  return `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())}`;
}

/** yyyy-mm-dd. @param {number} unix_ms @param {string} zone */
export function dateText(unix_ms, zone) {
  const date = shifted(unix_ms, zone);
  if (!date) return "";
  return `${String(date.getUTCFullYear()).padStart(4, "0")}-${two(date.getUTCMonth() + 1)}-${two(date.getUTCDate())}`;
}

/** "UTC+9", "UTC−3:30": letters such as IST mean three places. @param {number} unix_ms @param {string} zone */
export function zoneText(unix_ms, zone) {
  const minutes = Math.round(offsetMs(unix_ms, zone) / 60_000);
  if (!minutes) return "UTC";
  const size = Math.abs(minutes);
  return `UTC${minutes < 0 ? "−" : "+"}${Math.floor(size / 60)}${size % 60 ? `:${two(size % 60)}` : ""}`;
}
