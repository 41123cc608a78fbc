/**
 * `schemas/verify.py` beside `lakeseal verify`: two readings of one page, which must agree on every
 * archive, untouched or tampered with, and on every proof.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { generateKeyPairSync, sign as signBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { type Signer, verifierOf } from '../../schemas/evidence/note.ts';
import { exitCodeOf, type Finding } from '../../services/verifier/findings.ts';
import { folderSource } from '../../services/verifier/folder-source.ts';
import { prove } from '../../services/verifier/prove.ts';
import { findingsIn } from './findings-in.ts';
import { NAME, PREFIX, type SmallArchive, signer, smallArchive } from './proof-archive.ts';
import { dataKey, replace, scene, TAMPERINGS } from './tamperings.ts';
import { writeFolder } from './write-folder.ts';

const SCRIPT = join(import.meta.dirname, '..', '..', 'schemas', 'verify.py');
const KEY = signer.verifier.vkey;
const root = mkdtempSync(join(tmpdir(), 'lakeseal-verify-'));
after(() => rmSync(root, { recursive: true }));
let folders = 0;

const hasPython = spawnSync('python3', ['--version']).status === 0;
const skip = hasPython ? false : 'python3 is not here: verify.py was NOT compared';
if (!hasPython) console.error(`\n*** ${skip} ***\n`);

function python(...args: string[]) {
  const { status, stdout, stderr } = spawnSync('python3', [SCRIPT, ...args], { encoding: 'utf8' });
  return { status, stdout, stderr };
}

async function both(archive: SmallArchive, deep: boolean): Promise<[string[], string[]]> {
  folders += 1;
  const folder = join(root, String(folders));
  await writeFolder(archive.bucket, folder);
  const found = await findingsIn(folderSource(folder), { deep });
  const args = [folder, '--prefix', PREFIX, '--key', KEY, '--json', ...(deep ? ['--deep'] : [])];
  const { status, stdout, stderr } = python(...args);
  assert.equal(stderr, '');
  assert.equal(status, exitCodeOf(found), stdout);
  const report = JSON.parse(stdout) as { findings: Finding[] };
  const facts = (findings: readonly Finding[]): string[] =>
    [...new Set(findings.map(({ code, key }) => `${code} ${key}`))].sort();
  return [facts(found), facts(report.findings)];
}

function ecdsaSigner(): Signer {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const sign = async (text: Buffer) => signBytes('sha256', text, privateKey);
  return { verifier: verifierOf(NAME, publicKey), sign };
}

describe('verify.py', { skip }, () => {
  test('finds nothing in an archive that nobody touched', async () => {
    for (const deep of [false, true]) {
      assert.deepEqual(await both(await scene(), deep), [[], []]);
    }
  });

  for (const [what, codes, act] of TAMPERINGS) {
    test(`agrees on ${what}`, async () => {
      const archive = await scene();
      await act(archive);
      const [ours, theirs] = await both(archive, true);
      assert.deepEqual(theirs, ours);
      for (const code of codes)
        assert.ok(
          theirs.some((fact) => fact.startsWith(code)),
          code,
        );
    });
  }

  test('takes ECDSA for what it is, and another key of that kind for another', async () => {
    const [ours, other] = [ecdsaSigner(), ecdsaSigner()];
    const archive = smallArchive();
    await archive.seal(3, false);
    await archive.root(0, ours);
    const folder = join(root, 'ecdsa');
    await writeFolder(archive.bucket, folder);
    for (const { verifier } of [ours, other]) {
      const found = await findingsIn(folderSource(folder), { verifiers: [verifier] });
      const { status } = python(folder, '--prefix', PREFIX, '--key', verifier.vkey, '--deep');
      assert.equal(status, verifier === ours.verifier ? 0 : 1);
      assert.equal(status, exitCodeOf(found));
    }
  });

  test('agrees on what is not proved yet', async () => {
    const archive = await scene();
    await archive.seal(1, false);
    archive.bucket.put(dataKey(11n), Buffer.from('x'));
    const [ours, theirs] = await both(archive, false);
    assert.deepEqual(theirs, ours);
    assert.equal(ours.length, 3);
    replace(archive.bucket, dataKey(0n), null);
    const [one, other] = await both(archive, false);
    assert.deepEqual(other, one);
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
