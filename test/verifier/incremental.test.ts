/**
 * Verification that goes on where an earlier run ended: it reads only what is new, gives the verdict
 * of a whole run on that, and never forgets a tampering.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { exitCodeOf, type Finding } from '../../services/verifier/findings.ts';
import { parseState, stateText, type VerifierState } from '../../services/verifier/kept-state.ts';
import type { ArchiveSource } from '../../services/verifier/source.ts';
import { readStateFile, writeStateFile } from '../../services/verifier/state-file.ts';
import { bucketSource } from './bucket-source.ts';
import { findingsIn, verifiedIn } from './findings-in.ts';
import { type SmallArchive, smallArchive } from './proof-archive.ts';
import { dataKey, LOG, leafKey, replace, scene, TAMPERINGS } from './tamperings.ts';

/** As it goes through a file. */
async function stateAfter(
  { bucket }: SmallArchive,
  state: VerifierState | null = null,
): Promise<VerifierState> {
  const { verification } = await verifiedIn(bucketSource(bucket), { state });
  return parseState(stateText(verification.state), 'state', 'the double');
}

/** The archive of `scene`, a state of when it was one segment, and one of its end. */
async function early(): Promise<[archive: SmallArchive, state: VerifierState]> {
  const archive = smallArchive();
  await archive.seal(3);
  const state = await stateAfter(archive);
  for (const records of [1, 4]) await archive.seal(records);
  await archive.root(0);
  await archive.seal(2);
  await archive.root(1);
  return [archive, state];
}

function counting(source: ArchiveSource): ArchiveSource & { keys: string[] } {
  const keys: string[] = [];
  return {
    ...source,
    keys,
    read: (version) => {
      keys.push(version.key);
      return source.read(version);
    },
  };
}

const facts = (found: readonly Finding[]): string[] =>
  found.map(({ code, key, versionId }) => `${code} ${key} ${versionId}`).sort();

describe('verification from a state', () => {
  test('reads what is new, the leaf before it and its checkpoint, and counts as a whole run', async () => {
    const archive = await scene();
    const state = await stateAfter(archive);
    const idle = counting(bucketSource(archive.bucket));
    const { found, verification } = await verifiedIn(idle, { state });
    assert.deepEqual(found, []);
    assert.equal(verification.incremental, true);
    assert.equal(idle.keys.length, 6, 'a leaf and a note of each of three logs');
    await archive.seal(5);
    await archive.root(2);
    const source = counting(bucketSource(archive.bucket));
    const more = await verifiedIn(source, { state });
    assert.deepEqual(more.found, []);
    assert.ok(source.keys.every((key) => !/data\/.*0{19}[0-9]\.avro/.test(key)));
    assert.equal(source.keys.length, 6 + 3 + 3 + 2, 'and a leaf, a note and a segment of each');
    const whole = await verifiedIn(bucketSource(archive.bucket));
    assert.deepEqual(more.verification.partitions, whole.verification.partitions);
    assert.deepEqual(more.verification.root, whole.verification.root);
    assert.deepEqual(more.verification.state, whole.verification.state);
  });

  for (const [what, codes, act] of TAMPERINGS) {
    test(`finds ${what} where it is new, as a whole run does`, async () => {
      const [archive, state] = await early();
      const kept: Buffer[] = [];
      await act(archive, kept);
      const whole = await findingsIn(bucketSource(archive.bucket), { kept });
      const { found, verification } = await verifiedIn(bucketSource(archive.bucket), {
        state,
        kept,
      });
      const old = [dataKey(0n), dataKey(1n), leafKey(0), leafKey(0).replace(/\d+\.json$/, '!')];
      const isOld = (key: string): boolean => old.includes(key);
      if (whole.every(({ key }) => isOld(key))) {
        assert.deepEqual(found, [], 'before the state: for the next whole run');
        assert.equal(exitCodeOf(whole), 1);
        return;
      }
      assert.equal(exitCodeOf(found), 1, codes.join());
      // It is found for as long as it is there.
      const next = { state: verification.state, kept };
      const again = await findingsIn(bucketSource(archive.bucket), next);
      assert.deepEqual(facts(again), facts(found));
    });
  }

  for (const [what, , act] of TAMPERINGS) {
    test(`finds ${what} from a state of the moment before, or leaves it to a whole run`, async () => {
      const archive = await scene();
      const state = await stateAfter(archive);
      const kept: Buffer[] = [];
      await act(archive, kept);
      const whole = facts(await findingsIn(bucketSource(archive.bucket), { kept }));
      const found = await findingsIn(bucketSource(archive.bucket), { state, kept });
      const seen = new Set(whole.map((fact) => fact.split(' ')[0]));
      for (const { code } of found) {
        assert.ok(
          seen.has(code) || code === 'truncated' || code === 'fork',
          `${code} of ${[...seen]}`,
        );
      }
      assert.equal(exitCodeOf(await findingsIn(bucketSource(archive.bucket))), 1);
    });
  }

  test('says that an end is cut, exchanged or gone', async () => {
    const cut = await scene();
    const state = await stateAfter(cut);
    replace(cut.bucket, leafKey(3), null);
    const codes = (found: Finding[]): string[] => [...new Set(found.map(({ code }) => code))];
    assert.deepEqual(codes(await findingsIn(bucketSource(cut.bucket), { state })), ['truncated']);
    const other = smallArchive();
    for (const records of [3, 1, 5]) await other.seal(records);
    await other.root(0);
    await other.seal(2);
    await other.root(1);
    assert.deepEqual(codes(await findingsIn(bucketSource(other.bucket), { state })), ['fork']);
    const empty = smallArchive();
    assert.ok(codes(await findingsIn(bucketSource(empty.bucket), { state })).includes('truncated'));
  });

  test('a log that was tampered with stays where it was, the others go on', async () => {
    const [archive, before] = await early();
    replace(archive.bucket, dataKey(3n), Buffer.from('forged'));
    const after = await stateAfter(archive, before);
    assert.deepEqual(after.logs[LOG], before.logs[LOG]);
    assert.equal(after.logs[LOG.replace(/0$/, '1')]!.size, 4);
    assert.equal(after.logs.root, undefined, 'what roots tell is held against it again');
  });

  test('a root that was older than the end of a log does not make it read the log again', async () => {
    const archive = await scene();
    await archive.seal(2);
    const source = counting(bucketSource(archive.bucket));
    await findingsIn(source, { state: await stateAfter(archive) });
    assert.equal(source.keys.length, 6);
  });

  test('a root that tells of a size before the state is held against the whole log', async () => {
    const archive = await scene();
    const state = await stateAfter(archive);
    delete state.logs.root;
    const source = counting(bucketSource(archive.bucket));
    assert.deepEqual(await findingsIn(source, { state }), []);
    assert.ok(source.keys.includes(leafKey(0)));
  });

  test('the file is for its owner, replaced whole, and of one archive', () => {
    const folder = mkdtempSync(join(tmpdir(), 'lakeseal-state-'));
    try {
      const path = join(folder, 'deeper', 'state.json');
      assert.equal(readStateFile(path), null);
      writeStateFile(path, 'one');
      writeStateFile(path, 'two');
      assert.equal(readStateFile(path), 'two');
      assert.equal(statSync(path).mode & 0o777, 0o600);
      assert.deepEqual(readdirSync(join(folder, 'deeper')), ['state.json']);
      assert.throws(() => parseState('two', path, 'a'), { code: 'STATE_INVALID' });
      const text = stateText({
        kind: 'lakeseal-verifier-state',
        format: 1,
        archive: 'a',
        trust: '0'.repeat(64),
        limits: [],
        logs: {},
      });
      assert.throws(() => parseState(text, path, 'b'), { code: 'STATE_OTHER' });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
