/**
 * The alarm log: every change of state and every act, newest first; a press goes to that moment.
 * @import {Session} from "./session.js"  @import {Catalogue, LogLine, View} from "./types.js"  @import {Layout} from "./plan.js"
 */

import { MARKS } from "./alarmline.js";
import { shownZone } from "./clock.js";
import { h, setClass, setHidden, setText } from "./dom.js";
import { clockText } from "./feed/zone.js";
import { name } from "./header.js";
import { lang, word } from "./text.js";
import { valueText } from "./units.js";

const MOST = 300;
const FILTERS = ["all", "Hi", "Me", "Lo", "Tec", "acts"];

export class AlarmLog {
  /** @param {Session} session */
  constructor(session) {
    this.session = session;
    this.filter = "all";
    /** @type {LogLine[]} */
    this.lines = [];
    this.list = h("ol.log-list", { tabindex: "0", "aria-label": word("alarmLog") });
    this.filters = FILTERS.map((key) => {
      const text = MARKS[/** @type {"Hi"} */ (key)] ?? word(key === "Tec" ? "technical" : key === "acts" ? "acts" : "everything");
      const chip = h("button.log-filter", { type: "button", text, "data-filter": key, "aria-label": word(`filter${key}`) });
      chip.addEventListener("click", () => this.choose(key));
      return chip;
    });
    const close = h("button.big-button", { type: "button", text: "✕", "aria-label": word("close") });
    close.addEventListener("click", () => this.toggle(false));
    this.element = h("section.drawer.log", { role: "dialog", "aria-label": word("alarmLog") }, [
      h("div.panel-head", {}, [h("h2", { text: word("alarmLog") }), h("div.log-filters", {}, this.filters), close]),
      this.list, h("p.drawer-missed", { text: word("notPrimary") }),
    ]);
    setHidden(this.element, true);
    this.button = h("button.drawer-button", { type: "button", "aria-expanded": "false", text: word("alarmLog") });
    this.button.addEventListener("click", () => this.toggle());
    /** @type {View|null} */
    this.view = null;
    /** @type {Catalogue|null} */
    this.catalogue = null;
    /** @type {Layout|null} */
    this.layout = null;
    session.listen({ alarmLog: (lines) => {
      this.lines = lines;
      this.draw();
    } });
    this.choose("all");
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
    if (open) {
      this.session.do({ do: "alarmLog" });
      this.draw();
    }
  }

  /** @param {View} view @param {Catalogue} catalogue @param {Layout} layout */
  update(view, catalogue, layout) {
    this.view = view;
    this.catalogue = catalogue;
    this.layout = layout;
    setHidden(this.button, !view.kept);
  }

  /** @param {string} filter */
  choose(filter) {
    this.filter = filter;
    for (const chip of this.filters) {
      chip.setAttribute("aria-pressed", String(chip.dataset.filter === filter));
    }
    this.draw();
  }

  /** @param {LogLine} line */
  passes(line) {
    switch (this.filter) {
      case "all": return true;
      case "Tec": return line.kind === "Tec";
      case "acts": return line.by !== "" || line.id === "";
      default: return line.priority === this.filter && line.kind !== "Tec";
    }
  }

  draw() {
    if (this.element.hidden || !this.view) return;
    const kept = this.lines.filter((line) => this.passes(line)).slice(0, MOST);
    this.list.replaceChildren(...kept.map((line) => this.item(line)));
    if (!kept.length) this.list.append(h("li.thread-empty", { text: word("noLines") }));
  }

  /** @param {LogLine} line */
  item(line) {
    const { view, catalogue } = this;
    const shift = view ? view.now_unix_ms - view.now_t : 0;
    const go = h("button.log-line", { type: "button" }, [
      h("span.log-time", { text: clockText(line.t + shift, shownZone()) }),
      h("span.log-mark", { text: MARKS[/** @type {"Hi"} */ (line.priority)] ?? "" }),
      h("span.log-text", { text: this.text(line) }),
      h("span.log-state", { text: stateText(line) }),
      h("span.log-source", { text: catalogue && line.device ? name(catalogue, line.device) : "" }),
    ]);
    go.dataset.priority = line.to === "active" ? line.priority : "";
    go.dataset.state = line.to;
    go.addEventListener("click", () => this.session.do({ do: "seek", t: line.t, frozen: false }));
    return h("li", {}, [go]);
  }

  /** @param {LogLine} line */
  text(line) {
    if (!line.id) return word("signals");
    const said = line.text[lang] || line.text.en || line.id;
    const channel = this.layout?.byAddress[`${this.catalogue?.workspace}/${line.device}/${line.channel}`]?.channel;
    const number = (/** @type {number|null} */ v) => (v === null ? "" : channel ? valueText(v, channel) : String(v));
    const value = number(line.value);
    const limit = line.limit === null ? "" : `${word("limit")} ${number(line.limit)}`;
    return [said.includes(value) ? said : `${said} ${value}`, line.value === null ? "" : limit].filter(Boolean).join(" · ");
  }
}

/** @param {LogLine} line */
function stateText(line) {
  const by = line.by ? ` · ${line.by}` : "";
  if (!line.id) return `${word(`signals${line.to}`)}${by}`;
  if (line.by && line.to === "inactive") return `${word("acknowledged")}${by}`;
  return `${word(`state_${line.to}`)}${by}`;
}
