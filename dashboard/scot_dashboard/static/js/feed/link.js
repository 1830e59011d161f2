/** The WebSocket: opens, keeps asking the time, comes back by itself. */

import { decode, encode } from "./msgpack.js";

const FIRST_WAIT_MS = 400;
const LONGEST_WAIT_MS = 4_000;
const SILENT_MS = 5_000;
const TELL_BYTES = 64 << 10;
const TELL_MS = 200;
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
    this.taken = 0; // bytes of this connection
    this.told = 0;
    this.toldAt = 0;
    /** @type {WebSocket|null} */
    this.socket = null;
    setInterval(() => this.tick(), 250);
    this.open();
  }

  open() {
    const socket = new WebSocket(this.url);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    // A server that hangs takes the line and says nothing: that is no answer, too.
    setTimeout(() => socket.readyState === WebSocket.CONNECTING && socket.close(), SILENT_MS);
    socket.onopen = () => {
      this.connected = true;
      this.taken = this.told = 0;
      this.heard = performance.now();
      this.asked = 0;
      this.tell("open", 0);
    };
    socket.onmessage = (event) => {
      const local = performance.now();
      this.heard = local;
      this.wait_ms = FIRST_WAIT_MS;
      if (!(event.data instanceof ArrayBuffer)) return;
      this.taken += event.data.byteLength;
      this.tellTaken(local);
      this.take(decode(new Uint8Array(event.data)), local);
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

  /** What this worker has not taken waits in the browser: the room is told, and sends no more than fits. @param {number} local */
  tellTaken(local) {
    if (this.taken === this.told || (this.taken - this.told < TELL_BYTES && local - this.toldAt < TELL_MS)) return;
    this.told = this.taken;
    this.toldAt = local;
    this.send(["took", this.taken]);
  }

  /** Ask the time: eight times in the first two seconds, then each second. */
  tick() {
    if (!this.connected) return;
    this.tellTaken(performance.now());
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
