/**
 * Which tools are drawn on which picture, by the catalogue alone.
 * @import {Catalogue} from "../types.js"  @import {Place} from "../plan.js"  @import {Plan} from "./steering.js"
 */

import { axisOf, planOf, steered } from "./steering.js";
import { isRegistration, registrationOf } from "./registration.js";

/**
 * @typedef {object} Navigation
 * @property {string} frame of the picture
 * @property {Place|null} registration what leads from the tools' frame to the picture's; null: they are one
 * @property {string} volume stem of the picture behind the frame; empty: there is none
 * @property {Place} main
 * @property {Place[]} others in the same frame
 * @property {Place[]} strangers tools of another frame: not drawn, and said so
 * @property {number[]|null} target
 * @property {number[]|null} entry
 * @property {Plan} plan
 * @property {Record<string, number[]>} axes
 */

/** @param {Catalogue} catalogue @param {Place[]} poses @returns {Navigation|null} */
export function navigationOf(catalogue, poses) {
  const tools = poses.filter((p) => !["target", "entry"].includes(p.channel.name) && !isRegistration(p));
  const frameOf = (/** @type {Place} */ p) => p.channel.frame ?? "";
  const leadOf = (/** @type {Place} */ p) => (catalogue.volumes[frameOf(p)] ? null : registrationOf(catalogue, poses, frameOf(p), p.device));
  const drawn = tools.filter((p) => catalogue.volumes[frameOf(p)] || leadOf(p));
  // A tool with a plan comes first, even where there is no picture for it: that must be said.
  const main = drawn.find((p) => steered(p.channel)) ?? tools.find((p) => steered(p.channel)) ?? drawn[0];
  if (!main) return null;
  const told = frameOf(main);
  const registration = leadOf(main);
  const frame = registration?.channel.frame ?? told;
  const same = tools.filter((p) => p !== main && frameOf(p) === told);
  const attrs = [main, ...same].map((p) => p.channel.attrs ?? {}).find((a) => planOf(a).target) ?? main.channel.attrs ?? {};
  const plan = planOf(attrs);
  return {
    frame, main, plan, registration,
    volume: catalogue.volumes[frame] ?? "",
    others: same,
    strangers: tools.filter((p) => frameOf(p) !== told && p.channel.attrs?.axis),
    target: plan.target,
    entry: plan.entry,
    axes: Object.fromEntries([main, ...same].map((p) => [p.address, axisOf(p.channel.attrs?.axis)])),
  };
}
