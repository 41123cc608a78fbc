/**
 * Proofs of every record of a small archive, their check with nothing but the key, and every way to
 * change one. The number of reads must not grow with the archive.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { encodeAuditEvent, frame } from '../../schemas/audit-event.ts';
import { evidenceKey, partitionLog } from '../../schemas/evidence/log-layout.ts';
import { ed25519Signer } from '../../schemas/evidence/note.ts';
import {
  checkProof,
  ProofError,
  parseProof,
  type RecordProof,
} from '../../schemas/evidence/proof.ts';
import { slotKey } from '../../schemas/layout.ts';
import { decodeJson } from '../../services/ingest/decode.ts';
import {
  checkConsistency,
  parseConsistency,
  proveConsistency,
} from '../../services/verifier/consistency.ts';
import { findEvent } from '../../services/verifier/find-event.ts';
import { type ProveOptions, prove } from '../../services/verifier/prove.ts';
import {
  ADDRESSES,
  eventIdOf,
  PREFIX,
  SCHEMA_ID,
  START_MS,
  signer,
  smallArchive,
} from './proof-archive.ts';

const verifiers = [signer.verifier];
const TOPIC = 'databricks.audit';

async function scene(): Promise<{
  archive: ReturnType<typeof smallArchive>;
  options: ProveOptions;
}> {
  const archive = smallArchive();
  for (const records of [3, 1, 7, 2, 5]) await archive.seal(records);
  await archive.root(0);
  await archive.seal(4);
  await archive.root(1);
  await archive.seal(6);
  return { archive, options: { store: archive.store, prefix: PREFIX, verifiers } };
}

describe('prove', () => {
  test('proves every record, and the proof needs nothing but the key', async () => {
    const { options } = await scene();
    for (const { partition } of ADDRESSES) {
      for (let offset = 0n; offset < 28n; offset++) {
        const { proof } = await prove({ topic: TOPIC, partition, offset }, options);
        const proven = checkProof(parseProof(JSON.stringify(proof)), verifiers);
        assert.equal(proven.offset, offset);
        assert.match(proven.value!.toString(), new RegExp(`"${eventIdOf(partition, offset)}"`));
        assert.equal(proven.partitionSize, 7);
        assert.equal(proven.root?.time ?? null, offset < 22n ? '2026-11-24T01:00:00Z' : null);
      }
    }
  });

  test('says why there is no proof', async () => {
    const { archive, options } = await scene();
    const at = { topic: TOPIC, partition: 0 };
    await assert.rejects(prove({ ...at, offset: 28n }, options), { code: 'NOT_ARCHIVED' });
    await assert.rejects(prove({ ...at, partition: 9, offset: 0n }, options), {
      code: 'NOT_ARCHIVED',
    });
    await archive.seal(2, false);
    await assert.rejects(prove({ ...at, offset: 28n }, options), { code: 'NOT_PROVABLE' });
    const other = [ed25519Signer('audit.example.com/lakeseal', Buffer.alloc(32, 1)).verifier];
    await assert.rejects(prove({ ...at, offset: 1n }, { ...options, verifiers: other }), {
      code: 'DOES_NOT_VERIFY',
    });
  });

  test('an older checkpoint serves where the newest leaves have none', async () => {
    const { archive, options } = await scene();
    await archive.seal(2, false);
    const { proven } = await prove({ topic: TOPIC, partition: 1, offset: 27n }, options);
    assert.equal(proven.partitionSize, 7);
  });

  test('gives no proof from an archive that was changed', async () => {
    const changes: Array<(archive: ReturnType<typeof smallArchive>) => void> = [
      ({ bucket }) => {
        const key = slotKey(PREFIX, { ...ADDRESSES[0]!, firstOffset: 4n });
        const bytes = Buffer.from(bucket.current(key)!.bytes!);
        bytes[bytes.length - 40]! ^= 1;
        bucket.put(key, bytes);
      },
      ({ bucket }) => bucket.remove(slotKey(PREFIX, { ...ADDRESSES[0]!, firstOffset: 4n })),
      ({ bucket }) => {
        const log = partitionLog(ADDRESSES[0]!);
        const key = evidenceKey(PREFIX, { log, kind: 'leaf', number: 2 });
        const text = bucket.current(key)!.bytes!.toString();
        bucket.put(key, Buffer.from(text.replace('"records":7', '"records":8')));
      },
    ];
    for (const change of changes) {
      const { archive, options } = await scene();
      change(archive);
      const address = { topic: TOPIC, partition: 0, offset: 5n };
      await assert.rejects(prove(address, options), { code: 'DOES_NOT_VERIFY' });
    }
  });

  test('no proof survives a change of anything in it', async () => {
    const { options } = await scene();
    const { proof } = await prove({ topic: TOPIC, partition: 0, offset: 9n }, options);
    const other = (await prove({ topic: TOPIC, partition: 1, offset: 9n }, options)).proof;
    const flip = (text: string): string => {
      const at = text.length >> 1;
      return `${text.slice(0, at)}${text[at] === 'A' ? 'B' : 'A'}${text.slice(at + 1)}`;
    };
    const record = proof.record;
    const root = proof.root!;
    const changed: Array<Partial<RecordProof>> = [
      { cluster: 'else' },
      { topic: 'else' },
      { topicId: 'else' },
      { partition: 1 },
      { record: { ...record, offset: '8' } },
      { record: { ...record, timestamp: '8' } },
      { record: { ...record, key: record.key === null ? '' : null } },
      { record: { ...record, headers: [...record.headers, ['h', null]] } },
      { record: { ...record, value: flip(record.value!) } },
      { record: { ...record, value: null } },
      { record: other.record },
      { recordIndex: proof.recordIndex + 1 },
      { recordHashes: proof.recordHashes.slice(1) },
      { recordHashes: proof.recordHashes.with(0, other.recordHashes[0]!) },
      { manifest: proof.manifest.replace('"records":7', '"records":8') },
      { manifest: other.manifest },
      { partitionProof: other.partitionProof },
      { partitionProof: proof.partitionProof.replace('index 2', 'index 3') },
      { root: { ...root, leaf: root.leaf.replace('T01:', 'T02:') } },
      { root: { ...root, manifestHashes: other.root!.manifestHashes } },
      { root: { ...root, proof: root.proof.replace('index 1', 'index 0') } },
      { root: { ...root, proof: proof.partitionProof } },
    ];
    for (const change of changed) {
      const bad = JSON.stringify({ ...proof, ...change });
      assert.throws(() => checkProof(parseProof(bad), verifiers), ProofError, bad.slice(0, 200));
    }
    const stranger = [ed25519Signer('audit.example.com/lakeseal', Buffer.alloc(32, 1)).verifier];
    assert.throws(() => checkProof(proof, stranger), ProofError);
  });

  test('reads no more of a large archive than a few leaves', async () => {
    const archive = smallArchive();
    for (let segment = 0; segment < 200; segment++) await archive.seal(2, segment === 199);
    await archive.root(0);
    let reads = 0;
    const { store } = archive;
    const get: typeof store.get = (key, range) => {
      reads += 1;
      return store.get(key, range);
    };
    const counted = { ...store, get };
    const options = { store: counted, prefix: PREFIX, verifiers };
    await prove({ topic: TOPIC, partition: 1, offset: 77n }, options);
    assert.ok(reads < 80, `${reads} reads`);
  });

  test('finds the record of an event', async () => {
    const { options } = await scene();
    const search = { sinceMs: START_MS, untilMs: START_MS + 100_000 };
    const [found, ...more] = await findEvent(eventIdOf(1, 12n), search, options);
    assert.deepEqual(more, []);
    assert.equal(found!.partition, 1);
    assert.equal(found!.offset, 12n);
    assert.deepEqual(await findEvent('event-9-9', search, options), []);
  });

  test('finds every record of an event, in datums and in text, by an id that no byte shows too', async () => {
    const { archive, options } = await scene();
    const line = JSON.stringify({
      timestamp: START_MS,
      serviceName: 'unityCatalog',
      actionName: 'getTable',
      userIdentity: { email: 'ada@example.com' },
    });
    const decoded = decodeJson(Buffer.from(line));
    assert.ok(decoded.ok);
    const [event] = decoded.events;
    const { eventId } = event!;
    assert.match(eventId, /^[0-9a-f]{64}$/);
    const datum = frame(SCHEMA_ID, encodeAuditEvent(event!));
    const other = frame(SCHEMA_ID, encodeAuditEvent({ ...event!, eventId: 'another' }));
    await archive.sealValues(0, [[START_MS, other]]);
    await archive.sealValues(0, [
      [START_MS, other],
      [START_MS, datum],
    ]);
    await archive.sealValues(1, [[START_MS, line]]);
    const search = { sinceMs: START_MS - 1, untilMs: START_MS + 1 };
    const found = await findEvent(eventId, search, options);
    assert.deepEqual(
      found.map(({ partition, offset }) => [partition, offset]),
      [
        [0, 30n],
        [1, 28n],
      ],
    );
    assert.equal((await findEvent('another', search, options)).length, 2);
  });
});

describe('consistency', () => {
  test('of every older checkpoint with the newest', async () => {
    const { archive, options } = await scene();
    const log = partitionLog(ADDRESSES[0]!);
    for (let number = 1; number <= 7; number++) {
      const key = evidenceKey(PREFIX, { log, kind: 'note', number });
      const kept = archive.bucket.current(key)!.bytes!;
      const proof = await proveConsistency(kept, options.store, PREFIX, verifiers);
      const again = parseConsistency(JSON.parse(JSON.stringify(proof)))!;
      assert.deepEqual(checkConsistency(again, verifiers), { log, first: number, second: 7 });
      if (number === 7) continue;
      const bad = { ...again, hashes: again.hashes.toReversed().slice(1) };
      assert.throws(() => checkConsistency(bad, verifiers), ProofError);
    }
  });

  test('not with another history, nor with one that was cut', async () => {
    const { archive } = await scene();
    const other = smallArchive();
    for (const records of [3, 1, 8]) await other.seal(records);
    const log = partitionLog(ADDRESSES[0]!);
    const key = evidenceKey(PREFIX, { log, kind: 'note', number: 3 });
    const forked = other.bucket.current(key)!.bytes!;
    await assert.rejects(proveConsistency(forked, archive.store, PREFIX, verifiers), /histories/);
    const newest = evidenceKey(PREFIX, { log, kind: 'note', number: 7 });
    const kept = archive.bucket.current(newest)!.bytes!;
    await assert.rejects(proveConsistency(kept, other.store, PREFIX, verifiers), /was cut/);
  });
});
