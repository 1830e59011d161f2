/**
 * The generic pane: every further channel of the catalogue, drawn by its kind and nothing else.
 * @import {Session} from "./session.js"  @import {Place} from "./plan.js"  @import {Cell, View} from "./types.js"
 */

import { h, setClass, setText } from "./dom.js";
import { Picture } from "./picture.js";
import { groupsOf } from "./plan.js";
import { colorOf } from "./palette.js";
import { Tile, DASH } from "./tiles.js";
import { ageText, label, word } from "./text.js";
import { Waves } from "./waves.js";

const WIDE = new Set(["waveform", "video", "image"]);

/** @typedef {{element: HTMLElement, update: (view: View) => void, tiles: Tile[]}} Card */

export class Extras {
  /** @param {Session} session @param {Place[]} places @param {string} id */
  constructor(session, places, id) {
    this.session = session;
    this.id = id;
    const numerics = groupsOf(places.filter((p) => p.channel.kind === "numeric"));
    this.cards = [
      ...numerics.map((group) => this.numeric(group)),
      ...places.filter((p) => p.channel.kind !== "numeric").map((p, i) => this.card(p, i)),
    ];
    this.element = h("section.extras", { "aria-label": word("all") }, this.cards.map((c) => c.element));
    setClass(this.element, "tall", places.some((p) => WIDE.has(p.channel.kind)));
    setClass(this.element, "words", places.every((p) => !WIDE.has(p.channel.kind) && p.channel.kind !== "numeric"));
    this.element.hidden = this.cards.length === 0;
  }

  /** @param {import("./plan.js").Group} group @returns {Card} */
  numeric(group) {
    const tile = new Tile(group);
    return { element: h("div.card", {}, [tile.element]), update: (v) => tile.update(v, v.cursorAlarms), tiles: [tile] };
  }

  /** @param {Place} place @param {number} index @returns {Card} */
  card(place, index) {
    const { kind } = place.channel;
    if (kind === "waveform") {
      const waves = new Waves(this.session, `${this.id}-${index}`, [{ wave: place, color: colorOf(place.channel), groups: [] }]);
      return { element: h("div.card.wide", {}, [waves.element]), update: (v) => waves.update(v), tiles: [] };
    }
    if (kind === "video") {
      const picture = new Picture(this.session, `${this.id}-${index}`, place, { inset: false, still: false });
      return { element: h("div.card.wide", {}, [picture.element]), update: (v) => picture.update(v), tiles: [] };
    }
    return kind === "image" ? this.image(place) : this.words(place);
  }

  /** @param {Place} place @returns {Card} */
  image(place) {
    const image = /** @type {HTMLImageElement} */ (h("img", { alt: title(place) }));
    const age = h("span.tile-age");
    let shown = -1;
    const update = (/** @type {View} */ view) => {
      const cell = view.cells[place.address];
      setText(age, cell ? ageText(cell.age_ms) : word("never"));
      if (!cell?.value?.data || cell.t_unix_ms === shown) return;
      shown = cell.t_unix_ms;
      URL.revokeObjectURL(image.src);
      image.src = URL.createObjectURL(new Blob([cell.value.data], { type: cell.value.media_type }));
    };
    return { element: h("div.card.wide", {}, [h("span.tile-label", { text: title(place) }), age, image]), update, tiles: [] };
  }

  /** A pose, text or event, as words. @param {Place} place @returns {Card} */
  words(place) {
    const value = h("span.card-words");
    const age = h("span.tile-age");
    const element = h("div.card", {}, [
      h("div.tile-head", {}, [h("span.tile-label", { text: title(place) }), age]), value,
    ]);
    const update = (/** @type {View} */ view) => {
      const cell = view.cells[place.address];
      // An event is a fact of the past with its age; it does not go stale.
      const stale = !cell || (cell.stale && place.channel.kind !== "event");
      setClass(element, "stale", stale);
      setText(value, stale ? DASH : wordsOf(place, cell));
      setText(age, !cell ? word("never") : stale ? `${word("noData")} ${ageText(cell.age_ms)}` : ageText(cell.age_ms));
    };
    return { element, update, tiles: [] };
  }

  /** @param {View} view */
  update(view) {
    for (const card of this.cards) card.update(view);
  }

  get tiles() {
    return this.cards.flatMap((c) => c.tiles);
  }
}

/** @param {Place} place */
function title(place) {
  return label(place.channel.label, `${place.device}/${place.channel.name}`);
}

/** @param {Place} place @param {Cell} cell */
export function wordsOf(place, cell) {
  const { value } = cell;
  if (value === null) return place.channel.kind;
  switch (place.channel.kind) {
    case "pose":
      return value.visible
        ? `${value.position.map((/** @type {number} */ v) => v.toFixed(1)).join(" ")} mm` : word("notSeen");
    case "text":
      return label(place.channel.attrs?.values?.[String(value)], String(value));
    default:
      return Object.entries(value ?? {})
        .filter(([, v]) => typeof v !== "object")
        .map(([key, v]) => `${key} ${typeof v === "number" && !Number.isInteger(v) ? v.toFixed(2) : v}`)
        .slice(0, 6)
        .join(" · ");
  }
}
