/**
 * The navigation pane: three slices, the surface, the distance to the target with its ±.
 * The pictures are made in a worker of their own, loaded only where there is something to navigate.
 * @import {Session} from "./session.js"  @import {Navigation} from "./plan.js"  @import {Cell, View} from "./types.js"
 */

import { deviceSize, h, offscreen, onResize, setClass, setText } from "./dom.js";
import { ClockChip, NEEDS_MS } from "./needs.js";
import { FONT } from "./session.js";
import { ageText, label, word } from "./text.js";
import { DASH } from "./tiles.js";

const SLICES = ["axial", "coronal", "sagittal"];

export class NavigationPane {
  /**
   * @param {Session} session
   * @param {Navigation} plan
   * @param {{slices?: boolean}} [options]
   */
  constructor(session, plan, { slices = true } = {}) {
    this.plan = plan;
    this.worker = new Worker("/static/js/nav/worker.js", { type: "module", name: "navigation" });
    this.problem = h("div.picture-warning", { role: "status" });
    this.problem.hidden = true;
    this.worker.onmessage = ({ data }) => {
      if (data.is !== "problem") return;
      this.problem.hidden = false;
      setText(this.problem, `${word("noVolume")}: ${data.text}`);
    };
    const { port1, port2 } = new MessageChannel();
    session.do({ do: "nav", port: port1 }, [port1]);
    this.worker.postMessage({ do: "port", port: port2 }, [port2]);
    this.worker.postMessage({ do: "open", folder: "/static/volumes/", stem: plan.volume, font: FONT });
    this.distance = h("span.distance");
    this.unit = h("span.distance-unit");
    this.detail = h("div.distance-detail");
    this.millimetres = slices ? SLICES.map(() => h("span.slice-mm")) : [];
    const panes = slices ? SLICES.map((name, i) => this.view(name, [this.millimetres[i]])) : [];
    const name = label(plan.main.channel.label, plan.main.channel.name);
    this.clock = new ClockChip(plan.main.device, false);
    this.solid = this.view("solid", [
      this.clock.element,
      h("div.distance-box", {}, [h("div", {}, [this.distance, this.unit]), this.detail]),
      this.problem,
    ], `${name} → ${word("toTarget").replace(/^to /, "")}`);
    this.element = h("div.navigation", { role: "group", "aria-label": name }, [...panes, this.solid]);
    setClass(this.element, "solid-only", !slices);
    this.target = plan.target;
    this.entry = plan.entry;
    this.sendPlan();
    this.turning();
  }

  sendPlan() {
    const { main, axes } = this.plan;
    this.worker.postMessage({ do: "plan", main: main.address, axes, target: this.target, entry: this.entry });
  }

  /** @param {string} name @param {Node[]} over @param {string} [title] */
  view(name, over, title = word(name)) {
    const canvas = /** @type {HTMLCanvasElement} */ (h("canvas", { role: "img", "aria-label": title }));
    const element = h(`div.nav-view.nav-${name}`, {}, [canvas, h("span.pane-title", { text: title }), ...over]);
    const off = offscreen(canvas);
    this.worker.postMessage({ do: "view", name, canvas: off }, [off]);
    onResize(element, () => {
      const { width, height, rem } = deviceSize(canvas);
      this.worker.postMessage({ do: "size", name, width, height, rem });
    });
    return element;
  }

  /** Drag to turn the head. */
  turning() {
    this.solid.addEventListener("pointerdown", (down) => {
      this.solid.setPointerCapture(down.pointerId);
      let [x, y] = [down.clientX, down.clientY];
      const move = (/** @type {PointerEvent} */ e) => {
        this.worker.postMessage({ do: "turn", dx: (e.clientX - x) * 0.01, dy: (e.clientY - y) * 0.01 });
        [x, y] = [e.clientX, e.clientY];
      };
      this.solid.addEventListener("pointermove", move);
      this.solid.addEventListener("pointerup", () => this.solid.removeEventListener("pointermove", move), { once: true });
    });
  }

  /** @param {View} view */
  update(view) {
    const { main } = this.plan;
    this.clock.update(view.clocks, NEEDS_MS.pose);
    const cell = view.cells[main.address];
    const seen = Boolean(cell && !cell.stale && cell.value.visible);
    setClass(this.element, "stale", !seen);
    if (!cell || !seen) return this.unseen(cell);
    const tip = cell.value.position;
    this.millimetres.forEach((element, i) => {
      const axis = ["z", "y", "x"][i];
      setText(element, `${axis} ${tip[2 - i].toFixed(1)} mm`);
    });
    if (!this.target) {
      setText(this.distance, "");
      setText(this.unit, "");
      setText(this.detail, word("noTarget"));
      return;
    }
    const err = cell.value.err_mm ?? main.channel.err_mm;
    setText(this.distance, distance(tip, this.target).toFixed(1));
    setText(this.unit, err == null ? "mm" : `mm ± ${err.toFixed(1)}`);
    setText(this.detail, this.angleText(cell) + ` · ${ageText(cell.age_ms)}`);
  }

  /** @param {Cell|undefined} cell */
  unseen(cell) {
    setText(this.distance, DASH);
    setText(this.unit, "");
    const hidden = cell && !cell.stale && !cell.value.visible;
    setText(this.detail, !cell ? word("never") : hidden ? word("notSeen") : `${word("noData")} ${ageText(cell.age_ms)}`);
    for (const element of this.millimetres) setText(element, DASH);
  }

  /** @param {Cell} cell */
  angleText(cell) {
    if (!this.target || !this.entry) return word("toTarget");
    const axis = this.plan.axes[this.plan.main.address];
    const shaft = turned(cell.value.orientation, axis);
    const line = [0, 1, 2].map((k) => Number(this.target?.[k]) - Number(this.entry?.[k]));
    const cos = shaft.reduce((sum, v, k) => sum + v * line[k], 0) / Math.hypot(...line);
    return `${word("angle")} ${((Math.acos(Math.max(-1, Math.min(1, cos))) * 180) / Math.PI).toFixed(1)}°`;
  }

  /** What tests and `window.scot` read. */
  state() {
    return { address: this.plan.main.address, text: this.distance.textContent ?? "" };
  }
}

/** @param {number[]} a @param {number[]} b */
const distance = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);

/** A vector turned by a unit quaternion x, y, z, w. @param {number[]} q @param {number[]} v */
function turned([x, y, z, w], v) {
  const t = [2 * (y * v[2] - z * v[1]), 2 * (z * v[0] - x * v[2]), 2 * (x * v[1] - y * v[0])];
  return [
    v[0] + w * t[0] + y * t[2] - z * t[1],
    v[1] + w * t[1] + z * t[0] - x * t[2],
    v[2] + w * t[2] + x * t[1] - y * t[0],
  ];
}
