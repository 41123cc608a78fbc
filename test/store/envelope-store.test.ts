/** Encryption in front of a store: what goes through it, what does not, and keys that come and go. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isEncrypted } from '../../schemas/envelope.ts';
import { sha256 } from '../../schemas/evidence/merkle.ts';
import { slotKey } from '../../schemas/layout.ts';
import { wrappingKey } from '../../schemas/wrapping-key.ts';
import { envelopeStore } from '../../services/store/envelope-store.ts';
import { Bucket } from '../double/bucket.ts';
import { FaultPlan } from '../double/faults.ts';
import { doubleStore } from '../double/store.ts';

const PREFIX = 'p/';
const ADDRESS = { clusterId: 'c', topic: 't', topicId: 'i', partition: 0 };
const SLOT = slotKey(PREFIX, { ...ADDRESS, firstOffset: 0n });
const LATER = slotKey(PREFIX, { ...ADDRESS, firstOffset: 10n });
const PLAIN = Buffer.alloc(200_000, 'a segment of some records');
const [OLD, NEW] = [wrappingKey(Buffer.alloc(32, 1)), wrappingKey(Buffer.alloc(32, 2))];

function scene() {
  const bucket = new Bucket({ nowMs: () => 0 });
  const faults = new FaultPlan();
  const plain = doubleStore(bucket, faults);
  const hash = async (bytes: Buffer): Promise<Buffer> => sha256(bytes);
  const common = { prefix: PREFIX, sha256: hash, breathe: async () => {} };
  const withKeys = (...keys: Array<typeof OLD>) => envelopeStore(plain, { ...common, keys });
  return { bucket, faults, plain, withKeys };
}

test('a segment is stored encrypted and read as it was, whole and from its beginning', async () => {
  const { bucket, withKeys } = scene();
  const store = withKeys(OLD);
  assert.equal((await store.putIfAbsent(SLOT, PLAIN)).outcome, 'created');
  const stored = bucket.current(SLOT)!.bytes!;
  assert.ok(isEncrypted(stored) && !stored.includes('some records'));
  const whole = await store.get(SLOT);
  assert.ok(whole!.bytes.equals(PLAIN));
  assert.equal(whole!.size, PLAIN.length);
  for (const range of [
    { from: 0, to: 10 },
    { from: 0, to: 65_536 },
    { from: 0, to: 65_537 },
    { from: 0, to: 1_000_000 },
    { from: 70_000, to: 70_010 },
  ]) {
    const part = await store.get(SLOT, range);
    assert.ok(part!.bytes.equals(PLAIN.subarray(range.from, range.to)), JSON.stringify(range));
    assert.equal(part!.size, PLAIN.length);
  }
  assert.deepEqual(await store.putIfAbsent(SLOT, PLAIN), { outcome: 'exists' });
  assert.equal(await store.get(LATER), null);
});

test('what is told for the manifest is of the stored bytes, by whoever is asked', async () => {
  const { bucket, faults, withKeys } = scene();
  const store = withKeys(OLD);
  await store.putIfAbsent(SLOT, PLAIN);
  const stored = bucket.current(SLOT)!.bytes!;
  const told = await store.protection(SLOT);
  assert.equal(faults.calls('get'), 0);
  assert.deepEqual(told!.stored, { bytes: stored.length, sha256: sha256(stored) });
  assert.equal(told!.encryption?.kind, 'envelope');
  assert.deepEqual(await withKeys(OLD).protection(SLOT), told);
});

test('two that seal the same records store the same bytes', async () => {
  const [one, other] = [scene(), scene()];
  await one.withKeys(OLD).putIfAbsent(SLOT, PLAIN);
  await other.withKeys(OLD, NEW).putIfAbsent(SLOT, PLAIN, sha256(PLAIN));
  assert.ok(one.bucket.current(SLOT)!.bytes!.equals(other.bucket.current(SLOT)!.bytes!));
});

test('evidence, and segments from before there was a key, are as they are', async () => {
  const { bucket, plain, withKeys } = scene();
  await plain.putIfAbsent(SLOT, PLAIN);
  const store = withKeys(OLD);
  assert.ok((await store.get(SLOT))!.bytes.equals(PLAIN));
  assert.deepEqual(await store.protection(SLOT), await plain.protection(SLOT));
  const leaf = `${PREFIX}evidence/holds/00000000000000000000.json`;
  await store.putIfAbsent(leaf, Buffer.from('{}\n'));
  assert.equal(bucket.current(leaf)!.bytes!.toString(), '{}\n');
});

test('a new key encrypts and the old one still opens; without it nothing is guessed', async () => {
  const { bucket, withKeys } = scene();
  await withKeys(OLD).putIfAbsent(SLOT, PLAIN);
  const both = withKeys(NEW, OLD);
  await both.putIfAbsent(LATER, PLAIN);
  assert.ok((await both.get(SLOT))!.bytes.equals(PLAIN));
  assert.ok((await withKeys(NEW).get(LATER))!.bytes.equals(PLAIN));
  await assert.rejects(withKeys(NEW).get(SLOT), { code: 'ENVELOPE_KEY', retryable: false });
  // What somebody changed is no segment, and is for the archiver to halt at.
  const stored = Buffer.from(bucket.current(SLOT)!.bytes!);
  stored[stored.length - 1]! ^= 1;
  bucket.put(SLOT, stored);
  assert.ok((await both.get(SLOT))!.bytes.equals(stored));
});
