/**
 * The alarm log: every change of state and every act, newest first; a press goes to that moment.
 * @import {Session} from "./session.js"  @import {Catalogue, LogLine, View} from "./types.js"  @import {Layout} from "./plan.js"
 */

import { AlarmFilter } from "./alarmfilter.js";
import { MARKS } from "./alarmline.js";
import { shownZone } from "./clock.js";
import { h, setHidden, setText } from "./dom.js";
import { clockText } from "./feed/zone.js";
import { name } from "./header.js";
import { lang, word } from "./text.js";
import { valueText } from "./units.js";

const MOST = 300;
const HELD = new Set(["active", "latched", "unknown"]);

export class AlarmLog {
  /** @param {Session} session */
  constructor(session) {
    this.session = session;
    /** @type {(t: number) => void} go to a moment */
    this.seek = (t) => session.do({ do: "seek", t, frozen: false });
    this.filter = new AlarmFilter(() => this.chosen());
    /** @type {(way: -1|1) => void} go to the alarm before or after */
    this.onJump = () => {};
    this.onFilter = () => {};
    /** @type {LogLine[]} */
    this.lines = [];
    /** @type {LogLine[]} what is listed */
    this.kept = [];
    this.list = h("ol.log-list", { tabindex: "0", "aria-label": word("alarmLog") });
    this.told = h("span.log-told", { role: "status" });
    this.away = h("button.log-away", { type: "button" });
    this.away.addEventListener("click", () => this.filter.clear());
    const close = h("button.big-button", { type: "button", text: "✕", "aria-label": word("close") });
    close.addEventListener("click", () => this.toggle(false));
    this.element = h("section.drawer.log", { role: "dialog", "aria-label": word("alarmLog") }, [
      h("div.panel-head", {}, [h("h2", { text: word("alarmLog") }), this.jumper("alarmBefore", "‹ B", -1), this.jumper("alarmAfter", "N ›", 1), this.told, close]),
      this.filter.element, this.away, this.list, h("p.drawer-missed", { text: word("notPrimary") }),
    ]);
    setHidden(this.element, true);
    setHidden(this.away, true);
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
  }

  /** What is listed here is what the keys go to, and what stands out in the alarms' lane. @param {import("./lanes.js").Lanes} lanes */
  steer(lanes) {
    lanes.alarmPasses = (alarm) => this.filter.passes(alarm);
    this.seek = (t) => lanes.seek(t);
    this.onJump = (way) => lanes.jumpAlarm(way);
    this.onFilter = () => lanes.draw();
  }

  /** @param {string} key @param {string} text @param {-1|1} way */
  jumper(key, text, way) {
    const made = h("button.choice.log-jump", { type: "button", text, title: word(key), "aria-label": word(key) });
    made.addEventListener("click", () => this.onJump(way));
    return made;
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
    const first = !this.view;
    this.view = view;
    this.catalogue = catalogue;
    this.layout = layout;
    setHidden(this.button, !view.kept);
    if (this.element.hidden) return;
    if (first) this.draw(); // a log that stands in the layout was opened before there was a view
    this.warn();
    this.point();
  }

  /** Somebody chose what is listed: the screen says so where the log is opened. */
  chosen() {
    setText(this.button, this.filter.on ? `${word("alarmLog")} · ${word("filtered")}` : word("alarmLog"));
    this.draw();
    this.warn();
    this.onFilter();
  }

  /** Alarms that hold now and are not among what is listed; they stand in the alarm line as ever. */
  warn() {
    const held = this.filter.on ? (this.view?.alarms ?? []).filter((a) => HELD.has(a.state) && a.priority !== "None" && !this.filter.passes({ ...a, by: undefined })) : [];
    const away = held.filter((a) => a.state !== "unknown" || a.under !== "inactive");
    setHidden(this.away, !away.length);
    if (away.length) setText(this.away, word("activeElsewhere").replace("{}", String(away.length)));
  }

  /** The line that the screen's moment belongs to. */
  point() {
    const { view } = this;
    const at = view && view.mode !== "live" ? this.kept.findIndex((line) => line.t <= view.cursor_t + 1) : -1;
    const now = this.list.querySelector("[aria-current]");
    const wanted = at < 0 ? null : this.list.children[at]?.firstElementChild ?? null;
    if (now === wanted) return;
    now?.removeAttribute("aria-current");
    wanted?.setAttribute("aria-current", "true");
    wanted?.scrollIntoView({ block: "nearest" });
  }

  draw() {
    if (this.element.hidden || !this.view) return;
    const { catalogue } = this;
    this.filter.count(this.lines, (device) => (catalogue ? name(catalogue, device) : device));
    const passed = this.lines.filter((line) => this.filter.passes(line));
    this.kept = passed.slice(0, MOST);
    const active = document.activeElement;
    const place = active && this.list.contains(active) ? /** @type {HTMLElement} */ (active).dataset.line : "";
    this.list.replaceChildren(...this.kept.map((line) => this.item(line)));
    if (place) /** @type {HTMLElement|null} */ (this.list.querySelector(`[data-line="${CSS.escape(place)}"]`))?.focus();
    if (!this.kept.length) this.list.append(h("li.thread-empty", { text: word("noLines") }));
    const told = word("linesOf").split("{}");
    setText(this.told, `${told[0]}${this.kept.length}${told[1]}${this.lines.length}${told[2] ?? ""}`);
    this.point();
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
    go.dataset.line = `${line.t} ${line.id} ${line.to}`;
    go.addEventListener("click", () => this.seek(line.t));
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
