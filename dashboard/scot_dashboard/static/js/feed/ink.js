/**
 * Pointers, ink and arrows over a picture, each with its author and the time of the frame it was
 * drawn on. @import {Note} from "../types.js"  @import {Framing} from "./framing.js"
 */

import { PLAIN, toScreen } from "./framing.js";

const AUTHOR_COLORS = ["#59c2ff", "#b99cff", "#ff9ecb", "#e8ecf1"];

/** @param {string} author */
export function authorColor(author) {
  const number = Number(/(\d+)$/.exec(author)?.[1] ?? 0);
  return number ? AUTHOR_COLORS[(number - 1) % 3] : AUTHOR_COLORS[3];
}

/** The overlay of one picture. Coordinates of notes are shares of the picture. */
export class InkLayer {
  /** @param {OffscreenCanvas} canvas of the size of its box on the screen */
  constructor(canvas) {
    this.canvas = canvas;
    this.pen = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
    this.key = "";
  }

  /**
   * @param {Note[]} notes to show now
   * @param {number} aspect of the picture, width over height
   * @param {number} scale device pixels of one rem
   * @param {(note: Note) => string} caption
   * @param {Framing} [framing] of the picture below
   */
  draw(notes, aspect, scale, caption, framing = PLAIN) {
    const key = notes.map((n) => `${n.id}:${n.points.length}:${n.points[n.points.length - 1]}:${caption(n)}`).join("|")
      + `${this.canvas.width}x${this.canvas.height}:${notes.length ? aspect : ""}:${framing.turn}:${framing.crop}`;
    if (key === this.key) return;
    this.key = key;
    const { pen, canvas } = this;
    pen.clearRect(0, 0, canvas.width, canvas.height);
    const width = Math.min(canvas.width, canvas.height * aspect);
    const box = { w: width, h: width / aspect, x: 0, y: 0 };
    box.x = (canvas.width - box.w) / 2;
    box.y = (canvas.height - box.h) / 2;
    pen.save();
    pen.beginPath();
    pen.rect(box.x, box.y, box.w, box.h);
    pen.clip();
    for (const note of notes) {
      const points = note.points.map((p) => toScreen(framing, p));
      const seen = points.some(([u, v]) => u >= 0 && u <= 1 && v >= 0 && v <= 1);
      if (seen) this.note({ ...note, points }, box, scale, caption(note));
    }
    pen.restore();
  }

  /**
   * @param {Note} note
   * @param {{x: number, y: number, w: number, h: number}} box
   * @param {number} scale
   * @param {string} caption
   */
  note(note, box, scale, caption) {
    const { pen } = this;
    const points = note.points.map(([x, y]) => [box.x + x * box.w, box.y + y * box.h]);
    if (!points.length) return;
    const color = authorColor(note.author);
    pen.lineCap = pen.lineJoin = "round";
    // A dark edge keeps the line visible on bright tissue and on glare.
    for (const [style, width] of /** @type {[string, number][]} */ ([
      ["rgba(5,7,10,0.75)", 0.5 * scale],
      [color, 0.24 * scale],
    ])) {
      pen.strokeStyle = style;
      pen.lineWidth = width;
      pen.beginPath();
      this.shape(note.tool, points, scale);
      pen.stroke();
    }
    if (caption) this.caption(points, box, scale, caption, color);
  }

  /** @param {string} tool @param {number[][]} points @param {number} scale */
  shape(tool, points, scale) {
    const { pen } = this;
    const [x, y] = points[points.length - 1];
    if (tool === "pointer" || tool === "pin" || points.length === 1) {
      pen.arc(x, y, 1.3 * scale, 0, 2 * Math.PI);
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        pen.moveTo(x + dx * 0.35 * scale, y + dy * 0.35 * scale);
        pen.lineTo(x + dx * 0.9 * scale, y + dy * 0.9 * scale);
      }
      return;
    }
    pen.moveTo(points[0][0], points[0][1]);
    if (tool === "arrow") {
      const [ax, ay] = points[0];
      const angle = Math.atan2(y - ay, x - ax);
      pen.lineTo(x, y);
      for (const turn of [2.6, -2.6]) {
        pen.moveTo(x, y);
        pen.lineTo(x + Math.cos(angle + turn) * 1.5 * scale, y + Math.sin(angle + turn) * 1.5 * scale);
      }
      return;
    }
    for (let i = 1; i < points.length - 1; i++) {
      const [px, py] = points[i];
      const [nx, ny] = points[i + 1];
      pen.quadraticCurveTo(px, py, (px + nx) / 2, (py + ny) / 2);
    }
    pen.lineTo(x, y);
  }

  /**
   * @param {number[][]} points
   * @param {{x: number, y: number, w: number, h: number}} box
   * @param {number} scale
   * @param {string} text
   * @param {string} color
   */
  caption(points, box, scale, text, color) {
    const { pen } = this;
    pen.font = `600 ${0.95 * scale}px Inter, system-ui, sans-serif`;
    const wide = pen.measureText(text).width + 1.1 * scale;
    const right = Math.max(...points.map((p) => p[0])) + 1.6 * scale;
    const middle = points.reduce((sum, p) => sum + p[1], 0) / points.length;
    const x = Math.min(right, box.x + box.w - wide);
    const y = Math.max(box.y, Math.min(middle - 0.9 * scale, box.y + box.h - 1.8 * scale));
    pen.fillStyle = "rgba(5,7,10,0.86)";
    pen.beginPath();
    pen.roundRect(x, y, wide, 1.8 * scale, 0.3 * scale);
    pen.fill();
    pen.fillStyle = color;
    pen.textBaseline = "middle";
    pen.fillText(text, x + 0.55 * scale, y + 0.93 * scale);
  }
}
