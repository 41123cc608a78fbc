/**
 * Tampering by somebody who recomputes what he changes: hashes, trees and chains fit again, and in
 * some of these he holds the signing key. And what only those notice who kept a checkpoint.
 */
import { setImmediate } from 'node:timers/promises';
import { checkpointText, originOf } from '../../schemas/evidence/checkpoint.ts';
import { KEYS_LOG, rotationBody } from '../../schemas/evidence/key-leaf.ts';
import { emptyLog, endAfter, leafBytes, parseHead, timeOf } from '../../schemas/evidence/leaf.ts';
import { parseEvidenceKey, partitionLog } from '../../schemas/evidence/log-layout.ts';
import { type ManifestBody, manifestBytes, manifestOf } from '../../schemas/evidence/manifest.ts';
import { ed25519Signer, type Signer, signNote } from '../../schemas/evidence/note.ts';
import { ROOT_LOG } from '../../schemas/evidence/root-leaf.ts';
import { digestSegment } from '../../schemas/evidence/segment-digest.ts';
import { LogWriter } from '../../services/evidence/log-writer.ts';
import type { Bucket, LockMode } from '../double/bucket.ts';
import {
  ADDRESSES,
  NAME,
  PREFIX,
  type SmallArchive,
  START_MS,
  signer,
  smallArchive,
} from './proof-archive.ts';
import {
  changed,
  dataKey,
  LOG,
  leafKey,
  noteKey,
  replace,
  stranger,
  type Tampering,
} from './tamperings.ts';

type Body = Record<string, unknown>;

/** The leaves of a log as one would have written them whose bodies are these. */
function rewrite(
  bucket: Bucket,
  log: string,
  edit: (body: Body, sequence: number) => Body | null,
): void {
  const bodies: Body[] = [];
  for (let sequence = 0; ; sequence++) {
    const bytes = bucket.current(leafKey(sequence, log))?.bytes;
    if (bytes == null) break;
    const { format, log: _, sequence: __, previous, tree, ...body } = JSON.parse(bytes.toString());
    const edited = edit(body, sequence);
    if (edited !== null) bodies.push(edited);
    replace(bucket, leafKey(sequence, log), null);
  }
  let end = emptyLog(log);
  for (const [sequence, body] of bodies.entries()) {
    const bytes = leafBytes(end, body);
    replace(bucket, leafKey(sequence, log), bytes);
    end = endAfter(parseHead(bytes), bytes);
  }
}

/** Signs anew every checkpoint that the log has, over the leaves as they are now. */
async function signAnew(bucket: Bucket, log: string, by: Signer): Promise<void> {
  let end = emptyLog(log);
  for (let size = 0; ; size++) {
    if (bucket.current(noteKey(size, log)) !== null) {
      const text = { origin: originOf(NAME, log), size, root: end.frontier.root() };
      replace(bucket, noteKey(size, log), await signNote(checkpointText(text), by));
    }
    const bytes = bucket.current(leafKey(size, log))?.bytes;
    if (bytes == null) return;
    end = endAfter(parseHead(bytes), bytes);
  }
}

/** Another value in a record of the first segment, with everything in its manifest that follows. */
async function alterRecord(bucket: Bucket): Promise<void> {
  changed(bucket, dataKey(0n), 'getTable', 'getTablE');
  const digest = await digestSegment(bucket.current(dataKey(0n))!.bytes!, () => setImmediate());
  rewrite(bucket, LOG, (body, sequence) => {
    const { retention, encryption } = body as unknown as ManifestBody;
    return sequence === 0 ? { ...manifestOf(digest, { retention, encryption }) } : body;
  });
}

/** What a root tells of the log is what it is now. */
function tellRoots(bucket: Bucket, log: string): void {
  const roots = new Map<number, string>();
  let end = emptyLog(log);
  for (let size = 1; bucket.current(leafKey(size - 1, log)) !== null; size++) {
    const bytes = bucket.current(leafKey(size - 1, log))!.bytes!;
    end = endAfter(parseHead(bytes), bytes);
    roots.set(size, end.frontier.root().toString('base64'));
  }
  rewrite(bucket, ROOT_LOG, (body) => ({
    ...body,
    logs: (body.logs as Array<[string, number, string]>).map(([name, size, root]) =>
      name === log ? [name, size, roots.get(size) ?? root] : [name, size, root],
    ),
  }));
}

function protect(bucket: Bucket, key: string, mode: LockMode | null, days = 0): void {
  const retention = mode === null ? null : { mode, untilMs: START_MS + days * 86_400_000 };
  bucket.version(key, bucket.current(key)!.versionId).retention = retention;
}

/** A signed manifest behind the last, which says what the insider likes. */
async function appendManifest(
  { store, bucket, seal }: SmallArchive,
  edit: (body: Body) => Body,
): Promise<void> {
  await seal(1, false);
  const log = await LogWriter.open(store, PREFIX, LOG);
  const key = leafKey(log.size - 1);
  const text = bucket.current(key)!.bytes!.toString();
  const { format, log: _, sequence, previous, tree, ...body } = JSON.parse(text);
  replace(bucket, key, null);
  const again = await LogWriter.open(store, PREFIX, LOG);
  await again.append((end) => leafBytes(end, edit(body)));
  await again.sign(signer);
}

const newestRoot = (bucket: Bucket): Buffer => bucket.current(noteKey(2, ROOT_LOG))!.bytes!;

export const FORGED: Array<[what: string, codes: string[], act: Tampering]> = [
  [
    'a record altered and all hashes recomputed, the signatures left',
    ['checkpoint_root', 'fork'],
    ({ bucket }) => alterRecord(bucket),
  ],
  [
    'a record altered, everything recomputed and signed with another key',
    ['checkpoint_signature', 'fork'],
    async ({ bucket }) => {
      await alterRecord(bucket);
      await signAnew(bucket, LOG, stranger);
    },
  ],
  [
    'a record altered and its partition signed anew with the stolen key',
    ['fork'],
    async ({ bucket }) => {
      await alterRecord(bucket);
      await signAnew(bucket, LOG, signer);
    },
  ],
  [
    'a record altered and all up to the roots recomputed, their signatures left',
    ['checkpoint_root'],
    async ({ bucket }) => {
      await alterRecord(bucket);
      await signAnew(bucket, LOG, signer);
      tellRoots(bucket, LOG);
    },
  ],
  [
    'everything recomputed and signed anew with the stolen key: who kept a root sees it',
    ['fork'],
    async ({ bucket }, kept) => {
      kept.push(newestRoot(bucket));
      await alterRecord(bucket);
      await signAnew(bucket, LOG, signer);
      tellRoots(bucket, LOG);
      await signAnew(bucket, ROOT_LOG, signer);
    },
  ],
  [
    'two histories shown to two readers',
    ['fork'],
    async (_, kept) => {
      const other = smallArchive();
      for (const records of [3, 1, 5]) await other.seal(records);
      for (const hour of [0, 1]) await other.root(hour);
      kept.push(newestRoot(other.bucket));
    },
  ],
  [
    'the end of the log of roots cut off: who kept the last one sees it',
    ['truncated'],
    ({ bucket }, kept) => {
      kept.push(newestRoot(bucket));
      replace(bucket, noteKey(2, ROOT_LOG), null);
      replace(bucket, leafKey(1, ROOT_LOG), null);
    },
  ],
  [
    'a manifest left out and those behind it renumbered',
    ['tiling', 'checkpoint_root', 'fork', 'planted_object'],
    ({ bucket }) => rewrite(bucket, LOG, (body, sequence) => (sequence === 1 ? null : body)),
  ],
  [
    'a root left out and those behind it renumbered',
    ['checkpoint_root'],
    ({ bucket }) => rewrite(bucket, ROOT_LOG, (body, sequence) => (sequence === 0 ? null : body)),
  ],
  [
    'an hour of a root changed',
    ['checkpoint_root'],
    ({ bucket }) => changed(bucket, leafKey(1, ROOT_LOG), 'T01:00', 'T02:00'),
  ],
  [
    'a root that tells of no hour',
    ['leaf_invalid'],
    ({ bucket }) => changed(bucket, leafKey(1, ROOT_LOG), 'T01:00', 'T01:30'),
  ],
  [
    'a root that tells less of one partition',
    ['root_order'],
    async ({ store, bucket }) => {
      const before = JSON.parse(bucket.current(leafKey(1, ROOT_LOG))!.bytes!.toString());
      const first = JSON.parse(bucket.current(leafKey(0, ROOT_LOG))!.bytes!.toString());
      const log = await LogWriter.open(store, PREFIX, ROOT_LOG);
      const logs = [before.logs[0], first.logs[1]];
      await log.append((end) => leafBytes(end, { time: timeOf(START_MS + 7_200_000), logs }));
      await log.sign(signer);
    },
  ],
  [
    'a second root of the same hour',
    ['root_order'],
    async ({ root }) => {
      await root(1);
    },
  ],
  [
    'a checkpoint of more leaves than there are',
    ['truncated'],
    async ({ bucket }) => {
      const root = Buffer.alloc(32, 1);
      const text = checkpointText({ origin: originOf(NAME, LOG), size: 9, root });
      bucket.put(noteKey(9), await signNote(text, signer));
    },
  ],
  [
    'a manifest with blanks between its tokens',
    ['leaf_invalid'],
    ({ bucket }) => changed(bucket, leafKey(1), '"records":1', '"records": 1'),
  ],
  [
    'a manifest of a shorter log, whose tree is left out',
    ['leaf_invalid'],
    ({ bucket }) => {
      const leaf = JSON.parse(bucket.current(leafKey(2))!.bytes!.toString());
      replace(bucket, leafKey(2), Buffer.from(`${JSON.stringify({ ...leaf, tree: [] })}\n`));
    },
  ],
  [
    'a signed manifest that tells of another records root',
    ['segment_differs'],
    (archive) =>
      appendManifest(archive, (body) => ({
        ...body,
        recordsRoot: Buffer.alloc(32, 2).toString('base64'),
      })),
  ],
  [
    'a signed manifest that tells of another time of its records',
    ['segment_differs'],
    (archive) => appendManifest(archive, (body) => ({ ...body, timestampMax: '1' })),
  ],
  [
    'a signed manifest whose keys are in another order',
    ['leaf_invalid'],
    (archive) => appendManifest(archive, ({ kind, ...body }) => ({ ...body, kind })),
  ],
  [
    'a signed manifest whose retention is written the other way round',
    ['leaf_invalid'],
    (archive) =>
      appendManifest(archive, (body) => {
        const { mode, until } = body.retention as { mode: string; until: string };
        return { ...body, retention: { until, mode } };
      }),
  ],
  [
    'an object that is not encrypted as it was sealed',
    ['encryption_differs'],
    (archive) => appendManifest(archive, (body) => ({ ...body, encryption: { kind: 'sse-s3' } })),
  ],
  [
    'a segment sealed by nobody, with a manifest of a key of somebody else',
    ['checkpoint_signature'],
    async ({ store, seal }) => {
      await seal(1, false);
      const log = await LogWriter.open(store, PREFIX, LOG);
      await log.sign(stranger);
    },
  ],
  [
    'a partition made up, with its own log of another key',
    ['checkpoint_signature'],
    async ({ bucket, store }) => {
      const address = { ...ADDRESSES[0]!, partition: 7 };
      const log = await LogWriter.open(store, PREFIX, partitionLog(address));
      const bytes = bucket.current(dataKey(0n))!.bytes!;
      const digest = await digestSegment(bytes, () => setImmediate());
      const manifest = manifestOf(digest, { retention: null, encryption: null });
      await log.append((end) => manifestBytes(end, manifest));
      await log.sign(stranger);
    },
  ],
  [
    'a rotation whose new key did not consent',
    ['key_rotation'],
    async ({ store }) => {
      const next = ed25519Signer(NAME, Buffer.alloc(32, 42));
      const body = await rotationBody(timeOf(START_MS), signer.verifier, next);
      const proof = Buffer.from(body.proof, 'base64');
      proof[9]! ^= 1;
      const log = await LogWriter.open(store, PREFIX, KEYS_LOG);
      await log.append((end) => leafBytes(end, { ...body, proof: proof.toString('base64') }));
      await log.sign(signer);
    },
  ],
  [
    'the same bytes written over a segment',
    ['extra_version'],
    ({ bucket }) => void bucket.put(dataKey(0n), bucket.current(dataKey(0n))!.bytes!),
  ],
  [
    'a deleted checkpoint of a root',
    ['delete_marker'],
    ({ bucket }) => void bucket.remove(noteKey(2, ROOT_LOG)),
  ],
  [
    'a forged manifest over a deleted one',
    ['delete_marker', 'extra_version'],
    ({ bucket }) => {
      bucket.remove(leafKey(1));
      bucket.put(leafKey(1), Buffer.from('{}\n'));
    },
  ],
  [
    'a time stamp of a checkpoint that does not exist',
    ['planted_object'],
    ({ bucket }) => void bucket.put(noteKey(9).replace('.note', '.tsr'), Buffer.from('x')),
  ],
  [
    'a cosignature of a checkpoint that does not exist',
    ['planted_object'],
    ({ bucket }) => void bucket.put(noteKey(9).replace('.note', '.witness'), Buffer.from('x')),
  ],
  [
    'retention of a manifest shortened',
    ['retention_differs'],
    ({ bucket }) => protect(bucket, leafKey(0), 'COMPLIANCE', 300),
  ],
  [
    'retention of a checkpoint taken away',
    ['retention_differs'],
    ({ bucket }) => protect(bucket, noteKey(2), null),
  ],
  [
    'retention of a root shortened',
    ['retention_differs'],
    ({ bucket }) => protect(bucket, leafKey(1, ROOT_LOG), 'COMPLIANCE', 300),
  ],
  [
    'the checkpoint of a root in governance mode',
    ['retention_differs'],
    ({ bucket }) => protect(bucket, noteKey(1, ROOT_LOG), 'GOVERNANCE', 365),
  ],
  [
    'everything of one partition in governance mode, and shortened',
    ['retention_mode', 'retention_short', 'retention_differs'],
    ({ bucket }) => {
      for (const { key } of bucket.versions('')) {
        const log = parseEvidenceKey(PREFIX, key)?.log;
        if (log === LOG || key.startsWith(dataKey(0n).slice(0, -25))) {
          protect(bucket, key, 'GOVERNANCE', 1);
        }
      }
    },
  ],
];
