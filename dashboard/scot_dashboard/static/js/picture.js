/**
 * A video with its overlays: name, age and frame rate in the corner, a live inset while the
 * picture is behind, a still of the frame somebody drew on.
 * @import {Session} from "./session.js"  @import {Place} from "./plan.js"  @import {Note, View} from "./types.js"
 */

import { deviceSize, h, offscreen, onResize, setClass, setHidden, setText } from "./dom.js";
import { authorColor, clockText } from "./feed/ink.js";
import { ClockChip, NEEDS_MS } from "./needs.js";
import { ageText, delayText, label, word } from "./text.js";
import { usesUtc } from "./clock.js";

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
    const name = place.title ?? label(place.channel.label, place.channel.name);
    this.canvas = canvasOf("picture-video", name);
    this.ink = canvasOf("picture-ink", "");
    this.corner = h("span.picture-corner");
    this.clock = new ClockChip(place.device);
    this.warning = h("div.picture-warning", { role: "status" });
    this.insetCanvas = inset ? canvasOf("", `${name}, ${word("live")}`) : null;
    this.insetMark = h("span.live-mark");
    this.inset = h("div.picture-inset", {}, [this.insetCanvas, this.insetMark]);
    this.stillCanvas = still ? canvasOf("", "") : null;
    this.stillInk = h("div.still-ink");
    this.stillText = h("span.still-text");
    this.stillBox = h("div.picture-still", {}, [this.stillCanvas, this.stillInk, this.stillText]);
    this.element = h("figure.picture", { "aria-label": name }, [
      this.canvas, this.ink, h("figcaption.pane-title", { text: name }), this.clock.element, this.corner,
      this.warning,
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
    this.session.do(
      { do: "video", id: this.id, address: this.place.address, main, inset, ink },
      [main, ink, ...(inset ? [inset] : [])],
    );
    onResize(this.element, () => {
      const { width, height, rem } = deviceSize(this.element);
      this.session.do({ do: "inkSize", id: this.id, width, height, scale: rem });
    });
    if (this.stillCanvas) {
      const canvas = offscreen(this.stillCanvas);
      this.session.do({ do: "still", id: this.id, canvas, note: null }, [canvas]);
    }
  }

  /** @param {View} view @param {boolean} [replay] */
  update(view, replay = false) {
    this.clock.update(view.clocks, NEEDS_MS.video);
    const video = view.videos[this.id];
    const live = view.mode === "live";
    setHidden(this.inset, live);
    setText(this.insetMark, word(replay ? "replay" : "live"));
    if (!video) return;
    const old = video.stale && !(view.mode !== "live" && view.seeking);
    setClass(this.element, "stale", old);
    setText(this.corner, old || video.age_ms === null ? "" : this.facts(video, live));
    let warning = "";
    if (video.problem === "WebCodecs") warning = word("noVideoDecoder");
    else if (video.age_ms === null) warning = word("never");
    else if (old) warning = `${word("noData")} ${ageText(video.age_ms)}`;
    setText(this.warning, warning);
    setHidden(this.warning, !warning);
  }

  /** @param {import("./types.js").VideoNow} video @param {boolean} live */
  facts(video, live) {
    if (live) return `${delayText(video.lag_ms ?? 0)} · ${Math.round(video.fps)} fps`;
    return video.t_unix_ms === null ? "" : `${clockText(video.t_unix_ms, usesUtc())}.${String(Math.floor(video.t_unix_ms % 1000)).padStart(3, "0")}`;
  }

  /** Show the very frame of the newest stroke that another person drew. @param {Note|null} note */
  pin(note) {
    if (!this.stillCanvas || note?.id === this.pinned?.id && note?.points.length === this.pinned?.points.length) return;
    const sameFrame = note && this.pinned && note.at_ns === this.pinned.at_ns;
    this.pinned = note;
    setHidden(this.stillBox, !note);
    if (!sameFrame) this.session.do({ do: "still", id: this.id, note });
    if (!note) return;
    const hundredths = String(Math.floor((note.at_unix_ms % 1000) / 10)).padStart(2, "0");
    setText(this.stillText, `${note.author} · ${clockText(note.at_unix_ms, usesUtc())}.${hundredths}`);
    this.stillInk.replaceChildren(strokeSvg(note));
  }
}

/** @param {string} className @param {string} name */
function canvasOf(className, name) {
  const canvas = /** @type {HTMLCanvasElement} */ (document.createElement("canvas"));
  canvas.className = className;
  if (name) {
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", name);
  } else canvas.setAttribute("aria-hidden", "true");
  return canvas;
}

/** A stroke over a small still. @param {Note} note */
function strokeSvg(note) {
  const NS = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(NS, "svg");
  svg.setAttribute("viewBox", "0 0 1600 900");
  const points = note.points.map(([x, y]) => [x * 1600, y * 900]);
  const last = points[points.length - 1];
  const dot = note.tool === "pointer" || note.tool === "pin" || points.length < 2;
  const shape = document.createElementNS(NS, dot ? "circle" : "polyline");
  if (dot && last) {
    shape.setAttribute("cx", String(last[0]));
    shape.setAttribute("cy", String(last[1]));
    shape.setAttribute("r", "44");
  } else shape.setAttribute("points", points.map((p) => p.join(",")).join(" "));
  shape.setAttribute("fill", "none");
  shape.setAttribute("stroke", authorColor(note.author));
  shape.setAttribute("stroke-width", "14");
  shape.setAttribute("stroke-linecap", "round");
  shape.setAttribute("stroke-linejoin", "round");
  svg.append(shape);
  return svg;
}
