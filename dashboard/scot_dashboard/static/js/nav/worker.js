/**
 * Navigation: three slices through the tool's tip and the surface, at most thirty times a second,
 * in a worker of its own. Poses come straight from the feed's worker.
 */

import { paintSlice, paintSolid } from "./paint.js";
import { Eye, Solid, loadMesh } from "./solid.js";
import { Slice, loadVolume } from "./volume.js";

/** @import {Scene, Tool} from "./paint.js" */

/** @type {{postMessage(m: any): void, onmessage: ((e: MessageEvent) => void)|null}} */
const outside = /** @type {any} */ (self);

const MAX_SOLID_PX = 1100;

/** @type {Map<string, {pen: OffscreenCanvasRenderingContext2D, slice: Slice|null, rem: number}>} */
const views = new Map();
/** @type {Solid|null} */
let solid = null;
/** @type {import("./volume.js").Volume|null} */
let volume = null;
/** @type {Scene} */
let scene = { tool: null, others: [], target: null, entry: null, through: [0, 0, 0] };
let main = "";
/** @type {Record<string, number[]>} axis of the shaft in the tool's own frame */
let axes = {};
let waiting = false;
let drawn = 0;

/**
 * The shaft's direction: the tool's own axis, turned by its unit quaternion.
 *
 * @param {number[]} q x, y, z, w
 * @param {number[]} v
 */
function turned([x, y, z, w], v) {
  const t = [2 * (y * v[2] - z * v[1]), 2 * (z * v[0] - x * v[2]), 2 * (x * v[1] - y * v[0])];
  return [
    v[0] + w * t[0] + y * t[2] - z * t[1],
    v[1] + w * t[1] + z * t[0] - x * t[2],
    v[2] + w * t[2] + x * t[1] - y * t[0],
  ];
}

/** @param {any} pose @returns {Tool|null} */
function toolOf(pose) {
  if (!pose.visible || pose.stale) return null;
  const direction = turned(pose.orientation, axes[pose.address] ?? [0, 0, 1]);
  return { tip: pose.position, direction, err_mm: pose.err_mm };
}

/** @param {any[]} poses */
function take(poses) {
  scene.tool = null;
  scene.others = [];
  for (const pose of poses) {
    const tool = axes[pose.address] ? toolOf(pose) : null;
    if (!tool) continue;
    if (pose.address === main) {
      scene.tool = tool;
      scene.through = tool.tip;
    } else scene.others.push(tool);
  }
  later();
}

function later() {
  if (waiting) return;
  waiting = true;
  setTimeout(draw, Math.max(0, drawn + 33 - performance.now()));
}

function draw() {
  waiting = false;
  drawn = performance.now();
  for (const [name, view] of views) {
    const { width, height } = view.pen.canvas;
    if (width < 8 || height < 8) continue;
    if (name === "solid") {
      if (solid) paintSolid(view.pen, shaped(solid, width, height), scene, view.rem);
    } else if (view.slice) paintSlice(view.pen, view.slice, scene, view.rem);
  }
}

/** The still picture, made for this size. @param {Solid} still @param {number} width @param {number} height */
function shaped(still, width, height) {
  const k = Math.min(1, MAX_SOLID_PX / width);
  const [w, h] = [Math.round(width * k), Math.round(height * k)];
  if (still.width !== w || still.height !== h) still.render(w, h);
  return still;
}

function attach() {
  for (const [name, view] of views) {
    if (name !== "solid" && volume && !view.slice) {
      view.slice = new Slice(volume, /** @type {import("./volume.js").Plane} */ (name));
    }
  }
  later();
}

/** @type {Record<string, (wish: any) => void>} */
const wishes = {
  async open({ folder, stem, font }) {
    if (font) {
      const face = new FontFace("Inter", `url(${font})`, { weight: "400 750" });
      face.load().then(() => /** @type {any} */ (self).fonts.add(face)).then(later, () => {});
    }
    try {
      volume = await loadVolume(folder, stem);
      attach();
      solid = new Solid(await loadMesh(folder, stem), new Eye([0, -16, 6]));
      if (scene.entry) solid.eye.turn = scene.entry[0] > 0 ? 1.15 : -1.15;
      attach();
    } catch (error) {
      outside.postMessage({ is: "problem", text: String(error) });
    }
  },
  view({ name, canvas }) {
    views.set(name, { pen: canvas.getContext("2d", { alpha: false }), slice: null, rem: 16 });
    attach();
  },
  size({ name, width, height, rem }) {
    const view = views.get(name);
    if (!view) return;
    view.pen.canvas.width = width;
    view.pen.canvas.height = height;
    view.rem = rem;
    later();
  },
  plan(wish) {
    main = wish.main;
    axes = wish.axes;
    scene = { ...scene, target: wish.target, entry: wish.entry };
    if (wish.target && !scene.tool) scene.through = wish.target;
    later();
  },
  turn({ dx, dy }) {
    if (!solid) return;
    solid.eye.turn += dx;
    solid.eye.rise = Math.max(-1.2, Math.min(1.4, solid.eye.rise + dy));
    solid.width = 0;
    later();
  },
  port({ port }) {
    port.onmessage = (/** @type {MessageEvent} */ event) => take(event.data.poses);
  },
};

outside.onmessage = ({ data }) => wishes[data.do]?.(data);
