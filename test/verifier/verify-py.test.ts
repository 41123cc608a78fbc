/**
 * `schemas/verify.py` beside `lakeseal verify`: two readings of one page, which must agree on every
 * archive, untouched or tampered with, and on every proof.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { BASELINE_LOG } from '../../schemas/evidence/baseline-leaf.ts';
import { timeOf } from '../../schemas/evidence/leaf.ts';
import { recordBaseline } from '../../services/posture/baseline.ts';
import { prove } from '../../services/verifier/prove.ts';
import { POSTURE } from '../posture/a-posture.ts';
import { PREFIX, type SmallArchive, START_MS, signer } from './proof-archive.ts';
import { both, hasPython, KEY, python } from './readings.ts';
import { dataKey, leafKey, noteKey, replace, scene, TAMPERINGS } from './tamperings.ts';

const root = mkdtempSync(join(tmpdir(), 'lakeseal-verify-'));
after(() => rmSync(root, { recursive: true }));

const skip = hasPython ? false : 'python3 is not here: verify.py was NOT compared';
if (!hasPython) console.error(`\n*** ${skip} ***\n`);

const read = (archive: SmallArchive, deep: boolean) =>
  both(archive, { deep }, deep ? ['--deep'] : []);

describe('verify.py', { skip }, () => {
  test('finds nothing in an archive that nobody touched', async () => {
    for (const deep of [false, true]) {
      assert.deepEqual(await read(await scene(), deep), [[], []]);
    }
  });

  for (const [what, codes, act] of TAMPERINGS) {
    test(`agrees on ${what}`, async () => {
      const archive = await scene();
      await act(archive);
      const [ours, theirs] = await read(archive, true);
      assert.deepEqual(theirs, ours);
      for (const code of codes)
        assert.ok(
          theirs.some((fact) => fact.startsWith(code)),
          code,
        );
    });
  }

  test('agrees on what is not proved yet', async () => {
    const archive = await scene();
    await archive.seal(1, false);
    archive.bucket.put(dataKey(11n), Buffer.from('x'));
    const [ours, theirs] = await read(archive, false);
    assert.deepEqual(theirs, ours);
    assert.equal(ours.length, 3);
    replace(archive.bucket, dataKey(0n), null);
    const [one, other] = await read(archive, false);
    assert.deepEqual(other, one);
  });

  test('agrees on baselines, untouched and rewritten', async () => {
    const archive = await scene();
    const body = {
      time: timeOf(START_MS),
      bucket: 'archive',
      approvedBy: 'ada@example.com',
      reason: 'bucket made',
      posture: POSTURE,
      rights: [],
    };
    await recordBaseline(archive.store, PREFIX, body, signer);
    assert.deepEqual(await read(archive, true), [[], []]);
    const key = leafKey(0, BASELINE_LOG);
    const text = archive.bucket.current(key)!.bytes!.toString();
    replace(archive.bucket, key, Buffer.from(text.replace('COMPLIANCE', 'GOVERNANCE')));
    const [ours, theirs] = await read(archive, true);
    assert.deepEqual(theirs, ours);
    assert.ok(ours.includes(`checkpoint_root ${noteKey(1, BASELINE_LOG)}`), ours.join());
  });

  test('checks proofs as lakeseal does', async () => {
    const { store } = await scene();
    const options = { store, prefix: PREFIX, verifiers: [signer.verifier] };
    const address = { topic: 'databricks.audit', partition: 1, offset: 5n };
    const { proof } = await prove(address, options);
    const file = join(root, 'proof.json');
    const check = (value: object) => {
      writeFileSync(file, JSON.stringify(value));
      return python('--check-proof', file, '--key', KEY);
    };
    assert.equal(check(proof).status, 0, check(proof).stdout);
    const { record } = proof;
    const flipped = `A${proof.recordHashes[0]!.slice(1)}`;
    for (const changed of [
      { record: { ...record, offset: '4' } },
      { record: { ...record, timestamp: '4' } },
      { record: { ...record, value: record.key } },
      { record: { ...record, headers: [['h', null]] } },
      { recordIndex: proof.recordIndex + 1 },
      { recordHashes: [flipped, ...proof.recordHashes.slice(1)] },
      { manifest: proof.manifest.replace('"records":4', '"records":5') },
      { partition: 0 },
      { partitionProof: proof.partitionProof.replace('index 2', 'index 1') },
      { root: { ...proof.root!, leaf: proof.root!.leaf.replace('T01:', 'T02:') } },
      { kind: 'else' },
    ]) {
      assert.equal(check({ ...proof, ...changed }).status, 1, JSON.stringify(changed).slice(0, 80));
    }
  });

  test('says when it could not run', () => {
    assert.equal(python(join(root, 'nowhere'), '--key', KEY).status, 3);
    assert.equal(python(root).status, 3);
    assert.equal(python(root, '--key', 'nonsense').status, 3);
  });
});
