/**
 * Verification of small archives: untouched ones give nothing, and each way to tamper with one is
 * found and named, in the bucket and in a copy of it.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { KEYS_LOG, rotationBody } from '../../schemas/evidence/key-leaf.ts';
import { leafBytes, timeOf } from '../../schemas/evidence/leaf.ts';
import { ed25519Signer } from '../../schemas/evidence/note.ts';
import { LogWriter } from '../../services/evidence/log-writer.ts';
import { exitCodeOf, type Finding } from '../../services/verifier/findings.ts';
import type { VerifyOptions } from '../../services/verifier/verify.ts';
import { Bucket } from '../double/bucket.ts';
import { bitFlips, withFlip } from './bit-flips.ts';
import { bucketSource } from './bucket-source.ts';
import { findingsIn } from './findings-in.ts';
import { FORGED } from './forged-histories.ts';
import {
  NAME,
  PREFIX,
  type SmallArchive,
  START_MS,
  signer,
  smallArchive,
} from './proof-archive.ts';
import { dataKey, LOG, leafKey, noteKey, scene, stranger, TAMPERINGS } from './tamperings.ts';

const findings = (
  { bucket }: Pick<SmallArchive, 'bucket'>,
  changes: Partial<VerifyOptions> = {},
): Promise<Finding[]> => findingsIn(bucketSource(bucket), changes);

const KINDS = [...TAMPERINGS, ...FORGED];

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

  test('a key takes over only with the consent of the key it follows, though another is trusted', async () => {
    const archive = await scene();
    const witness = ed25519Signer(NAME, Buffer.alloc(32, 43));
    const log = await LogWriter.open(archive.store, PREFIX, KEYS_LOG);
    const body = await rotationBody(timeOf(START_MS), signer.verifier, stranger);
    await log.append((end) => leafBytes(end, body));
    await log.sign(witness);
    await archive.root(2, stranger);
    const verifiers = [signer.verifier, witness.verifier];
    const codes = new Set((await findings(archive, { verifiers })).map(({ code }) => code));
    assert.ok(codes.has('checkpoint_signature'), [...codes].join());
  });

  test('knows forty kinds of tampering at least, each once', () => {
    const kinds = new Set(KINDS.map(([what]) => what));
    assert.equal(kinds.size, KINDS.length);
    assert.ok(kinds.size >= 40, `${kinds.size}`);
  });

  for (const [what, codes, act] of KINDS) {
    test(`finds ${what}`, async () => {
      const archive = await scene();
      const kept: Buffer[] = [];
      await act(archive, kept);
      const found = await findings(archive, { kept });
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
    const newest = other.bucket.current(noteKey(2, 'root'))!.bytes!;
    const earlier = (await scene()).bucket.current(noteKey(1, 'root'))!.bytes!;
    for (const notes of [
      [newest, earlier],
      [earlier, newest],
    ]) {
      const codes = (await findings(other, { kept: notes })).map(({ code }) => code);
      assert.deepEqual(codes, ['fork'], 'in whatever order they are given');
    }
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
    const archive = await scene();
    for (const flip of bitFlips(archive, 7, 200)) {
      await withFlip(archive, flip, async () => {
        const found = await findings(archive, { deep: false });
        const what = `${flip.key} bit ${flip.bit}: ${JSON.stringify(found)}`;
        assert.equal(exitCodeOf(found), 1, what);
        assert.ok(
          found.some(({ key }) => key === flip.key || key.startsWith(flip.key.slice(0, -26))),
          what,
        );
      });
    }
  });
});
