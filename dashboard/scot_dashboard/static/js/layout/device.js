/**
 * The pane of a device that nobody wrote a pane for: traces, numbers and words from its catalogue.
 * @import {Session} from "../session.js"  @import {Spec} from "./arrange.js"  @import {Place} from "../plan.js"  @import {View} from "../types.js"
 */

import { h, setClass } from "../dom.js";
import { Extras } from "../extras.js";
import { colorOf, placeOf } from "../palette.js";
import { groupsOf } from "../plan.js";
import { word } from "../text.js";
import { Tile } from "../tiles.js";
import { Waves } from "../waves.js";

const MOST_ROWS = 5; // with the seven of the column twelve
const MOST_TILES = 24;
const MOST_CARDS = 12;

export class DevicePane {
  /** @param {Session} session @param {Spec} spec @param {() => void} openAll opens the list of all channels */
  constructor(session, spec, openAll) {
    const kind = (/** @type {string} */ k) => spec.places.filter((p) => p.channel.kind === k);
    const numerics = kind("numeric");
    /** @type {Set<Place>} */
    const used = new Set();
    const rows = kind("waveform").slice(0, MOST_ROWS).map((wave) => {
      const own = numerics.filter((n) => wave.channel.numeric_of?.includes(n.channel.name) && !used.has(n));
      for (const n of own) used.add(n);
      return { wave, color: colorOf(wave.channel), groups: groupsOf(own) };
    });
    const groups = groupsOf(numerics.filter((n) => !used.has(n)).sort((a, b) => placeOf(a.channel) - placeOf(b.channel)));
    const others = spec.places.filter((p) => !["numeric", "waveform"].includes(p.channel.kind));
    this.waves = rows.length ? new Waves(session, spec.id, rows) : null;
    this.own = groups.slice(0, MOST_TILES).map((group) => new Tile(group));
    this.cards = new Extras(session, others.slice(0, MOST_CARDS), spec.id).cards;
    const left = unseen(spec, rows, this.own, this.cards.length);
    const more = h("button.device-more", { type: "button", text: `+${left} ${word("more")} · ${word("all")}` });
    more.addEventListener("click", openAll);
    this.element = h("div.device", {}, [
      h("h2.device-title", { text: spec.title }),
      this.waves?.element,
      this.own.length ? h("div.tile-grid", {}, this.own.map((t) => t.element)) : null,
      this.cards.length ? h("div.device-words", {}, this.cards.map((c) => c.element)) : null,
      left > 0 ? more : null,
    ]);
    setClass(this.element, "words-only", !rows.length && !this.own.length);
  }

  /** @param {View} view */
  update(view) {
    this.waves?.update(view);
    for (const tile of this.own) tile.update(view, view.cursorAlarms);
    for (const card of this.cards) card.update(view);
  }

  get tiles() {
    return [...(this.waves?.rows.flatMap((r) => r.tiles) ?? []), ...this.own, ...this.cards.flatMap((c) => c.tiles)];
  }
}

/** How many channels the pane does not show. @param {Spec} spec @param {{groups: {members: Place[]}[]}[]} rows @param {Tile[]} tiles @param {number} cards */
function unseen(spec, rows, tiles, cards) {
  const members = [...rows.flatMap((r) => r.groups), ...tiles.map((t) => t.group)].flatMap((g) => g.members);
  return spec.places.length - rows.length - members.length - cards;
}
