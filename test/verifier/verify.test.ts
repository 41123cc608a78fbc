/**
 * Verification of small archives: untouched ones give nothing, and each way to tamper with one is
 * found and named, in the bucket and in a copy of it.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { checkpointText, originOf } from '../../schemas/evidence/checkpoint.ts';
import { KEYS_LOG, rotationBody } from '../../schemas/evidence/key-leaf.ts';
import { leafBytes, timeOf } from '../../schemas/evidence/leaf.ts';
import { evidenceKey, partitionLog } from '../../schemas/evidence/log-layout.ts';
import { anomalyOf, manifestBytes } from '../../schemas/evidence/manifest.ts';
import { leafHash, rootOf } from '../../schemas/evidence/merkle.ts';
import { ed25519Signer, signNote } from '../../schemas/evidence/note.ts';
import { slotKey } from '../../schemas/layout.ts';
import { LogWriter } from '../../services/evidence/log-writer.ts';
import { exitCodeOf, type Finding } from '../../services/verifier/findings.ts';
import { type VerifyOptions, verify } from '../../services/verifier/verify.ts';
import { Bucket } from '../double/bucket.ts';
import { bucketSource } from './bucket-source.ts';
import {
  ADDRESSES,
  NAME,
  PREFIX,
  type SmallArchive,
  START_MS,
  signer,
  smallArchive,
} from './proof-archive.ts';

const stranger = ed25519Signer(NAME, Buffer.alloc(32, 99));
const LOG = partitionLog(ADDRESSES[0]!);

async function scene(): Promise<SmallArchive> {
  const archive = smallArchive();
  for (const records of [3, 1, 4]) await archive.seal(records);
  await archive.root(0);
  await archive.seal(2);
  await archive.root(1);
  return archive;
}

async function findings(
  archive: Pick<SmallArchive, 'bucket'>,
  changes: Partial<VerifyOptions> = {},
): Promise<Finding[]> {
  const found: Finding[] = [];
  await verify({
    source: bucketSource(archive.bucket),
    prefix: PREFIX,
    verifiers: [signer.verifier],
    kept: [],
    deep: true,
    nowMs: START_MS,
    rootAgeMsMax: null,
    concurrency: 2,
    judgeStamp: null,
    judgeWitness: null,
    expectStamps: false,
    breathe: () => setImmediate(),
    progress: () => {},
    found: (finding) => found.push(finding),
    ...changes,
  });
  return found;
}

const leafKey = (number: number, log = LOG): string =>
  evidenceKey(PREFIX, { log, kind: 'leaf', number });
const noteKey = (number: number, log = LOG): string =>
  evidenceKey(PREFIX, { log, kind: 'note', number });
const dataKey = (firstOffset: bigint, partition = 0): string =>
  slotKey(PREFIX, { ...ADDRESSES[partition]!, firstOffset });

/** As an administrator whom no lock stops: the object is another now, and was never anything else. */
function replace(bucket: Bucket, key: string, bytes: Buffer | null): void {
  const retention = bucket.current(key)?.retention ?? null;
  for (const one of bucket.versions(key).filter((version) => version.key === key)) {
    one.retention = null;
    bucket.version(key, one.versionId).retention = null;
    bucket.remove(key, one.versionId);
  }
  if (bytes !== null) bucket.put(key, bytes, { retention });
}

function changed(bucket: Bucket, key: string, from: string, to: string): void {
  const text = bucket.current(key)!.bytes!.toString('latin1');
  assert.ok(text.includes(from), `${key} has ${from}`);
  replace(bucket, key, Buffer.from(text.replace(from, to), 'latin1'));
}

type Tampering = (archive: SmallArchive) => Promise<void> | void;

const TAMPERINGS: Array<[what: string, codes: string[], act: Tampering]> = [
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
];

describe('verify', () => {
  test('finds nothing in an archive that nobody touched', async () => {
    assert.deepEqual(await findings(await scene()), []);
    assert.deepEqual(await findings(await scene(), { deep: false }), []);
  });

  test('finds nothing after a rotation that both keys agreed to', async () => {
    const archive = await scene();
    const log = await LogWriter.open(archive.store, PREFIX, KEYS_LOG);
    const next = ed25519Signer(NAME, Buffer.alloc(32, 42));
    const body = await rotationBody(timeOf(START_MS + 3_600_000), signer.verifier, next);
    await log.append((end) => leafBytes(end, body));
    await log.sign(signer);
    const partition = await LogWriter.open(archive.store, PREFIX, LOG);
    await archive.seal(2, false);
    await partition.append(() => archive.bucket.current(leafKey(4))!.bytes!);
    await partition.sign(next);
    const found = await findings(archive);
    assert.deepEqual(
      found.map(({ code, key }) => [code, key.includes('/00001/')]),
      [['checkpoint_missing', true]],
    );
    const onlyNew = await findings(archive, { verifiers: [next.verifier] });
    assert.ok(
      onlyNew.some(({ code }) => code === 'checkpoint_signature'),
      'trust goes forward only',
    );
  });

  for (const [what, codes, act] of TAMPERINGS) {
    test(`finds ${what}`, async () => {
      const archive = await scene();
      await act(archive);
      const found = await findings(archive);
      const names = new Set(found.map(({ code }) => code));
      for (const code of codes) assert.ok(names.has(code as never), `${[...names]} lack ${code}`);
      assert.equal(exitCodeOf(found), 1);
      assert.ok(found.every(({ expected, found: there }) => expected !== there));
    });
  }

  test('finds that what somebody kept is not there any more, or is another history', async () => {
    const kept = (await scene()).bucket.current(noteKey(2, 'root'))!.bytes!;
    const shorter = smallArchive();
    for (const records of [3, 1, 4]) await shorter.seal(records);
    await shorter.root(0);
    assert.deepEqual(await findings(shorter), []);
    const cut = await findings(shorter, { kept: [kept] });
    assert.deepEqual(
      cut.map(({ code }) => code),
      ['truncated'],
    );
    const other = smallArchive();
    for (const records of [3, 1, 5]) await other.seal(records);
    await other.root(0);
    await other.root(1);
    assert.deepEqual(await findings(other), []);
    const forked = await findings(other, { kept: [kept] });
    assert.deepEqual(
      forked.map(({ code }) => code),
      ['fork'],
    );
  });

  test('tells what is not proved yet from what was tampered with', async () => {
    const archive = await scene();
    await archive.seal(1, false);
    archive.bucket.put(dataKey(11n), archive.bucket.current(dataKey(10n))!.bytes!);
    const found = await findings(archive);
    const codes = found.map(({ code }) => code).sort();
    assert.deepEqual(codes, ['checkpoint_missing', 'checkpoint_missing', 'segment_unsealed']);
    assert.equal(exitCodeOf(found), 2);
    const empty = await findings({ bucket: new Bucket({ nowMs: () => START_MS }) });
    assert.deepEqual(
      empty.map(({ code }) => code),
      ['nothing'],
    );
    const stale = await findings(await scene(), {
      nowMs: START_MS + 9 * 3_600_000,
      rootAgeMsMax: 2 * 3_600_000,
    });
    assert.deepEqual(
      stale.map(({ code }) => code),
      ['root_stale'],
    );
  });

  test('finds a changed bit at any place of any object', async () => {
    const keys = (await scene()).bucket.list('', undefined, 1_000);
    let random = 7;
    const next = (below: number): number => {
      random = (Math.imul(random, 1_103_515_245) + 12_345) & 0x7fffffff;
      return random % below;
    };
    for (let run = 0; run < 200; run++) {
      const archive = await scene();
      const key = keys[next(keys.length)]!;
      const bytes = Buffer.from(archive.bucket.current(key)!.bytes!);
      const bit = next(bytes.length * 8);
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      replace(archive.bucket, key, bytes);
      const found = await findings(archive, { deep: false });
      assert.equal(exitCodeOf(found), 1, `${key} bit ${bit}`);
      assert.ok(
        found.some((one) => one.key === key || one.key.startsWith(key.slice(0, -26))),
        `${key} bit ${bit}: ${JSON.stringify(found)}`,
      );
    }
  });
});
