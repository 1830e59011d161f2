/**
 * All sources of pictures: one large, the others small beside it, and what can be done with the
 * large one.
 * @import {Session} from "./session.js"  @import {Place} from "./plan.js"  @import {Note, View, VideoNow} from "./types.js"
 */

import { CropFrame } from "./crop.js";
import { h, offscreen, setClass, setHidden, setText } from "./dom.js";
import { PLAIN, cropped, isPlain, turned } from "./feed/framing.js";
import { framingOf, keptLarge, setFraming, setLarge } from "./framings.js";
import { icon } from "./icons.js";
import { Picture, canvasOf, nameOf, warningOf } from "./picture.js";
import { Snapshots } from "./snapshots.js";
import { watchSight } from "./sight.js";
import { ageText, word } from "./text.js";

const THUMB_PX = [384, 216];
const TOOLS_MS = 4_000;
const MOST_BY_NUMBER = 9;

/** Keys of the pictures, and what they do; the key page lists them. */
export const GALLERY_KEYS = /** @type {[string, string][]} */ ([
  ["1 … 9", "keySource"], ["V", "nextSource"], ["F", "wholeScreen"], ["R", "rotate"], ["C", "crop"],
  ["U", "wholePicture"], ["K", "keySnapshot"],
]);

/**
 * What keys do to the pictures that are there now.
 *
 * @param {() => Gallery|null|undefined} gallery
 * @returns {Record<string, () => void>}
 */
export function galleryKeys(gallery) {
  /** @type {Record<string, () => void>} */
  const keys = {
    v: () => gallery()?.next(), f: () => gallery()?.toggleWhole(), r: () => gallery()?.rotate(),
    c: () => gallery()?.cut(), u: () => gallery()?.upright(), k: () => gallery()?.snapshots.take(),
  };
  for (let i = 0; i < MOST_BY_NUMBER; i++) keys[String(i + 1)] = () => gallery()?.choose(i);
  return keys;
}

export class Gallery {
  /**
   * @param {Session} session @param {string} id @param {Place[]} places at least one
   * @param {{still?: boolean, snapshots?: boolean}} [options]
   */
  constructor(session, id, places, { still = true, snapshots = true } = {}) {
    this.session = session;
    this.places = places;
    this.large = firstLarge(places);
    this.picture = new Picture(session, id, places[this.large], { still });
    this.snapshots = new Snapshots(session, this.picture);
    this.thumbs = places.length > 1 ? places.map((place, i) => new Thumb(session, place, i, () => this.choose(i))) : [];
    this.strip = h("div.thumbs", { role: "group", "aria-label": word("sources") }, this.thumbs.map((t) => t.element));
    this.crop = new CropFrame(() => this.shown(), (one, other) => this.frame(cropped(this.framing, one, other)));
    this.whole = this.tool("wholeScreen", "expand", () => this.toggleWhole());
    this.uprightTool = this.tool("wholePicture", "upright", () => this.upright());
    this.tools = h("div.picture-tools", { role: "toolbar", "aria-label": word("video") }, [
      places.length > 1 ? this.tool("nextSource", "next", () => this.next()) : null,
      this.tool("keyFreeze", "hold", () => session.do({ do: "freeze" })),
      this.tool("rotate", "turn", () => this.rotate()), this.tool("crop", "crop", () => this.cut()),
      this.uprightTool, snapshots ? this.tool("keySnapshot", "camera", () => this.snapshots.take()) : null, this.whole,
    ]);
    this.main = h("div.gallery-main", {}, [this.picture.element, this.tools, this.snapshots.element, this.crop.element]);
    this.element = h("section.gallery", { "aria-label": word("video") }, [h("div.gallery-inner", {}, [this.main, this.strip])]);
    setHidden(this.strip, !this.thumbs.length);
    this.choose(this.large, false);
    this.showTools();
    document.addEventListener("fullscreenchange", () => {
      if (!document.fullscreenElement && this.element.isConnected) this.setWhole(false);
    });
  }

  /** @param {string} key @param {string} sign @param {() => void} act */
  tool(key, sign, act) {
    const button = h("button.picture-tool", { type: "button", title: word(key), "aria-label": word(key), "data-tool": key }, []);
    button.append(icon(sign));
    button.addEventListener("click", act);
    return button;
  }

  /** Tools are there while a hand is: a wall is for looking. */
  showTools() {
    let due = 0;
    const show = () => {
      setClass(this.main, "handled", true);
      clearTimeout(due);
      due = window.setTimeout(() => setClass(this.main, "handled", false), TOOLS_MS);
    };
    for (const event of ["pointermove", "pointerdown", "focusin"]) this.main.addEventListener(event, show);
  }

  get framing() {
    return framingOf(this.places[this.large].address);
  }

  /** @param {import("./feed/framing.js").Framing} framing */
  frame(framing) {
    const { address } = this.places[this.large];
    setFraming(address, framing);
    setHidden(this.uprightTool, isPlain(framing));
    this.session.do({ do: "framing", address, framing });
  }

  rotate() {
    this.frame(turned(this.framing));
  }

  /** Choose a part of what is there to be seen. */
  cut() {
    const video = this.session.view?.videos[this.picture.id];
    if (video?.ns && video.address === this.places[this.large].address) this.crop.begin();
    else this.snapshots.say(word("noPicture"), true);
  }

  upright() {
    this.frame(PLAIN);
  }

  next() {
    this.choose((this.large + 1) % this.places.length);
  }

  /** @param {number} i @param {boolean} [keep] on this display */
  choose(i, keep = true) {
    const place = this.places[i];
    if (!place) return;
    this.large = i;
    this.crop.finish(false);
    this.picture.turnTo(place);
    this.thumbs.forEach((thumb, n) => setHidden(thumb.element, n === i));
    setHidden(this.uprightTool, isPlain(this.framing));
    if (keep) setLarge(place.address);
  }

  /** The picture over everything but the alarms. */
  toggleWhole() {
    const whole = !document.body.classList.contains("picture-whole");
    this.setWhole(whole);
    // Without it (a frame that forbids it, a test) the picture still fills the window.
    if (whole) document.documentElement.requestFullscreen?.().catch(() => {});
    else if (document.fullscreenElement) document.exitFullscreen().catch(() => {});
  }

  /** @param {boolean} whole */
  setWhole(whole) {
    const alarms = document.querySelector(".alarm-line")?.getBoundingClientRect();
    const above = !alarms || alarms.top < innerHeight / 2;
    const { style } = this.element;
    style.setProperty("--whole-top", `${whole && alarms && above ? Math.ceil(alarms.bottom) : 0}px`);
    style.setProperty("--whole-bottom", `${whole && alarms && !above ? Math.ceil(innerHeight - alarms.top) : 0}px`);
    setClass(document.body, "picture-whole", whole);
    this.whole.setAttribute("aria-pressed", String(whole));
  }

  /** Close what covers something; say whether anything did. */
  close() {
    if (this.crop.open) {
      this.crop.finish(false);
      return true;
    }
    if (!document.body.classList.contains("picture-whole")) return false;
    this.toggleWhole();
    return true;
  }

  /** Where what is shown lies, CSS px in the gallery's main part. */
  shown() {
    const box = this.main.getBoundingClientRect();
    const aspect = this.session.view?.videos[this.picture.id]?.aspect || 16 / 9;
    const width = Math.min(box.width, box.height * aspect);
    const height = width / aspect;
    return { left: (box.width - width) / 2, top: (box.height - height) / 2, width, height };
  }

  /** @param {View} view @param {boolean} [replay] */
  update(view, replay = false) {
    this.picture.update(view, replay);
    this.snapshots.update();
    if (this.crop.open) this.crop.lay(); // a camera may turn while somebody crops
    for (const thumb of this.thumbs) thumb.update(view.videos[thumb.id]);
  }

  /** @param {Note|null} note */
  pin(note) {
    this.picture.pin(note);
  }

  /** What is shown, for tests. */
  state() {
    return {
      large: this.places[this.large].address, framing: this.framing, snapshot: this.snapshots.text,
      thumbs: Object.fromEntries(this.thumbs.map((t) => [t.address, t.said])),
      whole: document.body.classList.contains("picture-whole"), crop: this.crop.open,
    };
  }
}

/** What was large on this display, else what has most to show. @param {Place[]} places */
export function firstLarge(places) {
  const kept = places.findIndex((p) => p.address === keptLarge());
  if (kept >= 0) return kept;
  const pixels = places.map(({ channel }) => (channel.width_px ?? 0) * (channel.height_px ?? 0));
  return pixels.indexOf(Math.max(...pixels));
}

/** A source that is not large. */
class Thumb {
  /** @param {Session} session @param {Place} place @param {number} i @param {() => void} choose */
  constructor(session, place, i, choose) {
    this.address = place.address;
    this.id = `thumb:${place.address}`;
    const name = nameOf(place);
    const canvas = canvasOf("", "");
    [canvas.width, canvas.height] = THUMB_PX;
    this.age = h("span.thumb-age");
    this.warning = h("span.thumb-warning");
    this.element = h("button.thumb", { type: "button", "aria-label": `${name}: ${word("keySource")}`, "data-address": place.address }, [
      canvas, this.warning, h("span.thumb-name", {}, [i < MOST_BY_NUMBER ? h("kbd", { text: String(i + 1) }) : null, h("span", { text: name })]), this.age,
    ]);
    this.element.addEventListener("click", choose);
    const off = offscreen(canvas);
    session.do({ do: "thumb", id: this.id, address: place.address, canvas: off, framing: framingOf(place.address), seen: false }, [off]);
    watchSight(session, this.element, this.id);
    this.said = "";
  }

  /** @param {VideoNow|undefined} video */
  update(video) {
    if (!video) return;
    const warning = warningOf(video, video.stale);
    this.said = warning || (video.age_ms === null ? "" : ageText(video.age_ms));
    setText(this.warning, warning);
    setHidden(this.warning, !warning);
    setText(this.age, warning || !this.said ? "" : `${word("keyPicture")} · ${this.said}`);
    setClass(this.element, "stale", video.stale);
  }
}
