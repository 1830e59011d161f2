/**
 * The scene of the navigation in WebXR: surface, tool with its ±, plan and target, in metres.
 *
 * The patient's frame of reference (mm) becomes the session's: one to one in size, the head 0.6 m in
 * front, upright, seen from behind, as if one stood behind the patient. Nothing is held: a tool that
 * is not seen is not drawn.
 * @import {Plan} from "./steering.js"  @import {Mesh} from "./solid.js"
 */

const AHEAD_M = [0, -0.05, -0.6];
const GREEN = [0.24, 0.9, 0.63];
const AMBER = [1, 0.69, 0.13];
const GREY = [0.82, 0.76, 0.7];

/** @typedef {{tip: number[], direction: number[], err_mm: number|null}} XrTool */

/**
 * 4 × 4, columns first: mm of the frame to metres of the session. Right stays right, the head is up,
 * the front is away; LPS differs from RAS by half a turn about the head.
 *
 * @param {boolean} lps @param {number[]} centre mm, what stands `AHEAD_M`
 */
export function toSession(lps, centre) {
  const f = (lps ? -1 : 1) / 1000;
  const turn = [[f, 0, 0], [0, 0, 0.001], [0, -f, 0]];
  const at = turn.map((row, k) => AHEAD_M[k] - row.reduce((sum, v, j) => sum + v * centre[j], 0));
  return Float32Array.from([0, 1, 2].flatMap((j) => [...turn.map((row) => row[j]), 0]).concat(at, 1));
}

/** @param {ArrayLike<number>} a @param {ArrayLike<number>} b columns first */
export function times(a, b) {
  const out = new Float32Array(16);
  for (let c = 0; c < 4; c++) for (let r = 0; r < 4; r++) {
    for (let k = 0; k < 4; k++) out[c * 4 + r] += a[k * 4 + r] * b[c * 4 + k];
  }
  return out;
}

/** A ball stretched along a line: any rod, any point. @param {number[]} a mm @param {number[]} b @param {number} radius_mm */
export function placed(a, b, radius_mm) {
  const way = [0, 1, 2].map((k) => b[k] - a[k]);
  const length = Math.hypot(...way);
  const w = length > 1e-6 ? way.map((v) => v / length) : [0, 0, 1];
  const seed = Math.abs(w[2]) < 0.9 ? [0, 0, 1] : [1, 0, 0];
  const across = [w[1] * seed[2] - w[2] * seed[1], w[2] * seed[0] - w[0] * seed[2], w[0] * seed[1] - w[1] * seed[0]];
  const size = Math.hypot(...across);
  const u = across.map((v) => v / size);
  const v = [w[1] * u[2] - w[2] * u[1], w[2] * u[0] - w[0] * u[2], w[0] * u[1] - w[1] * u[0]];
  const column = (/** @type {number[]} */ d, /** @type {number} */ k) => [...d.map((x) => x * k), 0];
  const middle = [0, 1, 2].map((k) => (a[k] + b[k]) / 2);
  return Float32Array.from([...column(u, radius_mm), ...column(v, radius_mm), ...column(w, length / 2 + radius_mm), ...middle, 1]);
}

const VERTEX = `#version 300 es
in vec3 place; in vec3 normal; uniform mat4 world, eye; out float light;
void main() { gl_Position = eye * world * vec4(place, 1.0);
  vec3 n = normalize(mat3(world) * normal); light = 0.35 + 0.65 * max(0.0, dot(n, normalize(vec3(0.3, 0.8, 0.6)))); }`;
const FRAGMENT = `#version 300 es
precision mediump float; in float light; uniform vec4 colour; out vec4 drawn;
void main() { drawn = vec4(colour.rgb * light * colour.a, colour.a); }`;

/** A ball of radius 1. @returns {Mesh} */
function ball() {
  /** @type {number[]} */
  const positions = [];
  /** @type {number[]} */
  const indices = [];
  for (let i = 0; i <= 12; i++) for (let j = 0; j <= 20; j++) {
    const [p, q] = [(Math.PI * i) / 12, (Math.PI * j) / 10];
    positions.push(Math.sin(p) * Math.cos(q), Math.sin(p) * Math.sin(q), Math.cos(p));
    const at = i * 21 + j;
    if (i < 12 && j < 20) indices.push(at, at + 21, at + 1, at + 1, at + 21, at + 22);
  }
  const shading = Int8Array.from({ length: (positions.length / 3) * 4 }, (_, n) => (n % 4 < 3 ? Math.round(positions[(n >> 2) * 3 + (n % 4)] * 127) : 0));
  return { positions: Float32Array.from(positions), shading, indices: Uint16Array.from(indices) };
}

export class XrScene {
  /** @param {WebGL2RenderingContext} gl @param {Mesh|null} mesh @param {boolean} lps @param {number[]} centre mm */
  constructor(gl, mesh, lps, centre) {
    this.gl = gl;
    this.room = toSession(lps, centre);
    this.program = /** @type {WebGLProgram} */ (gl.createProgram());
    for (const [kind, source] of /** @type {[number, string][]} */ ([[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]])) {
      const shader = /** @type {WebGLShader} */ (gl.createShader(kind));
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(this.program, shader);
    }
    gl.linkProgram(this.program);
    if (!gl.getProgramParameter(this.program, gl.LINK_STATUS)) throw new Error(String(gl.getProgramInfoLog(this.program)));
    this.ball = this.load(ball());
    this.surface = mesh && this.load(mesh);
    /** @type {XrTool|null} */
    this.tool = null;
    /** @type {Plan|null} */
    this.plan = null;
  }

  /** @param {Mesh} mesh */
  load({ positions, shading, indices }) {
    const { gl } = this;
    const array = gl.createVertexArray();
    gl.bindVertexArray(array);
    const give = (/** @type {number} */ kind, /** @type {BufferSource} */ data) => {
      gl.bindBuffer(kind, gl.createBuffer());
      gl.bufferData(kind, data, gl.STATIC_DRAW);
    };
    const [place, normal] = ["place", "normal"].map((name) => gl.getAttribLocation(this.program, name));
    give(gl.ARRAY_BUFFER, /** @type {BufferSource} */ (positions));
    gl.enableVertexAttribArray(place);
    gl.vertexAttribPointer(place, 3, gl.FLOAT, false, 0, 0);
    give(gl.ARRAY_BUFFER, /** @type {BufferSource} */ (shading));
    gl.enableVertexAttribArray(normal);
    gl.vertexAttribPointer(normal, 3, gl.BYTE, true, 4, 0);
    give(gl.ELEMENT_ARRAY_BUFFER, /** @type {BufferSource} */ (indices));
    return { array, count: indices.length };
  }

  /** Draw for one eye. @param {ArrayLike<number>} projection @param {ArrayLike<number>} view */
  draw(projection, view) {
    const { gl, program } = this;
    gl.useProgram(program);
    gl.enable(gl.DEPTH_TEST);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.uniformMatrix4fv(gl.getUniformLocation(program, "eye"), false, times(projection, view));
    const one = (/** @type {{array: WebGLVertexArrayObject, count: number}} */ shape, /** @type {ArrayLike<number>} */ model, /** @type {number[]} */ colour, alpha = 1) => {
      gl.depthMask(alpha === 1);
      gl.uniformMatrix4fv(gl.getUniformLocation(program, "world"), false, times(this.room, model));
      gl.uniform4f(gl.getUniformLocation(program, "colour"), colour[0], colour[1], colour[2], alpha);
      gl.bindVertexArray(shape.array);
      gl.drawElements(gl.TRIANGLES, shape.count, gl.UNSIGNED_SHORT, 0);
    };
    const { tool, plan } = this;
    if (plan?.target) one(this.ball, placed(plan.target, plan.target, 2), AMBER);
    if (plan?.target && plan.entry) one(this.ball, placed(plan.entry, plan.target, 0.4), AMBER);
    if (tool) {
      const handle = tool.tip.map((v, k) => v - tool.direction[k] * 120);
      one(this.ball, placed(tool.tip, handle, 0.8), GREEN);
    }
    if (this.surface) one(this.surface, Float32Array.from([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]), GREY, 0.45);
    for (const keep of plan?.avoid ?? []) one(this.ball, placed(keep.at, keep.at, keep.radius_mm), AMBER, 0.5);
    if (tool?.err_mm) one(this.ball, placed(tool.tip, tool.tip, tool.err_mm), GREEN, 0.5);
    gl.depthMask(true);
  }
}

/** Whether this browser has a headset for it. */
export async function xrAvailable() {
  const xr = /** @type {any} */ (navigator).xr;
  try {
    return Boolean(await xr?.isSessionSupported("immersive-vr"));
  } catch {
    return false; // a policy forbids it
  }
}

/**
 * Begin a session; `update` of what is returned takes the newest tool and plan.
 *
 * @param {{mesh: Mesh|null, lps: boolean, centre: number[], ended: () => void}} options
 * @returns {Promise<{scene: XrScene, end: () => void}>}
 */
export async function enterXr({ mesh, lps, centre, ended }) {
  const session = await /** @type {any} */ (navigator).xr.requestSession("immersive-vr", { optionalFeatures: ["local-floor"] });
  session.addEventListener("end", ended);
  const canvas = document.createElement("canvas");
  const gl = /** @type {WebGL2RenderingContext|null} */ (canvas.getContext("webgl2", { xrCompatible: true }));
  if (!gl) {
    session.end();
    throw new Error("no WebGL2");
  }
  const scene = new XrScene(gl, mesh, lps, centre);
  const layer = new (/** @type {any} */ (window).XRWebGLLayer)(session, gl);
  session.updateRenderState({ baseLayer: layer });
  const space = await session.requestReferenceSpace("local");
  const frame = (/** @type {number} */ _time, /** @type {any} */ now) => {
    session.requestAnimationFrame(frame);
    const pose = now.getViewerPose(space);
    if (!pose) return;
    gl.bindFramebuffer(gl.FRAMEBUFFER, layer.framebuffer);
    gl.clearColor(0.02, 0.03, 0.04, 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    for (const view of pose.views) {
      const { x, y, width, height } = layer.getViewport(view);
      gl.viewport(x, y, width, height);
      scene.draw(view.projectionMatrix, view.transform.inverse.matrix);
    }
  };
  session.requestAnimationFrame(frame);
  return { scene, end: () => session.end() };
}
