/**
 * The line at the top: alarms (always live), facts about the room, clocks, the time.
 * @import {AlarmNow, Catalogue, Person, View} from "./types.js"  @import {Layout} from "./plan.js"
 */

import { h, setClass, setHidden, setText } from "./dom.js";
import { clockText } from "./feed/ink.js";
import { toggleUtc, usesUtc } from "./clock.js";
import { clockText as knownText, judge, leastFit, needOf } from "./needs.js";
import { ageText, delayText, label, lang, numberText, word } from "./text.js";

const MARKS = { Hi: "!!!", Me: "!!", Lo: "!" };
const SHOWN_ALARMS = 2;
const LEAST_SILENT_MS = 2_000;
const MOST_SILENT_MS = 10_000;
const MOST_TITLE = 30;
const STATES = ["locked", "converging", "holdover", "one-way", "unsynced"];

/** Alarms, the most urgent first, with source, limit and age. Never rewinds. */
export class AlarmLine {
  constructor() {
    this.list = h("div.alarm-list", { role: "log", "aria-live": "assertive", "aria-atomic": "true" });
    this.quiet = h("span.alarm-quiet");
    this.rest = h("span.alarm-rest");
    this.element = h("section.alarm-line", { "aria-label": word("alarms") }, [
      this.list, this.quiet,
      h("div.alarm-side", {}, [this.rest, h("span.alarm-note", { text: word("notPrimary") })]),
    ]);
    /** @type {HTMLElement[]} */
    this.pills = [];
  }

  /** @param {View} view @param {Catalogue} catalogue @param {Layout} layout */
  update(view, catalogue, layout) {
    const { alarms } = view;
    const lost = this.lost(view, layout);
    const lines = [
      ...lost.map((device) => ({
        priority: "Unknown",
        title: `${name(catalogue, device)}: ${word("alarmsUnknown")}`,
        detail: ageText(view.connected ? view.silent_ms[device] : Math.max(view.lost_ms, view.silent_ms[device])),
      })),
      ...alarms.filter((a) => !lost.includes(a.device)).map((a) => this.line(a, catalogue, layout)),
    ];
    const shown = lines.slice(0, SHOWN_ALARMS);
    while (this.pills.length < shown.length) this.add();
    this.pills.forEach((pill, i) => this.fill(pill, shown[i]));
    const more = lines.length - shown.length;
    setText(this.rest, more > 0 ? `+${more} ${word("more")}` : "");
    const quiet = this.reporters(layout).length ? "noAlarms" : "noReporter";
    setText(this.quiet, lines.length ? "" : word(quiet));
    this.shown = shown;
  }

  /** Devices that report alarms and have gone silent: their alarms are unknown, not absent. @param {View} view @param {Layout} layout */
  lost(view, layout) {
    return this.reporters(layout).filter((d) => (view.silent_ms[d] ?? 0) > silenceOf(d, layout));
  }

  /** Devices that tell of a patient's alarms. @param {Layout} layout */
  reporters(layout) {
    const alarms = Object.values(layout.byAddress).filter(
      ({ channel }) => channel.kind === "alarm" && channel.sensitivity !== "technical",
    );
    return [...new Set(alarms.map((p) => p.device))];
  }

  /** @param {AlarmNow} alarm @param {Catalogue} catalogue @param {Layout} layout */
  line(alarm, catalogue, layout) {
    const channel = layout.byAddress[`${catalogue.workspace}/${alarm.device}/${alarm.channel}`]?.channel;
    const number = (/** @type {number|null} */ v) => (v === null ? "" : channel ? numberText(v, channel) : String(v));
    const text = alarm.text[lang] || alarm.text.en || alarm.id;
    const said = text.includes(number(alarm.value)) ? text : `${text} ${number(alarm.value)}`;
    const state = alarm.presence === "Ack" ? word("acknowledged")
      : alarm.presence === "Latch" && alarm.activation !== "Psd" ? word("latched")
      : alarm.activation === "Psd" ? word("paused") : "";
    return {
      priority: alarm.presence === "Ack" ? "Ack" : alarm.priority,
      title: `${MARKS[/** @type {"Hi"} */ (alarm.priority)] ?? ""} ${said}`.trim(),
      detail: [
        alarm.limit === null ? "" : `${word("limit")} ${number(alarm.limit)}`,
        name(catalogue, alarm.device),
        lang === "ja" ? `${ageText(alarm.age_ms)}${word("ago")}` : `${ageText(alarm.age_ms)} ${word("ago")}`,
        state,
      ].filter(Boolean).join(" · "),
    };
  }

  add() {
    const pill = h("div.alarm-pill", {}, [h("strong"), h("span.alarm-detail")]);
    this.pills.push(pill);
    this.list.append(pill);
  }

  /** @param {HTMLElement} pill @param {{priority: string, title: string, detail: string}|undefined} line */
  fill(pill, line) {
    setHidden(pill, !line);
    if (!line) return;
    if (pill.dataset.priority !== line.priority) pill.dataset.priority = line.priority;
    setText(/** @type {Node} */ (pill.firstChild), line.title);
    setText(/** @type {Node} */ (pill.lastChild), line.detail);
  }
}

/** How long a device may say nothing: three of its fastest intervals. @param {string} device @param {Layout} layout */
function silenceOf(device, layout) {
  const rates = Object.values(layout.byAddress)
    .filter((p) => p.device === device && p.channel.sensitivity !== "technical")
    .map((p) => p.channel.rate_hz ?? 0);
  const slowest = 3_000 / Math.max(...rates, 1e-9);
  return Math.min(MOST_SILENT_MS, Math.max(LEAST_SILENT_MS, slowest));
}

/** @param {Catalogue} catalogue @param {string} device */
function name(catalogue, device) {
  return label(catalogue.devices[device]?.label, device);
}

/** Both languages, for a room where both are spoken. @param {Record<string, string>} title */
export function bothTitles(title) {
  const mine = label(title, "");
  const other = lang === "ja" ? title.en : title.ja;
  const both = `${mine} · ${other}`;
  return other && other !== mine && both.length <= MOST_TITLE ? both : mine;
}

export class Chips {
  constructor() {
    this.room = h("h1.chip.chip-room");
    this.clocks = chip("clocks");
    this.state = chip("state");
    this.simulated = chip("simulated");
    this.lost = chip("lost");
    this.people = h("span.chips-people");
    this.time = h("button.clock", { type: "button", title: "UTC / local" }, [
      h("span.clock-time"), h("span.clock-zone"),
    ]);
    this.time.addEventListener("click", () => {
      toggleUtc();
      this.onClock();
    });
    this.onClock = () => {};
    setText(this.simulated, word("simulated"));
    this.element = h("div.chips", {}, [
      this.room, this.lost, this.clocks, this.people, this.simulated, this.state, this.time,
    ]);
  }

  /** @param {Catalogue} catalogue @param {View} view @param {{recording: {text: string, fine: boolean}|null}} facts */
  update(catalogue, view, { recording }) {
    setText(this.room, bothTitles(catalogue.title));
    setHidden(this.lost, view.connected);
    setText(this.lost, `${word("lost")} ${ageText(view.lost_ms)}`);
    showClocks(this.clocks, view, catalogue);
    setHidden(this.simulated, !view.simulated);
    setHidden(this.state, !catalogue.replay && !recording);
    setText(this.state, catalogue.replay ? word("replay") : recording?.text ?? "");
    setClass(this.state, "warn", !catalogue.replay && recording !== null && !recording.fine);
    setClass(this.state, "replay", catalogue.replay);
    setText(/** @type {Node} */ (this.time.firstChild), clockText(view.now_unix_ms, usesUtc()));
    setText(/** @type {Node} */ (this.time.lastChild), usesUtc() ? "UTC" : word("localTime"));
  }

  /** @param {Person[]} people @param {() => void} open shows the list with its buttons */
  showPeople(people, open) {
    const there = people.filter((p) => p.state === "admitted");
    this.people.replaceChildren(...there.slice(0, 3).map((p) => {
      const button = h("button.chip.person", { type: "button", text: personText(p, false), title: word("deidentified") });
      button.addEventListener("click", open);
      return button;
    }));
  }
}

/**
 * How well the room's clocks are known: the one that fits its use least, coloured by that use. A
 * clock that nobody can ask back (one-way) is as good as its likely error.
 *
 * @param {HTMLElement} chip
 * @param {View} view
 * @param {Catalogue} catalogue
 */
export function showClocks(chip, view, catalogue) {
  const least = leastFit(view.clocks, catalogue);
  const fine = least === null || least.level === "good";
  setHidden(chip, least === null);
  setText(chip, !least ? "" : `${fine ? word("clocks") : name(catalogue, least.device)} ${knownText(least.clock, fine)}`);
  const lines = Object.entries(view.clocks).map(([device, clock]) => {
    const { why } = judge(clock, needOf(catalogue, device));
    return [`${name(catalogue, device)}: ${knownText(clock, false)}`, STATES[clock.state] ?? "", why].join(" · ");
  });
  const title = lines.join("\n");
  if (chip.title !== title) chip.title = title;
  setClass(chip, "good", least !== null && fine);
  setClass(chip, "warn", !fine);
}

/** @param {Person} person @param {boolean} full also what they are shown */
export function personText(person, full = true) {
  const behind = person.behind_ms === null ? "" : ` · ${delayText(person.behind_ms)} ${word("behind")}`;
  return `${person.author}${full ? ` · ${word("deidentified")}` : ""}${behind}`;
}

/** @param {string} kind */
function chip(kind) {
  return h(`span.chip.chip-${kind}`);
}
