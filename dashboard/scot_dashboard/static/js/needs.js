/**
 * How well a clock must be known for what its samples are used for: the one table of it.
 * @import {Clock, Catalogue} from "./types.js"
 */

import { h, setClass, setText } from "./dom.js";
import { word } from "./text.js";

/**
 * Milliseconds of likely error that a use bears. A picture: half a frame at 25 a second. Waveforms
 * laid over each other: a sample and a bit at 250 a second. Anything else: IHE Consistent Time.
 *
 * @type {Record<string, number>}
 */
export const NEEDS_MS = { video: 20, image: 50, waveform: 5, pose: 20, other: 50 };

const STATES = ["locked", "converging", "holdover", "one-way", "unsynced"];

/** What a device's most demanding channel needs, ms. @param {Catalogue} catalogue @param {string} device */
export function needOf(catalogue, device) {
  const channels = Object.values(catalogue.devices[device]?.channels ?? {});
  const needs = channels.filter((c) => c.sensitivity !== "technical").map((c) => NEEDS_MS[c.kind] ?? NEEDS_MS.other);
  return Math.min(NEEDS_MS.other, ...needs);
}

/** Whether a clock is good enough, and in which words. @param {Clock|undefined} clock @param {number} need_ms */
export function judge(clock, need_ms) {
  if (!clock || clock.err_ms === null) return { level: "bad", why: word("clockUnknown") };
  if (clock.err_ms > need_ms) return { level: "warn", why: `${word("needs")} ±${need_ms} ms` };
  return { level: "good", why: `${word("needs")} ±${need_ms} ms` };
}

const LEVELS = ["good", "warn", "bad"];

/**
 * The clock that fits least what its own samples are used for; null while nothing speaks.
 *
 * @param {Record<string, Clock>} clocks by device
 * @param {Catalogue} catalogue
 */
export function leastFit(clocks, catalogue) {
  const judged = Object.entries(clocks).map(([device, clock]) => {
    const need_ms = needOf(catalogue, device);
    const { level, why } = judge(clock, need_ms);
    return { device, clock, level, why, rank: LEVELS.indexOf(level), share: (clock.err_ms ?? 0) / need_ms };
  });
  judged.sort((a, b) => b.rank - a.rank || b.share - a.share);
  return judged[0] ?? null;
}

/** @param {number} ms */
export function msText(ms) {
  return ms < 1 ? ms.toFixed(2) : ms < 10 ? ms.toFixed(1) : ms.toFixed(0);
}

/** "±0.09 ms likely · ≤ 3.4 ms sure". @param {Clock} clock @param {boolean} [words] */
export function clockText(clock, words = true) {
  if (clock.err_ms === null) return word("clockUnknown");
  const likely = `±${msText(clock.err_ms)} ms${words ? ` ${word("likely")}` : ""}`;
  if (clock.bound_ms === null) return clock.state === 3 && words ? `${likely} · ${word("oneWay")}` : likely;
  return `${likely} · ≤ ${msText(clock.bound_ms)} ms${words ? ` ${word("sure")}` : ""}`;
}

/** How well one source's clock is known, coloured by what its samples are used for. */
export class ClockChip {
  /** @param {string} device @param {boolean} [words] */
  constructor(device, words = true) {
    this.device = device;
    this.words = words;
    this.element = h("span.clock-chip");
  }

  /** @param {Record<string, Clock>} clocks @param {number} need_ms */
  update(clocks, need_ms) {
    const clock = clocks[this.device];
    this.element.hidden = !clock;
    if (!clock) return;
    const { level, why } = judge(clock, need_ms);
    setText(this.element, clockText(clock, this.words));
    const title = [STATES[clock.state] ?? "", why].filter(Boolean).join(" · ");
    if (this.element.title !== title) this.element.title = title;
    setClass(this.element, "warn", level === "warn");
    setClass(this.element, "bad", level === "bad");
  }
}
