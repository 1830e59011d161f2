/**
 * Docking a pane: near an edge of another one it takes that half of it, over its middle the two change
 * places. By mouse and touch while dragging; by keys: D, then arrows for the edge, D for the next pane,
 * Enter. @import {Board} from "./board.js"  @import {Least, Placed, Rect, Side} from "./grid.js"
 */

import { h, setText } from "../dom.js";
import { word } from "../text.js";
import { CELLS, dock, exchange } from "./grid.js";
import { said } from "./layouts.js";

const EDGE = 0.28; // of a pane's width or height, from each side
/** @type {Side[]} */
const SIDES = ["left", "right", "up", "down"];
const AT = /** @type {const} */ ({ left: "dockLeft", right: "dockRight", up: "dockUp", down: "dockDown" });

/** @typedef {{id: string, host: string, side: Side|null, placed: Placed|null}} Drop what letting go would do; `side` null: change places; `placed` null: it cannot be */

/**
 * Which edge of a pane a point is near, null in its middle.
 *
 * @param {Rect} r @param {number} x @param {number} y in cells, with fractions @returns {Side|null}
 */
export function nearEdge(r, x, y) {
  const [u, v] = [(x - r.x) / r.w, (y - r.y) / r.h];
  const far = { left: u, right: 1 - u, up: v, down: 1 - v };
  const side = SIDES.reduce((best, one) => (far[one] < far[best] ? one : best), SIDES[0]);
  return far[side] < EDGE ? side : null;
}

/**
 * What letting a pane go at a point would do; null where there is no other pane.
 *
 * @param {Placed} placed @param {Least} least @param {string} id @param {number} x @param {number} y in cells, with fractions
 * @returns {Drop|null}
 */
export function dropAt(placed, least, id, x, y) {
  const host = Object.keys(placed).find((one) => one !== id && holds(placed[one], x, y));
  return host ? dropOn(placed, least, id, host, nearEdge(placed[host], x, y)) : null;
}

/** @param {Placed} placed @param {Least} least @param {string} id @param {string} host @param {Side|null} side @returns {Drop} */
export function dropOn(placed, least, id, host, side) {
  return { id, host, side, placed: side ? dock(placed, least, id, host, side) : exchange(placed, least, id, host) };
}

/** @param {Rect} r @param {number} x @param {number} y */
function holds(r, x, y) {
  return x >= r.x && x < r.x + r.w && y >= r.y && y < r.y + r.h;
}

/** Where the pane would stand, and what its neighbour would keep. */
export class Preview {
  constructor() {
    this.mine = h("div.pane-ghost", { "aria-hidden": "true" }, [h("span.ghost-word")]);
    this.theirs = h("div.pane-ghost.ghost-host", { "aria-hidden": "true" });
  }

  /** @param {Board} board @param {string} id @param {Placed|null} placed @param {Drop|null} [drop] */
  show(board, id, placed, drop = null) {
    const refused = Boolean(drop && !drop.placed);
    const r = refused && drop ? board.placed[drop.host] : placed?.[id];
    if (!r) return this.hide();
    put(this.mine, r);
    this.mine.classList.toggle("refused", refused);
    setText(/** @type {Node} */ (this.mine.firstChild), drop ? wordsOf(board, drop) : "");
    board.element.append(this.mine);
    const theirs = drop?.placed?.[drop.host];
    if (!theirs) return this.theirs.remove();
    put(this.theirs, theirs);
    board.element.append(this.theirs);
  }

  hide() {
    this.mine.remove();
    this.theirs.remove();
  }
}

/** @param {HTMLElement} element @param {Rect} r */
function put(element, r) {
  element.style.gridArea = `${r.y + 1} / ${r.x + 1} / span ${r.h} / span ${r.w}`;
}

/** @param {Board} board @param {Drop} drop */
export function wordsOf(board, { host, side, placed }) {
  const title = board.panes.get(host)?.spec.title ?? host;
  if (!placed) return `${title}: ${word("cannotMove")}`;
  return said(side ? AT[side] : "swapWith", title);
}

/** Docking by keys: one candidate at a time, shown and said before anything moves. */
export class KeyDock {
  /** @param {Preview} preview @param {(text: string) => void} tell @param {(drop: Drop) => void} done */
  constructor(preview, tell, done) {
    this.preview = preview;
    this.tell = tell;
    this.done = done;
    /** @type {{board: Board, id: string, hosts: string[], at: number, side: Side|null}|null} */
    this.now = null;
  }

  /** Panes to dock at, the nearest first. @param {Board} board @param {string} id */
  begin(board, id) {
    const middle = (/** @type {Rect} */ r) => [r.x + r.w / 2, r.y + r.h / 2];
    const [x, y] = middle(board.placed[id]);
    const far = (/** @type {string} */ one) => Math.hypot(middle(board.placed[one])[0] - x, middle(board.placed[one])[1] - y);
    const hosts = Object.keys(board.placed).filter((one) => one !== id).sort((a, b) => far(a) - far(b));
    if (!hosts.length) return this.tell(word("cannotMove"));
    this.now = { board, id, hosts, at: 0, side: "left" };
    this.look();
  }

  drop() {
    const { now } = this;
    return now && dropOn(now.board.placed, now.board.least, now.id, now.hosts[now.at], now.side);
  }

  look() {
    const drop = this.drop();
    if (!drop || !this.now) return;
    this.preview.show(this.now.board, this.now.id, drop.placed, drop);
    this.tell(`${wordsOf(this.now.board, drop)}. ${word("dockKeys")}`);
  }

  /** What a key does while it is on; false when it is not, or nothing. @param {KeyboardEvent} event @param {Side|undefined} side of an arrow */
  key(event, side) {
    const { now } = this;
    if (!now) return false;
    const key = event.key.toLowerCase();
    if (side) now.side = side;
    else if (key === "d") now.at = (now.at + 1) % now.hosts.length;
    else if (key === "s") now.side = null;
    else if (event.key === "Enter") {
      const drop = this.drop();
      this.end();
      if (drop) this.done(drop);
      return true;
    } else if (event.key === "Escape") {
      this.end();
      this.tell(word("dockEnded"));
      return true;
    } else if (event.key === "Tab") {
      this.end();
      return false;
    } else return true;
    this.look();
    return true;
  }

  end() {
    this.now = null;
    this.preview.hide();
  }
}

/** A pointer's place on the board, in cells with fractions. @param {PointerEvent} event @param {DOMRect} box @returns {[number, number]} */
export function pointOf(event, box) {
  const at = (/** @type {number} */ share) => Math.max(0, Math.min(CELLS - 1e-6, share * CELLS));
  return [at((event.clientX - box.left) / box.width), at((event.clientY - box.top) / box.height)];
}
