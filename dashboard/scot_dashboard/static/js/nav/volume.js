/**
 * The grey volume behind the navigation pane, and its three slices through a point.
 *
 * A volume may stand in its frame of reference at any angle: a slice is cut along the axes of the
 * frame, not of the voxels, and read between voxels. Surgeons read scans from the patient's feet, so
 * axial and coronal views have the patient's left at the right of the screen, and every view names
 * its edges.
 */

/** @typedef {"axial"|"coronal"|"sagittal"} Plane */

/**
 * @typedef {object} Window grey values that are drawn black to white
 * @property {number} centre
 * @property {number} width
 *
 * @typedef {object} Volume
 * @property {Uint8Array|Int16Array} grey columns fastest, then rows, then slices
 * @property {[number, number, number]} size columns, rows, slices
 * @property {number[][]} toVoxel 3 × 4: frame mm to voxel numbers, whose whole values are centres
 * @property {number[][]} toMm 3 × 4, the other way
 * @property {number[]} low mm, of the box around it
 * @property {number[]} high mm
 * @property {number} step_mm smallest distance of voxels
 * @property {boolean} lps the frame's x grows to the patient's left and y to the back, as in DICOM
 * @property {string} modality DICOM: CT, MR …
 * @property {Window} window as stored
 * @property {{shown_mm: number[], of_mm: number[]}|null} coarser said where voxels were averaged
 * @property {string} lossy how its pixels were compressed with loss
 */

/**
 * For each plane: which axis is cut, screen right and screen up as [axis, sign] in RAS, edges.
 *
 * @type {Record<Plane, {cut: number, right: [number, number], up: [number, number], edges: string}>}
 */
export const PLANES = {
  axial: { cut: 2, right: [0, -1], up: [1, 1], edges: "RLAP" },
  coronal: { cut: 1, right: [0, -1], up: [2, 1], edges: "RLSI" },
  sagittal: { cut: 0, right: [1, -1], up: [2, 1], edges: "APSI" },
};

const MOST_PX = 420;
const MOST_VOXELS = 40_000_000;

/** Rows of a 3 × 4 matrix applied to a point. @param {number[][]} m @param {ArrayLike<number>} p */
export const applied = (m, p) => m.map((r) => r[0] * p[0] + r[1] * p[1] + r[2] * p[2] + r[3]);

/** The inverse of an affine map. @param {number[][]} m @returns {number[][]} 3 × 4 */
export function inverse(m) {
  const [[a, b, c, x], [d, e, f, y], [g, h, i, z]] = m;
  const det = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
  if (!Number.isFinite(1 / det)) throw new Error("the volume's geometry cannot be inverted");
  const r = [
    [(e * i - f * h) / det, (c * h - b * i) / det, (b * f - c * e) / det],
    [(f * g - d * i) / det, (a * i - c * g) / det, (c * d - a * f) / det],
    [(d * h - e * g) / det, (b * g - a * h) / det, (a * e - b * d) / det],
  ];
  return r.map((row) => [...row, -(row[0] * x + row[1] * y + row[2] * z)]);
}

/**
 * The volume; where it is large a small one of it comes first, so that a poor line shows something.
 *
 * @param {string} folder
 * @param {string} stem
 * @param {(first: Volume) => void} first takes the small one
 * @param {(share: number) => void} come told how much of the whole is here, 0 to 1
 * @returns {Promise<Volume>}
 */
export async function loadVolume(folder, stem, first, come) {
  const answer = await fetch(`${folder}${stem}.json`);
  if (!answer.ok) throw new Error(await reasonOf(answer));
  const meta = await answer.json();
  if (meta.first) first(await oneOf(folder, meta.first, () => {}));
  return oneOf(folder, meta, meta.first ? come : () => {});
}

/** @param {string} folder @param {any} meta @param {(share: number) => void} come */
async function oneOf(folder, meta, come) {
  const { columns, rows, slices } = meta.shape;
  const count = columns * rows * slices;
  if (!(count <= MOST_VOXELS)) throw new Error("too many voxels");
  const grey = meta.image ? await mosaic(folder + meta.image, meta) : await voxels(folder + meta.data, count, come);
  if (grey.length !== count) throw new Error("not as many voxels as it says");
  return volumeOf(meta, grey);
}

/** Why there is none, in the gateway's own words. @param {Response} answer */
async function reasonOf(answer) {
  try {
    return String((await answer.json()).error).slice(0, 300);
  } catch {
    return String(answer.status);
  }
}

/** @param {any} meta @param {Uint8Array|Int16Array} grey @returns {Volume} */
export function volumeOf(meta, grey) {
  const { columns, rows, slices } = meta.shape;
  const toMm = meta.affine.slice(0, 3);
  const low = [Infinity, Infinity, Infinity];
  const high = [-Infinity, -Infinity, -Infinity];
  for (let corner = 0; corner < 8; corner++) {
    const voxel = [columns, rows, slices].map((n, k) => ((corner >> k) & 1 ? n - 0.5 : -0.5));
    applied(toMm, voxel).forEach((v, k) => {
      low[k] = Math.min(low[k], v);
      high[k] = Math.max(high[k], v);
    });
  }
  const step_mm = Math.min(...[0, 1, 2].map((k) => Math.hypot(toMm[0][k], toMm[1][k], toMm[2][k])));
  return {
    grey, size: [columns, rows, slices], toMm, toVoxel: inverse(toMm), low, high, step_mm,
    lps: meta.axes === "LPS",
    modality: meta.modality ?? "",
    window: meta.window ?? { centre: 128, width: 256 },
    coarser: meta.coarser ?? null,
    lossy: meta.lossy ?? "",
  };
}

/** @param {string} url @param {number} count @param {(share: number) => void} come @returns {Promise<Int16Array>} */
async function voxels(url, count, come) {
  const answer = await fetch(url);
  if (!answer.ok || !answer.body) throw new Error(`${answer.status} ${url}`);
  const bytes = new Uint8Array(count * 2);
  const reader = answer.body.getReader();
  let at = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    if (at + part.value.length > bytes.length) throw new Error("more voxels than it says");
    bytes.set(part.value, at);
    at += part.value.length;
    come(at / bytes.length);
  }
  return new Int16Array(bytes.buffer, 0, at >> 1);
}

/** Slices as tiles of one picture. @param {string} url @param {any} meta */
async function mosaic(url, meta) {
  const picture = await createImageBitmap(await (await fetch(url)).blob());
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  if (!pen) throw new Error("no 2D canvas in this worker");
  pen.drawImage(picture, 0, 0);
  const { columns, rows, slices } = meta.shape;
  const grey = new Uint8Array(columns * rows * slices);
  let out = 0;
  for (let s = 0; s < slices; s++) {
    const { data } = pen.getImageData((s % meta.tiles.across) * columns, Math.floor(s / meta.tiles.across) * rows, columns, rows);
    for (let i = 0; i < data.length; i += 4) grey[out++] = data[i];
  }
  picture.close();
  return grey;
}

/**
 * A value between voxels; null outside. @param {Volume} volume @param {number[]} mm
 */
export function valueAt({ grey, size: [nc, nr, ns], toVoxel }, mm) {
  const [c, r, s] = applied(toVoxel, mm);
  const line = new Float32Array(1).fill(NaN);
  row({ grey, nc, nr, ns }, c, r, s, [0, 0, 0], line);
  return Number.isNaN(line[0]) ? null : line[0];
}

/**
 * Values along a line through the voxels, between them by all three axes; outside is left alone.
 *
 * @param {{grey: Uint8Array|Int16Array, nc: number, nr: number, ns: number}} volume
 * @param {number} c @param {number} r @param {number} s where it begins
 * @param {number[]} step voxels
 * @param {Float32Array} out
 */
function row({ grey, nc, nr, ns }, c, r, s, [dc, dr, ds], out) {
  const slab = nc * nr;
  for (let i = 0; i < out.length; i++, c += dc, r += dr, s += ds) {
    // Half a voxel around the outermost centres still belongs to the picture.
    if (!(c >= -0.5 && r >= -0.5 && s >= -0.5 && c <= nc - 0.5 && r <= nr - 0.5 && s <= ns - 0.5)) continue;
    const x = c < 0 ? 0 : c > nc - 1 ? nc - 1 : c;
    const y = r < 0 ? 0 : r > nr - 1 ? nr - 1 : r;
    const z = s < 0 ? 0 : s > ns - 1 ? ns - 1 : s;
    const [x0, y0, z0] = [x | 0, y | 0, z | 0];
    const [u, v, w] = [x - x0, y - y0, z - z0];
    const at = (z0 * nr + y0) * nc + x0;
    const right = x0 < nc - 1 ? 1 : 0;
    const down = y0 < nr - 1 ? nc : 0;
    const over = z0 < ns - 1 ? slab : 0;
    const a = grey[at] + u * (grey[at + right] - grey[at]);
    const b = grey[at + down] + u * (grey[at + down + right] - grey[at + down]);
    const e = grey[at + over] + u * (grey[at + over + right] - grey[at + over]);
    const f = grey[at + over + down] + u * (grey[at + over + down + right] - grey[at + over + down]);
    const near = a + v * (b - a);
    out[i] = near + w * (e + v * (f - e) - near);
  }
}

/** A slice as a small picture, kept until something about it changes. */
export class Slice {
  /** @param {Volume} volume @param {Plane} plane */
  constructor(volume, plane) {
    this.volume = volume;
    this.plane = plane;
    const { right, up, cut } = PLANES[plane];
    const sign = (/** @type {[number, number]} */ [axis, s]) => (volume.lps && axis < 2 ? -s : s);
    this.cutAxis = cut;
    this.right = [0, 1, 2].map((k) => (k === right[0] ? sign(right) : 0));
    this.up = [0, 1, 2].map((k) => (k === up[0] ? sign(up) : 0));
    this.canvas = new OffscreenCanvas(1, 1);
    this.pen = /** @type {OffscreenCanvasRenderingContext2D} */ (this.canvas.getContext("2d"));
    this.drawn = "";
    this.centre = [0, 0, 0];
    this.px_mm = 1;
    this.half = [0, 0];
  }

  /**
   * Look at a point. `place` speaks of this look.
   *
   * @param {number[]} through mm
   * @param {{width: number, height: number, zoom: number, inset: number}} screen device pixels
   */
  aim(through, { width, height, zoom, inset }) {
    const { low, high } = this.volume;
    const span = (/** @type {number[]} */ way) => way.reduce((sum, v, k) => sum + Math.abs(v) * (high[k] - low[k]), 0);
    const fit = Math.min((width - 2 * inset) / span(this.right), (height - 2 * inset) / span(this.up));
    this.px_mm = Math.max(1e-3, fit * zoom);
    this.centre = [0, 1, 2].map((k) => (zoom > 1 || k === this.cutAxis ? through[k] : (low[k] + high[k]) / 2));
    this.half = [width / 2, height / 2];
  }

  /**
   * Make the picture of what is looked at.
   *
   * @param {number[]} through mm
   * @param {Window} window
   */
  cut(through, window) {
    const { volume, half, px_mm, right, up, centre } = this;
    const { low, high, size: [nc, nr, ns], grey } = volume;
    const reach = (/** @type {number[]} */ way, /** @type {number} */ seen) => {
      const k = way.findIndex((v) => v !== 0);
      const ends = [(low[k] - centre[k]) * way[k], (high[k] - centre[k]) * way[k]].sort((a, b) => a - b);
      return [Math.max(ends[0], -seen), Math.min(ends[1], seen)];
    };
    const [left, east] = reach(right, half[0] / px_mm);
    const [bottom, top] = reach(up, half[1] / px_mm);
    const step = Math.max(volume.step_mm * 0.7, 1 / px_mm, (east - left) / MOST_PX, (top - bottom) / MOST_PX);
    this.box = { left, top, width: east - left, height: top - bottom };
    const wish = [...centre, through[this.cutAxis], px_mm, half, window.centre, window.width].map(String).join();
    if (wish === this.drawn || east <= left || top <= bottom) return;
    this.drawn = wish;
    const [w, h] = [Math.max(1, Math.round((east - left) / step)), Math.max(1, Math.round((top - bottom) / step))];
    if (this.canvas.width !== w || this.canvas.height !== h || !this.image) {
      this.canvas.width = w;
      this.canvas.height = h;
      this.image = new ImageData(w, h);
    }
    const corner = [0, 1, 2].map((k) => centre[k] + right[k] * (left + step / 2) + up[k] * (top - step / 2));
    corner[this.cutAxis] = through[this.cutAxis];
    const m = volume.toVoxel;
    const across = m.map((r) => step * (r[0] * right[0] + r[1] * right[1] + r[2] * right[2]));
    const down = m.map((r) => -step * (r[0] * up[0] + r[1] * up[1] + r[2] * up[2]));
    const [c, r, s] = applied(m, corner);
    const pixels = new Uint32Array(this.image.data.buffer);
    const line = new Float32Array(w);
    const black = window.centre - window.width / 2;
    const gain = 255 / Math.max(1e-6, window.width);
    for (let y = 0; y < h; y++) {
      line.fill(-Infinity);
      row({ grey, nc, nr, ns }, c + y * down[0], r + y * down[1], s + y * down[2], across, line);
      for (let x = 0, at = y * w; x < w; x++) {
        const g = Math.max(0, Math.min(255, (line[x] - black) * gain));
        pixels[at + x] = 0xff000000 | (g << 16) | (g << 8) | g;
      }
    }
    this.pen.putImageData(this.image, 0, 0);
  }

  /** Draw the picture where it belongs. @param {OffscreenCanvasRenderingContext2D} pen */
  paint(pen) {
    const { left, top, width, height } = this.box ?? { left: 0, top: 0, width: 0, height: 0 };
    if (!this.image || width <= 0 || height <= 0) return;
    const k = this.px_mm;
    pen.drawImage(this.canvas, this.half[0] + left * k, this.half[1] - top * k, width * k, height * k);
  }

  /** Where a point lies on the screen, and how far out of the plane: px, px, mm. @param {number[]} mm @param {number[]} through */
  place(mm, through) {
    const { centre, right, up, px_mm, half } = this;
    const side = (/** @type {number[]} */ way) => way.reduce((sum, v, k) => sum + v * (mm[k] - centre[k]), 0);
    return [half[0] + side(right) * px_mm, half[1] - side(up) * px_mm, mm[this.cutAxis] - through[this.cutAxis]];
  }
}
