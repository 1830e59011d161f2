/**
 * What the recording is worth: of each channel what was expected, came, was asked back, came late
 * and is lost, with intervals one can go to; and the report on the case, to take away.
 * @import {Catalogue} from "../types.js"
 */

import { shownZone } from "../clock.js";
import { h, setHidden, setText } from "../dom.js";
import { clockText } from "../feed/zone.js";
import { lang, word } from "../text.js";
import { sideOf } from "./sides.js";

const AGAIN_MS = 10_000;
const COUNTS = /** @type {const} */ ([
  ["expected", "count_expected"], ["received", "count_received"], ["backfilled", "count_backfilled"], ["late", "count_late"], ["lost", "count_lost"],
]);
const INTERVALS = /** @type {const} */ ([["lost_in", "count_lost"], ["backfilled_in", "count_backfilled"], ["late_in", "count_late"]]);
const SHOWN = 12;

/**
 * @typedef {{from: string|null, to: string|null, count: number, why: string}} Interval
 * @typedef {{address: string, expected: number, received: number, backfilled: number, late: number, lost: number, lost_in: Interval[], backfilled_in: Interval[], late_in: Interval[]}} Row
 */

export class Worth {
  /** @param {(unix_ms: number, address: string) => void} go to a moment of a channel */
  constructor(go) {
    this.go = go;
    /** @type {import("./sides.js").Side[]} */
    this.sides = [];
    this.replay = false;
    /** @type {Row[]} */
    this.rows = [];
    this.timer = 0;
    this.body = h("tbody");
    this.said = h("p.worth-said", { role: "status" });
    this.damage = h("ul.worth-damage");
    this.format = /** @type {HTMLSelectElement} */ (h("select.rate", { "aria-label": word("format") }, ["html", "pdf"].map((f) => h("option", { value: f, text: f.toUpperCase() }))));
    this.names = /** @type {HTMLInputElement} */ (h("input", { type: "checkbox" }));
    this.take = h("div.worth-take", {});
    const close = h("button.key", { type: "button", text: "✕", "aria-label": word("close"), title: `${word("close")} (c)` });
    close.addEventListener("click", () => this.toggle());
    this.element = h("section.worth", { "aria-label": word("completeness"), tabindex: "-1", hidden: "" }, [
      h("div.worth-head", {}, [h("h2", { text: word("completeness") }), this.said, close]),
      this.take,
      h("div.worth-list", { tabindex: "0" }, [h("table.raw-table", {}, [
        h("thead", {}, [h("tr", {}, [h("th", { text: word("channels") }), ...COUNTS.map(([, name]) => h("th.worth-number", { text: word(name) })), h("th", { text: word("where") })])]), this.body,
      ]), this.damage]),
    ]);
  }

  /** @param {Catalogue} catalogue @param {import("./sides.js").Side[]} sides */
  build(catalogue, sides) {
    this.sides = sides;
    this.replay = catalogue.replay;
    const which = sides.length ? sides.map((s) => s.key) : [""];
    const buttons = which.map((of) => {
      const text = `${word("caseReport")}${of ? ` ${of.toUpperCase()}` : ""}`;
      const button = h("button.key", { type: "button", text });
      button.addEventListener("click", () => this.fetchReport(of, /** @type {HTMLButtonElement} */ (button)));
      return button;
    });
    this.take.replaceChildren(...(this.replay ? [this.format, ...buttons, h("label.worth-names", {}, [this.names, h("span", { text: word("withNames") })])] : [h("span.worth-later", { text: word("reportLater") })]));
  }

  get open() {
    return !this.element.hidden;
  }

  toggle() {
    setHidden(this.element, this.open);
    clearInterval(this.timer);
    if (!this.open) return;
    this.load();
    this.element.focus();
    this.timer = window.setInterval(() => !this.replay && this.load(), AGAIN_MS);
  }

  async load() {
    if (!this.rows.length) setText(this.said, word("reckoning"));
    try {
      const answer = await fetch("/completeness");
      const told = await answer.json();
      if (!answer.ok) throw new Error(told.error);
      this.show(told);
    } catch (error) {
      setText(this.said, String(error instanceof Error ? error.message : error));
    }
  }

  /** @param {{channels: Row[], damage: string[], damaged: number}} told */
  show({ channels, damage, damaged }) {
    this.rows = channels;
    const sum = (/** @type {typeof COUNTS[number][0]} */ key) => channels.reduce((n, row) => n + row[key], 0);
    setText(this.said, `${sum("received")} / ${sum("expected")} · ${sum("lost")} ${word("count_lost")}${damaged ? ` · ${damaged} ${word("damaged")}` : ""}`);
    this.damage.replaceChildren(...damage.slice(0, 50).map((text) => h("li", { text })));
    const worst = [...channels].sort((a, b) => b.lost - a.lost || b.late - a.late || b.backfilled - a.backfilled);
    this.body.replaceChildren(...worst.map((row) => this.row(row)));
  }

  /** @param {Row} row */
  row(row) {
    const moments = INTERVALS.flatMap(([key, name]) => row[key].map((one) => ({ one, name }))).slice(0, SHOWN);
    const where = h("td.worth-where", {}, moments.map(({ one, name }) => {
      const at = Date.parse(one.from ?? one.to ?? "");
      const text = `${one.count} ${word(name)} ${Number.isFinite(at) ? clockText(at, shownZone()) : ""}`;
      const title = [one.from ?? word("theStart"), one.to ?? word("theEnd"), one.why].filter(Boolean).join(" · ");
      const button = h(`button.worth-moment${name === "count_lost" ? ".lost" : ""}`, { type: "button", text, title });
      button.addEventListener("click", () => Number.isFinite(at) && this.go(at + this.shift(row.address), row.address));
      return button;
    }));
    return h(`tr${row.lost ? ".bad" : ""}`, {}, [
      h("td", { text: row.address.split("/").slice(1).join("/"), title: row.address }),
      ...COUNTS.map(([key]) => h("td.worth-number", { text: row[key] ? String(row[key]) : "–" })), where,
    ]);
  }

  /** From a recording's own time to the axis. @param {string} address */
  shift(address) {
    return this.sides.find((s) => s.key === sideOf(this.sides, address))?.shift_ms ?? 0;
  }

  /** @param {string} of @param {HTMLButtonElement} button */
  async fetchReport(of, button) {
    button.disabled = true;
    setText(this.said, word("makingReport"));
    const asked = new URLSearchParams({ format: this.format.value, lang, of, ...(this.names.checked ? { identified: "1" } : {}) });
    try {
      const answer = await fetch(`/report?${asked}`);
      if (!answer.ok) throw new Error((await answer.json()).error);
      const url = URL.createObjectURL(await answer.blob());
      const name = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition") ?? "")?.[1] ?? "case-report";
      h("a", { href: url, download: name }).click();
      setTimeout(() => URL.revokeObjectURL(url), 60_000);
      setText(this.said, `${word("reportMade")}: ${name}`);
    } catch (error) {
      setText(this.said, String(error instanceof Error ? error.message : error));
    } finally {
      button.disabled = false;
    }
  }
}
