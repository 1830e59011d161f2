/**
 * Which tool is steered by which plan, and how it stands to it: pure functions of poses, in mm.
 * @import {Cell, Channel} from "../types.js"
 */

/**
 * @typedef {object} Keep what the tool must keep away from: a ball around a structure
 * @property {string} name empty where names do not leave the room
 * @property {number[]} at mm
 * @property {number} radius_mm
 *
 * @typedef {object} Plan
 * @property {number[]|null} target mm, in the tool's frame of reference
 * @property {number[]|null} entry
 * @property {number|null} margin_mm smallest distance to what must be kept away from
 * @property {number|null} corridor_mm largest distance from the line from entry to target
 * @property {number|null} beyond_mm how far past the target the tip may go
 * @property {Keep[]} avoid
 *
 * @typedef {"never"|"stale"|"hidden"|"error"|"doubtful"|"seen"} ToolState
 *
 * @typedef {object} Breach
 * @property {"avoid"|"corridor"|"beyond"} what
 * @property {string} name
 * @property {number} mm the measured distance
 * @property {number} limit_mm
 * @property {boolean} sure false: only with the ± counted
 */

const MOST_KEPT = 16;
const DEFAULT_MARGIN_MM = 2;
const INVALID = 16;
const DOUBTFUL = 32;

/** @param {any} value @returns {number|null} */
const positive = (value) => (typeof value === "number" && value >= 0 && Number.isFinite(value) ? value : null);

/** @param {any} point @returns {number[]|null} */
function mm(point) {
  return Array.isArray(point) && point.length === 3 && point.every(Number.isFinite) ? point : null;
}

/** @param {string|undefined} axis such as "+z" @returns {number[]} */
export function axisOf(axis) {
  const match = /^([+-])([xyz])$/.exec(axis ?? "");
  const unit = [0, 0, 0];
  unit["xyz".indexOf(match?.[2] ?? "z")] = match?.[1] === "-" ? -1 : 1;
  return unit;
}

/** A channel's plan; what is malformed is not there. @param {Record<string, any>} attrs @returns {Plan} */
export function planOf(attrs) {
  const balls = Array.isArray(attrs.avoid_mm) ? attrs.avoid_mm.slice(0, MOST_KEPT) : [];
  const avoid = balls
    .map((ball, i) => ({ at: mm(ball?.slice?.(0, 3)), radius_mm: positive(ball?.[3]), name: String(attrs.avoid_names?.[i] ?? "") }))
    .filter((keep) => keep.at && keep.radius_mm !== null);
  return {
    target: mm(attrs.target_mm),
    entry: mm(attrs.entry_mm),
    margin_mm: positive(attrs.margin_mm) ?? (avoid.length ? DEFAULT_MARGIN_MM : null),
    corridor_mm: positive(attrs.corridor_mm),
    beyond_mm: positive(attrs.beyond_mm),
    avoid: /** @type {Keep[]} */ (avoid),
  };
}

/** @param {Channel} channel */
export const steered = (channel) => Boolean(mm(channel.attrs?.target_mm));

/** What may be believed of a tool. @param {Cell|undefined} cell @returns {ToolState} */
export function toolState(cell) {
  if (!cell) return "never";
  if (cell.stale) return "stale";
  if (!cell.value.visible) return "hidden";
  return usable(cell.value, cell.flags);
}

/** @param {{position: number[], orientation: number[]}} pose @param {number} flags @returns {ToolState} */
export function usable({ position, orientation }, flags) {
  const finite = position?.length === 3 && orientation?.length === 4 && [...position, ...orientation].every(Number.isFinite);
  if (flags & INVALID || !finite || Math.abs(Math.hypot(...orientation) - 1) > 0.01) return "error";
  return flags & DOUBTFUL ? "doubtful" : "seen";
}

/** @param {number[]} a @param {number[]} b */
export const distance = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);

/** A vector turned by a unit quaternion x, y, z, w. @param {number[]} q @param {number[]} v */
export function turned([x, y, z, w], v) {
  const t = [2 * (y * v[2] - z * v[1]), 2 * (z * v[0] - x * v[2]), 2 * (x * v[1] - y * v[0])];
  return [
    v[0] + w * t[0] + y * t[2] - z * t[1],
    v[1] + w * t[1] + z * t[0] - x * t[2],
    v[2] + w * t[2] + x * t[1] - y * t[0],
  ];
}

/** Degrees between the shaft and the planned line; null without one. @param {number[]} shaft unit @param {Plan} plan */
export function angleTo(shaft, { entry, target }) {
  if (!entry || !target || distance(entry, target) === 0) return null;
  const cos = [0, 1, 2].reduce((sum, k) => sum + shaft[k] * (target[k] - entry[k]), 0) / distance(entry, target);
  return (Math.acos(Math.max(-1, Math.min(1, cos))) * 180) / Math.PI;
}

/** How far along the planned line, and beside it. @param {number[]} tip @param {Plan} plan */
export function alongPlan(tip, { entry, target }) {
  if (!entry || !target || distance(entry, target) === 0) return null;
  const length = distance(entry, target);
  const along = [0, 1, 2].reduce((sum, k) => sum + ((tip[k] - entry[k]) * (target[k] - entry[k])) / length, 0);
  return { along, beside: Math.sqrt(Math.max(0, distance(tip, entry) ** 2 - along ** 2)), length };
}

/**
 * Where the tip, with its ±, is nearer than planned; the certain and the nearest first. An unknown
 * ± counts as none, and the pane says that it is unknown.
 *
 * @param {number[]} tip @param {Plan} plan @param {number|null} err_mm @returns {Breach[]}
 */
export function breaches(tip, plan, err_mm) {
  const err = err_mm ?? 0;
  /** @type {Breach[]} */
  const found = [];
  for (const { name, at, radius_mm } of plan.avoid) {
    const gap = distance(tip, at) - radius_mm;
    const limit = plan.margin_mm ?? 0;
    if (gap - err < limit) found.push({ what: "avoid", name, mm: gap, limit_mm: limit, sure: gap + err < limit });
  }
  const line = alongPlan(tip, plan);
  if (line && plan.corridor_mm !== null && line.along > 0 && line.beside + err > plan.corridor_mm) {
    found.push({ what: "corridor", name: "", mm: line.beside, limit_mm: plan.corridor_mm, sure: line.beside - err > plan.corridor_mm });
  }
  const past = line ? line.along - line.length : -Infinity;
  if (plan.beyond_mm !== null && past + err > plan.beyond_mm) {
    found.push({ what: "beyond", name: "", mm: past, limit_mm: plan.beyond_mm, sure: past - err > plan.beyond_mm });
  }
  const depth = (/** @type {Breach} */ b) => (b.what === "avoid" ? b.limit_mm - b.mm : b.mm - b.limit_mm);
  return found.sort((a, b) => Number(b.sure) - Number(a.sure) || depth(b) - depth(a));
}
