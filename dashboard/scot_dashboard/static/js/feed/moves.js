/**
 * Which of the page's moves through time have arrived: what is pressed after one is meant for where
 * it leads, however late that is shown. @import {Transport} from "../types.js"
 */

const GIVE_UP_MS = 3_000;

export class Moves {
  constructor() {
    this.arrived = 0;
    /** @type {Map<number, {move: number, bus_ns: bigint|null, local: number}>} wishes on their way to the player */
    this.flying = new Map();
  }

  /** The page's own cursor is there at once. @param {number} move */
  here(move) {
    this.arrived = Math.max(this.arrived, move || 0);
  }

  /** @param {number} wish @param {number} move @param {number} local */
  sent(wish, move, local) {
    if (move) this.flying.set(wish, { move, bus_ns: null, local });
  }

  /** The player has done it at this bus time; it is seen when its state is of then or later. @param {number} wish @param {bigint} bus_ns */
  done(wish, bus_ns) {
    const flying = this.flying.get(wish);
    if (flying) flying.bus_ns = bus_ns;
  }

  /** The player will not do it. @param {number} wish */
  refused(wish) {
    this.here(this.flying.get(wish)?.move ?? 0);
    this.flying.delete(wish);
  }

  /** @param {Transport|null} player @param {number} local */
  settle(player, local) {
    for (const [wish, { move, bus_ns, local: since }] of this.flying) {
      const seen = player !== null && bus_ns !== null && BigInt(player.bus_ns) >= bus_ns;
      if (!seen && local - since < GIVE_UP_MS) continue;
      this.here(move);
      this.flying.delete(wish);
    }
  }
}
