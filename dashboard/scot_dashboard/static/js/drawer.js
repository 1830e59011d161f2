/**
 * Every channel of the catalogue in one list, technical ones too: nothing hidden, for whoever asks.
 * @import {Catalogue, View} from "./types.js"  @import {Layout, Place} from "./plan.js"
 */

import { h, setClass, setHidden, setText } from "./dom.js";
import { wordsOf } from "./extras.js";
import { ClockChip, needOf } from "./needs.js";
import { ageText, label, word } from "./text.js";
import { DASH, readingOf } from "./tiles.js";
import { unitOf } from "./units.js";

const EVERY_MS = 500;

export class Drawer {
  constructor() {
    this.body = h("tbody");
    const close = h("button.big-button", { type: "button", text: "✕", "aria-label": word("close") });
    close.addEventListener("click", () => this.toggle(false));
    this.missed = h("p.drawer-missed");
    this.element = h("section.drawer", { role: "dialog", "aria-label": word("all") }, [
      h("div.panel-head", {}, [h("h2", { text: word("all") }), close]),
      h("div.drawer-scroll", { tabindex: "0" }, [h("table", {}, [this.body])]), this.missed,
    ]);
    this.button = h("button.drawer-button", { type: "button", "aria-expanded": "false" });
    this.button.addEventListener("click", () => this.toggle());
    setHidden(this.element, true);
    /** @type {{place: Place, row: HTMLElement, value: HTMLElement, age: HTMLElement}[]} */
    this.rows = [];
    /** @type {{chip: ClockChip, need_ms: number}[]} */
    this.clocks = [];
    this.updated = 0;
  }

  /** Say whether it was open. */
  close() {
    const open = !this.element.hidden;
    if (open) this.toggle(false);
    return open;
  }

  /** @param {boolean} [open] */
  toggle(open = this.element.hidden) {
    setHidden(this.element, !open);
    this.button.setAttribute("aria-expanded", String(open));
  }

  /** @param {Layout} layout @param {Catalogue} catalogue */
  build(layout, catalogue) {
    const places = Object.values(layout.byAddress).filter((p) => p.channel.sensitivity !== "identity");
    setText(this.button, `${word("all")} · ${places.length}`);
    this.rows = places.map((place) => {
      const value = h("td.drawer-value");
      const age = h("td.drawer-age");
      const device = label(catalogue.devices[place.device]?.label, place.device);
      const row = h("tr", {}, [
        h("th", { scope: "row", text: `${place.device}/${place.channel.name}`, title: device }),
        h("td", { text: label(place.channel.label, "") }), value,
        h("td.drawer-unit", { text: unitOf(place.channel) }), age,
      ]);
      return { place, row, value, age };
    });
    this.clocks = [];
    const devices = [...new Set(places.map((p) => p.device))];
    this.body.replaceChildren(...devices.flatMap((device) => [
      this.head(device, catalogue), ...this.rows.filter((r) => r.place.device === device).map((r) => r.row),
    ]));
  }

  /** A device's line, with how well its clock is known. @param {string} device @param {Catalogue} catalogue */
  head(device, catalogue) {
    const chip = new ClockChip(device);
    this.clocks.push({ chip, need_ms: needOf(catalogue, device) });
    const name = h("span.drawer-device", { text: label(catalogue.devices[device]?.label, device) });
    return h("tr", {}, [h("th", { scope: "rowgroup", colspan: "5" }, [name, chip.element])]);
  }

  /** @param {View} view */
  update(view) {
    const local = performance.now();
    if (this.element.hidden || local - this.updated < EVERY_MS) return;
    this.updated = local;
    for (const { chip, need_ms } of this.clocks) chip.update(view.clocks, need_ms);
    for (const { place, row, value, age } of this.rows) {
      const cell = view.cells[place.address];
      const stale = !cell || (cell.stale && !["event", "alarm", "annotation"].includes(place.channel.kind));
      setClass(row, "stale", stale);
      setText(age, cell ? ageText(cell.age_ms) : word("never"));
      setText(value, stale ? DASH : place.channel.kind === "numeric" ? readingOf(place, cell).text : wordsOf(place, cell));
    }
    const missed = Object.values(view.conflated).reduce((sum, n) => sum + n, view.left_out);
    const unread = Object.entries(view.unread).map(([address, n]) => `${address} ${n}`).slice(0, 8).join(", ");
    setText(this.missed, `${word("missed")}: ${missed}${unread ? ` · ${word("unread")}: ${unread}` : ""}`);
  }
}
