/**
 * The page's end of the feed's worker: enters the room, passes wishes on, hands views out.
 * @import {Catalogue, Hello, Note, Person, View} from "./types.js"
 */

import { drew } from "./first.js";
import { adoptZone, onZone, shownZone } from "./clock.js";
import { plain } from "./text.js";
import { watchPage } from "./sight.js";

/**
 * @typedef {object} Listener
 * @property {(hello: Hello) => void} [hello]
 * @property {(catalogue: Catalogue) => void} [catalogue]
 * @property {(view: View) => void} [view]
 * @property {(people: Person[]) => void} [people]
 * @property {(notes: Note[]) => void} [notes]
 * @property {(layouts: import("./layout/book.js").Line[]) => void} [layouts] the room's, newest version of each
 * @property {(lanes: any) => void} [lanes]
 * @property {(trends: any) => void} [trends]
 * @property {(series: any) => void} [series] samples that were asked for, see feed/probe.js
 * @property {(said: {id: string, at_unix_ms: number, kept: boolean|null, why: string}) => void} [snapshot]
 * @property {(lines: import("./types.js").LogLine[]) => void} [alarmLog]
 * @property {(state: "open"|"closed"|"final", code: number) => void} [link]
 * @property {(code: number, text: string) => void} [bye]
 * @property {(text: string) => void} [refused]
 */

const WATCH_MS = 500;
const SILENT_MS = 1_500;
const LATE_MS = 150;

export const FONT = "/static/fonts/inter-latin.woff2";

/**
 * Trade the secret in the URL's fragment for a cookie, and take it out of the address bar.
 *
 * @param {RegExp} shape of the fragment; its first group is the secret
 * @returns {Promise<{entered: boolean, error: string}>} `entered` is false when there was no secret
 */
export async function enter(shape) {
  const match = shape.exec(location.hash);
  if (!match) return { entered: false, error: "" };
  history.replaceState(null, "", location.pathname + location.search);
  try {
    const answer = await fetch("/enter", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ secret: decodeURIComponent(match[1]) }),
    });
    if (answer.ok) return { entered: true, error: "" };
    const { error } = await answer.json();
    return { entered: false, error: String(error) };
  } catch (error) {
    return { entered: false, error: String(error) };
  }
}

export class Session {
  constructor() {
    this.worker = new Worker("/static/js/feed/worker.js", { type: "module", name: "feed" });
    /** @type {Worker|null} that draws waveforms, once there are any */
    this.traces = null;
    /** @type {Listener[]} */
    this.listeners = [];
    /** @type {View|null} */
    this.view = null;
    /** @type {View|null} */
    this.aged = null;
    this.viewAt = 0;
    this.moves = 0;
    /** @type {string[]} */
    this.errors = [];
    this.worker.onmessage = ({ data }) => this.take(data);
    this.watch = setInterval(() => this.age(), WATCH_MS);
    onZone(() => this.do({ do: "clock", zone: shownZone() }));
    this.do({ do: "clock", zone: shownZone() });
    this.worker.onerror = (event) => this.errors.push(event.message);
    watchPage(this);
    window.addEventListener("error", (event) => this.errors.push(event.message));
    window.addEventListener("unhandledrejection", (event) => this.errors.push(String(event.reason)));
  }

  /** @param {Listener} listener */
  listen(listener) {
    this.listeners.push(listener);
  }

  /** Move through time: what is pressed next is meant for where this leads. @param {Record<string, any>} wish */
  move(wish) {
    this.do({ ...wish, move: ++this.moves });
  }

  /** Whether what is shown is where the last move led. */
  get arrived() {
    return (this.view?.arrived ?? 0) >= this.moves;
  }

  /** @param {Record<string, any>} wish @param {Transferable[]} [transfer] */
  do(wish, transfer = []) {
    if (wish.do === "sheet") return this.tracer().postMessage(wish, transfer);
    if (wish.do === "clear") this.traces?.postMessage(wish);
    this.worker.postMessage(wish, transfer);
  }

  tracer() {
    if (this.traces) return this.traces;
    this.traces = new Worker("/static/js/feed/traces.js", { type: "module", name: "traces" });
    this.traces.onerror = (event) => this.errors.push(event.message);
    const { port1, port2 } = new MessageChannel();
    this.traces.postMessage({ do: "feed", port: port1 }, [port1]);
    this.worker.postMessage({ do: "traces", port: port2 }, [port2]);
    return this.traces;
  }

  /** @param {"consultant"|""} as a browser that holds both cookies says which one it means */
  open(as = "") {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.do({ do: "open", url: `${scheme}://${location.host}/feed${as ? `?as=${as}` : ""}`, font: FONT });
  }

  /** A worker that says nothing must not leave numbers standing: they grow old without it. */
  age() {
    const silent = performance.now() - this.viewAt;
    if (!this.view || silent < SILENT_MS) return;
    const view = agedView(this.view, silent);
    for (const l of this.listeners) l.view?.(view);
    this.aged = view;
  }

  /** What is on the screen. */
  get shown() {
    return this.view && performance.now() - this.viewAt >= SILENT_MS ? this.aged ?? this.view : this.view;
  }

  /** Keep nothing of what was seen: the visit is over. */
  close() {
    this.worker.terminate();
    this.traces?.terminate();
    clearInterval(this.watch);
    this.view = null;
  }

  /** @param {any} data */
  take(data) {
    if (data.is === "view") {
      this.worker.postMessage({ do: "taken" });
      // Where this thread was busy, what is shown is older than it was when it was made.
      const late = performance.timeOrigin + performance.now() - data.made;
      this.view = late > LATE_MS ? later(data.view, late) : data.view;
      this.viewAt = performance.now();
    }
    if (data.is === "catalogue") adoptZone(data.catalogue.time_zone);
    for (const l of this.listeners) {
      if (data.is === "view") l.view?.(/** @type {View} */ (this.view));
      else if (data.is === "hello") l.hello?.(data.hello);
      else if (data.is === "catalogue") l.catalogue?.(data.catalogue);
      else if (data.is === "people") l.people?.(data.people);
      else if (data.is === "layouts") l.layouts?.(data.layouts);
      else if (data.is === "notes") l.notes?.(data.notes.map(noteOf));
      else if (data.is === "lanes") l.lanes?.(data.lanes);
      else if (data.is === "trends") l.trends?.(data.trends);
      else if (data.is === "alarmLog") l.alarmLog?.(data.lines);
      else if (data.is === "series") l.series?.(data.series);
      else if (data.is === "snapshot") l.snapshot?.(data);
      else if (data.is === "link") l.link?.(data.state, data.code);
      else if (data.is === "refused") l.refused?.(data.text);
      else if (data.is === "bye") l.bye?.(data.code, data.text);
    }
    if (data.is === "view") drew(data.view);
  }
}

/** What people write stands beside times and names. @param {Note} note */
const noteOf = (note) => ({ ...note, text: plain(note.text), author: plain(note.author) });

/** A view so much later: everything in it is older. @param {View} view @param {number} ms @returns {View} */
export function later(view, ms) {
  const live = view.mode === "live";
  const aged = (/** @type {Record<string, any>} */ all) =>
    Object.fromEntries(Object.entries(all).map(([key, one]) => [key, { ...one, age_ms: one.age_ms === null ? null : one.age_ms + ms }]));
  return {
    ...view,
    cells: live ? aged(view.cells) : view.cells,
    heads: aged(view.heads),
    videos: live ? aged(view.videos) : view.videos,
    silent_ms: Object.fromEntries(Object.entries(view.silent_ms).map(([d, v]) => [d, v + ms])),
    now_t: view.now_t + ms,
    now_unix_ms: view.now_unix_ms + ms,
    cursor_t: view.cursor_t + (live ? ms : 0),
    cursor_unix_ms: view.cursor_unix_ms + (live ? ms : 0),
  };
}

/**
 * A view as it must look when nothing has come since: everything older, the line lost.
 *
 * @param {View} view
 * @param {number} ms since it was made
 * @returns {View}
 */
export function agedView(view, ms) {
  const { cursor_t, cursor_unix_ms, mode } = view;
  const old = { ...later({ ...view, mode: "live" }, ms), mode, ...(mode === "live" ? {} : { cursor_t, cursor_unix_ms }) };
  const stale = (/** @type {Record<string, any>} */ all) =>
    Object.fromEntries(Object.entries(all).map(([key, one]) => [key, { ...one, stale: true }]));
  return { ...old, cells: stale(old.cells), videos: stale(old.videos), connected: false, lost_ms: view.lost_ms + ms };
}
