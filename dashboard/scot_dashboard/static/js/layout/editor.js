/**
 * The editor: a frame over each pane, moved and resized by mouse, touch and keys; a bar with undo,
 * reset and what is hidden. @import {Layouts} from "./layouts.js"  @import {Board} from "./board.js"  @import {Side, Placed} from "./grid.js"
 */

import { h, setClass, setHidden, setText } from "../dom.js";
import { word } from "../text.js";
import { KeyDock, Preview, dropAt, pointOf, wordsOf } from "./docking.js";
import { CELLS, moveTo, resize, step } from "./grid.js";
import { said } from "./layouts.js";

/** @type {Side[]} */
const EDGES = ["left", "right", "up", "down"];
/** @type {Record<string, Side>} */
const ARROWS = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down" };
const FAR_PX = 6; // a press that moves less is no drag

export class Editor {
  /** @param {Layouts} layouts @param {HTMLElement} shelf button that opens the saved layouts */
  constructor(layouts, shelf) {
    this.layouts = layouts;
    this.on = false;
    this.status = h("output.layout-status", { "aria-live": "polite" });
    this.undo = this.button("undoStep", () => this.back(false));
    this.redo = this.button("redoStep", () => this.back(true));
    this.hidden = h("div.layout-hidden");
    this.bar = h("section.layout-bar", { "aria-label": word("layout") }, [
      this.status, this.hidden, h("div.layout-acts", {}, [
        this.undo, this.redo, this.button("resetLayout", () => this.reset()), shelf, this.button("done", () => this.toggle(false)),
      ]),
    ]);
    setHidden(this.bar, true);
    this.key = h("button.drawer-button", { type: "button", "aria-pressed": "false", "data-tour": "layout" });
    this.key.addEventListener("click", () => this.toggle());
    this.preview = new Preview();
    this.docking = new KeyDock(this.preview, (text) => setText(this.status, text), (drop) => this.drop(drop));
    /** @type {Map<string, HTMLElement>} */
    this.frames = new Map();
    /** @type {Board|null} */
    this.framed = null;
  }

  /** @param {string} key @param {() => void} act */
  button(key, act) {
    const made = h("button.choice", { type: "button", text: word(key), "data-act": key });
    made.addEventListener("click", act);
    return made;
  }

  /** @param {boolean} [on] */
  toggle(on = !this.on) {
    this.on = on;
    setClass(document.body, "arranging", on);
    setHidden(this.bar, !on);
    this.key.setAttribute("aria-pressed", String(on));
    this.update();
    if (on) {
      setText(this.status, word("editHelp"));
      this.frames.get(Object.keys(this.layouts.board?.placed ?? {})[0] ?? "")?.focus();
    } else this.docking.end();
  }

  /** Escape ends it; say whether it was on. */
  close() {
    const { on } = this;
    if (this.docking.now) this.docking.end();
    else if (on) {
      this.toggle(false);
      this.key.focus();
    }
    return on;
  }

  /** Draw what the layouts say. */
  update() {
    const { layouts } = this;
    const { board } = layouts;
    const away = (board?.specs ?? []).filter((s) => !board?.placed[s.id]);
    const missed = away.filter((s) => s.places.length && s.kind !== "camera").length; // the pane of all cameras counts
    setText(this.key, `${word("layout")}${layouts.name ? ` ${layouts.name}` : ""}${missed ? ` · ${missed} ${word("notShown")}` : ""}${layouts.changed ? " *" : ""}`);
    this.key.title = layouts.changed ? word("unsaved") : word("keyLayout");
    if (!board || !this.on) return;
    if (this.framed !== board) {
      this.framed = board;
      this.frames = new Map([...board.panes].map(([id, pane]) => [id, this.frame(id, pane.spec.title, pane.element)]));
    }
    this.undo.toggleAttribute("disabled", !layouts.past.length);
    this.redo.toggleAttribute("disabled", !layouts.future.length);
    this.hidden.replaceChildren(...away.map((s) => {
      const made = h("button.choice", { type: "button", text: `+ ${s.title}`, "aria-label": `${word("showPane")} ${s.title}`, "data-show": s.id });
      made.addEventListener("click", () => this.show(s.id, s.title));
      return made;
    }));
  }

  /** @param {string} id @param {string} title @param {HTMLElement} pane */
  frame(id, title, pane) {
    const away = h("button.frame-hide", { type: "button", text: "✕", "aria-label": `${word("hidePane")} ${title}` });
    away.addEventListener("click", () => this.hide(id, title));
    away.addEventListener("pointerdown", (event) => event.stopPropagation());
    const frame = h("div.pane-frame", { tabindex: "0", role: "group", "aria-label": title, "data-frame": id }, [
      h("span.frame-title", { text: title }), away,
      ...EDGES.map((side) => {
        const handle = h(`span.frame-edge.edge-${side}`, { title: word("moveEdge"), "aria-hidden": "true" });
        handle.addEventListener("pointerdown", (event) => this.pull(event, id, side));
        return handle;
      }),
    ]);
    frame.addEventListener("pointerdown", (event) => this.drag(event, id));
    frame.addEventListener("keydown", (event) => this.pressed(event, id, title));
    pane.append(frame);
    return frame;
  }

  /** @param {KeyboardEvent} event @param {string} id @param {string} title */
  pressed(event, id, title) {
    const { layouts } = this;
    const { board } = layouts;
    if (!board) return;
    const side = ARROWS[event.key];
    const command = event.ctrlKey || event.metaKey;
    const key = event.key.toLowerCase();
    if (event.target !== event.currentTarget && !command) return; // a button's own keys
    if (this.docking.key(event, side)) {
      // it said what it does
    } else if (key === "d" && !command) this.docking.begin(board, id);
    else if (side) this.tell(id, title, layouts.change(event.shiftKey ? this.grown(id, side) : step(board.placed, board.least, id, side)));
    else if (key === "h" || event.key === "Delete") this.hide(id, title);
    else if (command && (key === "z" || key === "y")) this.back(key === "y" || event.shiftKey);
    else return;
    event.preventDefault();
    event.stopPropagation();
    this.frames.get(id)?.focus();
  }

  /** Wider, narrower, taller, shorter: by the far edge, or the near one where that is the screen's. @param {string} id @param {Side} side @returns {Placed|null} */
  grown(id, side) {
    const { board } = this.layouts;
    if (!board) return null;
    const across = side === "left" || side === "right";
    const more = side === "right" || side === "down";
    const r = board.placed[id];
    const atEnd = (across ? r.x + r.w : r.y + r.h) === CELLS;
    const edge = across ? (atEnd ? "left" : "right") : atEnd ? "up" : "down";
    return resize(board.placed, board.least, id, edge, more === atEnd ? -1 : 1);
  }

  /** @param {import("./docking.js").Drop} drop */
  drop(drop) {
    const { board } = this.layouts;
    const words = board ? wordsOf(board, drop) : "";
    const title = board?.panes.get(drop.id)?.spec.title ?? drop.id;
    const did = Boolean(drop.placed) && this.layouts.change(drop.placed);
    setText(this.status, did ? `${title}: ${words}` : words);
  }

  /** @param {string} id @param {string} title @param {boolean} did */
  tell(id, title, did) {
    const r = this.layouts.board?.placed[id];
    setText(this.status, did && r ? said("paneMoved", title, r.x + 1, r.y + 1, r.w, r.h) : `${title}: ${word("cannotMove")}`);
  }

  /** @param {string} id @param {string} title */
  hide(id, title) {
    this.layouts.hide(id);
    setText(this.status, said("paneHidden", title));
    /** @type {HTMLElement|null} */ (this.hidden.querySelector(`[data-show="${CSS.escape(id)}"]`))?.focus();
  }

  /** @param {string} id @param {string} title */
  show(id, title) {
    const did = this.layouts.show(id);
    setText(this.status, did ? said("paneShown", title) : `${title}: ${word("cannotMove")}`);
    if (did) this.frames.get(id)?.focus();
  }

  /** @param {boolean} again */
  back(again) {
    if (this.layouts.undo(again)) setText(this.status, word(again ? "redoStep" : "undone"));
  }

  reset() {
    this.layouts.reset();
    setText(this.status, word("resetDone"));
  }

  /** The cell under a pointer. @param {PointerEvent} event @param {DOMRect} box @returns {[number, number]} */
  cell(event, box) {
    const at = (/** @type {number} */ share) => Math.max(0, Math.min(CELLS - 1, Math.floor(share * CELLS)));
    return [at((event.clientX - box.left) / box.width), at((event.clientY - box.top) / box.height)];
  }

  /**
   * Follow a pointer until it lets go; what `find` returns for its cell is shown, and kept at the end.
   *
   * @param {PointerEvent} down @param {string} id @param {(cell: [number, number], event: PointerEvent, box: DOMRect) => {placed: Placed|null, drop?: import("./docking.js").Drop|null}} find
   */
  track(down, id, find) {
    const { layouts } = this;
    const { board } = layouts;
    const frame = this.frames.get(id);
    if (!board || !frame || down.button !== 0) return;
    down.preventDefault();
    down.stopPropagation();
    frame.focus();
    frame.setPointerCapture(down.pointerId);
    const box = board.element.getBoundingClientRect();
    /** @type {{placed: Placed|null, drop?: import("./docking.js").Drop|null}|null} */
    let found = null;
    const move = (/** @type {PointerEvent} */ event) => {
      if (Math.hypot(event.clientX - down.clientX, event.clientY - down.clientY) < FAR_PX && !found) return;
      found = find(this.cell(event, box), event, box);
      this.preview.show(board, id, found.placed, found.drop);
    };
    const end = (/** @type {PointerEvent} */ event) => {
      frame.removeEventListener("pointermove", move);
      frame.removeEventListener("pointerup", end);
      frame.removeEventListener("pointercancel", end);
      this.preview.hide();
      const title = board.panes.get(id)?.spec.title ?? id;
      if (event.type !== "pointerup" || !found) return;
      if (found.drop) this.drop(found.drop);
      else if (found.placed && JSON.stringify(found.placed) !== JSON.stringify(board.placed)) this.tell(id, title, layouts.change(found.placed));
    };
    frame.addEventListener("pointermove", move);
    frame.addEventListener("pointerup", end);
    frame.addEventListener("pointercancel", end);
  }

  /** Near an edge of another pane it docks there, over its middle they change places; onto free cells it goes there. @param {PointerEvent} down @param {string} id */
  drag(down, id) {
    const { board } = this.layouts;
    if (!board) return;
    const { placed, least } = board;
    const box = board.element.getBoundingClientRect();
    const [gx, gy] = this.cell(down, box);
    const [dx, dy] = [gx - placed[id].x, gy - placed[id].y];
    this.track(down, id, ([x, y], event, at) => {
      const drop = dropAt(placed, least, id, ...pointOf(event, at));
      return drop ? { placed: drop.placed, drop } : { placed: moveTo(placed, least, id, x - dx, y - dy) };
    });
  }

  /** @param {PointerEvent} down @param {string} id @param {Side} side */
  pull(down, id, side) {
    const { board } = this.layouts;
    if (!board) return;
    const { placed, least } = board;
    const across = side === "left" || side === "right";
    const box = board.element.getBoundingClientRect();
    /** @type {Placed|null} */
    let last = null;
    this.track(down, id, (_, event) => {
      const moved = across ? (event.clientX - down.clientX) / box.width : (event.clientY - down.clientY) / box.height;
      const by = Math.round(moved * CELLS);
      return { placed: (last = by ? resize(placed, least, id, side, by) ?? last : placed) };
    });
  }
}
