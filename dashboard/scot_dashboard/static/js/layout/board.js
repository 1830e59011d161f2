/**
 * The panes of a room on their grid. Each is made when it is first shown and kept from then on: a
 * canvas can be handed to a worker once. Alarm line, header and scrubber stand outside and stay.
 * @import {Session} from "../session.js"  @import {Layout} from "../plan.js"  @import {Catalogue, Note, View} from "../types.js"
 * @import {Arrangement, Spec} from "./arrange.js"  @import {Placed} from "./grid.js"
 */

import { h, setHidden } from "../dom.js";
import { Gallery } from "../gallery.js";
import { NavigationPane } from "../navigation.js";
import { Picture } from "../picture.js";
import { word } from "../text.js";
import { Tile } from "../tiles.js";
import { Waves } from "../waves.js";
import { panesOf } from "./arrange.js";
import { DevicePane } from "./device.js";

/** @typedef {{element: HTMLElement, update?: (view: View) => void, tiles?: Tile[]}} Content */
/** @typedef {{spec: Spec, element: HTMLElement, content: Content|null}} Pane */
/** @typedef {{dock(): HTMLElement, undock(): void}} Tool a drawer that can stand in a pane */

export class Board {
  /**
   * @param {Session} session
   * @param {Layout} layout
   * @param {Catalogue} catalogue
   * @param {{tools: Record<string, Tool>, notes: HTMLElement, openAll: () => void, replay: boolean}} options
   */
  constructor(session, layout, catalogue, options) {
    this.session = session;
    this.layout = layout;
    this.options = options;
    this.specs = panesOf(layout, catalogue);
    this.empty = h("p.board-empty", { text: word("nothingYet") });
    this.element = h("main.board", {}, [this.empty]);
    /** @type {Map<string, Pane>} */
    this.panes = new Map(this.specs.map((spec) => [spec.id, this.pane(spec)]));
    this.element.append(...[...this.panes.values()].map((p) => p.element));
    this.least = Object.fromEntries(this.specs.map((s) => [s.id, s.least]));
    /** @type {Placed} */
    this.placed = {};
    /** @type {Gallery|null} */
    this.picture = null;
    /** @type {NavigationPane|null} */
    this.navigation = null;
  }

  /** @param {Spec} spec @returns {Pane} */
  pane(spec) {
    const element = h(`div.pane.pane-${spec.kind}`, { role: "group", "aria-label": spec.title, "data-pane": spec.id });
    setHidden(element, true);
    return { spec, element, content: null };
  }

  /** Let panes stand there, and nowhere else. @param {Placed} placed */
  arrange(placed) {
    this.placed = placed;
    for (const [id, pane] of this.panes) {
      const r = placed[id];
      const { kind } = pane.spec;
      setHidden(pane.element, !r);
      if (!r) {
        this.options.tools[kind]?.undock();
        continue;
      }
      const area = `${r.y + 1} / ${r.x + 1} / span ${r.h} / span ${r.w}`;
      if (pane.element.style.gridArea !== area) pane.element.style.gridArea = area;
      const tool = this.options.tools[kind];
      if (tool) pane.element.append(tool.dock());
      else if (!pane.content) {
        pane.content = this.content(pane.spec);
        pane.element.append(pane.content.element);
      }
    }
    setHidden(this.empty, Object.keys(placed).length > 0);
    // A page that scrolls shows panes in reading order.
    const order = Object.entries(placed).sort(([, a], [, b]) => a.y - b.y || a.x - b.x).map(([id]) => id);
    order.forEach((id, i) => this.panes.get(id)?.element.style.setProperty("--order", String(i)));
  }

  /** @param {Spec} spec @returns {Content} */
  content(spec) {
    const { session, layout } = this;
    if (spec.kind === "waves") {
      const waves = new Waves(session, "rows", layout.rows);
      return { element: waves.element, update: (v) => waves.update(v), tiles: waves.rows.flatMap((r) => r.tiles) };
    }
    if (spec.kind === "numbers") {
      const tiles = layout.foot.map((group) => new Tile(group));
      const element = h("div.tile-grid", {}, tiles.map((t) => t.element));
      return { element, update: (v) => tiles.forEach((t) => t.update(v, v.cursorAlarms)), tiles };
    }
    if (spec.kind === "video" || spec.kind === "camera") return this.video(spec);
    if (spec.kind === "notes") return { element: this.options.notes };
    if (spec.kind === "nav" && layout.navigation) {
      const pane = new NavigationPane(session, layout.navigation);
      this.navigation = pane;
      return { element: pane.element, update: (v) => pane.update(v) };
    }
    return new DevicePane(session, spec, this.options.openAll);
  }

  /** All of them, or one of its own for a glance. @param {Spec} spec @returns {Content} */
  video({ kind, id, places }) {
    const { replay } = this.options;
    const gallery = kind === "video" ? new Gallery(this.session, "main", places, { snapshots: !replay }) : null;
    const shown = gallery ?? new Picture(this.session, id, places[0], { inset: false, still: false });
    this.picture = gallery ?? this.picture;
    return { element: shown.element, update: (v) => shown.update(v, replay) };
  }

  /** @param {View} view */
  update(view) {
    for (const [id, pane] of this.panes) if (this.placed[id]) pane.content?.update?.(view);
  }

  /** Panes that are not shown and speak of an alarm that holds. @param {View} view @returns {Spec[]} */
  alarmed(view) {
    const loud = view.alarms.filter((a) => a.priority !== "None" && a.state !== "inactive" && a.state !== "pending" && a.activation !== "Off");
    const seen = new Set(this.specs.filter((s) => this.placed[s.id]).flatMap((s) => s.places));
    return this.specs.filter((s) => !this.placed[s.id] && s.places.some((p) => !seen.has(p) && loud.some((a) => a.device === p.device && (!a.channel || a.channel === p.channel.name))));
  }

  /** Tiles on the screen. */
  get tiles() {
    return [...this.panes].filter(([id]) => this.placed[id]).flatMap(([, pane]) => pane.content?.tiles ?? []);
  }

  /** @param {Note|null} note */
  pin(note) {
    this.picture?.pin(note);
  }

  end() {
    this.navigation?.worker.terminate();
    for (const tool of Object.values(this.options.tools)) tool.undock();
  }

  /** What tests and `window.scot` read. */
  state() {
    return {
      placed: this.placed,
      panes: this.specs.map((s) => ({ id: s.id, title: s.title })),
    };
  }
}

/**
 * A drawer that can stand in a pane: there it is always open, and its key moves to it.
 *
 * @param {{element: HTMLElement, toggle(open?: boolean): void, close(): boolean}} drawer
 * @returns {Tool & {docked: boolean}}
 */
export function docking(drawer) {
  const { element } = drawer;
  const home = document.createComment("drawer");
  const [toggle, close] = [drawer.toggle.bind(drawer), drawer.close.bind(drawer)];
  drawer.close = () => !tool.docked && close();
  drawer.toggle = (open) => {
    toggle(tool.docked || open);
    if (tool.docked) /** @type {HTMLElement|null} */ (element.querySelector("[tabindex], button"))?.focus();
  };
  const tool = {
    docked: false,
    dock() {
      if (!tool.docked) {
        tool.docked = true;
        if (element.isConnected) element.before(home);
        element.classList.add("docked");
        element.setAttribute("role", "group");
        toggle(true);
      }
      return element;
    },
    undock() {
      if (!tool.docked) return;
      tool.docked = false;
      element.classList.remove("docked");
      element.setAttribute("role", "dialog");
      toggle(false);
      home.replaceWith(element);
    },
  };
  return tool;
}

