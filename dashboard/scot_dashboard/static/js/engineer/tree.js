/**
 * The catalogue as a tree: devices, their channels, how each stands; a channel is plotted or listed.
 * @import {Catalogue, View} from "../types.js"
 */

import { h, setClass, setText } from "../dom.js";
import { channelsOf } from "../feed/view.js";
import { colorOf } from "../palette.js";
import { sideOf, twinsOf } from "./sides.js";
import { ageText, label, unitText, word } from "../text.js";

const LATEST = new Set(["numeric", "waveform", "pose"]);

export class Tree {
  /** @param {(plotted: string[], listed: string) => void} changed */
  constructor(changed) {
    this.changed = changed;
    /** @type {string[]} */
    this.plotted = [];
    this.listed = "";
    /** @type {import("./sides.js").Side[]} */
    this.sides = [];
    this.find = /** @type {HTMLInputElement} */ (h("input.tree-find", { type: "search", placeholder: word("findChannel"), "aria-label": word("findChannel") }));
    this.find.addEventListener("input", () => this.filter());
    this.list = h("div.tree-list");
    this.element = h("nav.tree", { "aria-label": word("channels") }, [this.find, this.list]);
    /** @type {Map<string, {row: HTMLElement, box: HTMLInputElement, age: HTMLElement, device: string}>} */
    this.rows = new Map();
  }

  /** @param {Catalogue} catalogue */
  build(catalogue) {
    this.rows.clear();
    const whose = (/** @type {{address: string}} */ p) => sideOf(this.sides, p.address);
    const places = channelsOf(catalogue).sort((a, b) => whose(a).localeCompare(whose(b))); // in the order of the recordings
    const devices = [...new Set(places.map((p) => p.device))];
    this.list.replaceChildren(...devices.map((device) => {
      const rows = places.filter((p) => p.device === device).map((p) => this.row(p, catalogue));
      const name = label(catalogue.devices[device]?.label, device);
      return h("details.tree-device", { open: "" }, [h("summary", { text: name, title: device }), ...rows]);
    }));
    if (!this.plotted.length) {
      const first = places.filter((p) => LATEST.has(p.channel.kind) && p.channel.sensitivity !== "technical");
      const wave = first.find((p) => p.channel.kind === "waveform");
      const pose = first.find((p) => p.channel.kind === "pose");
      const chosen = [wave, first.find((p) => p.channel.kind === "numeric"), pose].flatMap((p) => (p ? [p.address] : []));
      this.plotted = chosen.flatMap((address) => twinsOf(this.sides, catalogue, address));
      this.listed = this.plotted[0] ?? places[0]?.address ?? "";
    }
    this.show();
    this.filter();
  }

  /** @param {{address: string, device: string, channel: import("../types.js").Channel}} place @param {Catalogue} catalogue */
  row({ address, device, channel }, catalogue) {
    const box = /** @type {HTMLInputElement} */ (h("input", { type: "checkbox", "aria-label": `${word("plot")} ${address}` }));
    const name = h("button.tree-name", { type: "button", text: channel.name, title: `${address} · ${label(channel.label, channel.name)}` });
    const age = h("span.tree-age");
    const kind = h("span.tree-kind", { text: [channel.kind, unitText(channel.unit)].filter(Boolean).join(" · ") });
    name.style.setProperty("--color", colorOf(channel));
    box.addEventListener("change", () => {
      const twins = twinsOf(this.sides, catalogue, address); // one tick compares
      const rest = this.plotted.filter((a) => (box.checked ? !twins.includes(a) : a !== address));
      this.plotted = box.checked ? [...rest, ...twins] : rest;
      this.show();
      this.changed(this.plotted, this.listed);
    });
    name.addEventListener("click", () => this.choose(address));
    const row = h("div.tree-row", {}, [box, name, kind, age]);
    this.rows.set(address, { row, box, age, device });
    return row;
  }

  /** List a channel's samples. @param {string} address */
  choose(address) {
    if (!this.rows.has(address)) return;
    this.listed = address;
    this.show();
    this.changed(this.plotted, this.listed);
  }

  show() {
    for (const [address, { row, box }] of this.rows) {
      box.checked = this.plotted.includes(address);
      setClass(row, "listed", address === this.listed);
    }
  }

  filter() {
    const wanted = this.find.value.trim().toLowerCase();
    for (const [address, { row }] of this.rows) row.hidden = wanted !== "" && !address.includes(wanted);
    for (const device of this.list.children) {
      /** @type {HTMLElement} */ (device).hidden = ![...device.querySelectorAll(".tree-row")].some((r) => !(/** @type {HTMLElement} */ (r).hidden));
    }
  }

  /** @param {View} view */
  update(view) {
    for (const [address, { row, age }] of this.rows) {
      const cell = view.cells[address];
      setText(age, cell ? ageText(cell.age_ms) : "");
      setClass(row, "stale", Boolean(cell?.stale));
    }
  }
}
