/**
 * The notary of one partition on the store's double: what it makes good, what it says once, what
 * stops it, and what it does without a key. The simulator mixes them.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { leafBytes } from '../../schemas/evidence/leaf.ts';
import { evidenceKey, partitionLog } from '../../schemas/evidence/log-layout.ts';
import {
  type ManifestBody,
  manifestBytes,
  manifestOf,
  parseManifest,
} from '../../schemas/evidence/manifest.ts';
import { sha256 } from '../../schemas/evidence/merkle.ts';
import { ed25519Signer, type Signer } from '../../schemas/evidence/note.ts';
import { digestSegment } from '../../schemas/evidence/segment-digest.ts';
import { slotKey } from '../../schemas/layout.ts';
import { assembleSegment, BlockBuilder, gapSegment } from '../../schemas/segment-writer.ts';
import { Notary } from '../../services/archiver/notary.ts';
import { Signing } from '../../services/archiver/signing.ts';
import { LogWriter } from '../../services/evidence/log-writer.ts';
import { Failure } from '../../services/runtime/errors.ts';
import { silentLog } from '../../services/runtime/log.ts';
import { Bucket } from '../double/bucket.ts';
import { FaultPlan } from '../double/faults.ts';
import { doubleStore } from '../double/store.ts';
import { judgeComplete, judgeEvidence } from './sim/evidence.ts';
import { ProcessClock, World } from './sim/time.ts';

const ADDRESS = { clusterId: 'c', topic: 't', topicId: 'i', partition: 0 };
const LOG = partitionLog(ADDRESS);
const PREFIX = 'p/';
const SIGNER = ed25519Signer('audit.example.com', Buffer.alloc(32, 3));

function segment(from: bigint, count: number, text = 'x'): Buffer {
  const builder = new BlockBuilder();
  for (let at = 0; at < count; at++) {
    const value = Buffer.from(`${text}${at}`);
    const offset = from + BigInt(at);
    builder.add({ offset, timestamp: 5n, key: null, value, headers: [] }, null);
  }
  const next = from + BigInt(count);
  return assembleSegment({
    header: {
      ...ADDRESS,
      kind: 'data',
      firstOffset: from,
      nextOffset: next,
      recordCount: count,
      lastOffset: next - 1n,
      timestampMin: 5n,
      timestampMax: 5n,
      schemaId: null,
    },
    codec: 'null',
    writerSchema: null,
    blocks: [builder.take()],
  });
}

class Scene {
  readonly world = new World();
  readonly clock = new ProcessClock(this.world);
  readonly bucket: Bucket;
  readonly faults = new FaultPlan();
  readonly stops: string[] = [];
  readonly unready = new Map<string, string>();
  behind: [bigint, number] = [0n, 0];
  signer: () => Promise<Signer | null> = async () => SIGNER;

  constructor(bucket = new Bucket({ nowMs: () => 0 })) {
    this.bucket = bucket;
  }

  notary(): Notary {
    const signing = new Signing({
      signer: () => this.signer(),
      clock: this.clock,
      log: silentLog,
      ready: (check, ok, reason) => {
        if (ok) this.unready.delete(check);
        else this.unready.set(check, reason ?? '');
      },
    });
    return new Notary(
      ADDRESS,
      {
        prefix: PREFIX,
        store: doubleStore(this.bucket, this.faults),
        signing,
        log: silentLog,
        reading: (work) => work(),
        breathe: () => setImmediate(),
      },
      {
        noted: () => {},
        behind: (offsets, unsigned) => {
          this.behind = [offsets, unsigned];
        },
        stopped: (reason) => this.stops.push(reason),
      },
    );
  }

  seal(from: bigint, bytes: Buffer): void {
    this.bucket.put(this.slot(from), bytes, { ifAbsent: true });
  }

  slot(firstOffset: bigint): string {
    return slotKey(PREFIX, { ...ADDRESS, firstOffset });
  }

  leafKey(number: number): string {
    return evidenceKey(PREFIX, { log: LOG, kind: 'leaf', number });
  }

  bodies(): ManifestBody[] {
    const keys = this.bucket.list(`${PREFIX}evidence/`, undefined, 1000);
    const leaves = keys.filter((key) => key.endsWith('.json'));
    return leaves.map((key) => parseManifest(this.bucket.current(key)!.bytes!).body);
  }

  kinds(): string[] {
    return this.bodies().map(({ kind, firstOffset }) => `${kind} ${firstOffset}`);
  }

  notes(): number {
    const keys = this.bucket.list(`${PREFIX}evidence/`, undefined, 1000);
    return keys.filter((key) => key.endsWith('.note')).length;
  }

  async opened(): Promise<Notary> {
    const notary = this.notary();
    notary.open();
    await notary.settled();
    return notary;
  }

  async verify(): Promise<void> {
    const evidence = await judgeEvidence(this.bucket, PREFIX, SIGNER.verifier);
    judgeComplete(this.bucket, PREFIX, evidence);
  }
}

describe('what is made good', () => {
  test('an archive from before there was evidence', async () => {
    const scene = new Scene();
    const gap = { from: 0n, to: 7n, reason: 'before_archive', logStartOffset: 7n } as const;
    scene.seal(0n, gapSegment(ADDRESS, gap));
    scene.seal(7n, segment(7n, 5));
    scene.seal(12n, segment(12n, 1));
    await scene.opened();
    assert.deepEqual(scene.kinds(), ['gap 0', 'data 7', 'data 12']);
    assert.equal(scene.notes(), 1);
    await scene.verify();
  });

  test('segments that became durable after the last manifest, and those told while open', async () => {
    const scene = new Scene();
    scene.seal(0n, segment(0n, 5));
    const first = await scene.opened();
    scene.seal(5n, segment(5n, 5));
    first.close();
    const next = await scene.opened();
    const bytes = segment(10n, 2);
    scene.seal(10n, bytes);
    next.sealed(10n, 12n, await digestSegment(bytes, async () => {}));
    await next.settled();
    scene.seal(12n, segment(12n, 3));
    next.sealed(12n, 15n, null);
    await next.settled();
    assert.deepEqual(scene.kinds(), ['data 0', 'data 5', 'data 10', 'data 12']);
    assert.deepEqual(scene.behind, [0n, 0]);
    await scene.verify();
  });

  test('more than it holds digests of', async () => {
    const scene = new Scene();
    const notary = scene.notary();
    for (let at = 0n; at < 400n; at++) {
      const bytes = segment(at, 1);
      scene.seal(at, bytes);
      notary.sealed(at, at + 1n, await digestSegment(bytes, async () => {}));
    }
    await notary.settled();
    assert.equal(scene.bodies().length, 400);
    await scene.verify();
  });

  test('two at once make one log', async () => {
    const bucket = new Bucket({ nowMs: () => 0 });
    const [one, other] = [new Scene(bucket), new Scene(bucket)];
    const notaries = [await one.opened(), await other.opened()];
    for (let at = 0n; at < 5n; at++) {
      const bytes = segment(at, 1);
      one.seal(at, bytes);
      const digest = await digestSegment(bytes, async () => {});
      for (const notary of notaries) notary.sealed(at, at + 1n, digest);
    }
    for (const notary of notaries) await notary.settled();
    assert.equal(one.bodies().length, 5);
    assert.deepEqual([...one.stops, ...other.stops], []);
    await one.verify();
  });
});

describe('anomalies', () => {
  test('a halt is told once, whoever meets it and how often', async () => {
    const scene = new Scene();
    scene.seal(0n, segment(0n, 5));
    for (let life = 0; life < 3; life++) {
      const notary = await scene.opened();
      notary.halted('ahead_of_kafka', scene.slot(5n), `Kafka's log ends at ${life}`);
      notary.halted('mismatch', scene.slot(5n), 'another fact');
      await notary.settled();
      notary.close();
    }
    const reasons = scene.bodies().map(({ anomaly }) => anomaly?.reason);
    assert.deepEqual(reasons, [undefined, 'ahead_of_kafka', 'mismatch']);
    assert.deepEqual(scene.kinds(), ['data 0', 'anomaly 5', 'anomaly 5']);
    assert.equal(
      (await LogWriter.open(doubleStore(scene.bucket, new FaultPlan()), PREFIX, LOG)).isSigned,
      true,
    );
    // A later writer goes on behind it.
    scene.seal(5n, segment(5n, 1));
    await scene.opened();
    assert.equal(scene.kinds().at(-1), 'data 5');
    await scene.verify();
  });

  test('a segment that is hidden, doubled or none is recorded, and evidence stops there', async () => {
    const ways: Array<[reason: string, at: bigint, tamper: (scene: Scene) => void]> = [
      ['versions', 5n, (scene) => void scene.bucket.remove(scene.slot(5n))],
      ['versions', 5n, (scene) => void scene.bucket.put(scene.slot(5n), segment(5n, 9))],
      ['not_our_segment', 10n, (scene) => void scene.seal(10n, Buffer.from('none'))],
      ['not_our_segment', 10n, (scene) => void scene.seal(10n, segment(3n, 2))],
    ];
    for (const [reason, at, tamper] of ways) {
      const scene = new Scene();
      scene.seal(0n, segment(0n, 5));
      scene.seal(5n, segment(5n, 5));
      tamper(scene);
      for (let life = 0; life < 2; life++) {
        const notary = scene.notary();
        notary.reached(15n);
        await notary.settled();
        assert.match(notary.stopReason ?? '', new RegExp(reason));
      }
      const told = scene.bodies().flatMap(({ anomaly }) => anomaly ?? []);
      assert.deepEqual(
        told.map((one) => [one.reason, one.key]),
        [[reason, scene.slot(at)]],
      );
      await judgeEvidence(scene.bucket, PREFIX, SIGNER.verifier);
    }
  });

  test('a manifest of another writer that differs in a fact of the data', async () => {
    const scene = new Scene();
    const notary = await scene.opened();
    const bytes = segment(0n, 5);
    scene.seal(0n, bytes);
    const digest = await digestSegment(bytes, async () => {});
    const store = doubleStore(scene.bucket, new FaultPlan());
    const rival = await LogWriter.open(store, PREFIX, LOG);
    const theirs = { ...digest, recordsRoot: sha256(Buffer.from('forged')) };
    const protection = { retention: null, encryption: { kind: 'none' } } as const;
    await rival.append((end) => manifestBytes(end, manifestOf(theirs, protection)));
    notary.sealed(0n, 5n, digest);
    await notary.settled();
    assert.match(notary.stopReason ?? '', /differs in recordsRoot/);
    assert.equal(scene.bodies().at(-1)!.anomaly?.reason, 'mismatch');
  });

  test('what depends on when it was looked at may differ', async () => {
    const scene = new Scene();
    const notary = await scene.opened();
    const bytes = segment(0n, 5);
    scene.seal(0n, bytes);
    const digest = await digestSegment(bytes, async () => {});
    const rival = await LogWriter.open(doubleStore(scene.bucket, new FaultPlan()), PREFIX, LOG);
    const retention = { mode: 'COMPLIANCE', until: '2026-11-28T07:00:00Z' } as const;
    const protection = { retention, encryption: null };
    await rival.append((end) => manifestBytes(end, manifestOf(digest, protection)));
    notary.sealed(0n, 5n, digest);
    await notary.settled();
    assert.equal(notary.stopReason, null);
    assert.equal(scene.bodies().length, 1);
  });

  test('a log that is not as a writer left it stops evidence, loudly', async () => {
    const scene = new Scene();
    scene.seal(0n, segment(0n, 5));
    const notary = await scene.opened();
    scene.bucket.put(
      scene.leafKey(1),
      leafBytes({ log: LOG, sequence: 1, previous: 'no', tree: [] }, {}),
    );
    scene.seal(5n, segment(5n, 5));
    notary.sealed(5n, 10n, null);
    await notary.settled();
    assert.equal(scene.stops.length, 1);
    notary.sealed(10n, 12n, null);
    await notary.settled();
    assert.equal(scene.stops.length, 1);
    assert.deepEqual(scene.behind, [7n, 0], 'how far it is behind still shows');
  });
});

describe('the key', () => {
  test('without one manifests are written, unsigned', async () => {
    const scene = new Scene();
    scene.signer = async () => null;
    scene.seal(0n, segment(0n, 5));
    scene.seal(5n, segment(5n, 5));
    const notary = await scene.opened();
    notary.tick();
    await notary.settled();
    assert.equal(scene.bodies().length, 2);
    assert.equal(scene.notes(), 0);
    assert.deepEqual(scene.behind, [0n, 2]);
    assert.equal(scene.unready.size, 0);
  });

  test('lost and found: the newest size is signed', async () => {
    const scene = new Scene();
    let isUp = false;
    scene.signer = async () => {
      if (!isUp) throw new Failure('away', { code: 'KEY_FILE' });
      return SIGNER;
    };
    scene.seal(0n, segment(0n, 5));
    const notary = await scene.opened();
    assert.equal(scene.notes(), 0);
    assert.match(scene.unready.get('signing') ?? '', /away/);
    isUp = true;
    notary.tick();
    await notary.settled();
    assert.equal(scene.notes(), 0, 'it is not asked for all the time');
    scene.seal(5n, segment(5n, 5));
    notary.sealed(5n, 10n, null);
    await notary.settled();
    await scene.world.advance(60_000);
    notary.tick();
    await notary.settled();
    assert.equal(scene.notes(), 1);
    assert.equal(scene.unready.size, 0);
    assert.deepEqual(scene.behind, [0n, 0]);
    await scene.verify();
  });
});
