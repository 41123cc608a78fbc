/**
 * What is in the state topic: for each group of a rule that has anything to keep, its state, and for
 * each partition one checkpoint, and one entry that tells which rule sets have judged it. The topic is
 * compacted; a null value ends an entry.
 *
 * A value is one version byte, the offset of the matches topic up to which it is folded (8 bytes,
 * big-endian: every match before that offset is in it), the writer (8 bytes), and then what is kept.
 * An entry that ends carries the same 16 bytes in the header `at`, since it has no value.
 *
 * The offset is what makes writers that did not know they were over harmless: whoever reads keeps, of
 * two entries of one key, the one that is folded further, wherever it stands. A compacted topic keeps
 * the later one, so `setup` gives the topic a compaction lag that is longer than such a writer should
 * live, and the checkpoint names the owners, by which one that is left over is known (`restore.ts`).
 *
 * The checkpoint is written after the groups of its offset. So with it at N, every group is folded up
 * to N or further, and one that is further says so. Pure.
 */
import type { KafkaRecord, RecordHeader } from '../../ingest/record.ts';

export const CHECKPOINT_KEY = 'checkpoint';
export const RULES_KEY = 'rules';
const GROUP_PREFIX = 'g:';
const VERSION = 1;
const HEAD_BYTES = 1 + 8 + 8;
const AT_HEADER = 'at';

export interface StateEntry {
  what: 'group' | 'checkpoint' | 'rules';
  /** Key of a group as correlation gives it; empty for the others. */
  group: string;
  /** Every match before this offset is in it. */
  folded: bigint;
  /** Which process wrote it. */
  writer: bigint;
  /** null: nothing is left to keep. */
  state: Buffer | null;
}

export interface StateMessage {
  key: Buffer;
  value: Buffer | null;
  headers: RecordHeader[];
}

export function encodeStateEntry({ what, group, folded, writer, state }: StateEntry): StateMessage {
  const key = Buffer.from(keyOf(what, group));
  const head = Buffer.alloc(HEAD_BYTES);
  head[0] = VERSION;
  head.writeBigInt64BE(folded, 1);
  head.writeBigUInt64BE(BigInt.asUintN(64, writer), 9);
  if (state === null) return { key, value: null, headers: [{ key: AT_HEADER, value: head }] };
  return { key, value: Buffer.concat([head, state]), headers: [] };
}

function keyOf(what: StateEntry['what'], group: string): string {
  if (what === 'group') return GROUP_PREFIX + group;
  return what === 'checkpoint' ? CHECKPOINT_KEY : RULES_KEY;
}

function whatOf(key: string): StateEntry['what'] | null {
  if (key.startsWith(GROUP_PREFIX)) return 'group';
  if (key === CHECKPOINT_KEY) return 'checkpoint';
  return key === RULES_KEY ? 'rules' : null;
}

/** null where it is not an entry of this version. Copies what it keeps. */
export function decodeStateEntry(
  record: Pick<KafkaRecord, 'key' | 'value' | 'headers'>,
): StateEntry | null {
  const { key, value, headers } = record;
  const name = key?.toString('utf8') ?? '';
  const what = whatOf(name);
  if (what === null) return null;
  const head = value ?? headers.find((header) => header.key === AT_HEADER)?.value;
  if (head === undefined || head === null || head.length < HEAD_BYTES || head[0] !== VERSION) {
    return null;
  }
  return {
    what,
    group: what === 'group' ? name.slice(GROUP_PREFIX.length) : '',
    folded: head.readBigInt64BE(1),
    writer: head.readBigUInt64BE(9),
    state: value === null ? null : Buffer.from(value.subarray(HEAD_BYTES)),
  };
}
