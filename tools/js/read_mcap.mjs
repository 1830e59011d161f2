// Reads an MCAP file with the reader of the format's own authors and says what it found, as JSON.
// It checks every CRC the reader checks: of chunks, of the summary, of attachments.
import { readFile } from "node:fs/promises";
import { argv, stdout } from "node:process";
import { McapIndexedReader, McapStreamReader } from "@mcap/core";
import { decompress } from "fzstd";

const bytes = new Uint8Array(await readFile(argv[2]));
const decompressHandlers = {
  zstd: (data, size) => decompress(data, new Uint8Array(Number(size))),
};
const readable = {
  size: async () => BigInt(bytes.byteLength),
  read: async (offset, length) => bytes.subarray(Number(offset), Number(offset + length)),
};

const reader = await McapIndexedReader.Initialize({ readable, decompressHandlers });
const topics = {};
let before = 0n;
let ordered = true;
for await (const message of reader.readMessages()) {
  const channel = reader.channelsById.get(message.channelId);
  const schema = reader.schemasById.get(channel.schemaId);
  ordered &&= message.logTime >= before;
  before = message.logTime;
  const known = (topics[channel.topic] ??= {
    count: 0, schema: schema.name, encoding: channel.messageEncoding, bytes: 0,
    first: `${message.logTime}`,
  });
  known.count += 1;
  known.bytes += message.data.byteLength;
  known.last = `${message.logTime}`;
}

const stream = new McapStreamReader({
  decompressHandlers, includeChunks: true, validateCrcs: true,
});
stream.append(bytes);
const records = {};
for (let record = stream.nextRecord(); record != undefined; record = stream.nextRecord()) {
  records[record.type] = (records[record.type] ?? 0) + 1;
}
const { profile, library } = reader.header;
stdout.write(JSON.stringify({ profile, library, ordered, topics, records, done: stream.done() }));
