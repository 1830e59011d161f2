/**
 * A video with its overlays: name, age and frame rate in the corner, a live inset while the
 * picture is behind, a still of the frame somebody drew on.
 * @import {Session} from "./session.js"  @import {Place} from "./plan.js"  @import {Note, View} from "./types.js"
 */

import { deviceSize, h, offscreen, onResize, setClass, setHidden, setText } from "./dom.js";
import { isPlain } from "./feed/framing.js";
import { clockText } from "./feed/zone.js";
import { framingOf } from "./framings.js";
import { ClockChip, NEEDS_MS } from "./needs.js";
import { watchSight } from "./sight.js";
import { ageText, delayText, label, word } from "./text.js";
import { shownZone } from "./clock.js";

export class Picture {
  /**
   * @param {Session} session
   * @param {string} id
   * @param {Place} place
   * @param {{inset?: boolean, still?: boolean}} [options]
   */
  constructor(session, id, place, { inset = true, still = true } = {}) {
    this.session = session;
    this.id = id;
    this.place = place;
    const name = nameOf(place);
    this.canvas = canvasOf("picture-video", name);
    this.ink = canvasOf("picture-ink", "");
    this.title = h("figcaption.pane-title", { text: name });
    this.corner = h("span.picture-corner");
    this.framed = h("span.picture-framed");
    this.clock = new ClockChip(place.device);
    this.warning = h("div.picture-warning", { role: "status" });
    this.insetCanvas = inset ? canvasOf("", `${name}, ${word("live")}`) : null;
    this.insetMark = h("span.live-mark");
    this.inset = h("div.picture-inset", {}, [this.insetCanvas, this.insetMark]);
    this.stillCanvas = still ? canvasOf("", "") : null;
    this.stillInk = canvasOf("still-ink", "");
    this.stillText = h("span.still-text");
    this.stillBox = h("div.picture-still", {}, [this.stillCanvas, this.stillInk, this.stillText]);
    this.element = h("figure.picture", { "aria-label": name }, [
      this.canvas, this.ink, this.title, this.clock.element, this.corner, this.framed, this.warning,
      inset ? this.inset : null, still ? this.stillBox : null,
    ]);
    setHidden(this.inset, true);
    setHidden(this.stillBox, true);
    this.attach();
    /** @type {Note|null} */
    this.pinned = null;
  }

  attach() {
    const main = offscreen(this.canvas);
    const ink = offscreen(this.ink);
    const inset = this.insetCanvas ? offscreen(this.insetCanvas) : null;
    const { address } = this.place;
    this.session.do(
      { do: "video", id: this.id, address, main, inset, ink, framing: framingOf(address), seen: false },
      [main, ink, ...(inset ? [inset] : [])],
    );
    watchSight(this.session, this.element, this.id);
    onResize(this.element, () => {
      const { width, height, rem } = deviceSize(this.element);
      this.session.do({ do: "inkSize", id: this.id, width, height, scale: rem });
    });
    if (this.stillCanvas) {
      const [canvas, still] = [offscreen(this.stillCanvas), offscreen(this.stillInk)];
      this.session.do({ do: "still", id: this.id, canvas, ink: still, note: null, framing: framingOf(address) }, [canvas, still]);
      onResize(this.stillBox, () => {
        const { width, height, rem } = deviceSize(this.stillBox);
        this.session.do({ do: "stillSize", id: this.id, width, height, scale: rem });
      });
    }
  }

  /** Show another source here. @param {Place} place */
  turnTo(place) {
    if (place.address === this.place.address) return;
    this.place = place;
    const name = nameOf(place);
    setText(this.title, name);
    this.element.setAttribute("aria-label", name);
    this.canvas.setAttribute("aria-label", name);
    this.insetCanvas?.setAttribute("aria-label", `${name}, ${word("live")}`);
    this.clock.device = place.device;
    const { address } = place;
    this.session.do({ do: "source", id: this.id, address, framing: framingOf(address) });
  }

  /** @param {View} view @param {boolean} [replay] */
  update(view, replay = false) {
    this.clock.update(view.clocks, NEEDS_MS.video);
    const video = view.videos[this.id];
    const live = view.mode === "live";
    setHidden(this.inset, live);
    setText(this.insetMark, word(replay ? "replay" : "live"));
    setClass(this.element, "held", !live);
    if (video?.address !== this.place.address) return; // the last word on the source before
    const old = video.stale && !(view.mode !== "live" && view.seeking);
    setClass(this.element, "stale", old);
    setText(this.corner, old || video.age_ms === null ? "" : this.facts(video, live));
    setText(this.framed, framedText(video.framing));
    const warning = warningOf(video, old);
    setText(this.warning, warning);
    setHidden(this.warning, !warning);
  }

  /** @param {import("./types.js").VideoNow} video @param {boolean} live */
  facts(video, live) {
    if (live) return `${delayText(video.lag_ms ?? 0)} · ${Math.round(video.fps)} fps${leftText(video.left)}`;
    return video.t_unix_ms === null ? "" : instant(video.t_unix_ms);
  }

  /** Show the very frame of the newest stroke that another person drew. @param {Note|null} note */
  pin(note) {
    if (!this.stillCanvas || note?.id === this.pinned?.id && note?.points.length === this.pinned?.points.length) return;
    this.pinned = note;
    setHidden(this.stillBox, !note);
    this.session.do({ do: "still", id: this.id, note, framing: framingOf(note?.channel ?? "") });
    if (note) setText(this.stillText, `${note.author} · ${instant(note.at_unix_ms).slice(0, -1)}`);
  }
}

/** @param {Place} place */
export function nameOf(place) {
  return place.title ?? label(place.channel.label, place.channel.name);
}

/** hh:mm:ss.mmm @param {number} unix_ms */
export function instant(unix_ms) {
  return `${clockText(unix_ms, shownZone())}.${String(Math.floor(unix_ms % 1000)).padStart(3, "0")}`;
}

/** Which pictures this screen was too slow for. @param {import("./types.js").VideoNow["left"]} left */
function leftText(left) {
  if (!left) return "";
  return ` · ${word("leftOut").replace("{n}", String(left.count)).replace("{s}", (left.ms / 1000).toFixed(1))}`;
}

/** That a picture is not as it came. @param {import("./feed/framing.js").Framing} framing */
function framedText(framing) {
  if (isPlain(framing)) return "";
  const part = framing.crop[2] < 1 || framing.crop[3] < 1;
  return [framing.turn ? `↻ ${framing.turn}°` : "", part ? word("cropped") : ""].filter(Boolean).join(" · ");
}

/** What a person must know of a picture that is not there. @param {import("./types.js").VideoNow} video @param {boolean} old */
export function warningOf({ problem, age_ms }, old) {
  if (problem === "WebCodecs") return word("noVideoDecoder");
  if (problem && (age_ms === null || old)) return word("cannotDecode");
  if (age_ms === null) return word("never");
  return old ? `${word("noData")} ${ageText(age_ms)}` : "";
}

/** @param {string} className @param {string} name */
export function canvasOf(className, name) {
  const canvas = /** @type {HTMLCanvasElement} */ (document.createElement("canvas"));
  canvas.className = className;
  if (name) {
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", name);
  } else canvas.setAttribute("aria-hidden", "true");
  return canvas;
}
