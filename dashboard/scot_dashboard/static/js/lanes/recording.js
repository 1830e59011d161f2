/** A whole recording under the lanes: what is still to come, the loop, where it ends. @import {View} from "../types.js" */

import { settings } from "../settings.js";

const END_ROOM = 0.01;
const LEAST_ROOM_MS = 1_000;

/** The stretch that shows all of it. @param {[number, number]} span @returns {[number, number]} */
export function wholeOf([first, last]) {
  return [first, last + Math.max(LEAST_ROOM_MS, (last - first) * END_ROOM)];
}

/**
 * @param {CanvasRenderingContext2D} pen @param {(t: number) => number} x
 * @param {View} view @param {number} height @param {number} rem
 */
export function drawWhole(pen, x, { span_t, now_t, loop_t }, height, rem) {
  if (!span_t) return;
  const end = x(span_t[1]);
  pen.fillStyle = settings.theme === "bright" ? "rgba(255, 255, 255, 0.45)" : "rgba(6, 9, 13, 0.4)";
  pen.fillRect(x(now_t), 0, Math.max(0, end - x(now_t)), height);
  if (loop_t) {
    pen.fillStyle = "rgba(89, 194, 255, 0.25)";
    pen.fillRect(x(loop_t[0]), 0, Math.max(2, x(loop_t[1]) - x(loop_t[0])), height);
  }
  pen.fillStyle = "#8fa0b2";
  pen.fillRect(end, 0, Math.max(1, 0.1 * rem), height);
}
