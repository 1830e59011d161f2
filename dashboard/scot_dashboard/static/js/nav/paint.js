/**
 * The tool, its uncertainty, the plan: over slices and over the surface.
 * @import {Slice} from "./volume.js"  @import {Solid} from "./solid.js"
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
 *
 * @typedef {object} Scene
 * @property {Tool|null} tool null when it is not seen or too old
 * @property {Tool[]} others
 * @property {number[]|null} target
 * @property {number[]|null} entry
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
  const scale = Math.min((width - rem) / (slice.width * 0.94), (height - 1.2 * rem) / (slice.height * 0.98));
  const left = (width - slice.width * scale) / 2;
  const top = (height - slice.height * scale) / 2 + 0.4 * rem;
  pen.globalAlpha = 1;
  pen.fillStyle = "#000";
  pen.fillRect(0, 0, width, height);
  slice.cut(scene.through);
  pen.imageSmoothingQuality = "high";
  pen.globalAlpha = scene.tool ? 0.92 : 0.4;
  pen.drawImage(slice.canvas, left, top, slice.width * scale, slice.height * scale);
  pen.globalAlpha = 1;
  /** @param {number[]} mm */
  const at = (mm) => {
    const [x, y, out] = slice.place(mm, scene.through);
    return [left + x * scale, top + y * scale, out];
  };
  letters(pen, PLANES[slice.plane].edges, rem);
  if (scene.entry && scene.target) plan(pen, at(scene.entry), at(scene.target), rem);
  if (!scene.tool) return;
  cross(pen, at(scene.tool.tip), rem);
  for (const other of scene.others) shaft(pen, at(other.tip), at(along(other.tip, other.direction, -40)), OTHER, rem * 0.1);
  tool(pen, scene.tool, at, scale, rem);
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
  halo(pen, tip, (tool.err_mm ?? 0) * px_mm, rem);
  pen.fillStyle = TOOL;
  pen.beginPath();
  pen.arc(tip[0], tip[1], 0.2 * rem, 0, 2 * Math.PI);
  pen.fill();
}

/** The circle that likely holds the tip. @param {OffscreenCanvasRenderingContext2D} pen @param {number[]} tip @param {number} radius px @param {number} rem */
function halo(pen, tip, radius, rem) {
  const r = Math.max(radius, 0.34 * rem);
  pen.beginPath();
  pen.arc(tip[0], tip[1], r, 0, 2 * Math.PI);
  pen.fillStyle = "rgba(62,230,160,0.22)";
  pen.fill();
  pen.strokeStyle = "rgba(62,230,160,0.85)";
  pen.lineWidth = 0.07 * rem;
  pen.stroke();
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
  sides(pen, at, rem);
  for (const other of scene.others) rod(pen, solid, at, other, OTHER, 0.16 * rem, 70);
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
  halo(pen, tip, (scene.tool.err_mm ?? 0) * solid.eye.scale * k, rem);
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

/** Letters at the sides of the head that face the eye. @param {OffscreenCanvasRenderingContext2D} pen @param {(mm: number[]) => number[]} at @param {number} rem */
function sides(pen, at, rem) {
  pen.font = `640 ${0.85 * rem}px Inter, system-ui, sans-serif`;
  pen.fillStyle = LETTER;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  for (const [letter, mm] of /** @type {[string, number[]][]} */ ([
    ["R", [88, -16, 0]], ["L", [-88, -16, 0]], ["A", [0, 88, 0]], ["P", [0, -120, 0]], ["S", [0, -16, 94]],
  ])) {
    const [x, y, z] = at(mm);
    const off = Math.hypot(x - pen.canvas.width / 2, y - pen.canvas.height / 2);
    if (z < -40 || off < pen.canvas.height * 0.28 || y < 2.2 * rem) continue;
    pen.fillText(letter, x, y);
  }
  pen.textAlign = "left";
}
