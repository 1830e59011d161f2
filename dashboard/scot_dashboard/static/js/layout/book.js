/** The room's saved layouts, over HTTP. @import {ViewName} from "./arrange.js" */

/**
 * @typedef {{name: string, view: ViewName, version: number, author: string, saved_ns: bigint|number, restored: number}} Line
 * @typedef {{pane: string, x: number, y: number, w: number, h: number}} PlacedPane
 * @typedef {{view: ViewName, panes: PlacedPane[], hidden: string[]}} Saved
 * @typedef {Saved & Line} Version
 * @typedef {{ok: true, body: any}|{ok: false, status: number, error: string, current: Version|null}} Answer
 */

/**
 * @param {string} method @param {string} path below /layouts @param {any} [body]
 * @returns {Promise<Answer>} status 0: nobody answered
 */
async function ask(method, path, body) {
  try {
    const answer = await fetch(`/layouts${path}`, {
      method, headers: body ? { "Content-Type": "application/json" } : {}, body: body && JSON.stringify(body),
    });
    const said = answer.status === 204 ? {} : await answer.json();
    if (answer.ok) return { ok: true, body: said };
    return { ok: false, status: answer.status, error: String(said.error), current: said.current ?? null };
  } catch (error) {
    return { ok: false, status: 0, error: String(error), current: null };
  }
}

const at = (/** @type {string} */ name) => `/${encodeURIComponent(name)}`;

export const book = {
  /** @param {string} name @param {number} [version] 0: the newest */
  get: (name, version = 0) => ask("GET", `${at(name)}?version=${version}`),
  /** @param {string} name */
  versions: (name) => ask("GET", `${at(name)}/versions`),
  /** @param {string} name @param {number} base @param {Saved} layout */
  save: (name, base, layout) => ask("PUT", at(name), { base, layout }),
  /** @param {string} name @param {number} base @param {number} version */
  restore: (name, base, version) => ask("POST", `${at(name)}/restore`, { base, version }),
  /** @param {string} name @param {number} base */
  remove: (name, base) => ask("DELETE", `${at(name)}?base=${base}`),
};

/** `NAME` or `NAME@3` of an address. @param {string|null} asked @returns {{name: string, version: number}} */
export function named(asked) {
  const match = /^(.*)@(\d{1,6})$/.exec(asked ?? "");
  return match ? { name: match[1], version: Number(match[2]) } : { name: asked ?? "", version: 0 };
}
