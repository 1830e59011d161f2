/** From the frames of the feed to samples. @import {Channel, Kind, Sample} from "../types.js" */

import { decode } from "./msgpack.js";

export const KEYFRAME = 1;
export const SIMULATED = 8;
export const INVALID = 16;
export const DOUBTFUL = 32;
export const LATE = 1 << 16;
export const BACKFILLED = 1 << 17;
export const AFTER_GAP = 1 << 18;

const text = new TextDecoder();

/**
 * Read a payload by its channel's kind.
 *
 * @param {Kind} kind
 * @param {Uint8Array} payload
 * @returns {any} numeric {value, validity}; waveform Float32Array; pose {position, orientation,
 *   quality, visible, err_mm}; video Uint8Array; text string; others the plain map
 */
export function readPayload(kind, payload) {
  switch (kind) {
    case "waveform": {
      // A view needs a multiple of four bytes to start at, which a packed message does not promise.
      const copy = payload.slice(0, payload.length & ~3);
      return new Float32Array(copy.buffer);
    }
    case "video":
      return payload;
    case "text":
      return text.decode(payload);
    case "numeric": {
      const [value = null, validity = "Vld"] = decode(payload);
      return { value, validity };
    }
    case "pose": {
      const [position, orientation, quality = null, visible = true, err = null] = decode(payload);
      if (position?.length !== 3 || orientation?.length !== 4) throw new TypeError("no pose");
      return { position, orientation, quality, visible, err_mm: err };
    }
    default:
      return decode(payload);
  }
}

/** @param {number|bigint|null} ns */
const ms = (ns) => (ns === null ? null : Number(ns) / 1e6);

/**
 * @param {Channel} channel
 * @param {any[]} header as on the bus
 * @param {Uint8Array} payload
 * @param {(ns: bigint) => number} toT
 * @returns {Sample}
 */
export function readSample(channel, header, payload, toT) {
  const ns = BigInt(header[4]);
  return {
    t: toT(ns),
    ns,
    epoch: Number(header[1]),
    seq: Number(header[2]),
    err_ms: ms(header[6]),
    bound_ms: ms(header[5]),
    state: header[7],
    flags: header[8],
    value: readPayload(channel.kind, payload),
  };
}

/**
 * The WebCodecs name of an H.264 stream, from the profile and level in its SPS.
 *
 * @param {Uint8Array} unit one Annex B access unit
 * @returns {string|null} null when it carries no SPS
 *
 * Source: ITU-T H.264 7.3.1, 7.3.2.1.1; RFC 6381 3.3
 */
export function codecOf(unit) {
  for (let i = 0; i + 6 < unit.length; i++) {
    if (unit[i] === 0 && unit[i + 1] === 0 && unit[i + 2] === 1 && (unit[i + 3] & 0x1f) === 7) {
      const hex = (/** @type {number} */ b) => b.toString(16).padStart(2, "0");
      return `avc1.${hex(unit[i + 4])}${hex(unit[i + 5])}${hex(unit[i + 6])}`;
    }
  }
  return null;
}
