/**
 * What this screen is worth right now: live, behind, a recording, simulated, without a view. Each
 * looks different, is announced, and a time without a view is stated when it is over.
 * @import {Catalogue, View} from "./types.js"
 */

import { shownZone } from "./clock.js";
import { h, setClass, setHidden, setText } from "./dom.js";
import { clockText } from "./feed/zone.js";
import { ageText, label, word } from "./text.js";

const LEAST_SILENT_MS = 2_000;
const MOST_SILENT_MS = 10_000;
const TOLD_MS = 90_000;
const MOST_SPANS = 50;
const AGAIN_MS = 1_000;
const SAID_MS = 15_000;
const KEY = "scot.blind";

/** @typedef {"lost"|"silent"|"behind"|"replay"|"stale"|"unsynced"|"simulated"|"live"} Standing */

/**
 * Every word that holds, the gravest first.
 *
 * @param {View} view
 * @param {Catalogue} catalogue
 * @returns {Standing[]}
 */
export function standingOf(view, catalogue) {
  /** @type {Standing[]} */
  const words = [];
  const silences = Object.values(view.silent_ms);
  const silent = !catalogue.replay && silences.length > 0 && Math.min(...silences) > silenceOf(catalogue);
  if (!view.connected) words.push("lost");
  else if (silent) words.push("silent");
  if (catalogue.replay) words.push("replay");
  if (view.mode !== "live") words.push("behind");
  const known = catalogue.replay ? [] : view.alarms.filter((a) => a.own && a.state !== "inactive");
  if (known.some((a) => a.id.startsWith("room/lost/"))) words.push("stale");
  if (Object.values(view.clocks).some((c) => c.err_ms === null || c.state === 4)) words.push("unsynced");
  if (view.simulated) words.push("simulated");
  const live = !words.some((w) => w === "lost" || w === "silent" || w === "replay" || w === "behind");
  return live ? ["live", ...words] : words;
}

/** How long all devices may say nothing: three intervals of the fastest channel. @param {Catalogue} catalogue */
function silenceOf(catalogue) {
  const rates = Object.values(catalogue.devices).flatMap((d) => Object.values(d.channels ?? {}))
    .filter((c) => c.sensitivity !== "technical").map((c) => c.rate_hz ?? 0);
  return Math.min(MOST_SILENT_MS, Math.max(LEAST_SILENT_MS, 3_000 / Math.max(...rates, 1e-9)));
}

/** @typedef {{from: number, to: number}} Span ms of UTC since 1970 */

/** Times in which this screen saw nothing; a reload of the page keeps them. */
export class Blind {
  constructor() {
    /** @type {Span[]} */
    this.spans = read();
    /** @type {number|null} since when there is no view */
    this.since = null;
    this.latest = 0;
    /** @type {Span|null} */
    this.over = null;
  }

  /** @param {View} view @param {boolean} blind */
  take(view, blind) {
    const now = view.now_unix_ms;
    if (blind && this.since === null) {
      const quiet = Math.min(...Object.values(view.silent_ms), Infinity);
      const silent = view.connected ? quiet : Math.max(view.lost_ms, 0);
      this.since = now - (Number.isFinite(silent) ? silent : 0);
      this.over = null;
    }
    if (!blind && this.since !== null) {
      const before = this.spans[this.spans.length - 1];
      const again = before && this.since - before.to < AGAIN_MS; // a line that only blinked
      this.over = { from: again ? before.from : this.since, to: now };
      this.spans = [...(again ? this.spans.slice(0, -1) : this.spans), this.over].slice(-MOST_SPANS);
      this.since = null;
      keep(this.spans);
    }
    if (this.over && now - this.over.to > TOLD_MS) this.over = null;
    this.latest = now;
  }

  /** Every span, the one that still lasts too. @returns {Span[]} */
  all() {
    return this.since === null ? this.spans : [...this.spans, { from: this.since, to: this.latest }];
  }
}

/** @returns {Span[]} */
function read() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEY) ?? "[]");
    return Array.isArray(kept) ? kept.filter((s) => Number.isFinite(s?.from) && Number.isFinite(s?.to)) : [];
  } catch {
    return [];
  }
}

/** @param {Span[]} spans */
function keep(spans) {
  try {
    sessionStorage.setItem(KEY, JSON.stringify(spans));
  } catch {
    // A browser that stores nothing forgets them at a reload, no more.
  }
}

/** The banner of a screen without a view, what it says afterwards, and the voice for all of it. */
export class StandingBar {
  constructor() {
    this.blind = new Blind();
    this.what = h("strong");
    this.why = h("span");
    this.banner = h("div.lost-banner", { role: "alert" }, [this.what, this.why]);
    this.note = h("button.blind-note", { type: "button" });
    this.note.addEventListener("click", () => (this.blind.over = null));
    this.voice = h("p.unseen", { role: "status", "aria-live": "polite" });
    this.element = h("div.standing", {}, [this.banner, this.note, this.voice]);
    setHidden(this.banner, true);
    setHidden(this.note, true);
    document.body.dataset.state = "connecting";
    /** @type {Standing[]} */
    this.words = [];
  }

  /** @param {View} view @param {Catalogue} catalogue */
  update(view, catalogue) {
    const words = standingOf(view, catalogue);
    const blind = words[0] === "lost" || words[0] === "silent";
    this.blind.take(view, blind);
    setClass(document.body, "disconnected", blind);
    setClass(document.body, "replayed", catalogue.replay);
    setHidden(this.banner, !blind);
    if (blind) {
      const since = this.blind.since ?? view.now_unix_ms;
      setText(this.what, `${word("noView")} ${ageText(Math.max(0, view.now_unix_ms - since))}`);
      setText(this.why, word(words[0] === "lost" ? "lostWhy" : "silentWhy"));
    }
    const { over } = this.blind;
    setHidden(this.note, blind || !over);
    if (over) setText(this.note, spanWords(over));
    this.speak(words, view, catalogue);
  }

  /** @param {Standing[]} words @param {View} view @param {Catalogue} catalogue */
  speak(words, view, catalogue) {
    const state = words.join(" ");
    if (document.body.dataset.state === state) return;
    document.body.dataset.state = state;
    const gone = this.words.filter((w) => !words.includes(w) && w !== "live");
    const fresh = words.filter((w) => !this.words.includes(w));
    this.words = words;
    const said = fresh.map((w) => (w === "stale" ? staleWords(view, catalogue) : word(`say_${w}`)));
    if (gone.length && !fresh.length) said.push(word(words[0] === "live" ? "say_live" : `say_${words[0]}`));
    const { over } = this.blind;
    if (over && view.now_unix_ms - over.to < SAID_MS) said.unshift(spanWords(over));
    setText(this.voice, said.join(". "));
  }
}

/** "no view for 14 s, 13:02:11–13:02:25". @param {Span} span */
export function spanWords({ from, to }) {
  return `${word("noView")} ${ageText(to - from)}, ${clockText(from, shownZone())}–${clockText(to, shownZone())}`;
}

/** @param {View} view @param {Catalogue} catalogue */
function staleWords(view, catalogue) {
  const lost = view.alarms.filter((a) => a.own && a.id.startsWith("room/lost/") && a.state !== "inactive");
  return lost.map((a) => `${label(catalogue.devices[a.device]?.label, a.device)}: ${word("noData")}`).join(", ");
}
