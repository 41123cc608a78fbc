/**
 * The archiver's partitions against a store double in virtual time: fencing, tampering, gaps,
 * memory, commits and the end, one at a time. The simulator mixes them.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { Registry } from 'prom-client';
import { type ManifestBody, parseManifest } from '../../schemas/evidence/manifest.ts';
import { sha256 } from '../../schemas/evidence/merkle.ts';
import { ed25519Signer, type Signer } from '../../schemas/evidence/note.ts';
import { type PartitionAddress, partitionPrefix, slotKey } from '../../schemas/layout.ts';
import { kafkaValue, parseSpliceSchema, readSegment, type Segment } from '../../schemas/segment.ts';
import { gapSegment } from '../../schemas/segment-writer.ts';
import { Archive, STOP_MS } from '../../services/archiver/archive.ts';
import { finishHere } from '../../services/archiver/block-finisher.ts';
import { archiverMetrics } from '../../services/archiver/metrics.ts';
import type { Assignment, RecordBatch } from '../../services/ingest/consume-types.ts';
import type { KafkaRecord } from '../../services/ingest/record.ts';
import { silentLog } from '../../services/runtime/log.ts';
import type { ObjectStore } from '../../services/store/store.ts';
import { Bucket } from '../double/bucket.ts';
import { type Fault, FaultPlan } from '../double/faults.ts';
import { doubleStore } from '../double/store.ts';
import { judgeComplete, judgeEvidence } from './sim/evidence.ts';
import { ProcessClock, World } from './sim/time.ts';

const TOPIC = 'audit';
const SCHEMA = '{"type":"record","name":"T","fields":[{"name":"s","type":"string"}]}';
const MEMORY_BYTES_MAX = 100_000;
const signer = ed25519Signer('audit.example.com', Buffer.alloc(32, 3));

interface HarnessOptions {
  faults?: Fault[];
  bucket?: Bucket;
  startAt?: 'earliest' | 'latest';
  limits?: object;
  commit?: () => Promise<boolean>;
  signer?: () => Promise<Signer>;
  /** Wraps the store. */
  through?: (store: ObjectStore) => ObjectStore;
}

/** An archive, a world of its own, and a consumer that notes what it is told. */
class Harness {
  readonly world = new World();
  readonly clock = new ProcessClock(this.world);
  readonly bucket: Bucket;
  readonly registry = new Registry();
  readonly archive: Archive;
  readonly seeks: Array<[number, bigint]> = [];
  readonly paused: number[] = [];
  readonly commits: Array<[number, bigint]> = [];
  readonly unready = new Map<string, string>();
  generation = 0;

  constructor(options: HarnessOptions = {}) {
    this.bucket = options.bucket ?? new Bucket({ nowMs: () => this.world.nowMs });
    const store = doubleStore(this.bucket, new FaultPlan(options.faults));
    const schema = parseSpliceSchema(SCHEMA);
    assert.ok(!('problem' in schema));
    const limits = {
      segmentBytesMax: 1_000_000,
      segmentRecordsMax: 10,
      segmentAgeMsMax: 5_000,
      schemaRollRecordsMin: 3,
      ...options.limits,
    };
    this.archive = new Archive({
      clusterId: 'c',
      prefix: 'p/',
      startAt: options.startAt ?? 'earliest',
      limits,
      memoryBytesMax: MEMORY_BYTES_MAX,
      blocks: { codec: 'null', blockBytes: 4_000, finisher: finishHere((bytes) => bytes) },
      store: options.through?.(store) ?? store,
      sha256,
      signer: options.signer ?? (async () => signer),
      onRoot: async () => {},
      schemas: { warm: async () => {}, find: (id) => (id === 1 || id === 2 ? schema : null) },
      consumer: {
        seek: ({ partition }, offset) => this.seeks.push([partition, offset]),
        pause: (all) => this.paused.push(...all.map(({ partition }) => partition)),
        resume: () => {},
        commit: async (offsets) => {
          if (options.commit !== undefined) return options.commit();
          for (const { partition, offset } of offsets) this.commits.push([partition, offset]);
          return true;
        },
      },
      clock: this.clock,
      random: () => 0.5,
      log: silentLog,
      metrics: archiverMetrics(this.registry),
      ready: (check, ok, reason) => {
        if (ok) this.unready.delete(check);
        else this.unready.set(check, reason ?? '');
      },
      breathe: () => setImmediate(),
    });
  }

  /** Resolves with what `work` does, letting time pass while it does not. */
  async passing<Output>(work: Promise<Output>, limitMs = 600_000): Promise<Output> {
    let done = false;
    const watched = work.finally(() => {
      done = true;
    });
    watched.catch(() => {});
    for (let passedMs = 0; passedMs <= limitMs; passedMs += 50) {
      await this.world.settle();
      if (done) return watched;
      await this.world.advance(50);
    }
    return assert.fail('not in time');
  }

  assign(changes: Partial<Assignment> = {}, partitions = 1): Promise<bigint[]> {
    this.generation++;
    const assignments = Array.from({ length: partitions }, (_, partition) => ({
      topic: TOPIC,
      partition,
      topicId: 'id',
      logStartOffset: 0n,
      logEndOffset: 1_000n,
      committedOffset: null,
      ...changes,
    }));
    const starts = this.archive.assigned(assignments, this.generation);
    return this.passing(starts.then((all) => all.map(({ offset }) => offset)));
  }

  give(records: KafkaRecord[], changes: Partial<RecordBatch> = {}): Promise<void> {
    const batch: RecordBatch = {
      topic: TOPIC,
      partition: records[0]?.partition ?? 0,
      generation: this.generation,
      records,
      nextOffset: (records.at(-1)?.offset ?? -1n) + 1n,
      highWatermark: 1_000n,
      logStartOffset: 0n,
      heartbeat: async () => {},
      stale: () => false,
      ...changes,
    };
    return this.archive.batch(batch);
  }

  /** Lets age close what is open, and commits follow. */
  async age(): Promise<void> {
    for (let tick = 0; tick < 8; tick++) {
      await this.world.advance(1_000);
      this.archive.tick();
      await this.world.settle();
    }
    await this.world.advance(1_000);
    this.archive.tick();
    await this.world.settle();
  }

  chain(topicId = 'id', partition = 0): Segment[] {
    const address: PartitionAddress = { clusterId: 'c', topic: TOPIC, topicId, partition };
    const keys = this.bucket.list(partitionPrefix('p/', address), undefined, 1000);
    return keys.map((key) => readSegment(this.bucket.current(key)!.bytes!));
  }

  ranges(): Array<[bigint, bigint]> {
    return this.chain().map(({ header }) => [header.firstOffset, header.nextOffset]);
  }
}

function records(from: number, count: number, value?: Buffer, partition = 0): KafkaRecord[] {
  return Array.from({ length: count }, (_, index) => ({
    topic: TOPIC,
    partition,
    offset: BigInt(from + index),
    timestamp: 1_790_000_000_000n,
    key: null,
    value: value ?? Buffer.from(`{"n":${from + index}}`),
    headers: [],
  }));
}

function framed(id: number, text: string): Buffer {
  return Buffer.concat([Buffer.from([0, 0, 0, 0, id, text.length * 2]), Buffer.from(text)]);
}

const slot = (firstOffset: bigint): string =>
  slotKey('p/', { clusterId: 'c', topic: TOPIC, topicId: 'id', partition: 0, firstOffset });
const at = { clusterId: 'c', topic: TOPIC, topicId: 'id', partition: 0 };

describe('sealing', () => {
  test('A2: nothing is committed before it is sealed', async () => {
    const harness = new Harness();
    assert.deepEqual(await harness.assign(), [0n]);
    await harness.passing(harness.give(records(0, 7)));
    harness.archive.tick();
    await harness.world.settle();
    assert.deepEqual(
      harness.commits.filter(([, offset]) => offset > 0n),
      [],
    );
    await harness.age();
    assert.deepEqual(harness.ranges(), [[0n, 7n]]);
    assert.deepEqual(harness.commits.at(-1), [0, 7n]);
  });

  test('control records behind the last record belong to the segment', async () => {
    const harness = new Harness();
    await harness.assign();
    await harness.passing(harness.give(records(0, 3), { nextOffset: 9n }));
    await harness.age();
    assert.deepEqual(harness.ranges(), [[0n, 9n]]);
    assert.equal(harness.chain()[0]!.header.lastOffset, 2n);
  });

  test('a schema change: opaque in a small segment, a new segment after that', async () => {
    const harness = new Harness();
    await harness.assign();
    const values = [1, 2, 1, 2, 2].map((id) => framed(id, 'a'));
    for (const [index, value] of values.entries()) {
      await harness.passing(harness.give(records(index, 1, value)));
    }
    await harness.age();
    const chain = harness.chain();
    assert.deepEqual(
      chain.map(({ records: all }) => all.map(({ schemaId }) => schemaId)),
      [
        [1, null, 1],
        [2, 2],
      ],
    );
    assert.deepEqual(
      chain.flatMap((one) => one.records.map(kafkaValue)),
      values,
    );
  });

  test('a datum with bytes behind it, or cut, is kept as it is', async () => {
    const harness = new Harness();
    await harness.assign();
    const long = Buffer.concat([framed(1, 'a'), Buffer.from([0])]);
    const cut = framed(1, 'abc').subarray(0, 7);
    const frameOnly = framed(1, '').subarray(0, 5);
    for (const [index, value] of [long, cut, frameOnly].entries()) {
      await harness.passing(harness.give(records(index, 1, value)));
    }
    await harness.age();
    const [segment] = harness.chain();
    assert.deepEqual(segment!.records.map(kafkaValue), [long, cut, frameOnly]);
    assert.ok(segment!.records.every(({ schemaId }) => schemaId === null));
  });
});

describe('fencing', () => {
  test('a lost answer is our own success', async () => {
    const faults: Fault[] = [{ operation: 'put', nth: 0, kind: 'reset_after' }];
    const harness = new Harness({ faults });
    await harness.assign();
    await harness.passing(harness.give(records(0, 10)));
    await harness.age();
    assert.deepEqual(harness.ranges(), [[0n, 10n]]);
    assert.deepEqual(harness.seeks, []);
    assert.equal(harness.unready.has('partitions'), false);
  });

  test('another writer’s segment is adopted: longer, shorter, or equal', async () => {
    for (const [count, next] of [
      [9, 9n],
      [4, 4n],
      [6, 6n],
    ] as const) {
      const bucket = new Bucket({ nowMs: () => 0 });
      const rival = new Harness({ bucket });
      const harness = new Harness({ bucket });
      await harness.assign();
      await harness.passing(harness.give(records(0, 6)));
      await rival.assign();
      await rival.passing(rival.give(records(0, count)));
      await rival.age();
      await harness.age();
      assert.deepEqual(harness.ranges(), [[0n, next]]);
      assert.deepEqual(harness.commits.at(-1), [0, next]);
      assert.deepEqual(harness.seeks[0], count === 6 ? undefined : [0, next]);
      // What comes next is sealed behind it, whoever does it.
      if (count !== 6) await harness.passing(harness.give(records(Number(next), 1)));
      await harness.passing(harness.give(records(Number(next), 2)));
      await harness.age();
      assert.deepEqual(harness.ranges()[1], [next, next + 2n]);
    }
  });

  test('another object with other records halts the partition and says so', async () => {
    const harness = await contested(records(0, 6, Buffer.from('forged')));
    assert.match(harness.unready.get('partitions') ?? '', /mismatch/);
    assert.deepEqual(harness.paused, [0]);
    const halted = await harness.registry.getSingleMetricAsString('lakeseal_archiver_halted');
    assert.match(halted, /reason="mismatch".* 1/);
    await harness.passing(harness.give(records(6, 20)));
    await harness.age();
    assert.deepEqual(harness.ranges(), [[0n, 6n]]);
    assert.deepEqual(
      harness.commits.filter(([, offset]) => offset > 0n),
      [],
    );
  });

  test('a marker over our slot halts', async () => {
    const harness = new Harness();
    await harness.assign();
    await harness.passing(harness.give(records(0, 6)));
    harness.bucket.put(
      slot(0n),
      gapSegment(at, { from: 0n, to: 3n, reason: 'retention', logStartOffset: 3n }),
    );
    harness.bucket.remove(slot(0n));
    harness.bucket.put(slot(0n), Buffer.from('forged'));
    await harness.age();
    assert.match(harness.unready.get('partitions') ?? '', /versions/);
  });

  test('a seek that Kafka’s side did not hear is repeated', async () => {
    const harness = await contested(records(0, 4));
    const before = harness.seeks.length;
    // The consumer went on behind what was dropped: taking this in would leave a hole.
    await harness.passing(harness.give(records(6, 3)));
    assert.deepEqual(harness.seeks.slice(before), [[0, 4n]]);
    await harness.passing(harness.give(records(4, 5)));
    await harness.age();
    assert.deepEqual(harness.ranges(), [
      [0n, 4n],
      [4n, 9n],
    ]);
  });
});

describe('gaps and other logs', () => {
  test('what Kafka lost before the archive, and while it ran, is sealed as a gap', async () => {
    const harness = new Harness();
    assert.deepEqual(await harness.assign({ logStartOffset: 5n }), [5n]);
    await harness.passing(harness.give(records(5, 2), { logStartOffset: 5n }));
    await harness.passing(harness.give(records(20, 2), { logStartOffset: 20n }));
    await harness.age();
    assert.deepEqual(harness.ranges(), [
      [0n, 5n],
      [5n, 7n],
      [7n, 20n],
      [20n, 22n],
    ]);
    const reasons = harness.chain().map(({ gap }) => gap?.reason);
    assert.deepEqual(reasons, ['before_archive', undefined, 'retention', undefined]);
  });

  test('a hole that Kafka did not delete is no gap', async () => {
    const harness = new Harness();
    await harness.assign();
    await harness.passing(harness.give(records(0, 2)));
    await harness.passing(harness.give(records(5, 2)));
    await harness.age();
    assert.deepEqual(harness.ranges(), [[0n, 7n]]);
  });

  test('startAt latest begins with a gap that says so', async () => {
    const harness = new Harness({ startAt: 'latest' });
    assert.deepEqual(await harness.assign({ logEndOffset: 50n }), [50n]);
    assert.deepEqual(harness.ranges(), [[0n, 50n]]);
    assert.equal(harness.chain()[0]!.gap?.reason, 'start_latest');
  });

  test('a topic made anew has a chain of its own; the old one is sealed first', async () => {
    const harness = new Harness();
    await harness.assign();
    await harness.passing(harness.give(records(0, 4)));
    assert.deepEqual(await harness.assign({ topicId: 'new', logEndOffset: 1n }), [0n]);
    await harness.passing(harness.give(records(0, 1)));
    await harness.age();
    assert.equal(harness.chain('id')[0]!.records.length, 4);
    assert.equal(harness.chain('new')[0]!.records.length, 1);
  });

  test('a log that ends before what was read halts, but only at a second look', async () => {
    const harness = new Harness();
    await harness.assign();
    await harness.passing(harness.give(records(0, 6)));
    await harness.age();
    const next = new Harness({ bucket: harness.bucket });
    assert.deepEqual(await next.assign({ logEndOffset: 3n }), [3n]);
    assert.equal(next.unready.has('partitions'), false);
    await next.assign({ logEndOffset: 3n });
    assert.match(next.unready.get('partitions') ?? '', /ahead_of_kafka/);
  });

  test('offsets that come back halt', async () => {
    const harness = new Harness();
    await harness.assign();
    await harness.passing(harness.give(records(0, 6)));
    await harness.passing(harness.give(records(2, 2)));
    assert.match(harness.unready.get('partitions') ?? '', /rewound/);
  });
});

describe('memory', () => {
  test('is bounded whatever the number of partitions', async () => {
    const limits = { segmentRecordsMax: 1e9, segmentAgeMsMax: 1e9 };
    const harness = new Harness({ limits });
    const partitions = 40;
    await harness.assign({}, partitions);
    const value = Buffer.alloc(3_000, 'x');
    let most = 0;
    for (let round = 0; round < 10; round++) {
      for (let partition = 0; partition < partitions; partition++) {
        const batch = records(round * 2, 2, value, partition);
        await harness.passing(harness.give(batch, { partition }));
        most = Math.max(most, harness.archive.heldBytes);
      }
    }
    assert.ok(most <= MEMORY_BYTES_MAX * 1.2, `${most} bytes`);
    await harness.passing(harness.archive.stop());
    assert.equal(harness.archive.heldBytes, 0);
    for (let partition = 0; partition < partitions; partition++) {
      const sealed = harness.chain('id', partition).flatMap((one) => one.records);
      assert.deepEqual(
        sealed.map(({ offset }) => Number(offset)),
        Array.from({ length: 20 }, (_, i) => i),
      );
    }
  });

  test('a store that is away makes reading wait, and beat, until it is back', async () => {
    let away = true;
    const harness = new Harness({ through: (store) => failing(store, () => away) });
    await harness.assign();
    let beats = 0;
    const heartbeat = async (): Promise<void> => {
      beats++;
    };
    let accepted = false;
    const giving = harness.give(records(0, 25), { heartbeat }).then(() => {
      accepted = true;
    });
    await harness.world.advance(60_000);
    assert.equal(accepted, false, 'the second segment waits for the first');
    assert.ok(beats > 60);
    assert.ok(harness.unready.has('store'));
    away = false;
    await harness.passing(giving);
    await harness.age();
    assert.deepEqual(harness.ranges(), [
      [0n, 10n],
      [10n, 20n],
      [20n, 25n],
    ]);
    assert.equal(harness.unready.has('store'), false);
  });
});

describe('the end', () => {
  test('stop seals what is open and commits it', async () => {
    const harness = new Harness();
    await harness.assign();
    await harness.passing(harness.give(records(0, 4)));
    await harness.passing(harness.archive.stop());
    assert.deepEqual(harness.ranges(), [[0n, 4n]]);
    assert.deepEqual(harness.commits.at(-1), [0, 4n]);
  });

  test('stop gives up on a store that is away, within its time, and commits nothing more', async () => {
    const harness = new Harness({ through: (store) => failing(store, () => true) });
    await harness.assign();
    await harness.passing(harness.give(records(0, 4)));
    await harness.passing(harness.archive.stop(), STOP_MS + 1_000);
    assert.deepEqual(harness.ranges(), []);
    assert.deepEqual(
      harness.commits.filter(([, offset]) => offset > 0n),
      [],
    );
  });

  test('Kafka being away for commits keeps nothing from being sealed, nor the end from coming', async () => {
    const harness = new Harness({ commit: () => new Promise(() => {}) });
    await harness.assign();
    await harness.passing(harness.give(records(0, 4)));
    await harness.age();
    assert.deepEqual(harness.ranges(), [[0n, 4n]]);
    await harness.passing(harness.give(records(4, 2)));
    await harness.passing(harness.archive.stop(), STOP_MS);
    assert.deepEqual(harness.ranges(), [
      [0n, 4n],
      [4n, 6n],
    ]);
  });

  test('a partition that was given away seals what it holds', async () => {
    const harness = new Harness();
    await harness.assign();
    await harness.passing(harness.give(records(0, 4)));
    await harness.assign({}, 0);
    await harness.world.advance(1_000);
    assert.deepEqual(harness.ranges(), [[0n, 4n]]);
    assert.equal(harness.archive.heldBytes, 0);
  });

  test('a partition that is kept goes on with what it holds', async () => {
    const harness = new Harness();
    await harness.assign();
    await harness.passing(harness.give(records(0, 4)));
    assert.deepEqual(await harness.assign(), [4n]);
    await harness.passing(harness.give(records(4, 4)));
    await harness.age();
    assert.deepEqual(harness.ranges(), [[0n, 8n]]);
  });
});

describe('evidence', () => {
  const bodies = (harness: Harness): ManifestBody[] =>
    harness.bucket
      .list('p/evidence/partition/', undefined, 1000)
      .filter((key) => key.endsWith('.json'))
      .map((key) => parseManifest(harness.bucket.current(key)!.bytes!).body);

  test('A4: the end writes and signs what is sealed', async () => {
    const harness = new Harness();
    await harness.assign({ logStartOffset: 5n });
    await harness.passing(harness.give(records(5, 14), { logStartOffset: 5n }));
    await harness.passing(harness.archive.stop());
    const evidence = await judgeEvidence(harness.bucket, 'p/', signer.verifier);
    judgeComplete(harness.bucket, 'p/', evidence);
    assert.deepEqual(
      bodies(harness).map(({ kind, records: count }) => [kind, count]),
      [
        ['gap', 0],
        ['data', 10],
        ['data', 4],
      ],
    );
  });

  test('that cannot be written keeps nothing from being sealed, nor the end from coming', async () => {
    const never = (): Promise<never> => new Promise(() => {});
    const harness = new Harness({ through: (store) => ({ ...store, protection: never }) });
    await harness.assign();
    await harness.passing(harness.give(records(0, 35)));
    await harness.age();
    assert.equal(harness.ranges().length, 4);
    assert.deepEqual(harness.commits.at(-1), [0, 35n]);
    const behind = await harness.registry.getSingleMetricAsString(
      'lakeseal_archiver_unnoted_offsets',
    );
    assert.match(behind, /partition="0"\} 35/);
    await harness.passing(harness.archive.stop(), STOP_MS + 1_000);
    assert.deepEqual(bodies(harness), []);
    // The next owner makes it good.
    const next = new Harness({ bucket: harness.bucket });
    await next.assign();
    await next.passing(next.archive.stop());
    judgeComplete(next.bucket, 'p/', await judgeEvidence(next.bucket, 'p/', signer.verifier));
  });

  test('a key service that never answers keeps neither the end nor a revocation waiting', async () => {
    const harness = new Harness({ signer: () => new Promise(() => {}) });
    await harness.assign();
    await harness.passing(harness.give(records(0, 5)));
    await harness.assign({}, 0);
    await harness.world.advance(15_000);
    await harness.assign();
    await harness.passing(harness.give(records(5, 5)));
    await harness.passing(harness.archive.stop(), STOP_MS + 1_000);
    assert.deepEqual(harness.ranges(), [
      [0n, 5n],
      [5n, 10n],
    ]);
    assert.equal(bodies(harness).length, 2);
  });

  test('a halt is an anomaly in the log, signed, and told once', async () => {
    const harness = await contested(records(0, 6, Buffer.from('forged')));
    await harness.passing(harness.archive.stop());
    const told = bodies(harness).flatMap(({ anomaly }) => anomaly ?? []);
    assert.deepEqual(
      told.map(({ reason, key }) => [reason, key]),
      [['mismatch', slot(0n)]],
    );
    const evidence = await judgeEvidence(harness.bucket, 'p/', signer.verifier);
    judgeComplete(harness.bucket, 'p/', evidence);
  });

  test('that stops makes the process unready, with the reason; sealing goes on', async () => {
    const harness = new Harness();
    await harness.assign();
    await harness.world.advance(1_000);
    const key = `p/evidence/partition/c/${TOPIC}/id/00000/${'0'.repeat(20)}.json`;
    harness.bucket.put(key, Buffer.from('{}\n'));
    await harness.passing(harness.give(records(0, 6)));
    await harness.age();
    assert.match(harness.unready.get('evidence') ?? '', /partition\/c\/audit\/id\/00000/);
    await harness.passing(harness.give(records(6, 6)));
    await harness.age();
    assert.deepEqual(harness.ranges(), [
      [0n, 6n],
      [6n, 12n],
    ]);
    // It is no longer ours to tell of.
    await harness.assign({}, 0);
    assert.equal(harness.unready.has('evidence'), false);
  });
});

/** One that took six records in, after a rival has sealed others in their place. */
async function contested(theirs: ReturnType<typeof records>): Promise<Harness> {
  const bucket = new Bucket({ nowMs: () => 0 });
  const rival = new Harness({ bucket });
  const harness = new Harness({ bucket });
  await harness.assign();
  await harness.passing(harness.give(records(0, 6)));
  await rival.assign();
  await rival.passing(rival.give(theirs));
  await rival.age();
  await harness.age();
  return harness;
}

/** PUTs answer as a store in trouble. */
function failing(store: ObjectStore, isAway: () => boolean): ObjectStore {
  const down = doubleStore(
    new Bucket({ nowMs: () => 0 }),
    new FaultPlan(
      Array.from({ length: 1000 }, (_, nth) => ({ operation: 'put', nth, kind: 'error_before' })),
    ),
  );
  return {
    ...store,
    putIfAbsent: (key, bytes) => (isAway() ? down : store).putIfAbsent(key, bytes),
  };
}
