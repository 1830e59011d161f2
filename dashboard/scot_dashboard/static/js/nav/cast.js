/**
 * The surface of a volume that has no mesh: the first voxels from the eye that reach a level, as a
 * still picture with its depth. Drawn in software, like the mesh, and only when something changed.
 * @import {Volume} from "./volume.js"  @import {Eye} from "./solid.js"
 */

import { applied } from "./volume.js";

const BLOCK = 8;

export class Cast {
  /** @param {Volume} volume @param {Eye} eye */
  constructor(volume, eye) {
    this.volume = volume;
    this.eye = eye;
    this.level = volume.window.centre;
    this.width = this.height = 0;
    this.most_px = 300;
    this.depth = new Float32Array(0);
    this.canvas = new OffscreenCanvas(1, 1);
    this.blocks = blocksOf(volume);
  }

  /** Where the surface is cut; a window's centre. @param {number} level */
  cut(level) {
    if (level !== this.level) this.width = 0;
    this.level = level;
  }

  /** @param {number} width @param {number} height */
  render(width, height) {
    const { eye, volume } = this;
    this.width = width;
    this.height = height;
    eye.aim(width, height);
    this.depth = new Float32Array(width * height).fill(-Infinity);
    const image = new ImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    const from = [0, 1, 2].map((k) => eye.centre[k] + eye.back[k] * eye.away);
    const start = applied(volume.toVoxel, from);
    const light = unit([0, 1, 2].map((k) => -0.55 * eye.right[k] + 0.75 * eye.up[k] + 0.8 * eye.back[k]));
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const [u, v] = [(x + 0.5 - eye.middle[0]) / eye.scale, (eye.middle[1] - y - 0.5) / eye.scale];
        const to = applied(volume.toVoxel, [0, 1, 2].map((k) => eye.centre[k] + eye.right[k] * u + eye.up[k] * v));
        const hit = this.first(start, to);
        if (!hit) continue;
        const mm = applied(volume.toMm, hit);
        this.depth[y * width + x] = [0, 1, 2].reduce((sum, k) => sum + (mm[k] - eye.centre[k]) * eye.back[k], 0);
        pixels[y * width + x] = this.shade(hit, light);
      }
    }
    this.canvas.width = width;
    this.canvas.height = height;
    this.canvas.getContext("2d")?.putImageData(image, 0, 0);
  }

  /** Where the line from `a` through `b` first meets the level; voxels. @param {number[]} a @param {number[]} b */
  first(a, b) {
    const { grey, size } = this.volume;
    const { most, across, down } = this.blocks;
    const way = [b[0] - a[0], b[1] - a[1], b[2] - a[2]];
    let [enter, leave] = [0, 4];
    for (let k = 0; k < 3; k++) {
      const [t0, t1] = [(0 - a[k]) / way[k], (size[k] - 1 - a[k]) / way[k]];
      if (way[k] === 0 && (a[k] < 0 || a[k] > size[k] - 1)) return null;
      if (way[k] === 0) continue;
      enter = Math.max(enter, Math.min(t0, t1));
      leave = Math.min(leave, Math.max(t0, t1));
    }
    const step = 0.8 / Math.hypot(...way);
    const [nc, nr] = size;
    for (let t = enter + 1e-9; t < leave; ) {
      const [c, r, s] = [Math.round(a[0] + t * way[0]), Math.round(a[1] + t * way[1]), Math.round(a[2] + t * way[2])];
      if (most[((s / BLOCK | 0) * down + (r / BLOCK | 0)) * across + (c / BLOCK | 0)] < this.level) t += step * BLOCK;
      else if (grey[(s * nr + r) * nc + c] >= this.level) return [a[0] + t * way[0], a[1] + t * way[1], a[2] + t * way[2]];
      else t += step;
    }
    return null;
  }

  /** @param {number[]} hit voxels @param {number[]} light */
  shade(hit, light) {
    const { grey, size, toVoxel } = this.volume;
    const at = (/** @type {number[]} */ p) => {
      const [c, r, s] = p.map((v, k) => Math.max(0, Math.min(size[k] - 1, Math.round(v))));
      return grey[(s * size[1] + r) * size[0] + c];
    };
    const slope = [0, 1, 2].map((k) => {
      const off = (/** @type {number} */ d) => hit.map((v, j) => (j === k ? v + d : v));
      return at(off(2)) - at(off(-2));
    });
    // A gradient goes from voxels to mm by the transpose of mm to voxels.
    const normal = unit([0, 1, 2].map((k) => -(slope[0] * toVoxel[0][k] + slope[1] * toVoxel[1][k] + slope[2] * toVoxel[2][k])));
    const l = Math.min(1, 0.16 + 0.84 * Math.max(0, normal[0] * light[0] + normal[1] * light[1] + normal[2] * light[2]));
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
