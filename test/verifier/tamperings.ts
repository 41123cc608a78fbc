/**
 * Ways to tamper with a small archive, by an administrator whom no lock stops, and the findings that
 * each must give. For every verifier alike.
 */
import assert from 'node:assert/strict';
import { checkpointText, originOf } from '../../schemas/evidence/checkpoint.ts';
import { KEYS_LOG, rotationBody } from '../../schemas/evidence/key-leaf.ts';
import { leafBytes, timeOf } from '../../schemas/evidence/leaf.ts';
import { evidenceKey, partitionLog } from '../../schemas/evidence/log-layout.ts';
import { anomalyOf, manifestBytes } from '../../schemas/evidence/manifest.ts';
import { leafHash, rootOf } from '../../schemas/evidence/merkle.ts';
import { ed25519Signer, type Signer, signNote } from '../../schemas/evidence/note.ts';
import type { LogState } from '../../schemas/evidence/root-leaf.ts';
import { slotKey } from '../../schemas/layout.ts';
import { LogWriter } from '../../services/evidence/log-writer.ts';
import type { Bucket } from '../double/bucket.ts';
import {
  ADDRESSES,
  NAME,
  PREFIX,
  type SmallArchive,
  START_MS,
  signer,
  smallArchive,
} from './proof-archive.ts';

export const stranger = ed25519Signer(NAME, Buffer.alloc(32, 99));
export const LOG = partitionLog(ADDRESSES[0]!);

export async function scene(): Promise<SmallArchive> {
  const archive = smallArchive();
  for (const records of [3, 1, 4]) await archive.seal(records);
  await archive.root(0);
  await archive.seal(2);
  await archive.root(1);
  return archive;
}

export const leafKey = (number: number, log = LOG): string =>
  evidenceKey(PREFIX, { log, kind: 'leaf', number });
export const noteKey = (number: number, log = LOG): string =>
  evidenceKey(PREFIX, { log, kind: 'note', number });
export const dataKey = (firstOffset: bigint, partition = 0): string =>
  slotKey(PREFIX, { ...ADDRESSES[partition]!, firstOffset });

/** As an administrator whom no lock stops: the object is another now, and was never anything else. */
export function replace(bucket: Bucket, key: string, bytes: Buffer | null): void {
  const retention = bucket.current(key)?.retention ?? null;
  for (const one of bucket.versions(key).filter((version) => version.key === key)) {
    one.retention = null;
    bucket.version(key, one.versionId).retention = null;
    bucket.remove(key, one.versionId);
  }
  if (bytes !== null) bucket.put(key, bytes, { retention });
}

export function changed(bucket: Bucket, key: string, from: string, to: string): void {
  const text = bucket.current(key)!.bytes!.toString('latin1');
  assert.ok(text.includes(from), `${key} has ${from}`);
  replace(bucket, key, Buffer.from(text.replace(from, to), 'latin1'));
}

/** `kept` takes the checkpoints that somebody had elsewhere, where only they show what was done. */
export type Tampering = (archive: SmallArchive, kept: Buffer[]) => Promise<void> | void;

/** Hands over to another key at the start of the day. */
async function rotated({ store }: SmallArchive): Promise<Signer> {
  const next = ed25519Signer(NAME, Buffer.alloc(32, 42));
  const log = await LogWriter.open(store, PREFIX, KEYS_LOG);
  const body = await rotationBody(timeOf(START_MS), signer.verifier, next);
  await log.append((end) => leafBytes(end, body));
  await log.sign(signer);
  return next;
}

export const TAMPERINGS: Array<[what: string, codes: string[], act: Tampering]> = [
  ['a deleted segment', ['delete_marker'], ({ bucket }) => void bucket.remove(dataKey(3n))],
  [
    'a forged segment over a deleted one',
    ['delete_marker', 'extra_version'],
    ({ bucket }) => {
      bucket.remove(dataKey(3n));
      bucket.put(dataKey(3n), Buffer.from('forged'));
    },
  ],
  [
    'a second version of a manifest',
    ['extra_version'],
    ({ bucket }) => void bucket.put(leafKey(1), Buffer.from('{}')),
  ],
  [
    'a segment that is gone',
    ['segment_missing'],
    ({ bucket }) => replace(bucket, dataKey(3n), null),
  ],
  [
    'one changed byte of a record',
    ['segment_altered'],
    ({ bucket }) => changed(bucket, dataKey(0n), 'getTable', 'getTablE'),
  ],
  [
    'a byte behind a segment',
    ['segment_altered'],
    ({ bucket }) =>
      replace(
        bucket,
        dataKey(0n),
        Buffer.concat([bucket.current(dataKey(0n))!.bytes!, Buffer.of(0)]),
      ),
  ],
  [
    'two segments swapped',
    ['segment_altered'],
    ({ bucket }) => {
      const one = bucket.current(dataKey(0n))!.bytes!;
      const other = bucket.current(dataKey(4n))!.bytes!;
      replace(bucket, dataKey(0n), other);
      replace(bucket, dataKey(4n), one);
    },
  ],
  [
    'a segment of another partition',
    ['segment_altered'],
    ({ bucket }) => replace(bucket, dataKey(0n), bucket.current(dataKey(0n, 1))!.bytes!),
  ],
  [
    'a planted segment between two',
    ['planted_object'],
    ({ bucket }) => void bucket.put(dataKey(1n), bucket.current(dataKey(0n))!.bytes!),
  ],
  [
    'a planted file in the data folder',
    ['planted_object'],
    ({ bucket }) => void bucket.put(`${PREFIX}data/x`, Buffer.from('x')),
  ],
  [
    'a planted file beside the logs',
    ['planted_object'],
    ({ bucket }) => void bucket.put(`${PREFIX}evidence/x`, Buffer.from('x')),
  ],
  [
    'a manifest edited',
    ['segment_differs', 'leaf_chain', 'leaf_tree', 'checkpoint_root', 'fork'],
    ({ bucket }) => changed(bucket, leafKey(1), '"records":1', '"records":2'),
  ],
  [
    'a manifest that is no JSON',
    ['leaf_invalid'],
    ({ bucket }) => replace(bucket, leafKey(1), Buffer.from('nonsense\n')),
  ],
  ['a manifest that is gone', ['leaf_missing'], ({ bucket }) => replace(bucket, leafKey(1), null)],
  [
    'a manifest of another partition',
    ['leaf_misplaced'],
    ({ bucket }) =>
      replace(bucket, leafKey(1), bucket.current(leafKey(1, partitionLog(ADDRESSES[1]!)))!.bytes!),
  ],
  [
    'two manifests swapped',
    ['leaf_misplaced'],
    ({ bucket }) => {
      const [one, other] = [leafKey(1), leafKey(2)].map((key) => bucket.current(key)!.bytes!);
      replace(bucket, leafKey(1), other!);
      replace(bucket, leafKey(2), one!);
    },
  ],
  [
    'the last segment cut off with its manifest and checkpoint',
    ['truncated'],
    ({ bucket }) => {
      for (const key of [dataKey(8n), leafKey(3), noteKey(4)]) replace(bucket, key, null);
    },
  ],
  [
    'a whole partition gone',
    ['truncated'],
    ({ bucket }) => {
      for (const { key } of bucket.versions('').filter((one) => one.key.includes('/00000/'))) {
        replace(bucket, key, null);
      }
    },
  ],
  [
    'a checkpoint of another key',
    ['checkpoint_signature'],
    async ({ bucket }) => {
      const text = bucket.current(noteKey(2))!.bytes!.toString().split('\n\n')[0]!;
      replace(bucket, noteKey(2), await signNote(`${text}\n`, stranger));
    },
  ],
  [
    'a signed checkpoint of another history',
    ['checkpoint_root'],
    async ({ bucket }) => {
      const origin = originOf(NAME, LOG);
      const root = rootOf([leafHash(Buffer.from('a')), leafHash(Buffer.from('b'))]);
      replace(
        bucket,
        noteKey(2),
        await signNote(checkpointText({ origin, size: 2, root }), signer),
      );
    },
  ],
  [
    'a checkpoint of another log',
    ['checkpoint_invalid'],
    ({ bucket }) =>
      replace(bucket, noteKey(2), bucket.current(noteKey(2, partitionLog(ADDRESSES[1]!)))!.bytes!),
  ],
  [
    'a checkpoint that is none',
    ['checkpoint_invalid'],
    ({ bucket }) => replace(bucket, noteKey(2), Buffer.from('x')),
  ],
  [
    'history rewritten with the key, the roots left',
    ['fork'],
    async ({ bucket, store }) => {
      for (const { key } of bucket.versions('').filter((one) => one.key.includes(LOG))) {
        replace(bucket, key, null);
      }
      const log = await LogWriter.open(store, PREFIX, LOG);
      for (let number = 0; number < 4; number++) {
        const anomaly = anomalyOf(0n, 'rewound', 'k', `${number}`);
        await log.append((end) => manifestBytes(end, anomaly));
      }
      await log.sign(signer);
    },
  ],
  [
    'a root with fewer leaves than the one before',
    ['root_order'],
    async ({ bucket, store }) => {
      const log = await LogWriter.open(store, PREFIX, 'root');
      const time = timeOf(START_MS + 7_200_000);
      await log.append((end) => leafBytes(end, { time, logs: [] }));
      await log.sign(signer);
      assert.ok(bucket.current(noteKey(3, 'root')));
    },
  ],
  [
    'a backdated root',
    ['root_order'],
    async (archive) => {
      await archive.root(-5);
    },
  ],
  [
    'an anomaly that the archiver recorded',
    ['anomaly'],
    async ({ store }) => {
      const log = await LogWriter.open(store, PREFIX, LOG);
      await log.append((end) => manifestBytes(end, anomalyOf(10n, 'mismatch', 'k', 'detail')));
      await log.sign(signer);
    },
  ],
  [
    'manifests that leave offsets out',
    ['tiling'],
    async ({ store }) => {
      const log = await LogWriter.open(store, PREFIX, LOG);
      await log.append((end) => manifestBytes(end, anomalyOf(12n, 'mismatch', 'k', 'detail')));
      await log.sign(signer);
    },
  ],
  [
    'retention taken away',
    ['retention_missing'],
    ({ bucket }) => {
      bucket.version(dataKey(0n), bucket.current(dataKey(0n))!.versionId).retention = null;
    },
  ],
  [
    'retention shortened',
    ['retention_short'],
    ({ bucket }) => {
      const retention = { mode: 'COMPLIANCE', untilMs: START_MS + 1_000 } as const;
      bucket.version(dataKey(0n), bucket.current(dataKey(0n))!.versionId).retention = retention;
    },
  ],
  [
    'retention in governance mode',
    ['retention_mode'],
    ({ bucket }) => {
      const untilMs = START_MS + 400 * 86_400_000;
      const retention = { mode: 'GOVERNANCE', untilMs } as const;
      bucket.version(dataKey(0n), bucket.current(dataKey(0n))!.versionId).retention = retention;
    },
  ],
  [
    'a manifest without retention',
    ['retention_differs'],
    ({ bucket }) => {
      bucket.version(leafKey(0), bucket.current(leafKey(0))!.versionId).retention = null;
    },
  ],
  [
    'a rotation to a key of somebody else',
    ['checkpoint_signature'],
    async ({ store }) => {
      const log = await LogWriter.open(store, PREFIX, KEYS_LOG);
      const body = await rotationBody(timeOf(START_MS), signer.verifier, stranger);
      await log.append((end) => leafBytes(end, body));
      await log.sign(stranger);
    },
  ],
  [
    'a rotation from a key that is not in force',
    ['key_rotation'],
    async ({ store }) => {
      const log = await LogWriter.open(store, PREFIX, KEYS_LOG);
      const other = ed25519Signer(NAME, Buffer.alloc(32, 55));
      const body = await rotationBody(timeOf(START_MS), stranger.verifier, other);
      await log.append((end) => leafBytes(end, body));
      await log.sign(signer);
    },
  ],
  [
    'a root signed by a key that was rotated away',
    ['signed_after_rotation'],
    async (archive) => {
      const log = await LogWriter.open(archive.store, PREFIX, KEYS_LOG);
      const body = await rotationBody(timeOf(START_MS), signer.verifier, stranger);
      await log.append((end) => leafBytes(end, body));
      await log.sign(signer);
      await archive.root(5);
    },
  ],
  [
    'a new end signed by a key that was rotated away days before',
    ['signed_after_rotation'],
    async (archive) => {
      const next = await rotated(archive);
      await archive.root(30, next);
      await archive.seal(1);
      await archive.root(31, next);
    },
  ],
  [
    'the log of keys cut off',
    ['truncated'],
    async (archive) => {
      const next = await rotated(archive);
      const log = await LogWriter.open(archive.store, PREFIX, KEYS_LOG);
      const state: LogState = [KEYS_LOG, log.size, log.end.frontier.root().toString('base64')];
      await archive.root(2, next, [state]);
      replace(archive.bucket, leafKey(0, KEYS_LOG), null);
      replace(archive.bucket, noteKey(1, KEYS_LOG), null);
    },
  ],
  [
    'a stranger within a log',
    ['planted_object'],
    ({ bucket }) => void bucket.put(`${PREFIX}evidence/${LOG}/!`, Buffer.from('x')),
  ],
];
