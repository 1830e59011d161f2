/**
 * The surface of a volume that has no mesh: where a line from the eye first reaches a level, as a
 * still picture with its depth. Drawn in software, like the mesh, and only when something changed.
 * @import {Volume} from "./volume.js"  @import {Eye} from "./solid.js"
 */

import { applied } from "./volume.js";

const BLOCK = 8;
const ROUGH_PX = 110;
const FINE_PX = 420;
const REACH = [1, 2, 3.5];
const SKIN_HU = -300;
const SOFT_HU = 200;

/**
 * A picture that is being made.
 *
 * @typedef {object} Job
 * @property {number} width @property {number} height
 * @property {number} scale @property {number[]} middle
 * @property {ImageData} image @property {Float32Array<ArrayBuffer>} depth
 * @property {number} y the next row
 */

export class Cast {
  /** @param {Volume} volume @param {Eye} eye */
  constructor(volume, eye) {
    this.volume = volume;
    this.eye = eye;
    this.level = levelOf(volume, volume.window);
    this.width = this.height = 0;
    this.depth = new Float32Array(0);
    this.canvas = new OffscreenCanvas(1, 1);
    this.blocks = blocksOf(volume);
    /** @type {Job|null} */
    this.finer = null;
    this.asked = "";
  }

  /** The surface that belongs to a window. @param {import("./volume.js").Window} window */
  cut(window) {
    const level = levelOf(this.volume, window);
    if (level !== this.level) this.width = 0;
    this.level = level;
  }

  /**
   * Show something at once, and better in the time that is left: turning and the slices go on.
   *
   * @param {number} width device pixels @param {number} height
   * @param {number} budget_ms
   * @returns {boolean} whether there is more to do
   */
  show(width, height, budget_ms) {
    const size = (/** @type {number} */ most) => {
      const k = Math.min(1, most / Math.max(width, height));
      return [Math.max(1, Math.round(width * k)), Math.max(1, Math.round(height * k))];
    };
    const asked = `${width} ${height}`;
    if (!this.width || this.asked !== asked) {
      this.asked = asked;
      const rough = this.begin(size(ROUGH_PX));
      this.rows(rough, Infinity);
      this.take(rough);
      this.finer = this.begin(size(FINE_PX));
      this.eye.aim(rough.width, rough.height);
      return true;
    }
    if (!this.finer) return false;
    this.rows(this.finer, budget_ms);
    if (this.finer.y < this.finer.height) return true;
    this.take(this.finer);
    this.finer = null;
    return false;
  }

  /** @param {number[]} size @returns {Job} */
  begin([width, height]) {
    this.eye.aim(width, height);
    const { scale, middle } = this.eye;
    return {
      width, height, scale, middle, y: 0,
      image: new ImageData(width, height), depth: new Float32Array(width * height).fill(-Infinity),
    };
  }

  /** @param {Job} job */
  take(job) {
    this.eye.aim(job.width, job.height);
    this.width = job.width;
    this.height = job.height;
    this.depth = job.depth;
    this.canvas.width = job.width;
    this.canvas.height = job.height;
    this.canvas.getContext("2d")?.putImageData(job.image, 0, 0);
  }

  /** Cast the next rows. @param {Job} job @param {number} budget_ms */
  rows(job, budget_ms) {
    const { eye, volume } = this;
    const { toVoxel: m, toMm } = volume;
    const end = performance.now() + budget_ms;
    const pixels = new Uint32Array(job.image.data.buffer);
    const turn = (/** @type {number[]} */ v) => m.map((r) => r[0] * v[0] + r[1] * v[1] + r[2] * v[2]);
    const start = applied(m, [0, 1, 2].map((k) => eye.centre[k] + eye.back[k] * eye.away));
    const [ahead, right, up] = [turn(eye.back.map((v) => -v * eye.away)), turn(eye.right), turn(eye.up)];
    const light = unit([0, 1, 2].map((k) => -0.55 * eye.right[k] + 0.75 * eye.up[k] + 0.8 * eye.back[k]));
    // Depth is linear in the voxel's numbers.
    const deep = [0, 1, 2].map((j) => [0, 1, 2].reduce((sum, k) => sum + toMm[k][j] * eye.back[k], 0));
    const shift = [0, 1, 2].reduce((sum, k) => sum + (toMm[k][3] - eye.centre[k]) * eye.back[k], 0);
    const way = [0, 0, 0];
    const hit = [0, 0, 0];
    for (; job.y < job.height; job.y++) {
      if (performance.now() > end) return;
      const v = (job.middle[1] - job.y - 0.5) / job.scale;
      for (let x = 0, at = job.y * job.width; x < job.width; x++, at++) {
        const u = (x + 0.5 - job.middle[0]) / job.scale;
        for (let k = 0; k < 3; k++) way[k] = ahead[k] + right[k] * u + up[k] * v;
        if (!this.first(start, way, hit)) continue;
        job.depth[at] = hit[0] * deep[0] + hit[1] * deep[1] + hit[2] * deep[2] + shift;
        pixels[at] = this.shade(hit, light);
      }
    }
  }

  /** Where a line first meets the level; voxels. @param {number[]} a @param {number[]} way @param {number[]} hit filled */
  first(a, way, hit) {
    const { grey, size } = this.volume;
    const { most, across, down } = this.blocks;
    let [enter, leave] = [0, 4];
    for (let k = 0; k < 3; k++) {
      if (Math.abs(way[k]) < 1e-9) {
        if (a[k] < 0 || a[k] > size[k] - 1) return false;
        continue;
      }
      const t0 = -a[k] / way[k];
      const t1 = (size[k] - 1 - a[k]) / way[k];
      enter = Math.max(enter, Math.min(t0, t1));
      leave = Math.min(leave, Math.max(t0, t1));
    }
    const step = 0.9 / Math.hypot(way[0], way[1], way[2]);
    const [nc, nr] = size;
    for (let t = enter + 1e-9; t < leave; ) {
      const c = (a[0] + t * way[0] + 0.5) | 0;
      const r = (a[1] + t * way[1] + 0.5) | 0;
      const s = (a[2] + t * way[2] + 0.5) | 0;
      if (most[((s >> 3) * down + (r >> 3)) * across + (c >> 3)] < this.level) t += step * 8;
      else if (grey[(s * nr + r) * nc + c] < this.level) t += step;
      else {
        let [out, inside] = [t - 1.5 * step, t + 0.5 * step];
        for (let i = 0; i < 5; i++) {
          const half = (out + inside) / 2;
          if (between(this.volume, a[0] + half * way[0], a[1] + half * way[1], a[2] + half * way[2]) >= this.level) inside = half;
          else out = half;
        }
        for (let k = 0; k < 3; k++) hit[k] = a[k] + inside * way[k];
        return true;
      }
    }
    return false;
  }

  /** @param {number[]} hit voxels @param {number[]} light */
  shade(hit, light) {
    const { volume } = this;
    const m = volume.toVoxel;
    const slope = [0, 0, 0];
    for (let k = 0; k < 3; k++) {
      for (let i = 0; i < 3; i++) {
        const d = REACH[i];
        const [x, y, z] = [k === 0 ? d : 0, k === 1 ? d : 0, k === 2 ? d : 0];
        slope[k] += between(volume, hit[0] + x, hit[1] + y, hit[2] + z) - between(volume, hit[0] - x, hit[1] - y, hit[2] - z);
      }
    }
    // A gradient goes from voxels to mm by the transpose of mm to voxels.
    let [dot, square] = [0, 0];
    for (let k = 0; k < 3; k++) {
      const n = -(slope[0] * m[0][k] + slope[1] * m[1][k] + slope[2] * m[2][k]);
      dot += n * light[k];
      square += n * n;
    }
    const l = Math.min(1, 0.16 + 0.84 * Math.max(0, dot / (Math.sqrt(square) || 1)));
    return 0xff000000 | ((178 * l) << 16) | ((194 * l) << 8) | (208 * l);
  }

  /** Whether a point in mm lies behind the surface. @param {number[]} mm */
  hides(mm) {
    const [x, y, z] = this.eye.see(mm);
    const [column, line] = [Math.round(x - 0.5), Math.round(y - 0.5)];
    if (column < 0 || line < 0 || column >= this.width || line >= this.height) return false;
    return this.depth[line * this.width + column] > z + 1;
  }
}

/** The skin in a CT, or bone where the window is of bone; else what a window begins to show. */
function levelOf(/** @type {Volume} */ { modality }, /** @type {import("./volume.js").Window} */ { centre, width }) {
  if (modality === "CT") return centre > SOFT_HU ? centre - width * 0.15 : SKIN_HU;
  return centre - width * 0.3;
}

/** A value between voxels, the edge's beyond it. @param {Volume} volume @param {number} c @param {number} r @param {number} s voxels */
function between({ grey, size: [nc, nr, ns] }, c, r, s) {
  const x = Math.max(0, Math.min(nc - 1.001, c));
  const y = Math.max(0, Math.min(nr - 1.001, r));
  const z = Math.max(0, Math.min(ns - 1.001, s));
  const [x0, y0, z0] = [x | 0, y | 0, z | 0];
  const [u, v, w] = [x - x0, y - y0, z - z0];
  const at = (z0 * nr + y0) * nc + x0;
  const slab = nc * nr;
  const a = grey[at] + u * (grey[at + 1] - grey[at]);
  const b = grey[at + nc] + u * (grey[at + nc + 1] - grey[at + nc]);
  const e = grey[at + slab] + u * (grey[at + slab + 1] - grey[at + slab]);
  const f = grey[at + slab + nc] + u * (grey[at + slab + nc + 1] - grey[at + slab + nc]);
  return a + v * (b - a) + w * (e + v * (f - e) - a - v * (b - a));
}

/** @param {number[]} v */
function unit(v) {
  const length = Math.hypot(...v) || 1;
  return v.map((x) => x / length);
}

/**
 * The largest value in and around each block: a ray may step over a block whose own is too small.
 *
 * @param {Volume} volume
 */
function blocksOf({ grey, size: [nc, nr, ns] }) {
  const [across, down, deep] = [nc, nr, ns].map((n) => Math.ceil(n / BLOCK));
  const own = new Float32Array(across * down * deep).fill(-Infinity);
  for (let s = 0, at = 0; s < ns; s++) {
    for (let r = 0; r < nr; r++) {
      const line = ((s / BLOCK | 0) * down + (r / BLOCK | 0)) * across;
      for (let c = 0; c < nc; c++, at++) {
        const block = line + (c / BLOCK | 0);
        if (grey[at] > own[block]) own[block] = grey[at];
      }
    }
  }
  const most = own.slice();
  for (let s = 0; s < deep; s++) for (let r = 0; r < down; r++) for (let c = 0; c < across; c++) {
    let found = -Infinity;
    for (let k = Math.max(0, s - 1); k <= Math.min(deep - 1, s + 1); k++)
      for (let j = Math.max(0, r - 1); j <= Math.min(down - 1, r + 1); j++)
        for (let i = Math.max(0, c - 1); i <= Math.min(across - 1, c + 1); i++)
          found = Math.max(found, own[(k * down + j) * across + i]);
    most[(s * down + r) * across + c] = found;
  }
  return { most, across, down };
}
