/**
 * Floors inside one process, on the bytes of a real topic: what the codec alone takes for the
 * sealed bytes, what `JSON.parse` takes for the lines, what a whole Avro decode takes for the
 * records.
 *
 *   node test/bench/floors.ts DELIVERY_FOLDER
 *
 * Prints one JSON object with records per second of one core.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { deflateRawSync, gunzipSync } from 'node:zlib';
import avro from 'avsc';
import { auditEventSchema, encodeAuditEvent } from '../../schemas/audit-event.ts';
import { decodeJson } from '../../services/ingest/decode.ts';

const BLOCK_BYTES = 256 * 1024;
const DEFLATE_LEVEL = 6;
const ROUNDS = 3;
/** Enough for steady figures, few enough to fit in memory as lines, datums and blocks. */
const RECORDS_MAX = 60_000;

function loadLines(folder: string): string[] {
  const lines: string[] = [];
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort();
  for (const name of names.filter((file) => file.endsWith('.json.gz'))) {
    for (const line of gunzipSync(readFileSync(join(folder, name)))
      .toString('utf8')
      .split('\n')) {
      if (line !== '') lines.push(line);
    }
    if (lines.length >= RECORDS_MAX) break;
  }
  return lines;
}

function encodeAll(lines: string[]): Buffer[] {
  return lines.flatMap((line) => {
    const decoded = decodeJson(line);
    return decoded.ok ? decoded.events.map((event) => Buffer.from(encodeAuditEvent(event))) : [];
  });
}

function blocksOf(datums: Buffer[]): Buffer[] {
  const blocks: Buffer[] = [];
  let open: Buffer[] = [];
  let size = 0;
  for (const datum of datums) {
    open.push(datum);
    size += datum.length;
    if (size < BLOCK_BYTES) continue;
    blocks.push(Buffer.concat(open));
    open = [];
    size = 0;
  }
  if (open.length > 0) blocks.push(Buffer.concat(open));
  return blocks;
}

/** Times per second of the best of some rounds: the floor is what the machine can do. */
function rate(count: number, run: () => void): number {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    const startedAt = process.hrtime.bigint();
    run();
    best = Math.min(best, Number(process.hrtime.bigint() - startedAt) / 1e9);
  }
  return Math.round(count / best);
}

const lines = loadLines(process.argv[2]!);
const datums = encodeAll(lines);
const blocks = blocksOf(datums);
const type = avro.Type.forSchema(auditEventSchema as unknown as avro.Schema);
const bytes = datums.reduce((sum, { length }) => sum + length, 0);
let sink = 0;
const result = {
  records: datums.length,
  bytesPerRecord: Math.round(bytes / datums.length),
  deflatePerSecond: rate(datums.length, () => {
    for (const block of blocks) sink += deflateRawSync(block, { level: DEFLATE_LEVEL }).length;
  }),
  jsonParsePerSecond: rate(lines.length, () => {
    for (const line of lines) sink += Object.keys(JSON.parse(line) as object).length;
  }),
  avroDecodePerSecond: rate(datums.length, () => {
    for (const datum of datums) sink += (type.fromBuffer(datum) as { raw: string }).raw.length;
  }),
};
if (sink === 0) throw new Error('nothing was measured');
process.stdout.write(JSON.stringify(result));
