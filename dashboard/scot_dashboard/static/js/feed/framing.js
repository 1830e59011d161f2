/**
 * How a picture is turned and cropped on one display. Nothing of it leaves the display: notes keep
 * the picture's own coordinates, 0..1 from its top left, whoever turned it.
 */

/**
 * @typedef {object} Framing
 * @property {0|90|180|270} turn clockwise, degrees
 * @property {[number, number, number, number]} crop x, y, width, height of what is shown, of the picture
 *
 * @typedef {[number, number]} Point
 */

/** @type {Framing} */
export const PLAIN = { turn: 0, crop: [0, 0, 1, 1] };

const LEAST = 0.04;
const TURNS = [0, 90, 180, 270];
/** Drawn as it comes up to Full HD; more is made smaller for the box, and never more than 4K. */
const AS_IT_COMES_PX = 1920 * 1088;
const MOST_PX = 3840 * 2160;

/** @param {Framing} f */
export function isPlain(f) {
  return f.turn === 0 && f.crop[0] === 0 && f.crop[1] === 0 && f.crop[2] === 1 && f.crop[3] === 1;
}

/** What was kept, if it can be one; else the whole picture upright. @param {any} kept @returns {Framing} */
export function readFraming(kept) {
  const { turn, crop } = kept ?? {};
  if (!TURNS.includes(turn) || !Array.isArray(crop) || crop.length !== 4) return PLAIN;
  const [x, y, w, h] = crop;
  const good = crop.every((v) => typeof v === "number" && v >= 0 && v <= 1)
    && w >= LEAST && h >= LEAST && x + w <= 1.0001 && y + h <= 1.0001;
  return good ? { turn, crop: [x, y, w, h] } : PLAIN;
}

/** Size of what is shown, upright on the screen. @param {Framing} f @param {number} width @param {number} height @returns {Point} */
export function sizeOf(f, width, height) {
  const [w, h] = [width * f.crop[2], height * f.crop[3]];
  return f.turn % 180 === 0 ? [w, h] : [h, w];
}

/** From the picture to what is shown of it; beyond 0..1 is cropped away. @param {Framing} f @param {Point} at @returns {Point} */
export function toScreen(f, [x, y]) {
  const [a, b] = [(x - f.crop[0]) / f.crop[2], (y - f.crop[1]) / f.crop[3]];
  if (f.turn === 90) return [1 - b, a];
  if (f.turn === 180) return [1 - a, 1 - b];
  return f.turn === 270 ? [b, 1 - a] : [a, b];
}

/** From what is shown to the picture. @param {Framing} f @param {Point} at @returns {Point} */
export function toPicture(f, [u, v]) {
  let [a, b] = [u, v];
  if (f.turn === 90) [a, b] = [v, 1 - u];
  else if (f.turn === 180) [a, b] = [1 - u, 1 - v];
  else if (f.turn === 270) [a, b] = [1 - v, u];
  return [f.crop[0] + a * f.crop[2], f.crop[1] + b * f.crop[3]];
}

/** A quarter turn clockwise more. @param {Framing} f @returns {Framing} */
export function turned(f) {
  return { ...f, turn: /** @type {Framing["turn"]} */ ((f.turn + 90) % 360) };
}

/** Only a part of what is shown, given by two corners on the screen. @param {Framing} f @param {Point} one @param {Point} other @returns {Framing} */
export function cropped(f, one, other) {
  const inside = (/** @type {number} */ v) => Math.min(1, Math.max(0, v));
  const [x1, y1] = toPicture(f, one).map(inside);
  const [x2, y2] = toPicture(f, other).map(inside);
  const [w, h] = [Math.max(LEAST, Math.abs(x2 - x1)), Math.max(LEAST, Math.abs(y2 - y1))];
  return { ...f, crop: [Math.min(x1, x2, 1 - w), Math.min(y1, y2, 1 - h), w, h] };
}

/**
 * By how much to make a picture smaller, so that a canvas of it is bounded whatever its size.
 *
 * @param {number} width px of what is shown
 * @param {number} height px
 * @param {Point} box px on the screen that it is shown in
 */
export function scaleFor(width, height, [wide, high]) {
  const pixels = width * height;
  if (pixels <= AS_IT_COMES_PX) return 1;
  const wanted = Math.max(Math.min(wide / width, high / height), Math.sqrt(AS_IT_COMES_PX / pixels));
  return Math.min(1, wanted, Math.sqrt(MOST_PX / pixels));
}
