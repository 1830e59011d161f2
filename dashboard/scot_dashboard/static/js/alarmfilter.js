/**
 * Which lines of the alarm log are listed, and which alarms the keys B and N go to: by priority, kind
 * and source. It never touches the alarm line. @import {AlarmNow, LogLine} from "./types.js"
 */

import { MARKS } from "./alarmline.js";
import { h, setText } from "./dom.js";
import { word } from "./text.js";

/** @typedef {{priority: string, kind: string, device: string, by?: string, id?: string}} Facts of an alarm, or of a line about one */
/** @typedef {"priority"|"kind"|"source"} Facet */

const PRIORITIES = ["Hi", "Me", "Lo"];
const KINDS = /** @type {const} */ ({ Phy: "patient", Tec: "technical", acts: "acts" });

export class AlarmFilter {
  /** @param {() => void} changed */
  constructor(changed) {
    this.changed = changed;
    /** @type {Record<Facet, string>} empty: any */
    this.wanted = { priority: "", kind: "", source: "" };
    this.chips = [
      ...PRIORITIES.map((key) => this.chip("priority", key, MARKS[/** @type {"Hi"} */ (key)])),
      ...Object.entries(KINDS).map(([key, text]) => this.chip("kind", key, word(text))),
    ];
    this.source = /** @type {HTMLSelectElement} */ (h("select.log-source-choice", { "aria-label": word("filterSource") }));
    this.source.addEventListener("change", () => this.choose("source", this.source.value));
    this.all = h("button.log-filter.log-all", { type: "button", text: word("everything"), "aria-label": word("filterall") });
    this.all.addEventListener("click", () => this.clear());
    this.element = h("div.log-filters", { role: "group", "aria-label": word("filter") }, [
      this.all, ...this.chips.map((c) => c.element), this.source,
    ]);
    this.known = "";
    this.mark();
  }

  /** @param {Facet} facet @param {string} key @param {string} text */
  chip(facet, key, text) {
    const count = h("span.log-count");
    const element = h("button.log-filter", { type: "button", "data-filter": key, "aria-label": word(`filter${key}`) }, [h("span", { text }), count]);
    element.addEventListener("click", () => this.choose(facet, this.wanted[facet] === key ? "" : key));
    return { facet, key, element, count };
  }

  get on() {
    return Object.values(this.wanted).some(Boolean);
  }

  clear() {
    this.wanted = { priority: "", kind: "", source: "" };
    this.mark();
    this.changed();
  }

  /** @param {Facet} facet @param {string} key */
  choose(facet, key) {
    this.wanted[facet] = key;
    this.mark();
    this.changed();
  }

  mark() {
    for (const { facet, key, element } of this.chips) element.setAttribute("aria-pressed", String(this.wanted[facet] === key));
    this.all.setAttribute("aria-pressed", String(!this.on));
    this.source.value = this.wanted.source;
  }

  /** @param {Facts} facts @param {Facet} [but] leave this one out of the question */
  passes(facts, but) {
    const { priority, kind, source } = this.wanted;
    return (but === "priority" || !priority || facts.priority === priority)
      && (but === "kind" || !kind || isOf(facts, kind))
      && (but === "source" || !source || facts.device === source);
  }

  /**
   * How many lines each chip would leave, given the others; and the sources there are.
   *
   * @param {LogLine[]} lines @param {(device: string) => string} nameOf
   */
  count(lines, nameOf) {
    for (const { facet, key, element, count } of this.chips) {
      const number = lines.filter((line) => this.passes(line, facet) && (facet === "kind" ? isOf(line, key) : line.priority === key)).length;
      setText(count, String(number));
      element.setAttribute("aria-label", `${word(`filter${key}`)}: ${number}`);
    }
    const devices = [...new Set([...lines.map((line) => line.device), this.wanted.source])].filter(Boolean).sort();
    const options = [["", word("allSources")], ...devices.map((d) => {
      const number = lines.filter((line) => line.device === d && this.passes(line, "source")).length;
      return [d, `${nameOf(d)} · ${number}`];
    })];
    const known = JSON.stringify(options);
    if (known === this.known) return;
    this.known = known;
    this.source.replaceChildren(...options.map(([value, text]) => h("option", { value, text })));
    this.source.value = this.wanted.source;
  }
}

/** @param {Facts} facts @param {string} kind */
function isOf(facts, kind) {
  if (kind === "acts") return facts.by !== undefined && (facts.by !== "" || facts.id === "");
  return facts.kind === kind;
}

/**
 * The alarm that began before or after a moment, the nearest one.
 *
 * @template {{t: number}} T @param {T[]} began @param {number} t @param {-1|1} way @param {number} [same_ms] nearer is this very one
 * @returns {T|null}
 */
export function alarmBeside(began, t, way, same_ms = 250) {
  const left = began.filter((a) => (way < 0 ? a.t < t - same_ms : a.t > t + same_ms));
  return left.reduce((/** @type {T|null} */ best, a) => (!best || (way < 0 ? a.t > best.t : a.t < best.t) ? a : best), null);
}
