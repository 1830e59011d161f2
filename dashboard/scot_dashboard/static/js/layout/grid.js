/**
 * Panes on a grid of 24 by 24 cells, by pure functions: each takes where panes stand and returns
 * where they stand then, or null when that cannot be. Nothing here ever makes two panes overlap.
 */

export const CELLS = 24;

/**
 * @typedef {{x: number, y: number, w: number, h: number}} Rect
 * @typedef {Record<string, Rect>} Placed where each pane that is shown stands
 * @typedef {Record<string, [number, number]>} Least of each pane the least width and height
 * @typedef {"left"|"right"|"up"|"down"} Side
 */

/** @param {Rect} a @param {Rect} b */
export function overlap(a, b) {
  return a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
}

/** @param {Rect} r */
const inside = (r) => r.x >= 0 && r.y >= 0 && r.w >= 1 && r.h >= 1 && r.x + r.w <= CELLS && r.y + r.h <= CELLS;

/** Whether nothing overlaps and nothing stands outside. @param {Placed} placed */
export function sound(placed) {
  const all = Object.values(placed);
  return all.every((a, i) => inside(a) && all.slice(i + 1).every((b) => !overlap(a, b)));
}

/** @param {Placed} placed @param {Least} least @param {string[]} which */
function roomy(placed, least, which) {
  return which.every((id) => {
    const [w, h] = least[id] ?? [1, 1];
    return placed[id].w >= w && placed[id].h >= h;
  });
}

/**
 * A step by arrow: onto free cells, else the two panes change places.
 *
 * @param {Placed} placed @param {Least} least @param {string} id @param {Side} side
 * @returns {Placed|null}
 */
export function step(placed, least, id, side) {
  const [dx, dy] = STEPS[side];
  const from = placed[id];
  const to = { ...from, x: from.x + dx, y: from.y + dy };
  const met = Object.entries(placed).filter(([other, r]) => other !== id && overlap(to, r));
  if (!inside(to)) return null;
  if (!met.length) return { ...placed, [id]: to };
  // With whoever stands across most of the way.
  met.sort(([, a], [, b]) => shared(to, b) - shared(to, a));
  return exchange(placed, least, id, met[0][0]);
}

/** @type {Record<Side, [number, number]>} */
const STEPS = { left: [-1, 0], right: [1, 0], up: [0, -1], down: [0, 1] };

/** @param {Rect} a @param {Rect} b cells that both have */
function shared(a, b) {
  const w = Math.min(a.x + a.w, b.x + b.w) - Math.max(a.x, b.x);
  const h = Math.min(a.y + a.h, b.y + b.h) - Math.max(a.y, b.y);
  return Math.max(0, w) * Math.max(0, h);
}

/**
 * Two panes change places.
 *
 * @param {Placed} placed @param {Least} least @param {string} a @param {string} b @returns {Placed|null}
 */
export function exchange(placed, least, a, b) {
  const after = { ...placed, [a]: placed[b], [b]: placed[a] };
  return roomy(after, least, [a, b]) ? after : null;
}

/**
 * Move a pane so that its upper left corner is there; if it does not fit whole, into the free
 * cells around.
 *
 * @param {Placed} placed @param {Least} least @param {string} id @param {number} x @param {number} y
 * @returns {Placed|null}
 */
export function moveTo(placed, least, id, x, y) {
  const from = placed[id];
  const to = { ...from, x: clamp(x, 0, CELLS - from.w), y: clamp(y, 0, CELLS - from.h) };
  const rest = without(placed, id);
  if (Object.values(rest).every((r) => !overlap(to, r))) return { ...placed, [id]: to };
  const free = largestFree(rest, clamp(x, 0, CELLS - 1), clamp(y, 0, CELLS - 1));
  const after = free && { ...rest, [id]: free };
  return after && roomy(after, least, [id]) ? after : null;
}

/**
 * Move one edge of a pane by so many cells. Whatever stands along the same line moves its edge too,
 * so that two columns stay two columns; what is in the way gives way as far as it can.
 *
 * @param {Placed} placed @param {Least} least @param {string} id @param {Side} side which edge
 * @param {number} by cells to the right or down
 * @returns {Placed|null}
 */
export function resize(placed, least, id, side, by) {
  const across = side === "left" || side === "right";
  const turned = across ? placed : transposed(placed);
  const found = edge(turned, id, side === "right" || side === "down", by);
  if (!found) return null;
  const after = across ? found : transposed(found);
  return sound(after) && roomy(after, least, Object.keys(after)) ? after : null;
}

/**
 * `resize` of a left or right edge, without its checks.
 *
 * @param {Placed} placed @param {string} id @param {boolean} far the right edge
 * @param {number} by @returns {Placed|null}
 */
function edge(placed, id, far, by) {
  const line = far ? placed[id].x + placed[id].w : placed[id].x;
  const to = line + by;
  if (line <= 0 && !far && by < 0) return null;
  const { before, after: behind } = along(placed, id, far, line);
  /** @type {Placed} */
  const moved = { ...placed };
  for (const one of before) moved[one] = { ...placed[one], w: to - placed[one].x };
  for (const one of behind) moved[one] = { ...placed[one], x: to, w: placed[one].x + placed[one].w - to };
  const named = new Set([...before, ...behind]);
  // What stood beyond free cells is met now, and gives way.
  for (const [other, r] of Object.entries(placed)) {
    if (named.has(other)) continue;
    const meets = [...named].some((one) => overlap(moved[one], r));
    if (!meets) continue;
    moved[other] = by > 0 ? { ...r, x: to, w: r.x + r.w - to } : { ...r, w: to - r.x };
  }
  return moved;
}

/**
 * The panes that end and that begin at a line, as far as they hang together with one of them.
 *
 * @param {Placed} placed @param {string} id @param {boolean} far @param {number} line
 */
function along(placed, id, far, line) {
  const before = new Set(far ? [id] : []);
  const after = new Set(far ? [] : [id]);
  const beside = (/** @type {Rect} */ a, /** @type {Rect} */ b) => a.y < b.y + b.h && b.y < a.y + a.h;
  for (let grew = true; grew;) {
    grew = false;
    for (const [other, r] of Object.entries(placed)) {
      if (r.x + r.w === line && !before.has(other) && [...after].some((one) => beside(r, placed[one]))) {
        before.add(other);
        grew = true;
      }
      if (r.x === line && !after.has(other) && [...before].some((one) => beside(r, placed[one]))) {
        after.add(other);
        grew = true;
      }
    }
  }
  return { before, after };
}

/** @param {Placed} placed @returns {Placed} rows as columns */
function transposed(placed) {
  return Object.fromEntries(Object.entries(placed).map(([id, r]) => [id, { x: r.y, y: r.x, w: r.h, h: r.w }]));
}

/**
 * Take a pane away; neighbours that together fill its place do so.
 *
 * @param {Placed} placed @param {string} id @returns {Placed}
 */
export function hide(placed, id) {
  const gone = placed[id];
  const rest = without(placed, id);
  if (!gone) return rest;
  for (const across of [false, true]) {
    for (const far of [false, true]) {
      const filled = fill(across ? rest : transposed(rest), across ? gone : transposed({ gone }).gone, far);
      if (filled) return across ? filled : transposed(filled);
    }
  }
  return rest;
}

/**
 * Let the panes on one side of a hole fill it, if they fit it exactly.
 *
 * @param {Placed} placed @param {Rect} hole @param {boolean} far those on its right
 * @returns {Placed|null}
 */
function fill(placed, hole, far) {
  const touching = Object.entries(placed).filter(([, r]) =>
    (far ? r.x === hole.x + hole.w : r.x + r.w === hole.x) && r.y >= hole.y && r.y + r.h <= hole.y + hole.h);
  if (touching.reduce((sum, [, r]) => sum + r.h, 0) !== hole.h) return null;
  return { ...placed, ...Object.fromEntries(touching.map(([id, r]) => [id, { ...r, x: far ? hole.x : r.x, w: r.w + hole.w }])) };
}

/**
 * Show a pane: on free cells that bear it, else in half of the largest pane that can spare it.
 *
 * @param {Placed} placed @param {Least} least @param {string} id @param {boolean} [split] false: only on free cells
 * @returns {Placed|null}
 */
export function show(placed, least, id, split = true) {
  const [w, h] = least[id] ?? [1, 1];
  const free = largestFree(placed);
  if (free && free.w >= w && free.h >= h) return { ...placed, [id]: free };
  if (!split) return null;
  const bySize = Object.entries(placed).sort(([, a], [, b]) => b.w * b.h - a.w * a.h);
  for (const [host, r] of bySize) {
    for (const across of r.w >= r.h ? [true, false] : [false, true]) {
      const after = share(placed, id, host, across);
      if (roomy(after, least, [id, host])) return after;
    }
  }
  return null;
}

/** @param {Placed} placed @param {string} id @param {string} host @param {boolean} across @returns {Placed} */
function share(placed, id, host, across) {
  const r = placed[host];
  const half = Math.floor((across ? r.w : r.h) / 2);
  const [kept, given] = across
    ? [{ ...r, w: r.w - half }, { ...r, x: r.x + r.w - half, w: half }]
    : [{ ...r, h: r.h - half }, { ...r, y: r.y + r.h - half, h: half }];
  return { ...placed, [host]: kept, [id]: given };
}

/**
 * Put a pane at an edge of another one, which gives it half of its place, or as much as both can be
 * read in. Where the pane stood, its neighbours fill the hole if they fit it.
 *
 * @param {Placed} placed @param {Least} least @param {string} id @param {string} host @param {Side} side
 * @returns {Placed|null}
 */
export function dock(placed, least, id, host, side) {
  if (id === host || !placed[id] || !placed[host]) return null;
  const rest = hide(placed, id);
  const across = side === "left" || side === "right";
  const r = across ? rest[host] : transposed({ r: rest[host] }).r;
  const needs = (/** @type {string} */ one) => (least[one] ?? [1, 1])[across ? 0 : 1];
  if (r.w < needs(id) + needs(host)) return null;
  const mine = clamp(Math.round(r.w / 2), needs(id), r.w - needs(host));
  const near = side === "left" || side === "up";
  const own = { ...r, x: near ? r.x : r.x + r.w - mine, w: mine };
  const kept = { ...r, x: near ? r.x + mine : r.x, w: r.w - mine };
  const halves = across ? { own, kept } : transposed({ own, kept });
  const after = { ...rest, [host]: halves.kept, [id]: halves.own };
  return sound(after) && roomy(after, least, [id, host]) ? after : null;
}

/**
 * The largest rectangle of free cells; with a cell given, of those that hold it.
 *
 * @param {Placed} placed @param {number} [cx] @param {number} [cy] @returns {Rect|null}
 */
export function largestFree(placed, cx = -1, cy = -1) {
  const taken = new Uint8Array(CELLS * CELLS);
  for (const r of Object.values(placed)) {
    for (let y = r.y; y < r.y + r.h; y++) taken.fill(1, y * CELLS + r.x, y * CELLS + r.x + r.w);
  }
  /** @type {Rect|null} */
  let best = null;
  for (let y = 0; y < CELLS; y++) {
    for (let x = 0; x < CELLS; x++) {
      let widest = CELLS - x;
      for (let h = 1; y + h <= CELLS && widest > 0; h++) {
        let w = 0;
        while (w < widest && !taken[(y + h - 1) * CELLS + x + w]) w++;
        widest = w;
        const r = { x, y, w, h };
        const holds = cx < 0 || overlap(r, { x: cx, y: cy, w: 1, h: 1 });
        if (w && holds && (!best || w * h > best.w * best.h)) best = r;
      }
    }
  }
  return best;
}

/** @param {Placed} placed @param {string} id @returns {Placed} */
export function without(placed, id) {
  const { [id]: _, ...rest } = placed;
  return rest;
}

/** @param {number} v @param {number} low @param {number} high */
function clamp(v, low, high) {
  return Math.max(low, Math.min(high, v));
}
