/**
 * MessagePack as the feed uses it: no ext types, bounded depth, integers past 2^53 as BigInt.
 *
 * Source: https://github.com/msgpack/msgpack/blob/master/spec.md
 */

const MAX_DEPTH = 16;
const utf8 = new TextDecoder("utf-8", { fatal: false });
const toUtf8 = new TextEncoder();

/** Bytes that are not MessagePack, or more of it than we accept. */
export class MsgpackError extends Error {}

class Reader {
  /** @param {Uint8Array} bytes */
  constructor(bytes) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = 0;
  }

  /** @param {number} count */
  take(count) {
    const from = this.at;
    if (from + count > this.bytes.length) {
      throw new MsgpackError(`cut short: ${count} B wanted at ${from} of ${this.bytes.length}`);
    }
    this.at = from + count;
    return from;
  }

  /** @param {number} count */
  text(count) {
    const from = this.take(count);
    return utf8.decode(this.bytes.subarray(from, from + count));
  }

  /** @param {number} count */
  bin(count) {
    const from = this.take(count);
    return this.bytes.subarray(from, from + count);
  }

  /**
   * @param {number} count
   * @param {number} depth
   */
  array(count, depth) {
    if (count > this.bytes.length - this.at) throw new MsgpackError(`array of ${count} is a lie`);
    const items = new Array(count);
    for (let i = 0; i < count; i++) items[i] = this.value(depth - 1);
    return items;
  }

  /**
   * @param {number} count
   * @param {number} depth
   */
  map(count, depth) {
    if (count > this.bytes.length - this.at) throw new MsgpackError(`map of ${count} is a lie`);
    /** @type {Record<string, any>} */
    const map = {};
    for (let i = 0; i < count; i++) {
      const key = String(this.value(depth - 1));
      if (key === "__proto__") throw new MsgpackError("key __proto__ is refused");
      map[key] = this.value(depth - 1);
    }
    return map;
  }

  /** @param {bigint} wide */
  static int(wide) {
    const narrow = Number(wide);
    return Number.isSafeInteger(narrow) ? narrow : wide;
  }

  /**
   * @param {number} depth
   * @returns {any}
   */
  value(depth) {
    if (depth < 0) throw new MsgpackError(`nested deeper than ${MAX_DEPTH}`);
    const { view } = this;
    const tag = this.bytes[this.take(1)];
    if (tag < 0x80) return tag;
    if (tag >= 0xe0) return tag - 0x100;
    if (tag < 0x90) return this.map(tag & 0x0f, depth);
    if (tag < 0xa0) return this.array(tag & 0x0f, depth);
    if (tag < 0xc0) return this.text(tag & 0x1f);
    switch (tag) {
      case 0xc0: return null;
      case 0xc2: return false;
      case 0xc3: return true;
      case 0xc4: return this.bin(view.getUint8(this.take(1)));
      case 0xc5: return this.bin(view.getUint16(this.take(2)));
      case 0xc6: return this.bin(view.getUint32(this.take(4)));
      case 0xca: return view.getFloat32(this.take(4));
      case 0xcb: return view.getFloat64(this.take(8));
      case 0xcc: return view.getUint8(this.take(1));
      case 0xcd: return view.getUint16(this.take(2));
      case 0xce: return view.getUint32(this.take(4));
      case 0xcf: return Reader.int(view.getBigUint64(this.take(8)));
      case 0xd0: return view.getInt8(this.take(1));
      case 0xd1: return view.getInt16(this.take(2));
      case 0xd2: return view.getInt32(this.take(4));
      case 0xd3: return Reader.int(view.getBigInt64(this.take(8)));
      case 0xd9: return this.text(view.getUint8(this.take(1)));
      case 0xda: return this.text(view.getUint16(this.take(2)));
      case 0xdb: return this.text(view.getUint32(this.take(4)));
      case 0xdc: return this.array(view.getUint16(this.take(2)), depth);
      case 0xdd: return this.array(view.getUint32(this.take(4)), depth);
      case 0xde: return this.map(view.getUint16(this.take(2)), depth);
      case 0xdf: return this.map(view.getUint32(this.take(4)), depth);
      default: throw new MsgpackError(`tag 0x${tag.toString(16)} is not used on the feed`);
    }
  }
}

/**
 * Read one value that fills `bytes` exactly. Binary values are views into `bytes`, not copies.
 *
 * @param {Uint8Array} bytes
 * @returns {any}
 * @throws {MsgpackError} cut short, too deep, trailing bytes, or an ext type
 */
export function decode(bytes) {
  const reader = new Reader(bytes);
  const value = reader.value(MAX_DEPTH);
  if (reader.at !== bytes.length) {
    throw new MsgpackError(`${bytes.length - reader.at} B left after the value`);
  }
  return value;
}

class Writer {
  constructor() {
    this.bytes = new Uint8Array(256);
    this.view = new DataView(this.bytes.buffer);
    this.at = 0;
  }

  /** @param {number} count */
  room(count) {
    const from = this.at;
    this.at += count;
    if (this.at > this.bytes.length) {
      const wider = new Uint8Array(Math.max(this.at, this.bytes.length * 2));
      wider.set(this.bytes);
      this.bytes = wider;
      this.view = new DataView(wider.buffer);
    }
    return from;
  }

  /** @param {number} tag */
  tag(tag) {
    const from = this.room(1); // may replace the bytes
    this.bytes[from] = tag;
  }

  /**
   * @param {number} count
   * @param {number} fix tag of the short form
   * @param {number} most longest short form
   * @param {number} wide tag of the 16-bit form
   */
  size(count, fix, most, wide) {
    if (count <= most) return this.tag(fix | count);
    if (count > 0xffff) throw new MsgpackError(`${count} items are too many for the feed`);
    this.tag(wide);
    const from = this.room(2);
    this.view.setUint16(from, count);
  }

  /** @param {bigint} wide */
  int(wide) {
    if (wide >= 0n && wide < 128n) return this.tag(Number(wide));
    if (wide < 0n && wide >= -32n) return this.tag(Number(wide) + 0x100);
    this.tag(wide < 0n ? 0xd3 : 0xcf);
    const from = this.room(8);
    if (wide < 0n) this.view.setBigInt64(from, wide);
    else this.view.setBigUint64(from, wide);
  }

  /** @param {any} value */
  value(value) {
    if (value === null || value === undefined) this.tag(0xc0);
    else if (typeof value === "boolean") this.tag(value ? 0xc3 : 0xc2);
    else if (typeof value === "bigint") this.int(value);
    else if (typeof value === "number") {
      if (Number.isSafeInteger(value)) return this.int(BigInt(value));
      this.tag(0xcb);
      const from = this.room(8);
      this.view.setFloat64(from, value);
    } else if (typeof value === "string") {
      const text = toUtf8.encode(value);
      this.size(text.length, 0xa0, 31, 0xda);
      const from = this.room(text.length);
      this.bytes.set(text, from);
    } else if (Array.isArray(value)) {
      this.size(value.length, 0x90, 15, 0xdc);
      for (const item of value) this.value(item);
    } else {
      const entries = Object.entries(value);
      this.size(entries.length, 0x80, 15, 0xde);
      for (const [key, item] of entries) {
        this.value(key);
        this.value(item);
      }
    }
  }
}

/**
 * @param {any} value null, booleans, numbers, BigInt, strings, arrays and plain objects
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function encode(value) {
  const writer = new Writer();
  writer.value(value);
  return writer.bytes.slice(0, writer.at);
}
