/** Copies of archives for benchmarks: one partition with a company day's events, compressed as the archiver does it. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { auditEventType, encodeAuditEvent, frame } from '../../schemas/audit-event.ts';
import { evidenceKey, partitionLog } from '../../schemas/evidence/log-layout.ts';
import { manifestBytes, manifestOf } from '../../schemas/evidence/manifest.ts';
import { ed25519Signer } from '../../schemas/evidence/note.ts';
import { digestSegment } from '../../schemas/evidence/segment-digest.ts';
import { slotKey } from '../../schemas/layout.ts';
import { parseSpliceSchema } from '../../schemas/segment.ts';
import { finishHere } from '../../services/archiver/block-finisher.ts';
import { blockCompressor } from '../../services/archiver/compress.ts';
import { OpenSegment } from '../../services/archiver/open-segment.ts';
import { LogWriter } from '../../services/evidence/log-writer.ts';
import { decodeJson } from '../../services/ingest/decode.ts';
import { companyDay } from '../company/day.ts';
import { Bucket } from '../double/bucket.ts';
import { FaultPlan } from '../double/faults.ts';
import { doubleStore } from '../double/store.ts';

export const signer = ed25519Signer('audit.example.com/bench', Buffer.alloc(32, 5));
export const ADDRESS = {
  clusterId: 'cluster',
  topic: 'databricks.audit',
  topicId: 'topic',
  partition: 0,
};
export const PREFIX = 'sealed/';
const BLOCK_BYTES = 256 * 1024;
const EVENTS = 20_000;

export interface MadeArchive {
  /** Holds the evidence, but no segments. */
  store: ReturnType<typeof doubleStore>;
  log: LogWriter;
  /** Kafka values, in order. */
  values: Buffer[];
}

/** An archive of as many segments, each of so many records, in a folder. Its events come again once all were there. */
export async function makeArchive(
  folder: string,
  segments: number,
  records: number,
  events = EVENTS,
): Promise<MadeArchive> {
  const schema = parseSpliceSchema(JSON.stringify(auditEventType.schema()));
  if ('problem' in schema) throw new Error(schema.problem);
  const day = companyDay({ seed: 1, events, days: 1, workspaces: 5, benign: false });
  const values = [...day.lines()].flatMap(({ line }) => {
    const decoded = decodeJson(Buffer.from(line));
    return decoded.ok ? decoded.events.map((event) => frame(1, encodeAuditEvent(event))) : [];
  });
  const bucket = new Bucket({ nowMs: () => 0 });
  const store = doubleStore(bucket, new FaultPlan());
  const log = await LogWriter.open(store, PREFIX, partitionLog(ADDRESS));
  const finisher = finishHere(blockCompressor('deflate', undefined));
  const options = { codec: 'deflate', blockBytes: BLOCK_BYTES, finisher } as const;
  const evidence = (kind: 'leaf' | 'note', number: number): string =>
    evidenceKey(PREFIX, { log: log.log, kind, number });
  let offset = 0n;
  for (let index = 0; index < segments; index += 1) {
    const segment = new OpenSegment({ ...ADDRESS, firstOffset: offset }, options);
    segment.adoptSchema(1, schema);
    const key = slotKey(PREFIX, { ...ADDRESS, firstOffset: offset });
    for (let at = 0; at < records; at += 1) {
      const value = values[Number(offset) % values.length]!;
      const timestamp = 1_790_000_000_000n + offset;
      segment.add({ offset, timestamp, key: null, value, headers: [] }, 1, 0);
      offset += 1n;
    }
    const { bytes } = await segment.finish();
    const digest = await digestSegment(bytes, () => setImmediate());
    const manifest = manifestOf(digest, { retention: null, encryption: null });
    await log.append((end) => {
      const leaf = manifestBytes(end, manifest);
      write(folder, evidence('leaf', index), leaf);
      return leaf;
    });
    write(folder, key, bytes);
  }
  await log.sign(signer);
  const note = evidence('note', segments);
  write(folder, note, (await store.get(note))!.bytes);
  return { store, log, values };
}

/** As the copy of an object. */
export function write(folder: string, key: string, bytes: Uint8Array): void {
  const path = join(folder, ...key.split('/'));
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, bytes);
}
