/**
 * The tool, its uncertainty, the plan: over slices and over the surface.
 * @import {Slice, Window} from "./volume.js"  @import {Solid} from "./solid.js"  @import {Plan} from "./steering.js"
 */

import { PLANES } from "./volume.js";

const TOOL = "#3ee6a0";
const PLAN = "#ffb020";
const CROSS = "rgba(89,194,255,0.6)";
const OTHER = "#8fa0b2";
const LETTER = "#8fa0b2";
const SHAFT_MM = 120;

/**
 * @typedef {object} Tool
 * @property {number[]} tip mm
 * @property {number[]} direction unit, from the handle to the tip
 * @property {number|null} err_mm
 * @property {boolean} doubtful
 *
 * @typedef {object} Scene
 * @property {Tool|null} tool null when it is not seen or too old
 * @property {Tool[]} others
 * @property {number[]|null} target
 * @property {number[]|null} entry
 * @property {Plan|null} plan
 * @property {Window} window
 * @property {number} zoom
 * @property {number[]} through where the slices are cut
 */

/** @param {number[]} p @param {number[]} d @param {number} mm */
const along = (p, d, mm) => [p[0] + d[0] * mm, p[1] + d[1] * mm, p[2] + d[2] * mm];

/**
 * @param {OffscreenCanvasRenderingContext2D} pen
 * @param {Slice} slice
 * @param {Scene} scene
 * @param {number} rem device pixels
 */
export function paintSlice(pen, slice, scene, rem) {
  const { width, height } = pen.canvas;
  slice.aim(scene.through, { width, height, zoom: scene.zoom, inset: 0.9 * rem });
  slice.cut(scene.through, scene.window);
  pen.globalAlpha = 1;
  pen.fillStyle = "#000";
  pen.fillRect(0, 0, width, height);
  pen.imageSmoothingQuality = "high";
  pen.globalAlpha = scene.tool ? 0.92 : 0.4;
  slice.paint(pen);
  pen.globalAlpha = 1;
  /** @param {number[]} mm */
  const at = (mm) => slice.place(mm, scene.through);
  letters(pen, PLANES[slice.plane].edges, rem);
  scale(pen, slice.px_mm, rem);
  for (const keep of scene.plan?.avoid ?? []) {
    const [x, y, out] = at(keep.at);
    const cutRadius = (/** @type {number} */ r) => Math.sqrt(Math.max(0, r * r - out * out)) * slice.px_mm;
    ball(pen, x, y, cutRadius(keep.radius_mm), cutRadius(keep.radius_mm + (scene.plan?.margin_mm ?? 0)), rem);
  }
  if (scene.entry && scene.target) plan(pen, at(scene.entry), at(scene.target), rem);
  if (!scene.tool) return;
  cross(pen, at(scene.tool.tip), rem);
  for (const other of scene.others) shaft(pen, at(other.tip), at(along(other.tip, other.direction, -40)), OTHER, rem * 0.1);
  tool(pen, scene.tool, at, slice.px_mm, rem);
}

/** Ten millimetres, drawn. @param {OffscreenCanvasRenderingContext2D} pen @param {number} px_mm @param {number} rem */
function scale(pen, px_mm, rem) {
  const { width, height } = pen.canvas;
  const [x, y] = [width - 0.8 * rem, height - 0.8 * rem];
  pen.strokeStyle = LETTER;
  pen.lineWidth = Math.max(1, 0.08 * rem);
  pen.beginPath();
  pen.moveTo(x - 10 * px_mm, y);
  pen.lineTo(x, y);
  pen.stroke();
  pen.font = `560 ${0.7 * rem}px Inter, system-ui, sans-serif`;
  pen.fillStyle = LETTER;
  pen.textAlign = "right";
  pen.textBaseline = "bottom";
  pen.fillText("10 mm", x, y - 0.15 * rem);
  pen.textAlign = "left";
}

/** What to keep away from, and around it the planned margin. */
function ball(
  /** @type {OffscreenCanvasRenderingContext2D} */ pen,
  /** @type {number} */ x,
  /** @type {number} */ y,
  /** @type {number} */ radius,
  /** @type {number} */ margin,
  /** @type {number} */ rem,
) {
  pen.strokeStyle = PLAN;
  pen.fillStyle = "rgba(255,176,32,0.25)";
  pen.lineWidth = 0.09 * rem;
  if (radius > 0) {
    pen.beginPath();
    pen.arc(x, y, radius, 0, 2 * Math.PI);
    pen.fill();
    pen.stroke();
  }
  if (margin <= 0) return;
  pen.setLineDash([0.18 * rem, 0.18 * rem]);
  pen.beginPath();
  pen.arc(x, y, margin, 0, 2 * Math.PI);
  pen.stroke();
  pen.setLineDash([]);
}

/** @param {OffscreenCanvasRenderingContext2D} pen @param {string} edges left, right, top, bottom @param {number} rem */
function letters(pen, edges, rem) {
  const { width, height } = pen.canvas;
  pen.font = `640 ${0.95 * rem}px Inter, system-ui, sans-serif`;
  pen.fillStyle = LETTER;
  pen.textBaseline = "middle";
  pen.textAlign = "center";
  const inset = 0.8 * rem;
  pen.fillText(edges[0], inset, height / 2);
  pen.fillText(edges[1], width - inset, height / 2);
  pen.fillText(edges[2], width / 2, inset);
  pen.fillText(edges[3], width / 2, height - inset);
  pen.textAlign = "left";
}

/** @param {OffscreenCanvasRenderingContext2D} pen @param {number[]} entry @param {number[]} target @param {number} rem */
function plan(pen, entry, target, rem) {
  pen.strokeStyle = PLAN;
  pen.lineWidth = 0.08 * rem;
  pen.globalAlpha = 0.7;
  pen.setLineDash([0.25 * rem, 0.3 * rem]);
  pen.beginPath();
  pen.moveTo(entry[0], entry[1]);
  pen.lineTo(target[0], target[1]);
  pen.stroke();
  pen.setLineDash([]);
  pen.globalAlpha = 1;
  // Full when the slice cuts it, a ring when it lies off the slice.
  pen.beginPath();
  pen.arc(target[0], target[1], 0.32 * rem, 0, 2 * Math.PI);
  pen.lineWidth = 0.12 * rem;
  pen.fillStyle = PLAN;
  if (Math.abs(target[2]) <= 2) pen.fill();
  pen.stroke();
}

/** @param {OffscreenCanvasRenderingContext2D} pen @param {number[]} tip @param {number} rem */
function cross(pen, tip, rem) {
  const { width, height } = pen.canvas;
  const gap = 1.1 * rem;
  pen.strokeStyle = CROSS;
  pen.lineWidth = Math.max(1, 0.07 * rem);
  pen.beginPath();
  for (const [a, b, c, d] of [
    [0, tip[1], tip[0] - gap, tip[1]], [tip[0] + gap, tip[1], width, tip[1]],
    [tip[0], 0, tip[0], tip[1] - gap], [tip[0], tip[1] + gap, tip[0], height],
  ]) {
    pen.moveTo(a, b);
    pen.lineTo(c, d);
  }
  pen.stroke();
}

/** @param {OffscreenCanvasRenderingContext2D} pen @param {number[]} a @param {number[]} b @param {string} color @param {number} width */
function shaft(pen, a, b, color, width) {
  pen.strokeStyle = color;
  pen.lineWidth = width;
  pen.lineCap = "round";
  pen.beginPath();
  pen.moveTo(a[0], a[1]);
  pen.lineTo(b[0], b[1]);
  pen.stroke();
}

/**
 * @param {OffscreenCanvasRenderingContext2D} pen
 * @param {Tool} tool
 * @param {(mm: number[]) => number[]} at
 * @param {number} px_mm
 * @param {number} rem
 */
function tool(pen, tool, at, px_mm, rem) {
  const tip = at(tool.tip);
  const handle = at(along(tool.tip, tool.direction, -SHAFT_MM));
  const fade = pen.createLinearGradient(tip[0], tip[1], handle[0], handle[1]);
  fade.addColorStop(0, TOOL);
  fade.addColorStop(0.75, "rgba(62,230,160,0.15)");
  fade.addColorStop(1, "rgba(62,230,160,0)");
  pen.globalAlpha = 0.9;
  shaft(pen, tip, handle, /** @type {any} */ (fade), 0.14 * rem);
  pen.globalAlpha = 1;
  halo(pen, tip, tool.err_mm === null ? null : tool.err_mm * px_mm, rem);
  pen.fillStyle = TOOL;
  pen.beginPath();
  pen.arc(tip[0], tip[1], 0.12 * rem, 0, 2 * Math.PI);
  pen.fill();
}

/**
 * The ball that likely holds the tip, to scale; where it is too small to be seen a dashed ring
 * stands around it, and where nobody knows it a dotted one.
 *
 * @param {OffscreenCanvasRenderingContext2D} pen @param {number[]} tip @param {number|null} radius px @param {number} rem
 */
function halo(pen, tip, radius, rem) {
  const least = 0.4 * rem;
  const [x, y] = tip;
  pen.lineWidth = 0.08 * rem;
  if (radius !== null && radius > 0) {
    const shade = pen.createRadialGradient(x - radius * 0.35, y - radius * 0.35, 0, x, y, radius);
    shade.addColorStop(0, "rgba(190,255,225,0.5)");
    shade.addColorStop(1, "rgba(62,230,160,0.28)");
    circle(pen, x, y, radius);
    pen.fillStyle = shade;
    pen.fill();
  }
  pen.strokeStyle = "rgba(62,230,160,0.9)";
  if (radius !== null && radius >= least) {
    pen.stroke();
    pen.beginPath();
    pen.ellipse(x, y, radius, radius * 0.32, 0, 0, 2 * Math.PI);
    pen.lineWidth = 0.04 * rem;
  } else {
    pen.setLineDash(radius === null ? [0.06 * rem, 0.2 * rem] : [0.25 * rem, 0.15 * rem]);
    circle(pen, x, y, least);
  }
  pen.stroke();
  pen.setLineDash([]);
}

/** @param {OffscreenCanvasRenderingContext2D} pen @param {number} x @param {number} y @param {number} r */
function circle(pen, x, y, r) {
  pen.beginPath();
  pen.arc(x, y, r, 0, 2 * Math.PI);
}

/**
 * @param {OffscreenCanvasRenderingContext2D} pen
 * @param {Solid} solid
 * @param {Scene} scene
 * @param {number} rem
 */
export function paintSolid(pen, solid, scene, rem) {
  const { width, height } = pen.canvas;
  const k = width / solid.width;
  /** @param {number[]} mm */
  const at = (mm) => {
    const [x, y, z] = solid.eye.see(mm);
    return [x * k, y * k, z];
  };
  pen.globalAlpha = 1;
  pen.fillStyle = "#000";
  pen.fillRect(0, 0, width, height);
  pen.globalAlpha = scene.tool ? 1 : 0.45;
  pen.drawImage(solid.canvas, 0, 0, width, height);
  pen.globalAlpha = 1;
  sides(pen, at, solid, rem);
  for (const other of scene.others) rod(pen, solid, at, other, OTHER, 0.16 * rem, 70);
  for (const keep of scene.plan?.avoid ?? []) {
    const [x, y] = at(keep.at);
    const mm = solid.eye.scale * k;
    ball(pen, x, y, keep.radius_mm * mm, (keep.radius_mm + (scene.plan?.margin_mm ?? 0)) * mm, rem);
  }
  if (scene.entry && scene.target) plan(pen, at(scene.entry), [...at(scene.target).slice(0, 2), 0], rem);
  if (!scene.tool) return;
  if (scene.target) {
    pen.strokeStyle = PLAN;
    pen.lineWidth = 0.12 * rem;
    pen.beginPath();
    const [a, b] = [at(scene.tool.tip), at(scene.target)];
    pen.moveTo(a[0], a[1]);
    pen.lineTo(b[0], b[1]);
    pen.stroke();
  }
  rod(pen, solid, at, scene.tool, TOOL, 0.26 * rem, SHAFT_MM);
  const tip = at(scene.tool.tip);
  halo(pen, tip, scene.tool.err_mm === null ? null : scene.tool.err_mm * solid.eye.scale * k, rem);
}

/** A rod, solid where it is in sight and thin where the surface hides it. */
function rod(
  /** @type {OffscreenCanvasRenderingContext2D} */ pen,
  /** @type {Solid} */ solid,
  /** @type {(mm: number[]) => number[]} */ at,
  /** @type {Tool} */ { tip, direction },
  /** @type {string} */ color,
  /** @type {number} */ width,
  /** @type {number} */ length,
) {
  const parts = 48;
  for (let i = 0; i < parts; i++) {
    const from = along(tip, direction, (-length * i) / parts);
    const to = along(tip, direction, (-length * (i + 1)) / parts);
    const hidden = solid.hides(along(tip, direction, (-length * (i + 0.5)) / parts));
    pen.globalAlpha = hidden ? 0.55 : 1;
    shaft(pen, at(from), at(to), color, hidden ? width * 0.45 : width);
  }
  pen.globalAlpha = 1;
}

/**
 * Letters at the sides of the head that face the eye.
 *
 * @param {OffscreenCanvasRenderingContext2D} pen @param {(mm: number[]) => number[]} at @param {Solid} solid @param {number} rem
 */
function sides(pen, at, solid, rem) {
  pen.font = `640 ${0.85 * rem}px Inter, system-ui, sans-serif`;
  pen.fillStyle = LETTER;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  const { eye } = solid;
  const [cx, cy, cz] = eye.centre;
  const far = eye.field_mm * 0.42;
  const flip = eye.lps ? -1 : 1;
  for (const [letter, mm] of /** @type {[string, number[]][]} */ ([
    ["R", [cx + far * flip, cy, cz]], ["L", [cx - far * flip, cy, cz]],
    ["A", [cx, cy + far * 1.15 * flip, cz]], ["P", [cx, cy - far * 1.15 * flip, cz]], ["S", [cx, cy, cz + far]],
  ])) {
    const [x, y, z] = at(mm);
    const off = Math.hypot(x - pen.canvas.width / 2, y - pen.canvas.height / 2);
    if (z < -40 || off < pen.canvas.height * 0.28 || y < 2.2 * rem) continue;
    pen.fillText(letter, x, y);
  }
  pen.textAlign = "left";
}
