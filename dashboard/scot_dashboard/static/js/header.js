/**
 * Facts about the room at the top of the screen: connection, clocks, people, recording, the time.
 * @import {Catalogue, Person, View} from "./types.js"
 */

import { h, setClass, setHidden, setText } from "./dom.js";
import { ClockFace } from "./clockface.js";
import { clockText as knownText, judge, leastFit, needOf } from "./needs.js";
import { ageText, delayText, label, lang, plain, word } from "./text.js";

const MOST_TITLE = 30;
const SHOWN_PEOPLE = 3;
const STATES = ["locked", "converging", "holdover", "one-way", "unsynced"];

/** What people call a device. @param {Catalogue} catalogue @param {string} device */
export function name(catalogue, device) {
  return label(catalogue.devices[device]?.label, device);
}

/** Both languages, for a room where both are spoken. @param {Record<string, string>} title */
export function bothTitles(title) {
  const mine = label(title, "");
  const other = plain((lang === "ja" ? title.en : title.ja) ?? "");
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
    this.clock = new ClockFace();
    setText(this.simulated, word("simulated"));
    this.element = h("div.chips", {}, [
      this.room,
      h("div.chips-facts", { tabindex: "0" }, [this.lost, this.clocks, this.people, this.simulated, this.state]),
      this.clock.element,
    ]);
  }

  /** @param {Catalogue} catalogue @param {View} view @param {{recording: {text: string, fine: boolean}|null}} facts */
  update(catalogue, view, { recording }) {
    setText(this.room, bothTitles(catalogue.title));
    setClass(this.room, "tight", this.room.clientWidth < 90);
    setHidden(this.lost, view.connected);
    setText(this.lost, `${word("lost")} ${ageText(view.lost_ms)}`);
    showClocks(this.clocks, view, catalogue);
    setHidden(this.simulated, !view.simulated);
    setHidden(this.state, !catalogue.replay && !recording);
    setText(this.state, catalogue.replay ? word("replay") : recording?.text ?? "");
    setClass(this.state, "warn", !catalogue.replay && recording !== null && !recording.fine);
    setClass(this.state, "replay", catalogue.replay);
    this.clock.update(view, catalogue.replay);
  }

  /** @param {Person[]} people @param {() => void} open shows the list with its buttons */
  showPeople(people, open) {
    const there = people.filter((p) => p.state === "admitted").slice(0, SHOWN_PEOPLE);
    // Each stays the same button: it is told every second how late they are, and may have the focus.
    while (this.people.children.length > there.length) this.people.lastElementChild?.remove();
    while (this.people.children.length < there.length) {
      const button = h("button.chip.person", { type: "button", title: word("deidentified") });
      button.addEventListener("click", open);
      this.people.append(button);
    }
    there.forEach((p, i) => setText(this.people.children[i], personText(p, false)));
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
