/**
 * Appending to a log on the store's double: restarts at every point, several writers, lost answers,
 * and what must not be continued.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseCheckpoint } from '../../schemas/evidence/checkpoint.ts';
import { leafBytes } from '../../schemas/evidence/leaf.ts';
import { evidenceKey } from '../../schemas/evidence/log-layout.ts';
import { leafHash, rootOf } from '../../schemas/evidence/merkle.ts';
import { ed25519Signer, parseNote, verifyNote } from '../../schemas/evidence/note.ts';
import { BrokenLog, countLeaves, LogWriter } from '../../services/evidence/log-writer.ts';
import { Bucket } from '../double/bucket.ts';
import { FaultPlan } from '../double/faults.ts';
import { doubleStore } from '../double/store.ts';

const LOG = 'holds';
const signer = ed25519Signer('audit.example.com', Buffer.alloc(32, 3));

function scene() {
  const bucket = new Bucket({ nowMs: () => 1_000 });
  return { bucket, store: doubleStore(bucket, new FaultPlan()) };
}

const leaf = (text: string) => (end: Parameters<typeof leafBytes>[0]) => leafBytes(end, { text });

describe('log writer', () => {
  test('finds the end of logs of any size, and goes on from it', async () => {
    const { store } = scene();
    const leaves: Buffer[] = [];
    for (let size = 0; size < 40; size++) {
      assert.equal(await countLeaves(store, 'p/', LOG), size);
      const log = await LogWriter.open(store, 'p/', LOG);
      assert.equal(log.size, size);
      const { bytes, outcome } = await log.append(leaf(`number ${size}`));
      assert.equal(outcome, 'created');
      leaves.push(leafHash(bytes));
      assert.equal(log.isSigned, false);
      if (size % 3 > 0) continue;
      assert.equal(await log.sign(signer), true);
      const note = parseNote((await store.get(log.checkpointKey))!.bytes);
      assert.equal(verifyNote(note, [signer.verifier]).signed.length, 1);
      const { size: signed, root, origin } = parseCheckpoint(note);
      assert.equal(origin, 'audit.example.com/holds');
      assert.equal(signed, size + 1);
      assert.deepEqual(root, rootOf(leaves));
      assert.equal(log.isSigned, true);
      assert.equal((await LogWriter.open(store, 'p/', LOG)).isSigned, true);
    }
  });

  test('tells how many leaves are unsigned, also of a log that was not signed for long', async () => {
    const { store } = scene();
    const log = await LogWriter.open(store, 'p/', LOG);
    for (let size = 1; size <= 2_100; size++) {
      await log.append(leaf(`${size}`));
      if (size === 7) await log.sign(signer);
      if (![1, 7, 8, 39, 40, 41, 700, 2_100].includes(size)) continue;
      const again = await LogWriter.open(store, 'p/', LOG);
      assert.equal(again.unsigned, size < 7 ? size : size - 7, `of ${size}`);
      assert.equal(again.unsigned, log.unsigned);
    }
    assert.equal(await log.sign(signer), true);
    assert.equal((await LogWriter.open(store, 'p/', LOG)).unsigned, 0);
  });

  test('goes on behind what others wrote since', async () => {
    const { store } = scene();
    const log = await LogWriter.open(store, 'p/', LOG);
    const other = await LogWriter.open(store, 'p/', LOG);
    for (let size = 1; size <= 5; size++) await other.append(leaf(`${size}`));
    await other.sign(signer);
    await log.catchUp();
    assert.equal(log.size, 5);
    assert.equal(log.isSigned, true);
    assert.deepEqual(log.last, other.last);
    assert.equal((await log.append(leaf('6'))).outcome, 'created');
    assert.equal(log.unsigned, 1);
    await log.catchUp();
    assert.equal(log.size, 6);
  });

  test('counts from what was known', async () => {
    const { store } = scene();
    const log = await LogWriter.open(store, 'p/', LOG);
    for (let size = 0; size < 30; size++) {
      for (const known of [0, 1, size >> 1, size]) {
        if (known <= size) assert.equal(await countLeaves(store, 'p/', LOG, known), size);
      }
      await log.append(leaf('x'));
    }
  });

  test('two writers: one number each, one tree', async () => {
    const { store } = scene();
    const [one, other] = await Promise.all([
      LogWriter.open(store, '', LOG),
      LogWriter.open(store, '', LOG),
    ]);
    assert.equal((await one.append(leaf('a'))).outcome, 'created');
    assert.equal((await other.append(leaf('b'))).outcome, 'overtaken');
    assert.equal((await other.append(leaf('b'))).outcome, 'created');
    assert.equal((await one.append(leaf('b'))).outcome, 'repeated');
    assert.deepEqual(one.end.frontier.root(), other.end.frontier.root());
    assert.equal(await one.sign(signer), true);
    assert.equal(await other.sign(signer), false);
  });

  test('a leaf goes behind what others write meanwhile, unless they never stop', async () => {
    const { store } = scene();
    const rival = await LogWriter.open(store, '', LOG);
    let raced = 3;
    const busyStore = {
      ...store,
      putIfAbsent: async (key: string, bytes: Buffer) => {
        if (raced > 0) await rival.append(leaf(`rival ${raced}`));
        raced -= 1;
        return store.putIfAbsent(key, bytes);
      },
    };
    const log = await LogWriter.open(busyStore, '', LOG);
    assert.equal(await log.appendBehind(leaf('mine')), 3);
    assert.equal(log.size, 4);
    await rival.catchUp();
    assert.deepEqual(rival.last, log.last);
    raced = Number.POSITIVE_INFINITY;
    await assert.rejects(log.appendBehind(leaf('more')), { code: 'LOG_BUSY', retryable: true });
  });

  test('a lost answer is met again as the same leaf', async () => {
    const { bucket } = scene();
    const faults = new FaultPlan([{ operation: 'put', nth: 0, kind: 'reset_after' }]);
    const log = await LogWriter.open(doubleStore(bucket, faults), '', LOG);
    await assert.rejects(log.append(leaf('a')));
    assert.equal((await log.append(leaf('a'))).outcome, 'repeated');
    assert.equal(log.size, 1);
  });

  test('does not continue what no writer left', async () => {
    const { bucket, store } = scene();
    const key = evidenceKey('', { log: LOG, kind: 'leaf', number: 0 });
    const log = await LogWriter.open(store, '', LOG);
    bucket.put(key, Buffer.from('{}\n'));
    await assert.rejects(log.append(leaf('a')), BrokenLog);
    await assert.rejects(LogWriter.open(store, '', LOG), BrokenLog);
    const forged = scene();
    const good = await LogWriter.open(forged.store, '', LOG);
    await good.append(leaf('a'));
    forged.bucket.put(key, leafBytes({ log: LOG, sequence: 0, previous: null, tree: [] }, {}));
    await assert.rejects(LogWriter.open(forged.store, '', LOG), /2 versions/);
  });

  test('a checkpoint of another tree is two histories', async () => {
    const { bucket, store } = scene();
    const log = await LogWriter.open(store, '', LOG);
    await log.append(leaf('a'));
    const elsewhere = scene();
    const fork = await LogWriter.open(elsewhere.store, '', LOG);
    await fork.append(leaf('b'));
    await fork.sign(signer);
    bucket.put(log.checkpointKey, (await elsewhere.store.get(fork.checkpointKey))!.bytes);
    await assert.rejects(log.sign(signer), /another tree/);
  });
});
