/**
 * The navigation pane: three slices, the surface, the distance to the target with its ±, and how the
 * tool stands to the plan. The pictures are made in a worker of their own, loaded only where there is
 * something to navigate.
 * @import {Session} from "./session.js"  @import {Breach, ToolState} from "./nav/steering.js"  @import {Navigation} from "./nav/navigation_of.js"  @import {Cell, View} from "./types.js"
 */

import { deviceSize, h, offscreen, onResize, setClass, setHidden, setText } from "./dom.js";
import { afterNumbers } from "./first.js";
import { angleTo, breaches, distance, toolState, turned } from "./nav/steering.js";
import { registrationState, through } from "./nav/registration.js";
import { loadMesh } from "./nav/solid.js";
import { Windowing } from "./nav/window.js";
import { enterXr, xrAvailable } from "./nav/xr.js";
import { ClockChip, NEEDS_MS } from "./needs.js";
import { FONT } from "./session.js";
import { ageText, label, word } from "./text.js";
import { DASH } from "./tiles.js";

const SLICES = ["axial", "coronal", "sagittal"];
const TURN_KEYS = { ArrowLeft: [-0.15, 0], ArrowRight: [0.15, 0], ArrowUp: [0, 0.15], ArrowDown: [0, -0.15] };
/** Volumes of the patient are the gateway's to give; the bundled one is a file of the page. */
const folderOf = (/** @type {string} */ stem) => (/^room\d+$/.test(stem) ? "/volumes/" : "/static/volumes/");

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
    this.coarser = h("span.nav-coarser");
    this.windowing = new Windowing(plan.volume, (wish) => this.worker.postMessage(wish));
    this.drawn = { frames: 0, spent_ms: 0 };
    /** @type {{coarser: {shown_mm: number[], of_mm: number[]}|null, lossy: string}} */
    this.shown = { coarser: null, lossy: "" };
    this.worker.onmessage = ({ data }) => this.hear(data);
    const { port1, port2 } = new MessageChannel();
    session.do({ do: "nav", port: port1 }, [port1]);
    this.worker.postMessage({ do: "port", port: port2 }, [port2]);
    const { volume } = plan;
    afterNumbers(() => this.worker.postMessage({ do: "open", folder: folderOf(volume), stem: volume, font: FONT }));
    this.distance = h("span.distance");
    this.unit = h("span.distance-unit");
    this.detail = h("div.distance-detail");
    this.millimetres = slices ? SLICES.map(() => h("span.slice-mm")) : [];
    const panes = slices ? SLICES.map((name, i) => this.view(name, [this.millimetres[i]])) : [];
    panes[0]?.append(this.windowing.button, this.windowing.magnifier);
    panes[1]?.append(this.coarser);
    for (const pane of panes) this.windowing.on(pane);
    const name = label(plan.main.channel.label, plan.main.channel.name);
    this.clock = new ClockChip(plan.main.device, false);
    this.registered = h("div.nav-registered", { role: "status" });
    this.registered.hidden = !plan.registration;
    this.strangers = h("div.nav-strangers", { role: "status" });
    this.solid = this.view("solid", [
      this.clock.element,
      this.registered,
      this.strangers,
      h("div.distance-box", {}, [h("div", {}, [this.distance, this.unit]), this.detail]),
      this.problem,
    ], `${name} → ${word("toTarget").replace(/^to /, "")}`);
    this.breach = h("div.nav-breach", { role: "alert" });
    this.breach.hidden = true;
    this.lost = h("div.nav-lost", { role: "status" });
    this.lost.hidden = true;
    this.element = h("div.navigation", { role: "group", "aria-label": name }, [...panes, this.solid, this.breach, this.lost]);
    setClass(this.element, "solid-only", !slices);
    this.target = plan.target;
    this.entry = plan.entry;
    /** @type {Breach[]} */
    this.breached = [];
    /** @type {ToolState} */
    this.standing = "never";
    this.xr = h("button.nav-window.nav-xr", { type: "button", text: word("enterXr") });
    this.xr.hidden = true;
    this.xr.addEventListener("click", () => this.enter());
    this.solid.append(this.xr);
    xrAvailable().then((there) => setHidden(this.xr, !there));
    this.space = { lps: false, centre: [0, 0, 0] };
    /** @type {Awaited<ReturnType<typeof enterXr>>|null} */
    this.immersed = null;
    if (!plan.volume) this.missing("");
    this.tellStrangers();
    this.sendPlan();
    this.turning();
  }

  /** What the worker says. @param {any} data */
  hear(data) {
    if (data.is === "problem") this.missing(data.text);
    else if (data.is === "drawn") this.drawn = data;
    else if (data.is === "coming") this.tellPicture(data.share);
    else if (data.is === "volume") {
      if (data.window) this.windowing.open(data.modality, data.window);
      this.space = { lps: data.lps, centre: data.centre };
      this.shown = data;
      this.tellPicture(null);
    }
  }

  /** How fine the picture is, what was lost of it, and how much of a finer one has come. @param {number|null} share */
  tellPicture(share) {
    const size = (/** @type {number[]} */ mm) => mm.map((v) => v.toFixed(v < 10 ? 2 : 1)).join(" × ");
    const { coarser, lossy } = this.shown;
    setText(this.coarser, [
      lossy && `${word("lossy")} (${lossy})`,
      coarser && `${word("coarser")} ${size(coarser.shown_mm)} mm (${word("stored")} ${size(coarser.of_mm)})`,
      share !== null && share < 1 && `${word("finerComes")} ${Math.floor(share * 100)} %`,
    ].filter(Boolean).join(" · "));
  }

  /** @param {string} why */
  missing(why) {
    setHidden(this.problem, false);
    const text = why === "the patient's images stay in the room" ? word("volumeStays") : why;
    setText(this.problem, [word("noVolume"), this.plan.frame && `“${this.plan.frame}”`, text].filter(Boolean).join(" · "));
  }

  /** Tools that are told in another frame of reference cannot be drawn here. */
  tellStrangers() {
    const names = this.plan.strangers.map((p) => `${label(p.channel.label, p.channel.name)} (${p.channel.frame || "?"})`);
    setText(this.strangers, names.length ? `${word("otherFrame")}: ${names.join(", ")}` : "");
    setHidden(this.strangers, !names.length);
  }

  /** The same scene in a headset; again, back out of it. */
  async enter() {
    if (this.immersed) return this.immersed.end();
    const ended = () => {
      this.immersed = null;
    };
    try {
      const { volume } = this.plan;
      const mesh = volume ? await loadMesh(folderOf(volume), volume) : null;
      this.immersed = await enterXr({ mesh, ...this.space, ended });
      this.immersed.scene.plan = this.plan.plan;
    } catch (error) {
      setHidden(this.problem, false);
      setText(this.problem, `${word("noXr")} · ${error instanceof Error ? error.message : error}`);
    }
  }

  sendPlan() {
    const { main, axes, plan, registration } = this.plan;
    this.worker.postMessage({ do: "plan", main: main.address, registration: registration?.address ?? "", axes, target: this.target, entry: this.entry, plan });
  }

  /** @param {string} name @param {Node[]} over @param {string} [title] */
  view(name, over, title = word(name)) {
    const canvas = /** @type {HTMLCanvasElement} */ (h("canvas", { role: "img", "aria-label": title }));
    const element = h(`div.nav-view.nav-${name}`, {}, [canvas, h("span.pane-title", { text: title }), ...over]);
    element.setAttribute("role", "group");
    element.setAttribute("aria-label", title);
    const off = offscreen(canvas);
    this.worker.postMessage({ do: "view", name, canvas: off }, [off]);
    onResize(element, () => {
      const { width, height, rem } = deviceSize(canvas);
      this.worker.postMessage({ do: "size", name, width, height, rem });
    });
    return element;
  }

  /** Drag, or arrows, to turn the head. */
  turning() {
    this.solid.tabIndex = 0;
    this.solid.addEventListener("keydown", (event) => {
      const turn = /** @type {Record<string, number[]>} */ (TURN_KEYS)[event.key];
      if (!turn) return;
      this.worker.postMessage({ do: "turn", dx: turn[0], dy: turn[1] });
      event.preventDefault();
      event.stopPropagation();
    });
    this.solid.addEventListener("pointerdown", (down) => {
      if (down.target instanceof Element && down.target.closest("button")) return;
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
    const { main, plan } = this.plan;
    this.clock.update(view.clocks, NEEDS_MS.pose);
    const told = view.cells[main.address];
    this.standing = toolState(told);
    const placed = this.place(view);
    const seen = Boolean(placed) && (this.standing === "seen" || this.standing === "doubtful");
    setClass(this.element, "stale", !seen);
    setClass(this.element, "doubtful", this.standing === "doubtful");
    setHidden(this.lost, seen);
    const cell = told && placed && seen ? { ...told, value: placed(told.value) } : undefined;
    if (this.immersed) this.immersed.scene.tool = cell ? this.tool(cell) : null;
    if (!cell) return this.unseen(told, !placed);
    const tip = cell.value.position;
    const err = cell.value.err_mm ?? null;
    this.warn(breaches(tip, plan, err));
    this.millimetres.forEach((element, i) => {
      const axis = ["z", "y", "x"][i];
      setText(element, `${axis} ${tip[2 - i].toFixed(1)} mm`);
    });
    const doubt = this.standing === "doubtful" ? `${word("poseDoubtful")} · ` : "";
    if (!this.target) {
      setText(this.distance, "");
      setText(this.unit, "");
      setText(this.detail, doubt + word("noTarget"));
      return;
    }
    setText(this.distance, distance(tip, this.target).toFixed(1));
    setText(this.unit, err === null ? `mm · ${word("errUnknown")}` : `mm ± ${err.toFixed(1)}`);
    setText(this.detail, doubt + this.angleText(cell) + ` · ${ageText(cell.age_ms)}`);
  }

  /**
   * What brings a pose into the picture's frame; null while nothing may.
   *
   * @param {View} view @returns {((pose: any) => any)|null}
   */
  place(view) {
    const { main, registration } = this.plan;
    const own = (/** @type {any} */ pose) => ({ ...pose, err_mm: pose.err_mm ?? main.channel.err_mm ?? null });
    if (!registration) return own;
    const cell = view.cells[registration.address];
    const state = registrationState(cell);
    const line = view.cells[`${registration.address}_state`];
    const [good, why] = [state === "registered", typeof line?.value === "string" ? line.value : ""];
    const words = { never: word("never"), stale: `${word("noData")} ${ageText(cell?.age_ms ?? 0)}`, invalid: why.replace(/^not registered: /, ""), registered: "" };
    const errors = [["TRE", cell?.value?.err_mm ?? registration.channel.err_mm], ["FRE", registration.channel.attrs?.fre_mm]]
      .map(([name, mm]) => (Number.isFinite(mm) ? `${name} ${Number(mm).toFixed(1)} mm` : "")).filter(Boolean);
    setText(this.registered, [word(good ? "registered" : "notRegistered"), ...(good ? errors : [words[state]])].filter(Boolean).join(" · "));
    setClass(this.registered, "bad", !good);
    if (!cell || !good) return null;
    const by = { ...cell.value, err_mm: cell.value.err_mm ?? registration.channel.err_mm ?? null };
    return (pose) => through(by, own(pose));
  }

  /** @param {Cell|undefined} cell @param {boolean} lost whether it is the registration that is missing */
  unseen(cell, lost) {
    this.warn([]);
    setText(this.distance, DASH);
    setText(this.unit, "");
    /** @type {Record<string, string>} */
    const words = {
      never: word("never"), hidden: word("notSeen"), error: word("poseError"),
      stale: `${word("noData")} ${ageText(cell?.age_ms ?? 0)}`,
    };
    const name = label(this.plan.main.channel.label, this.plan.main.channel.name);
    setText(this.detail, lost ? word("notRegistered") : words[this.standing]);
    setText(this.lost, lost ? `${word("notRegistered")}: ${word("notDrawn")}` : `${name}: ${words[this.standing]}`);
    for (const element of this.millimetres) setText(element, DASH);
  }

  /** The worst first; loud, and in the colour of doubt: only a device's alarms have fills. @param {Breach[]} found */
  warn(found) {
    this.breached = found;
    const [worst] = found;
    setHidden(this.breach, !worst);
    setClass(this.element, "breached", Boolean(worst));
    if (!worst) return;
    setText(this.breach, `⚠ ${breachText(worst)}${found.length > 1 ? ` · +${found.length - 1}` : ""}`);
    setClass(this.breach, "sure", worst.sure);
  }

  /** @param {Cell} cell */
  tool({ value }) {
    const direction = turned(value.orientation, this.plan.axes[this.plan.main.address]);
    return { tip: value.position, direction, err_mm: value.err_mm ?? null };
  }

  /** @param {Cell} cell */
  angleText(cell) {
    const angle = angleTo(turned(cell.value.orientation, this.plan.axes[this.plan.main.address]), this.plan.plan);
    return angle === null ? word("toTarget") : `${word("angle")} ${angle.toFixed(1)}°`;
  }

  /** What tests and `window.scot` read. */
  state() {
    const { window, zoom } = this.windowing;
    return {
      address: this.plan.main.address, text: this.distance.textContent ?? "", tool: this.standing,
      breach: this.breach.hidden ? "" : this.breach.textContent, window, zoom, frames: this.drawn.frames,
      problem: this.problem.hidden ? "" : this.problem.textContent, picture: this.coarser.textContent ?? "",
      registration: this.registered.hidden ? "" : this.registered.textContent,
    };
  }

  close() {
    this.worker.terminate();
  }
}

/** @param {Breach} breach */
function breachText({ what, name, mm, limit_mm, sure }) {
  const inside = what === "avoid" && mm < 0 ? ` ${word("insideIt")}` : "";
  const [measured, limit] = [`${Math.abs(mm).toFixed(1)} mm${inside}`, `${limit_mm.toFixed(1)} mm`];
  const texts = {
    avoid: `${word("toKeep")} ${name || word("keptStructure")}: ${measured} · ${word("margin")} ${limit}`,
    corridor: `${word("besidePlan")}: ${measured} · ${word("corridor")} ${limit}`,
    beyond: `${word("pastTarget")}: ${measured} · ${word("allowed")} ${limit}`,
  };
  return `${word(sure ? "breach" : "breachMaybe")} — ${texts[what]}`;
}
