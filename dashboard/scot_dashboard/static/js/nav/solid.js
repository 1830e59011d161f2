/**
 * The cortical surface, drawn in software: one still picture with its depth, made again only when
 * it is turned or resized (about 20 ms in this worker), and the moving tool drawn over it. So the
 * pane looks the same on a machine without a GPU, where a theatre's wall often runs.
 */

const FIELD_MM = 214;
const DISTANCE_FIELDS = 2.43;

/** @typedef {{positions: Float32Array, shading: Int8Array, indices: Uint16Array}} Mesh */

/** @param {string} folder @param {string} stem @returns {Promise<Mesh|null>} null where there is none */
export async function loadMesh(folder, stem) {
  const answer = await fetch(`${folder}${stem}_mesh.json`);
  if (!answer.ok) return null;
  const meta = await answer.json();
  return unpackMesh(meta, new Uint8Array(await (await fetch(folder + meta.data)).arrayBuffer()));
}

/**
 * The packed surface as arrays; see volumes/README.
 *
 * @param {any} meta @param {Uint8Array} bytes @returns {Mesh}
 */
export function unpackMesh(meta, bytes) {
  const [n, m] = [meta.vertices, meta.triangles];
  const positions = new Float32Array(n * 3);
  const shading = new Int8Array(n * 4);
  const indices = new Uint16Array(m * 3);
  for (let k = 0; k < 3; k++) {
    for (let i = 0, at = 0; i < n; i++) {
      const low = bytes[k * n + i];
      const high = bytes[(3 + k) * n + i];
      at += ((high << 24) >> 16) | low;
      positions[i * 3 + k] = at * meta.step_mm + meta.first_mm[k];
    }
  }
  for (let k = 0; k < 4; k++) {
    for (let i = 0; i < n; i++) {
      shading[i * 4 + k] = (((bytes[(6 + k) * n + i] << 24) >> 24) * 127) / meta.shading_full;
    }
  }
  for (let i = 0, fresh = 0, at = 10 * n; i < 3 * m; i++) {
    const back = bytes[at + i] | (bytes[at + 3 * m + i] << 8);
    indices[i] = fresh - back;
    if (back === 0) fresh += 1;
  }
  return { positions, shading, indices };
}

/** An eye that looks at a point; angles in radians. */
export class Eye {
  /** @param {number[]} centre mm @param {number} [field_mm] what the shorter side shows @param {boolean} [lps] */
  constructor(centre, field_mm = FIELD_MM, lps = false) {
    this.centre = centre;
    this.field_mm = field_mm;
    this.lps = lps;
    this.turn = -1.15;
    this.rise = 0.38;
    this.back = [0, 1, 0];
    this.right = [-1, 0, 0];
    this.up = [0, 0, 1];
    this.middle = [0, 0];
    this.scale = 1;
    this.away = DISTANCE_FIELDS * field_mm;
  }

  /** @param {number} width @param {number} height */
  aim(width, height) {
    const [ct, st, cr, sr] = [Math.cos(this.turn), Math.sin(this.turn), Math.cos(this.rise), Math.sin(this.rise)];
    const f = this.lps ? -1 : 1;
    this.back = [f * st * cr, f * ct * cr, sr];
    this.right = [-ct * f, st * f, 0];
    this.up = [-st * sr * f, -ct * sr * f, cr];
    this.away = DISTANCE_FIELDS * this.field_mm;
    this.scale = Math.min(width, height * 1.16) / this.field_mm;
    this.middle = [width * 0.53, height * 0.52];
  }

  /** Screen x, y and depth (larger is nearer) of a point in mm. @param {ArrayLike<number>} p */
  see(p, at = 0) {
    const x = p[at] - this.centre[0];
    const y = p[at + 1] - this.centre[1];
    const z = p[at + 2] - this.centre[2];
    const depth = x * this.back[0] + y * this.back[1] + z * this.back[2];
    const zoom = (this.scale * this.away) / (this.away - depth);
    return [
      this.middle[0] + zoom * (x * this.right[0] + y * this.right[1]),
      this.middle[1] - zoom * (x * this.up[0] + y * this.up[1] + z * this.up[2]),
      depth,
    ];
  }
}

/** The still picture of a mesh with its depth buffer. */
export class Solid {
  /** @param {Mesh} mesh @param {Eye} eye */
  constructor(mesh, eye) {
    this.mesh = mesh;
    this.eye = eye;
    this.width = this.height = 0;
    this.depth = new Float32Array(0);
    this.canvas = new OffscreenCanvas(1, 1);
  }

  /** @param {number} width @param {number} height */
  render(width, height) {
    this.width = width;
    this.height = height;
    this.eye.aim(width, height);
    this.depth = new Float32Array(width * height).fill(-Infinity);
    const image = new ImageData(width, height);
    this.pixels = new Uint32Array(image.data.buffer);
    const { positions, indices } = this.mesh;
    const count = positions.length / 3;
    const seen = new Float32Array(count * 3);
    for (let i = 0; i < count; i++) seen.set(this.eye.see(positions, i * 3), i * 3);
    const light = this.light(count);
    for (let i = 0; i < indices.length; i += 3) {
      this.triangle(seen, light, indices[i], indices[i + 1], indices[i + 2]);
    }
    this.canvas.width = width;
    this.canvas.height = height;
    this.canvas.getContext("2d")?.putImageData(image, 0, 0);
  }

  /** Brightness of each vertex: a key light by the eye's left, a fill, folds darker. @param {number} count */
  light(count) {
    const { back, right, up } = this.eye;
    const { shading } = this.mesh;
    const mix = (/** @type {number} */ r, /** @type {number} */ u, /** @type {number} */ b) => {
      const v = [0, 1, 2].map((k) => r * right[k] + u * up[k] + b * back[k]);
      const length = Math.hypot(...v);
      return v.map((x) => x / length / 127);
    };
    const key = mix(-0.55, 0.75, 0.8);
    const fill = mix(0.8, -0.2, 0.35);
    const bright = new Float32Array(count);
    for (let i = 0; i < count; i++) {
      const [x, y, z, fold] = shading.subarray(i * 4, i * 4 + 4);
      const k = Math.max(0, x * key[0] + y * key[1] + z * key[2]);
      const f = Math.max(0, x * fill[0] + y * fill[1] + z * fill[2]);
      bright[i] = (0.13 + 0.86 * k + 0.2 * f) * (1 - 0.6 * (fold / 127));
    }
    return bright;
  }

  /**
   * @param {Float32Array} p projected x, y, depth
   * @param {Float32Array} light
   * @param {number} a
   * @param {number} b
   * @param {number} c
   */
  triangle(p, light, a, b, c) {
    const [ax, ay, az] = [p[a * 3], p[a * 3 + 1], p[a * 3 + 2]];
    const [bx, by, bz] = [p[b * 3], p[b * 3 + 1], p[b * 3 + 2]];
    const [cx, cy, cz] = [p[c * 3], p[c * 3 + 1], p[c * 3 + 2]];
    const area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax);
    if (area >= 0) return; // counter-clockwise from outside, and screen y points down
    const { width, height, depth } = this;
    const pixels = /** @type {Uint32Array} */ (this.pixels);
    const top = Math.max(0, Math.ceil(Math.min(ay, by, cy) - 0.5));
    const bottom = Math.min(height - 1, Math.floor(Math.max(ay, by, cy) - 0.5));
    const left = Math.max(0, Math.ceil(Math.min(ax, bx, cx) - 0.5));
    const right = Math.min(width - 1, Math.floor(Math.max(ax, bx, cx) - 0.5));
    for (let y = top; y <= bottom; y++) {
      for (let x = left; x <= right; x++) {
        const px = x + 0.5;
        const py = y + 0.5;
        const u = ((bx - px) * (cy - py) - (by - py) * (cx - px)) / area;
        const v = ((cx - px) * (ay - py) - (cy - py) * (ax - px)) / area;
        const w = 1 - u - v;
        if (u < 0 || v < 0 || w < 0) continue;
        const z = u * az + v * bz + w * cz;
        const at = y * width + x;
        if (z <= depth[at]) continue;
        depth[at] = z;
        const l = Math.min(1, u * light[a] + v * light[b] + w * light[c]);
        pixels[at] = 0xff000000 | ((178 * l) << 16) | ((194 * l) << 8) | (208 * l);
      }
    }
  }

  /** Whether a point in mm lies behind the surface. @param {number[]} mm */
  hides(mm) {
    const [x, y, z] = this.eye.see(mm);
    const column = Math.round(x - 0.5);
    const row = Math.round(y - 0.5);
    if (column < 0 || row < 0 || column >= this.width || row >= this.height) return false;
    return this.depth[row * this.width + column] > z + 0.5;
  }
}
