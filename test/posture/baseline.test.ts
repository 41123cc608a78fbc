/** The log of baselines: recorded, read back by the keys that are trusted, and judged against. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { BaselineBody, Posture, TriedRights } from '../../schemas/evidence/baseline-leaf.ts';
import { BASELINE_LOG, parseBaseline } from '../../schemas/evidence/baseline-leaf.ts';
import { emptyLog, LeafError, leafBytes, timeOf } from '../../schemas/evidence/leaf.ts';
import { ed25519Signer, type Signer } from '../../schemas/evidence/note.ts';
import { LogWriter } from '../../services/evidence/log-writer.ts';
import { readBaseline, recordBaseline } from '../../services/posture/baseline.ts';
import { judgePosture } from '../../services/posture/judge.ts';
import { NAME, PREFIX, type SmallArchive, START_MS, signer } from '../verifier/proof-archive.ts';
import { leafKey, noteKey, replace, scene } from '../verifier/tamperings.ts';
import { POSTURE } from './a-posture.ts';

const BUCKET = 'archive';
const RIGHTS: TriedRights = [
  ['s3:PutBucketPolicy', 'denied'],
  ['s3:DeleteObject', 'denied'],
];
const stranger = ed25519Signer(NAME, Buffer.alloc(32, 99));

const body = (changes: Partial<BaselineBody> = {}): BaselineBody => ({
  rights: RIGHTS,
  posture: POSTURE,
  reason: 'bucket made',
  approvedBy: 'ada@example.com',
  bucket: BUCKET,
  time: timeOf(START_MS),
  ...changes,
});

async function recorded(changes: Array<Partial<BaselineBody>>, by: Signer = signer) {
  const archive = await scene();
  for (const change of changes) await recordBaseline(archive.store, PREFIX, body(change), by);
  return archive;
}

function judge(
  { store }: SmallArchive,
  posture: Posture = POSTURE,
  rights: TriedRights | null = [['s3:PutBucketPolicy', 'denied']],
) {
  return judgePosture({
    store,
    target: { bucket: BUCKET, prefix: PREFIX },
    verifiers: [signer.verifier],
    read: () => Promise.resolve(posture),
    rights: rights === null ? null : () => Promise.resolve(rights),
  });
}

const codes = ({ findings }: Awaited<ReturnType<typeof judge>>): string[] =>
  findings.map(({ code }) => code);

describe('a baseline', () => {
  test('is a leaf whose keys are in their order, whatever order they were given in', async () => {
    const { store } = await recorded([{}]);
    const { baseline } = await readBaseline(store, PREFIX, [signer.verifier]);
    assert.deepEqual(Object.keys(baseline!), [
      ...['time', 'bucket', 'approvedBy', 'reason', 'posture', 'rights', 'sequence'],
    ]);
    assert.deepEqual(baseline!.posture, POSTURE);
    assert.deepEqual(baseline!.rights, RIGHTS.toReversed());
  });

  test('that has another form is none', () => {
    const bytes = (value: object): Buffer => leafBytes(emptyLog(BASELINE_LOG), value);
    const { policy: _, ...less } = POSTURE;
    assert.throws(() => parseBaseline(bytes(body())), /rights: not sorted/);
    assert.throws(() => parseBaseline(bytes({ ...body({ rights: [] }), more: 1 })), LeafError);
    assert.throws(
      () => parseBaseline(bytes(body({ rights: [], posture: less as Posture }))),
      LeafError,
    );
    const { time, bucket, approvedBy, reason, posture, rights } = body({ rights: [] });
    const ordered = { time, bucket, approvedBy, reason, posture, rights };
    assert.doesNotThrow(() => parseBaseline(bytes(ordered)));
    const turned = { bucket, time, approvedBy, reason, posture, rights };
    assert.throws(() => parseBaseline(bytes(turned)), /not as a writer writes it/);
  });

  test('the newest counts, and each change of it is another leaf', async () => {
    const archive = await recorded([{}, { reason: 'retention raised' }]);
    const { baseline, exitCode } = await judge(archive);
    assert.equal(baseline?.reason, 'retention raised');
    assert.equal(baseline?.sequence, 1);
    assert.equal(exitCode, 0);
  });
});

describe('judged', () => {
  test('as recorded, widened, and recovered by another baseline', async () => {
    const archive = await recorded([{}]);
    assert.deepEqual(codes(await judge(archive)), []);
    const now: Posture = { ...POSTURE, objectLock: { state: 'absent' } };
    const widened = await judge(archive, now, [['s3:PutBucketPolicy', 'held']]);
    assert.deepEqual(codes(widened), ['object_lock', 'right']);
    assert.equal(widened.exitCode, 1);
    await recordBaseline(archive.store, PREFIX, body({ posture: now }), signer);
    assert.equal((await judge(archive, now)).exitCode, 0);
  });

  test('without a baseline, or one of another bucket, nothing is fine', async () => {
    const none = await judge(await recorded([]));
    assert.deepEqual([codes(none), none.exitCode], [['baseline_missing'], 2]);
    const other = await judge(await recorded([{ bucket: 'copy' }]));
    assert.deepEqual([codes(other), other.exitCode], [['other_bucket'], 2]);
  });

  test('the newest that is signed counts, and that there is a newer one is said', async () => {
    const archive = await recorded([{}]);
    const log = await LogWriter.open(archive.store, PREFIX, BASELINE_LOG);
    await log.append((end) => leafBytes(end, body({ rights: [], reason: 'not signed' })));
    const { baseline, exitCode, ...verdict } = await judge(archive);
    assert.equal(baseline?.reason, 'bucket made');
    assert.deepEqual(
      [codes({ baseline, exitCode, ...verdict }), exitCode],
      [['baseline_unsigned'], 2],
    );
  });

  test('another key’s baseline, and one that was rewritten or written over, do not verify', async () => {
    const fails = (archive: SmallArchive) =>
      assert.rejects(judge(archive), { code: 'DOES_NOT_VERIFY' });
    await fails(await recorded([{}], stranger));
    const changed = await recorded([{}]);
    const key = leafKey(0, BASELINE_LOG);
    const text = changed.bucket.current(key)!.bytes!.toString();
    replace(changed.bucket, key, Buffer.from(text.replace('"Enabled"', '"Never"')));
    await fails(changed);
    const over = await recorded([{}]);
    over.bucket.put(key, over.bucket.current(key)!.bytes!);
    await fails(over);
  });

  test('a baseline that was cut off is missed where a root told of it', async () => {
    const archive = await recorded([{}, { reason: 'narrowed' }]);
    const log = await LogWriter.open(archive.store, PREFIX, BASELINE_LOG);
    const root = log.end.frontier.root().toString('base64');
    await archive.root(2, signer, [[BASELINE_LOG, log.size, root]]);
    replace(archive.bucket, leafKey(1, BASELINE_LOG), null);
    replace(archive.bucket, noteKey(2, BASELINE_LOG), null);
    const verdict = await judge(archive);
    assert.deepEqual([codes(verdict), verdict.exitCode], [['baseline_cut'], 1]);
  });
});
