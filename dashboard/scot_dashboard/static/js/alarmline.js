/**
 * The line of alarms: always live, the most urgent first, each with its mark, source and age, in
 * the manner of IEC 60601-1-8. Acknowledged here and in no device. It is an information display.
 * @import {AlarmNow, Catalogue, View} from "./types.js"  @import {Layout} from "./plan.js"
 * @import {Session} from "./session.js"
 */

import { h, setHidden, setText } from "./dom.js";
import { name } from "./header.js";
import { icon, setIcon } from "./icons.js";
import { SignalKeys, button } from "./signalkeys.js";
import { ageText, lang, sinceText, word } from "./text.js";
import { valueText } from "./units.js";

export const MARKS = { Hi: "!!!", Me: "!!", Lo: "!" };
const SHOWN_ALARMS = 2;
const UNSEEN = new Set(["active", "latched"]);

/** @typedef {{key: string, priority: string, state: string, mark: string, title: string, detail: string, alarm: AlarmNow|null}} Line */

export class AlarmLine {
  /** @param {Session} session @param {() => void} openLog */
  constructor(session, openLog) {
    this.session = session;
    this.openLog = openLog;
    this.list = h("div.alarm-list");
    this.quiet = h("span.alarm-quiet");
    this.rest = h("button.alarm-rest", { type: "button" });
    this.rest.addEventListener("click", openLog);
    this.spoken = h("p.unseen", { role: "alert" });
    this.ack = button("check", word("acknowledgeAll"), () => this.acknowledge());
    this.keys = new SignalKeys((wish) => session.do({ do: "alarm", wish: { do: wish } }));
    this.element = h("section.alarm-line", { "aria-label": word("alarms") }, [
      this.list, this.quiet, this.ack, this.keys.element,
      h("div.alarm-side", {}, [this.rest, h("span.alarm-note", { text: word("notPrimary") })]),
      this.spoken,
    ]);
    /** @type {HTMLElement[]} */
    this.pills = [];
    /** @type {Line[]} */
    this.shown = [];
    /** @type {View|null} */
    this.view = null;
    this.worth = 0; // how many are shown or counted
    this.told = "";
    this.staff = false;
  }

  /** @param {View} view @param {Catalogue} catalogue @param {Layout} layout @param {boolean} [staff] may acknowledge */
  update(view, catalogue, layout, staff = false) {
    this.view = view;
    this.staff = staff && view.kept && !catalogue.replay;
    const lines = this.lines(view, catalogue, layout);
    this.worth = lines.length;
    this.shown = lines.slice(0, SHOWN_ALARMS);
    while (this.pills.length < this.shown.length) this.add();
    this.pills.forEach((pill, i) => this.fill(pill, this.shown[i]));
    const more = lines.length - this.shown.length;
    setText(this.rest, more > 0 ? `+${more} ${word("more")}` : "");
    setHidden(this.rest, more <= 0);
    setText(this.quiet, lines.length ? "" : word(this.reporters(layout).length ? "noAlarms" : "noReporter"));
    this.controls(view);
    this.speak(lines);
  }

  /** @param {View} view @param {Catalogue} catalogue @param {Layout} layout @returns {Line[]} */
  lines(view, catalogue, layout) {
    if (!view.connected) return [this.blind(view)];
    const worth = view.alarms.filter((a) =>
      a.priority !== "None" && a.activation !== "Off" && a.state !== "pending" && a.state !== "inactive"
      && (a.state !== "unknown" || a.under !== "inactive"));
    return worth.map((alarm) => this.line(alarm, catalogue, layout));
  }

  /** This screen itself has no data: whatever it knew is old. @param {View} view @returns {Line} */
  blind(view) {
    return {
      key: "blind", priority: "Unknown", state: "unknown", mark: "?",
      title: word("alarmsUnknown"), detail: ageText(view.lost_ms), alarm: null,
    };
  }

  /** Devices that tell of a patient's alarms. @param {Layout} layout */
  reporters(layout) {
    const alarms = Object.values(layout.byAddress).filter(
      ({ channel }) => channel.kind === "alarm" && channel.sensitivity !== "technical",
    );
    return [...new Set(alarms.map((p) => p.device))];
  }

  /** @param {AlarmNow} alarm @param {Catalogue} catalogue @param {Layout} layout @returns {Line} */
  line(alarm, catalogue, layout) {
    const channel = layout.byAddress[`${catalogue.workspace}/${alarm.device}/${alarm.channel}`]?.channel;
    const number = (/** @type {number|null} */ v) => (v === null ? "" : channel ? valueText(v, channel) : String(v));
    const text = alarm.text[lang] || alarm.text.en || Object.values(alarm.text)[0] || alarm.id;
    const said = text.includes(number(alarm.value)) ? text : `${text} ${number(alarm.value)}`;
    const lost = alarm.own && alarm.id.startsWith("room/lost/") && this.reporters(layout).includes(alarm.device);
    return {
      key: `${alarm.id}@${alarm.since_ns}`,
      priority: alarm.priority,
      state: alarm.state,
      mark: alarm.state === "unknown" ? "?" : MARKS[/** @type {"Hi"} */ (alarm.priority)] ?? "",
      title: lost ? `${said} · ${word("alarmsUnknown")}` : said,
      detail: [
        alarm.limit === null ? "" : `${word("limit")} ${number(alarm.limit)}`,
        alarm.own ? "" : name(catalogue, alarm.device),
        sinceText(alarm.age_ms),
        stateText(alarm),
        steppedText(alarm),
      ].filter(Boolean).join(" · "),
      alarm,
    };
  }

  /** @param {View} view */
  controls(view) {
    setHidden(this.ack, !this.staff || !this.unseen().length);
    this.keys.update(view, this.staff);
  }

  /** What nobody has acknowledged and this screen shows or counts. @returns {AlarmNow[]} */
  unseen() {
    return (this.view?.alarms ?? []).filter((a) => UNSEEN.has(a.state) && !a.by && a.priority !== "None");
  }

  /** @param {AlarmNow[]} [which] all when not given */
  acknowledge(which = this.unseen()) {
    if (!this.staff || !which.length) return;
    const seen = which.map((a) => [a.id, a.since_ns]);
    this.session.do({ do: "alarm", wish: { do: "ack", seen } });
  }

  togglePause() {
    this.keys.pauseOrOn();
  }

  /** Off needs two presses. */
  switchOff() {
    this.keys.off();
  }

  add() {
    const pill = h("button.alarm-pill", { type: "button" }, [
      icon("bell"), h("b.alarm-mark"), h("strong"), h("span.alarm-detail"),
    ]);
    pill.addEventListener("click", () => {
      const line = this.shown[this.pills.indexOf(pill)];
      if (line?.alarm && this.staff && UNSEEN.has(line.state)) this.acknowledge([line.alarm]);
      else this.openLog();
    });
    this.pills.push(pill);
    this.list.append(pill);
  }

  /** @param {HTMLElement} pill @param {Line|undefined} line */
  fill(pill, line) {
    setHidden(pill, !line);
    if (!line) return;
    const [sign, mark, title, detail] = pill.children;
    if (pill.dataset.priority !== line.priority) pill.dataset.priority = line.priority;
    if (pill.dataset.state !== line.state) pill.dataset.state = line.state;
    setIcon(/** @type {any} */ (sign), line.state === "acked" ? "check" : line.state === "unknown" ? "question" : "bell");
    setText(mark, line.mark);
    setText(title, line.title);
    setText(detail, line.detail);
    const act = this.staff && UNSEEN.has(line.state) ? word("acknowledge") : word("alarmLog");
    if (pill.title !== act) pill.title = act;
  }

  /** Say each alarm once, when it comes or changes: ages are for eyes. @param {Line[]} lines */
  speak(lines) {
    const words = lines.map((l) => [PRIORITIES[/** @type {"Hi"} */ (l.priority)] ? word(PRIORITIES[/** @type {"Hi"} */ (l.priority)]) : "", l.title, l.alarm ? stateText(l.alarm) : ""].filter(Boolean).join(", "));
    const told = words.join(". ");
    if (told === this.told) return;
    const fresh = words.filter((w) => !this.told.includes(w));
    this.told = told;
    if (fresh.length) setText(this.spoken, fresh.join(". "));
  }
}

const PRIORITIES = { Hi: "high", Me: "medium", Lo: "low" };

/** @param {AlarmNow} alarm */
function stateText(alarm) {
  if (alarm.state === "acked") return `${word("acknowledged")}${alarm.by ? ` ${alarm.by}` : ""}`;
  if (alarm.state === "latched") return word("latched");
  if (alarm.state === "unknown") return word("unknownNow");
  return alarm.activation === "Psd" ? word("paused") : "";
}

/** It is lower now than it was, and nobody has seen how high. @param {AlarmNow} alarm */
function steppedText({ priority, unseen }) {
  return unseen && unseen !== priority ? `${word("was")} ${MARKS[/** @type {"Hi"} */ (unseen)] ?? unseen}` : "";
}
