/**
 * The grey volume behind the navigation pane, and its three slices through a point.
 *
 * The mosaic is stored in neurological order; surgeons read scans from the patient's feet, so
 * axial and coronal views are mirrored here (patient's left at the right of the screen) and every
 * view names its edges.
 */

/** @typedef {"axial"|"coronal"|"sagittal"} Plane */

/**
 * @typedef {object} Volume
 * @property {Uint8Array} grey columns fastest, then rows, then slices
 * @property {number} columns to the patient's right
 * @property {number} rows backwards
 * @property {number} slices upwards
 * @property {(mm: number[]) => [number, number, number]} toVoxel
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

/**
 * @param {string} folder
 * @param {string} stem
 * @returns {Promise<Volume>}
 */
export async function loadVolume(folder, stem) {
  const meta = await (await fetch(`${folder}${stem}.json`)).json();
  const picture = await createImageBitmap(await (await fetch(folder + meta.image)).blob());
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  if (!pen) throw new Error("no 2D canvas in this worker");
  pen.drawImage(picture, 0, 0);
  const { columns, rows, slices } = meta.shape;
  const { across } = meta.tiles;
  const grey = new Uint8Array(columns * rows * slices);
  let out = 0;
  for (let s = 0; s < slices; s++) {
    const { data } = pen.getImageData((s % across) * columns, Math.floor(s / across) * rows, columns, rows);
    for (let i = 0; i < data.length; i += 4) grey[out++] = data[i];
  }
  picture.close();
  const [[ax, , , bx], [, ay, , by], [, , az, bz]] = meta.affine;
  return {
    grey, columns, rows, slices,
    toVoxel: ([x, y, z]) => [(x - bx) / ax, (y - by) / ay, (z - bz) / az],
  };
}

/** A slice as a small picture, kept until another slice is wanted. */
export class Slice {
  /** @param {Volume} volume @param {Plane} plane */
  constructor(volume, plane) {
    this.volume = volume;
    this.plane = plane;
    const { columns, rows, slices } = volume;
    this.width = plane === "sagittal" ? rows : columns;
    this.height = plane === "axial" ? rows : slices;
    this.canvas = new OffscreenCanvas(this.width, this.height);
    this.pen = /** @type {OffscreenCanvasRenderingContext2D} */ (this.canvas.getContext("2d"));
    this.image = new ImageData(this.width, this.height);
    this.index = -1;
  }

  /** @param {number[]} mm */
  cut(mm) {
    const { volume, plane } = this;
    const [c, r, s] = volume.toVoxel(mm).map(Math.round);
    const last = [volume.columns, volume.rows, volume.slices][plane === "sagittal" ? 0 : plane === "coronal" ? 1 : 2] - 1;
    const wanted = plane === "sagittal" ? c : plane === "coronal" ? r : s;
    const index = Math.max(0, Math.min(last, wanted));
    if (index === this.index) return;
    this.index = index;
    this.fill(index);
    this.pen.putImageData(this.image, 0, 0);
  }

  /** @param {number} index */
  fill(index) {
    const { grey, columns, rows, slices } = this.volume;
    const { width, height, plane } = this;
    const pixels = new Uint32Array(this.image.data.buffer);
    for (let y = 0, out = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        let at;
        if (plane === "axial") at = (index * rows + y) * columns + columns - 1 - x;
        else if (plane === "coronal") at = ((slices - 1 - y) * rows + index) * columns + columns - 1 - x;
        else at = ((slices - 1 - y) * rows + x) * columns + index;
        // Air is not quite black after compression; take it down so that the pane is one surface.
        const g = grey[at] < 22 ? 0 : grey[at];
        pixels[out++] = 0xff000000 | (g << 16) | (g << 8) | g;
      }
    }
  }

  /**
   * Where a point lies in the slice, in pixels of it from the top left; [x, y, mm out of plane].
   *
   * @param {number[]} mm
   * @param {number[]} through the point that is cut
   */
  place(mm, through) {
    const { volume, plane } = this;
    const [c, r, s] = volume.toVoxel(mm);
    const out = mm[PLANES[plane].cut] - through[PLANES[plane].cut];
    const { columns, slices } = volume;
    if (plane === "axial") return [columns - 0.5 - c, r + 0.5, out];
    if (plane === "coronal") return [columns - 0.5 - c, slices - 0.5 - s, out];
    return [r + 0.5, slices - 0.5 - s, out];
  }
}
