/** The room's alarm log: asked for once somebody opens it, then kept. @import {LogLine} from "../types.js"  @import {Room} from "./room.js"  @import {Track} from "./store.js" */

const GATHER_MS = 150;

export class AlarmLog {
  /** @param {Room} room */
  constructor(room) {
    this.room = room;
    this.wanted = false;
    this.due = false;
    room.onLog = () => this.changed();
  }

  /** Tell the main thread all of this case, and whatever comes. */
  want() {
    const { room } = this;
    const addresses = this.addresses();
    if (!this.wanted && addresses.length) {
      this.wanted = true;
      room.ask({ addresses, between: [room.playhead.oldest, room.time.now()], done: () => this.changed() });
    }
    this.changed();
  }

  addresses() {
    return this.room.of((channel) => Boolean(channel.attrs?.log));
  }

  changed() {
    if (!this.wanted || this.due) return;
    this.due = true;
    setTimeout(() => {
      this.due = false;
      const { room } = this;
      const lines = this.addresses().flatMap((address) =>
        linesOf(room.store.track(address, "event", true), (ns) => room.time.fromNs(ns)));
      room.tell("alarmLog", { lines: lines.sort((a, b) => b.t - a.t) });
    }, GATHER_MS);
  }
}

/**
 * What a person reads of a log: what changed its state, and who did what.
 *
 * @param {Track} track
 * @param {(ns: bigint) => number} toT
 * @returns {LogLine[]}
 */
export function linesOf(track, toT) {
  /** @type {LogLine[]} */
  const lines = [];
  for (const { value } of track.samples) {
    const { at_ns, was = "", by = "", condition, signals } = value;
    if (!condition && !signals) continue;
    const line = { t: toT(BigInt(at_ns)), was, by, ...(condition ? factsOf(condition) : QUIET) };
    if (signals) lines.push({ ...line, to: signals.activation });
    else if (was && !quiet(condition, was)) lines.push(line);
  }
  return lines;
}

const QUIET = { to: "", kind: "", priority: "", device: "", id: "", text: {}, value: null, limit: null, channel: "" };

/** @param {any} c */
function factsOf(c) {
  return {
    to: c.state, kind: c.kind, priority: c.priority, device: c.device, id: c.id,
    text: c.text ?? {}, value: c.value ?? null, limit: c.limit ?? null, channel: c.channel ?? "",
  };
}

/** What was nothing goes with its source, and comes back with it: the room's own line says so once. @param {any} c @param {string} was */
function quiet(c, was) {
  return c.under === "inactive" && (c.state === "unknown" || was === "unknown") && !c.id.startsWith("room/");
}
