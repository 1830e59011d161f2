/** The WebSocket: opens, keeps asking the time, comes back by itself. */

import { decode, encode } from "./msgpack.js";

const FIRST_WAIT_MS = 400;
const LONGEST_WAIT_MS = 4_000;
const SILENT_MS = 5_000;
const FINAL = new Set([4400, 4401, 4403, 4409]);

export class Link {
  /**
   * @param {string} url
   * @param {(message: any[], local: number) => void} take
   * @param {(state: "open"|"closed"|"final", code: number) => void} tell
   */
  constructor(url, take, tell) {
    this.url = url;
    this.take = take;
    this.tell = tell;
    this.wait_ms = FIRST_WAIT_MS;
    this.ended = false;
    this.heard = performance.now();
    this.connected = false;
    this.asked = 0;
    /** @type {WebSocket|null} */
    this.socket = null;
    setInterval(() => this.tick(), 250);
    this.open();
  }

  open() {
    const socket = new WebSocket(this.url);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    socket.onopen = () => {
      this.connected = true;
      this.heard = performance.now();
      this.asked = 0;
      this.tell("open", 0);
    };
    socket.onmessage = (event) => {
      const local = performance.now();
      this.heard = local;
      this.wait_ms = FIRST_WAIT_MS;
      if (event.data instanceof ArrayBuffer) this.take(decode(new Uint8Array(event.data)), local);
    };
    socket.onclose = (event) => this.closed(socket, event.code);
  }

  /** @param {WebSocket} socket @param {number} code */
  closed(socket, code) {
    if (socket !== this.socket) return;
    this.connected = false;
    this.socket = null;
    if (this.ended || FINAL.has(code)) {
      this.ended = true;
      this.tell("final", code);
      return;
    }
    this.tell("closed", code);
    setTimeout(() => this.open(), this.wait_ms);
    this.wait_ms = Math.min(LONGEST_WAIT_MS, this.wait_ms * 1.6);
  }

  /** Ask the time: eight times in the first two seconds, then each second. */
  tick() {
    if (!this.connected) return;
    this.asked++;
    if (this.asked <= 8 || this.asked % 4 === 0) this.send(["clock", performance.now()]);
    if (this.asked > 8 && performance.now() - this.heard > SILENT_MS) this.socket?.close();
  }

  /** Whether bytes have come of late. */
  get alive() {
    return this.connected && performance.now() - this.heard < 2_000;
  }

  /** @param {any} message */
  send(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(encode(message));
  }

  /** The server says goodbye. @param {number} code @returns {boolean} whether it is for good */
  bye(code) {
    if (!FINAL.has(code)) return false;
    this.end();
    return true;
  }

  /** Do not come back. */
  end() {
    this.ended = true;
    this.socket?.close();
  }
}
