/**
 * The page's end of the feed's worker: enters the room, passes wishes on, hands views out.
 * @import {Catalogue, Hello, Note, Person, View} from "./types.js"
 */

/**
 * @typedef {object} Listener
 * @property {(hello: Hello) => void} [hello]
 * @property {(catalogue: Catalogue) => void} [catalogue]
 * @property {(view: View) => void} [view]
 * @property {(people: Person[]) => void} [people]
 * @property {(notes: Note[]) => void} [notes]
 * @property {(lanes: any) => void} [lanes]
 * @property {(state: "open"|"closed"|"final", code: number) => void} [link]
 * @property {(code: number, text: string) => void} [bye]
 */

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
    /** @type {Listener[]} */
    this.listeners = [];
    /** @type {View|null} */
    this.view = null;
    this.viewAt = 0;
    /** @type {string[]} */
    this.errors = [];
    this.worker.onmessage = ({ data }) => this.take(data);
    this.worker.onerror = (event) => this.errors.push(event.message);
    window.addEventListener("error", (event) => this.errors.push(event.message));
    window.addEventListener("unhandledrejection", (event) => this.errors.push(String(event.reason)));
  }

  /** @param {Listener} listener */
  listen(listener) {
    this.listeners.push(listener);
  }

  /** @param {Record<string, any>} wish @param {Transferable[]} [transfer] */
  do(wish, transfer = []) {
    this.worker.postMessage(wish, transfer);
  }

  /** @param {"consultant"|""} as a browser that holds both cookies says which one it means */
  open(as = "") {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.do({ do: "open", url: `${scheme}://${location.host}/feed${as ? `?as=${as}` : ""}`, font: FONT });
  }

  /** Keep nothing of what was seen: the visit is over. */
  close() {
    this.worker.terminate();
    this.view = null;
  }

  /** @param {any} data */
  take(data) {
    if (data.is === "view") {
      this.view = data.view;
      this.viewAt = performance.now();
    }
    for (const l of this.listeners) {
      if (data.is === "view") l.view?.(data.view);
      else if (data.is === "hello") l.hello?.(data.hello);
      else if (data.is === "catalogue") l.catalogue?.(data.catalogue);
      else if (data.is === "people") l.people?.(data.people);
      else if (data.is === "notes") l.notes?.(data.notes);
      else if (data.is === "lanes") l.lanes?.(data.lanes);
      else if (data.is === "link") l.link?.(data.state, data.code);
      else if (data.is === "bye") l.bye?.(data.code, data.text);
    }
  }
}
