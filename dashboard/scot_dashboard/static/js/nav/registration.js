/**
 * From the frame in which a tracker tells its tools to the frame of the picture, or not at all. Without a
 * registration that holds a tool is not drawn on a slice: at a wrong place it looks like one at the right place.
 * @import {Catalogue, Cell} from "../types.js"  @import {Place} from "../plan.js"
 */

import { toolState, turned, usable } from "./steering.js";

/** @typedef {{position: number[], orientation: number[], err_mm?: number|null}} PoseLike */

/** Whether a channel is a registration and no tool. @param {Place} place */
export const isRegistration = ({ channel }) => Boolean(channel.attrs?.maps_from);

/**
 * What leads from a frame of reference to one that has a picture; of the same device, if there are several.
 *
 * @param {Catalogue} catalogue @param {Place[]} poses @param {string} frame @param {string} device
 * @returns {Place|null}
 */
export function registrationOf(catalogue, poses, frame, device) {
  const leads = poses.filter((p) => frame && p.channel.attrs?.maps_from === frame && catalogue.volumes[p.channel.frame ?? ""]);
  return leads.find((p) => p.device === device) ?? (leads.length === 1 ? leads[0] : null);
}

/** What a registration is worth now. @param {Cell|undefined} cell @returns {"never"|"stale"|"invalid"|"registered"} */
export function registrationState(cell) {
  const state = toolState(cell);
  return state === "seen" ? "registered" : state === "never" || state === "stale" ? state : "invalid";
}

/** Two errors of which neither knows of the other; unknown if either is. @param {number|null|undefined} a mm @param {number|null|undefined} b */
export const together = (a, b) => (a == null || b == null ? null : Math.hypot(a, b));

/** The rotation that does `b` and then `a`. @param {number[]} a unit quaternion x, y, z, w @param {number[]} b */
function after([ax, ay, az, aw], [bx, by, bz, bw]) {
  return [
    aw * bx + ax * bw + ay * bz - az * by, aw * by - ax * bz + ay * bw + az * bx,
    aw * bz + ax * by - ay * bx + az * bw, aw * bw - ax * bx - ay * by - az * bz,
  ];
}

/** A pose of the tracker's frame in the picture's, with the error of both. @template {PoseLike} P @param {PoseLike} by @param {P} pose @returns {P} */
export function through(by, pose) {
  const place = turned(by.orientation, pose.position);
  return {
    ...pose,
    position: place.map((v, k) => v + by.position[k]),
    orientation: after(by.orientation, pose.orientation),
    err_mm: together(pose.err_mm, by.err_mm),
  };
}

/**
 * Poses as they are drawn: all in the picture's frame, or none of them.
 *
 * @param {any[]} poses as the feed tells them @param {string} address of the registration; empty: none is needed
 */
export function registered(poses, address) {
  if (!address) return poses;
  const by = poses.find((pose) => pose.address === address);
  if (!by || !by.visible || by.stale || usable(by, by.flags ?? 0) !== "seen") return [];
  return poses.filter((pose) => pose !== by).map((pose) => through(by, pose));
}
