/**
 * From the plan of a room to its panes, and to where they stand when nobody has said so: the same
 * room always gives the same layout. @import {Layout} from "../plan.js"  @import {Catalogue} from "../types.js"
 * @import {Placed, Rect} from "./grid.js"
 */

import { label, word } from "../text.js";
import { CELLS, show, sound } from "./grid.js";

/**
 * @typedef {"wall"|"station"} ViewName
 * @typedef {object} Spec one pane that a room has
 * @property {string} id
 * @property {"waves"|"numbers"|"video"|"camera"|"nav"|"device"|"trends"|"log"|"notes"} kind
 * @property {string} title
 * @property {[number, number]} least cells
 * @property {number} weight of a device: how many rows it wants
 * @property {import("../plan.js").Place[]} places what it shows
 *
 * @typedef {object} Arrangement
 * @property {Placed} placed
 * @property {string[]} hidden
 */

const LEAST = { waves: [4, 6], numbers: [3, 2], video: [3, 4], camera: [3, 4], nav: [5, 5], device: [3, 2], trends: [5, 6], log: [4, 5], notes: [4, 5] };
const MOST_DEVICES = 8;
const PER_ROW = 4;
const MOST_BESIDE_TALK = 3; // devices under log and notes of a station
const MOST_DEVICE_CELLS = 14;
const WORDS = 2; // weight of a device that has nothing but words
export const TOOLS = ["trends", "log", "notes"];

/** @param {Spec["kind"]} kind @param {string} id @param {string} title @param {import("../plan.js").Place[]} places @returns {Spec} */
function spec(kind, id, title, places, weight = 1) {
  return { id, kind, title, least: /** @type {[number, number]} */ (LEAST[kind]), places, weight };
}

/** Every pane that a room has, in reading order. @param {Layout} layout @param {Catalogue} catalogue @returns {Spec[]} */
export function panesOf(layout, catalogue) {
  const { rows, foot, videos, navigation, extras } = layout;
  const named = (/** @type {string} */ device) => label(catalogue.devices[device]?.label, device);
  const members = (/** @type {import("../plan.js").Group[]} */ groups) => groups.flatMap((g) => g.members);
  /** @type {Spec[]} */
  const panes = [];
  if (rows.length) panes.push(spec("waves", "waves", word("paneWaves"), rows.flatMap((r) => [r.wave, ...members(r.groups)]), rows.length));
  if (foot.length) panes.push(spec("numbers", "numbers", `${named(foot[0].members[0].device)} · ${word("paneNumbers")}`, members(foot), foot.length));
  if (videos.length) panes.push(spec("video", "pictures", videos.length > 1 ? word("sources") : pictureName(videos[0]), videos));
  // Beside the pane that has them all, each can have one of its own: nobody has to be chosen then.
  for (const p of videos.length > 1 ? videos : []) panes.push(spec("camera", `video:${p.device}/${p.channel.name}`, pictureName(p), [p]));
  if (navigation) {
    const tool = label(navigation.main.channel.label, navigation.main.channel.name);
    panes.push(spec("nav", "nav", `${word("paneNavigation")} · ${tool}`, [navigation.main, ...navigation.others]));
  }
  const loose = extras.filter((p) => p.channel.kind !== "video");
  for (const device of new Set(loose.map((p) => p.device))) {
    const places = loose.filter((p) => p.device === device);
    const tall = places.some((p) => ["waveform", "image"].includes(p.channel.kind)) ? 6 : places.some((p) => p.channel.kind === "numeric") ? 4 : WORDS;
    panes.push(spec("device", `device:${device}`, named(device), places, tall));
  }
  panes.push(spec("trends", "trends", word("trends"), []), spec("log", "log", word("alarmLog"), []), spec("notes", "notes", word("notes"), []));
  return panes.map((pane, i) => (panes.findIndex((p) => p.title === pane.title) === i ? pane
    : { ...pane, title: `${pane.title} (${pane.id.split(":")[1] ?? pane.kind})` })); // two of a kind
}

/** @param {import("../plan.js").Place} place */
const pictureName = (place) => place.title ?? label(place.channel.label, place.channel.name);

/** Where panes stand when nobody has said so. @param {Spec[]} panes @param {ViewName} view @returns {Arrangement} */
export function arranged(panes, view) {
  const placed = view === "station" ? station(panes) : wall(panes);
  return { placed, hidden: panes.map((p) => p.id).filter((id) => !placed[id]) };
}

/** @param {Spec[]} panes @returns {Placed} */
function wall(panes) {
  const { waves, numbers, videos, nav, devices } = sorted(panes);
  const left = [waves, numbers].flatMap((p) => p ?? []);
  const scene = videos.length || nav;
  if (!left.length && !scene) return tiled(whole(), devices.slice(0, MOST_DEVICES));
  const width = !left.length ? 0 : scene ? 8 : devices.length ? 14 : CELLS;
  const placed = vitals({ x: 0, y: 0, w: width, h: CELLS }, waves, numbers);
  if (width === CELLS) return placed;
  return { ...placed, ...right({ x: width, y: 0, w: CELLS - width, h: CELLS }, videos, nav, devices) };
}

/** @param {Spec[]} panes @returns {Placed} */
function station(panes) {
  const { waves, numbers, videos, nav, devices } = sorted(panes);
  const shownDevices = devices.slice(0, MOST_BESIDE_TALK);
  const talk = CELLS - Math.min(MOST_DEVICE_CELLS, shownDevices.reduce((sum, d) => sum + d.weight, 0));
  const log = Math.ceil(talk / 2);
  const placed = {
    log: { x: 19, y: 0, w: 5, h: log }, notes: { x: 19, y: log, w: 5, h: talk - log },
    ...stacked({ x: 19, y: talk, w: 5, h: CELLS - talk }, shownDevices),
    ...vitals({ x: 12, y: 0, w: 7, h: CELLS }, waves, numbers),
  };
  const wide = waves || numbers ? 12 : 19;
  const foot = videos.length ? 15 : nav ? 12 : 0;
  const trends = { x: 0, y: foot, w: wide, h: CELLS - foot };
  if (!nav) return { ...placed, ...pictures({ x: 0, y: 0, w: wide, h: foot }, videos), trends };
  if (!videos.length) return { ...placed, nav: { x: 0, y: 0, w: wide, h: foot }, trends };
  return {
    ...placed, ...pictures({ x: 0, y: 0, w: wide, h: foot }, videos),
    nav: { ...trends, w: 7 }, trends: { ...trends, x: 7, w: wide - 7 },
  };
}

/** @param {Spec[]} panes */
function sorted(panes) {
  const kind = (/** @type {string} */ k) => panes.filter((p) => p.kind === k);
  return { waves: kind("waves")[0], numbers: kind("numbers")[0], videos: kind("video"), nav: kind("nav")[0], devices: kind("device") };
}

/** Traces above, loose numbers below. @param {Rect} area @param {Spec|undefined} waves @param {Spec|undefined} numbers @returns {Placed} */
function vitals(area, waves, numbers) {
  if (!waves && !numbers) return {};
  if (!numbers) return { waves: area };
  if (!waves) return { numbers: area };
  const tall = Math.min(9, 3 * Math.ceil(numbers.weight / 4));
  return { waves: { ...area, h: area.h - tall }, numbers: { ...area, y: area.y + area.h - tall, h: tall } };
}

/** @param {Rect} area @param {Spec[]} videos @param {Spec|undefined} nav @param {Spec[]} devices @returns {Placed} */
function right(area, videos, nav, devices) {
  const shown = devices.slice(0, MOST_DEVICES);
  // Words need little height: they share lines of their own.
  const lines = [...chunks(shown.filter((d) => d.weight > WORDS), PER_ROW), ...chunks(shown.filter((d) => d.weight <= WORDS), PER_ROW)];
  const scene = videos.length || nav;
  if (!scene) return tiled(area, shown);
  const tall = lines.map((line) => Math.max(...line.map((d) => d.weight)));
  const most = scene ? 10 : area.h; // of the height that devices may take from pictures
  const devicesTall = tall.reduce((sum, t) => sum + t, 0);
  const heights = devicesTall > most ? cut(most, tall) : tall;
  let y = area.y + area.h - heights.reduce((sum, t) => sum + t, 0);
  const top = { ...area, h: y - area.y };
  /** @type {Placed} */
  const placed = {};
  lines.forEach((line, i) => {
    Object.assign(placed, beside({ x: area.x, y, w: area.w, h: heights[i] }, line));
    y += heights[i];
  });
  if (!nav) return { ...placed, ...pictures(top, videos) };
  if (!videos.length) return { ...placed, nav: top };
  const slices = Math.max(5, Math.round(top.h / 3));
  return { ...placed, ...pictures({ ...top, h: top.h - slices }, videos), nav: { ...top, y: top.y + top.h - slices, h: slices } };
}

/** The pane that has every picture. @param {Rect} area @param {Spec[]} videos @returns {Placed} */
function pictures(area, videos) {
  return videos.length ? { [videos[0].id]: area } : {};
}

/** @param {Rect} area @param {Spec[]} specs @returns {Placed} */
function stacked(area, specs) {
  let y = area.y;
  return Object.fromEntries(cut(area.h, specs.map((s) => (s.kind === "device" ? s.weight : 1))).map((h, i) => {
    const r = { ...area, y, h };
    y += h;
    return [specs[i].id, r];
  }));
}

/** @param {Rect} area @param {Spec[]} specs @returns {Placed} */
function beside(area, specs) {
  let x = area.x;
  // Wider for a device that says more, and never more than four times.
  return Object.fromEntries(cut(area.w, specs.map((s) => Math.min(4, 1 + s.places.length / 3))).map((w, i) => {
    const r = { ...area, x, w };
    x += w;
    return [specs[i].id, r];
  }));
}

/** As near to squares as a screen allows. @param {Rect} area @param {Spec[]} specs @returns {Placed} */
function tiled(area, specs) {
  if (!specs.length) return {};
  const lines = chunks(specs, Math.ceil(Math.sqrt(specs.length)));
  let y = area.y;
  return Object.assign({}, ...cut(area.h, lines.map(() => 1)).map((h, i) => {
    const line = beside({ ...area, y, h }, lines[i]);
    y += h;
    return line;
  }));
}

/** A length in whole parts, by weight. @param {number} total @param {number[]} weights */
function cut(total, weights) {
  const sum = weights.reduce((a, b) => a + b, 0);
  let done = 0;
  let from = 0;
  return weights.map((weight) => {
    done += weight;
    const to = Math.round((total * done) / sum);
    const part = to - from;
    from = to;
    return part;
  });
}

/** @template T @param {T[]} items @param {number} size @returns {T[][]} */
function chunks(items, size) {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size));
}

/** @returns {Rect} */
const whole = () => ({ x: 0, y: 0, w: CELLS, h: CELLS });

/**
 * A saved layout in this room: panes of devices that are not here keep their place for later; panes
 * that the layout has never heard of stand on free cells, else they are hidden and counted.
 *
 * @param {Spec[]} panes @param {{panes: {pane: string, x: number, y: number, w: number, h: number}[], hidden: string[]}} saved
 * @param {ViewName} view
 * @returns {Arrangement & {absent: Placed, fresh: string[]}} `fresh`: hidden only because nobody has placed them
 */
export function adopted(panes, saved, view) {
  const here = new Set(panes.map((p) => p.id));
  const all = Object.fromEntries(saved.panes.map(({ pane, x, y, w, h }) => [pane, { x, y, w, h }]));
  if (!sound(all)) return { ...arranged(panes, view), absent: {}, fresh: [] };
  const absent = Object.fromEntries(Object.entries(all).filter(([id]) => !here.has(id)));
  let placed = Object.fromEntries(Object.entries(all).filter(([id]) => here.has(id)));
  if (!Object.keys(placed).length) return { ...arranged(panes, view), absent: {}, fresh: [] };
  const least = Object.fromEntries(panes.map((p) => [p.id, p.least]));
  const fresh = [];
  for (const { id, kind } of panes) {
    if (placed[id] || saved.hidden.includes(id) || TOOLS.includes(kind) || kind === "camera") continue;
    const after = show({ ...placed, ...absent }, least, id, false);
    if (after) placed = { ...placed, [id]: after[id] };
    else fresh.push(id);
  }
  return { placed, hidden: panes.map((p) => p.id).filter((id) => !placed[id]), absent, fresh };
}
