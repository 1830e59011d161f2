/**
 * From the catalogue to what stands where. Nothing here knows a device by name.
 * @import {Catalogue, Channel} from "./types.js"
 */

import { navigationOf } from "./nav/navigation_of.js";
import { colorOf, placeOf } from "./palette.js";
import { label } from "./text.js";

const MOST_ROWS = 7;
const MOST_FOOT = 24;
const UNKNOWN_PLACE = 9;
/** What a camera changes in mid-stream; the panes stay as they are. */
export const SIZES = new Set(["width_px", "height_px", "codec_string"]);

/**
 * @typedef {object} Place
 * @property {string} address
 * @property {string} device
 * @property {Channel} channel
 * @property {string} [title] when the device says more than the channel
 *
 * @typedef {object} Group numerics read as one: a single value, or a pressure as sys/dia (mean)
 * @property {string} key
 * @property {string} label
 * @property {string} color
 * @property {Place[]} members one, or systolic, diastolic and perhaps mean
 *
 * @typedef {object} Row
 * @property {Place} wave
 * @property {string} color
 * @property {Group[]} groups
 * @property {Place|null} [marks] channel of events that are drawn on it, such as pacing
 *
 * @typedef {import("./nav/navigation_of.js").Navigation} Navigation
 *
 * @typedef {object} Layout
 * @property {Row[]} rows
 * @property {Group[]} foot
 * @property {Place|null} video the first source of pictures
 * @property {Place[]} videos every source of pictures, by address
 * @property {Navigation|null} navigation
 * @property {Place[]} extras any further channel: the generic pane
 * @property {Place[]} technical
 * @property {Place|null} notes
 * @property {Record<string, Place>} byAddress
 */

const PARTS = ["sys", "dia", "mean"];

/** @param {Channel} channel @returns {[string, string]|null} stem and part of a pressure */
function pressure({ name, code }) {
  const byName = /^(.+)_(sys|dia|mean)$/.exec(name);
  if (byName) return [byName[1], byName[2]];
  const byCode = /^(MDC_PRESS_.+)_(SYS|DIA|MEAN)$/.exec(code ?? "");
  return byCode ? [byCode[1], byCode[2].toLowerCase()] : null;
}

/** @param {string} text without the word for its part */
function stemLabel(text) {
  return text.replace(/\s*(sys(tolic)?|dia(stolic)?|mean|収縮期|拡張期|平均|[SDM])$/i, "").trim() || text;
}

/** @param {Place[]} places numerics in reading order @returns {Group[]} */
export function groupsOf(places) {
  /** @type {Map<string, Group>} */
  const groups = new Map();
  for (const place of places) {
    const parts = pressure(place.channel);
    const key = `${place.device}/${parts ? parts[0] : place.channel.name}`;
    const group = groups.get(key);
    if (group && parts) group.members.push(place);
    else {
      const text = label(place.channel.label, place.channel.name);
      groups.set(key, {
        key, label: parts ? stemLabel(text) : text, color: colorOf(place.channel), members: [place],
      });
    }
  }
  for (const group of groups.values()) {
    const order = (/** @type {Place} */ p) => PARTS.indexOf(pressure(p.channel)?.[1] ?? "sys");
    group.members.sort((a, b) => order(a) - order(b));
  }
  return [...groups.values()].flatMap((group) => {
    const parts = group.members.map((m) => pressure(m.channel)?.[1]);
    if (parts.length < 2 || (parts[0] === "sys" && parts[1] === "dia")) return [group];
    return group.members.map((m) => ({
      ...group, key: m.address, label: label(m.channel.label, m.channel.name), members: [m],
    }));
  });
}

/** @param {Catalogue} catalogue @returns {Layout} */
export function layoutOf(catalogue) {
  /** @type {Place[]} */
  const all = Object.values(catalogue.devices).flatMap((device) =>
    Object.values(device.channels ?? {}).map((channel) => ({
      address: `${catalogue.workspace}/${device.name}/${channel.name}`, device: device.name, channel,
    })),
  );
  for (const place of all.filter((p) => p.channel.kind === "video")) {
    const device = catalogue.devices[place.device];
    const videos = Object.values(device.channels ?? {}).filter((c) => c.kind === "video");
    if (videos.length === 1) place.title = label(device.label, "") || undefined;
  }
  const byAddress = Object.fromEntries(all.map((p) => [p.address, p]));
  const technical = all.filter((p) => p.channel.sensitivity === "technical");
  const shown = all.filter((p) => p.channel.sensitivity !== "technical" && p.device !== "player");
  /** @param {string} kind */
  const kind = (kind) => shown.filter((p) => p.channel.kind === kind);
  const waves = kind("waveform").map((p, i) => ({ p, i }));
  waves.sort((a, b) => placeOf(a.p.channel) - placeOf(b.p.channel) || a.i - b.i);
  /** @type {Set<string>} */
  const used = new Set();
  // The column is a monitor's; what no monitor shows stands with its own device.
  const first = waves[0]?.p.device;
  const column = waves.filter(({ p }) => p.device === first || placeOf(p.channel) < UNKNOWN_PLACE);
  const rows = column.slice(0, MOST_ROWS).map(({ p }) => {
    const members = (p.channel.numeric_of ?? [])
      .map((name) => byAddress[`${catalogue.workspace}/${p.device}/${name}`])
      .filter((n) => n && n.channel.kind === "numeric" && !used.has(n.address));
    for (const n of members) used.add(n.address);
    const marks = /^MDC_ECG/.test(p.channel.code ?? "") ? shown.find((m) => m.device === p.device && m.channel.attrs?.marks) : null;
    return { wave: p, color: colorOf(p.channel), groups: groupsOf(members), marks: marks ?? null };
  });
  const loose = kind("numeric").filter((p) => !used.has(p.address));
  const beside = rows[0]?.wave.device ?? loose[0]?.device;
  const foot = groupsOf(loose.filter((p) => p.device === beside)).slice(0, rows.length ? MOST_FOOT : 2 * MOST_FOOT);
  const navigation = navigationOf(catalogue, kind("pose"));
  const placed = new Set([
    ...rows.flatMap((r) => [r.wave.address, ...r.groups.flatMap((g) => g.members.map((m) => m.address))]),
    ...foot.flatMap((g) => g.members.map((m) => m.address)),
    ...(navigation ? [navigation.main, ...navigation.others].map((p) => p.address) : []),
    ...(navigation?.registration ? [navigation.registration.address, `${navigation.registration.address}_state`] : []),
  ]);
  const videos = kind("video").sort((a, b) => (a.address < b.address ? -1 : 1)); // its number is its key
  for (const video of videos) placed.add(video.address);
  const quiet = new Set(["alarm", "annotation"]);
  return {
    rows, foot, video: videos[0] ?? null, videos, navigation, technical, byAddress,
    extras: shown.filter((p) => !placed.has(p.address) && !quiet.has(p.channel.kind) && !p.channel.attrs?.marks
      && p.device !== "room" && p.device !== "alarms" && p.channel.sensitivity !== "identity"),
    notes: kind("annotation")[0] ?? null,
  };
}
