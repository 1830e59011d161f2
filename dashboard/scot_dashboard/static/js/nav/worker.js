/**
 * Navigation: three slices through the tool's tip and the surface, at most thirty times a second,
 * in a worker of its own. Poses come straight from the feed's worker.
 */

import { Cast } from "./cast.js";
import { paintSlice, paintSolid } from "./paint.js";
import { Eye, Solid, loadMesh } from "./solid.js";
import { registered } from "./registration.js";
import { turned, usable } from "./steering.js";
import { Slice, loadVolume } from "./volume.js";

/** @import {Scene, Tool} from "./paint.js" */

/** @type {{postMessage(m: any): void, onmessage: ((e: MessageEvent) => void)|null}} */
const outside = /** @type {any} */ (self);

const MAX_SOLID_PX = 1100;
const CAST_MS = 9;

/** @type {Map<string, {pen: OffscreenCanvasRenderingContext2D, slice: Slice|null, rem: number}>} */
const views = new Map();
/** @type {Solid|Cast|null} */
let solid = null;
/** @type {import("./volume.js").Volume|null} */
let volume = null;
/** @type {Scene} */
let scene = {
  tool: null, others: [], target: null, entry: null, plan: null, through: [0, 0, 0],
  window: { centre: 128, width: 256 }, zoom: 1,
};
let main = "";
let registration = "";
/** @type {Record<string, number[]>} axis of the shaft in the tool's own frame */
let axes = {};
let waiting = false;
let drawn = 0;
let frames = 0;
let spent_ms = 0;

/** @param {any} pose @returns {Tool|null} */
function toolOf(pose) {
  if (!pose.visible || pose.stale) return null;
  const state = usable(pose, pose.flags ?? 0);
  if (state === "error") return null;
  const direction = turned(pose.orientation, axes[pose.address] ?? [0, 0, 1]);
  return { tip: pose.position, direction, err_mm: pose.err_mm, doubtful: state === "doubtful" };
}

/** @param {any[]} told */
function take(told) {
  scene.tool = null;
  scene.others = [];
  for (const pose of registered(told, registration)) {
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
  frames += 1;
  for (const [name, view] of views) {
    const { width, height } = view.pen.canvas;
    if (width < 8 || height < 8) continue;
    if (name === "solid") {
      if (solid) paintSolid(view.pen, /** @type {Solid} */ (shaped(solid, width, height)), scene, view.rem);
      else blank(view.pen);
    } else if (view.slice) paintSlice(view.pen, view.slice, scene, view.rem);
    else blank(view.pen);
  }
  spent_ms += performance.now() - drawn;
  if (frames % 30 === 0) {
    outside.postMessage({ is: "drawn", frames, spent_ms });
    spent_ms = 0;
  }
}

/** @param {OffscreenCanvasRenderingContext2D} pen */
function blank(pen) {
  pen.fillStyle = "#000";
  pen.fillRect(0, 0, pen.canvas.width, pen.canvas.height);
}

/** The still picture, made for this size. @param {Solid|Cast} still @param {number} width @param {number} height */
function shaped(still, width, height) {
  if (still instanceof Cast) {
    if (still.show(width, height, CAST_MS)) later();
    return still;
  }
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

/** An eye that has the whole box in sight. @param {import("./volume.js").Volume} box */
function eyeOf({ low, high, lps }) {
  const span = Math.max(...high.map((v, k) => v - low[k]));
  return new Eye(low.map((v, k) => (v + high[k]) / 2), span * 1.15, lps);
}

/** Behind everything from now on. @param {import("./volume.js").Volume} next @param {import("./volume.js").Window|null} window null: as people set it */
function show(next, window) {
  const first = !volume;
  volume = next;
  const { modality, coarser, lossy, lps, low, high } = next;
  if (window) scene.window = window;
  const centre = low.map((v, k) => (v + high[k]) / 2);
  outside.postMessage({ is: "volume", modality, window, coarser, lossy, lps, centre });
  for (const view of views.values()) view.slice = null;
  if (!(solid instanceof Solid)) {
    const cast = new Cast(next, solid?.eye ?? eyeOf(next));
    cast.cut(scene.window);
    solid = cast;
  }
  if (first && scene.entry) solid.eye.turn = scene.entry[0] > 0 === !lps ? 1.15 : -1.15;
  attach();
}

/** @type {Record<string, (wish: any) => void>} */
const wishes = {
  async open({ folder, stem, font }) {
    if (font) {
      const face = new FontFace("Inter", `url(${font})`, { weight: "400 750" });
      face.load().then(() => /** @type {any} */ (self).fonts.add(face)).then(later, () => {});
    }
    if (!stem) return;
    try {
      const mesh = folder.startsWith("/static/") ? await loadMesh(folder, stem) : null;
      if (mesh) solid = new Solid(mesh, new Eye([0, -16, 6]));
      let told = 0;
      const first = (/** @type {import("./volume.js").Volume} */ small) => show(small, small.window);
      const whole = await loadVolume(folder, stem, first, (share) => {
        if (share - told < 0.01) return;
        told = share;
        outside.postMessage({ is: "coming", share });
      });
      show(whole, volume ? null : whole.window);
      outside.postMessage({ is: "coming", share: 1 });
    } catch (error) {
      outside.postMessage({ is: "problem", text: error instanceof Error ? error.message : String(error) });
    }
  },
  window({ window }) {
    scene.window = window;
    if (solid instanceof Cast) solid.cut(window);
    later();
  },
  zoom({ zoom }) {
    scene.zoom = zoom;
    later();
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
    registration = wish.registration;
    axes = wish.axes;
    scene = { ...scene, target: wish.target, entry: wish.entry, plan: wish.plan };
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
