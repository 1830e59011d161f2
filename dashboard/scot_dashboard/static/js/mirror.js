/**
 * The room in words, for who hears the screen: always there to be read, spoken at the press of a
 * key. Numbers are never announced by themselves; alarms and standings announce their own changes.
 * @import {Layout} from "./plan.js"  @import {Catalogue, View} from "./types.js"
 */

import { shownZone } from "./clock.js";
import { h, setText } from "./dom.js";
import { clockText } from "./feed/zone.js";
import { readingOf } from "./tiles.js";
import { ageText, label, lang, word } from "./text.js";
import { unitOf } from "./units.js";

const EVERY_MS = 2_000;

export class Mirror {
  constructor() {
    this.lines = h("ul");
    this.voice = h("p", { "aria-live": "assertive" });
    this.element = h("section.unseen.mirror", { "aria-label": word("inWords") }, [this.lines, this.voice]);
    this.written = -Infinity;
    /** @type {string[]} */
    this.words = [];
  }

  /** @param {View} view @param {Catalogue} catalogue @param {Layout} layout */
  update(view, catalogue, layout) {
    const local = performance.now();
    if (local - this.written < EVERY_MS) return;
    this.written = local;
    this.words = [standingWords(view, catalogue), alarmWords(view), ...numberWords(view, layout), ...pictureWords(view)];
    while (this.lines.children.length > this.words.length) this.lines.lastChild?.remove();
    while (this.lines.children.length < this.words.length) this.lines.append(h("li"));
    this.words.forEach((text, i) => setText(this.lines.children[i], text));
  }

  speak() {
    // The same words again are said again: to a listener, a live region that is not new is silent.
    setText(this.voice, "");
    setTimeout(() => setText(this.voice, this.words.join(". ")), 50);
  }
}

/** @param {View} view @param {Catalogue} catalogue */
function standingWords(view, catalogue) {
  const words = (document.body.dataset.state ?? "connecting").split(" ");
  const said = words.filter((w) => w !== "stale").map((w) => word(`say_${w}`));
  return [label(catalogue.title, catalogue.workspace), clockText(view.cursor_unix_ms, shownZone()), ...said].join(", ");
}

/** @param {View} view */
function alarmWords(view) {
  const on = view.cursorAlarms.filter((a) => a.priority !== "None" && !["inactive", "pending"].includes(a.state));
  if (!view.connected) return word("alarmsUnknown");
  return on.map((a) => label(a.text, a.id)).join(", ") || word("noAlarmsNow");
}

/** @param {View} view @param {Layout} layout */
function numberWords(view, layout) {
  return [...layout.rows.flatMap((r) => r.groups), ...layout.foot].map((group) => {
    const said = group.members.map((m) => {
      const reading = readingOf(m, view.cells[m.address]);
      const name = label(m.channel.label, m.channel.name);
      if (reading.state === "ok") return `${name} ${reading.text} ${unitOf(m.channel)}`.trim();
      return `${name} ${word("noData")}${reading.age_ms === null ? "" : ` ${ageText(reading.age_ms)}`}`;
    });
    return said.join(", ");
  });
}

/** @param {View} view */
function pictureWords(view) {
  const video = view.videos.main;
  if (!video) return [];
  const state = video.stale ? `${word("noData")} ${video.age_ms === null ? "" : ageText(video.age_ms)}` : ageText(video.age_ms ?? 0);
  return [`${word("video")}${lang === "ja" ? "：" : ": "}${state}`];
}
