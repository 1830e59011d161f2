/**
 * A and B: two moments and what may be said of their order. Two timestamps give before, after, or
 * cannot tell: only what surely lies apart is said to.
 * @import {RawRow} from "../feed/probe.js"
 */

/**
 * @typedef {{t: number, err_ms: number|null, bound_ms: number|null, sample: boolean}} Mark
 * @typedef {{err_ms: number|null, bound_ms: number|null}} Known
 */

/** The sample nearest to a moment; where there is none, the moment, of which no error is known. @param {RawRow[]} rows @param {number} t @param {number} near_ms @returns {Mark} */
export function markAt(rows, t, near_ms) {
  let best = null;
  for (const row of rows) {
    if (Math.abs(row.t - t) <= near_ms && (!best || Math.abs(row.t - t) < Math.abs(best.t - t))) best = row;
  }
  return best ? { t: best.t, err_ms: best.err_ms, bound_ms: best.bound_ms, sample: true }
    : { t, err_ms: null, bound_ms: null, sample: false };
}

/**
 * @param {Mark|null} a
 * @param {Mark|null} b
 * @param {Known|null} [across] how well their recordings lie over one another, when they are two
 * @returns {{delta_ms: number, err_ms: number|null, bound_ms: number|null, order: "order_before"|"order_after"|"order_cannotTell"}|null}
 */
export function between(a, b, across = null) {
  if (!a || !b) return null;
  const delta_ms = b.t - a.t;
  const known = across ? [a, b, across] : [a, b];
  const errs = known.map((one) => one.err_ms);
  const bounds = known.map((one) => one.bound_ms);
  const err_ms = errs.includes(null) ? null : Math.hypot(.../** @type {number[]} */ (errs));
  const bound_ms = bounds.includes(null) ? null : /** @type {number[]} */ (bounds).reduce((n, x) => n + x, 0);
  const apart = bound_ms !== null && Math.abs(delta_ms) > bound_ms;
  return { delta_ms, err_ms, bound_ms, order: !apart ? "order_cannotTell" : delta_ms > 0 ? "order_before" : "order_after" };
}
