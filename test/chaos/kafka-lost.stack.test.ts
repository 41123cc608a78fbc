/**
 * Promise A1 where Kafka itself loses what was not sealed yet. Retention that ran past the position
 * becomes one gap segment with the exact range, and the chain goes on behind it; a topic that was
 * deleted and made anew begins another chain, under its own topic id, from offset 0, and touches
 * nothing of the old one.
 */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { parseSlotKey } from '../../schemas/layout.ts';
import { readSegment } from '../../schemas/segment.ts';
import { pythonWith, READER_PACKAGES, runReader } from '../readers/python.ts';
import { useStack } from '../stack/use.ts';
import { assertOnce, assertSameIds, installTemplate, readAlerts } from './alerts.ts';
import {
  assertOneVersionEach,
  assertWhole,
  type Comparison,
  compareWithKafka,
  copySegments,
  type Evidence,
  getObject,
  listVersions,
  reaches,
  SealWatch,
} from './archive.ts';
import { judgedEvent, writeRules } from './detections.ts';
import { mixedMessage } from './events.ts';
import {
  committedOffsets,
  connectedProducer,
  dumpTopic,
  endOffsets,
  makeTopic,
  produceAll,
  registerSchema,
  withAdmin,
} from './kafka.ts';
import { openScene, type Scene } from './scene.ts';
import { until } from './wait.ts';

const SEAL_MS_MAX = 60_000;
const LIFE_MS_MAX = 120_000;
const SETTINGS = { 'archive.segmentAgeMsMax': 500, 'archive.segmentRecordsMax': 100 };

/** Produces `count` records, spread over the partitions by their number. */
async function produce(
  { stack, topic }: Scene,
  from: number,
  count: number,
  partitions: number,
): Promise<void> {
  const schemaId = await registerSchema(stack.registryUrl, `${topic}-value`);
  const producer = await connectedProducer(stack.brokers);
  try {
    const messages = Array.from({ length: count }, (_, index) => ({
      ...mixedMessage(schemaId, { scope: 6, number: from + index }),
      partition: index % partitions,
    }));
    await produceAll(producer, topic, messages, 250);
  } finally {
    await producer.disconnect();
  }
}

/** Waits until all that the topic holds is sealed, as far as `watch` sees it. */
async function sealed(scene: Scene, watch: SealWatch, partitions: number): Promise<void> {
  const { stack, topic } = scene;
  const ends = await withAdmin(stack.brokers, (admin) => endOffsets(admin, topic));
  await until('everything is sealed', SEAL_MS_MAX, async () =>
    reaches(await watch.poll(topic, partitions), ends),
  );
}

describe('Kafka’s retention ran past the position', () => {
  const PARTITIONS = 2;
  /** Partition 0 loses [500, 800) before anybody read it; partition 1 loses nothing. */
  const FIRST = 1_000;
  const SECOND = 1_600;
  const LOST_TO = 800;
  let scene: Scene;
  let first: Evidence;
  let second: Evidence;
  let dumpBefore: string;

  before(async () => {
    const stack = await useStack();
    scene = await openScene(stack, 'retention', { partitions: PARTITIONS, settings: SETTINGS });
    const { rootS3: s3, bucket, topic } = scene;
    const watch = new SealWatch(s3, bucket);
    const archiver = scene.archiver();
    await Promise.all([archiver.ready(), produce(scene, 0, FIRST, PARTITIONS)]);
    await sealed(scene, watch, PARTITIONS);
    const brokers = stack.brokers;
    first = await compareWithKafka({ ...scene, s3, brokers, folder: join(scene.folder, 'first') });
    assert.equal((await archiver.stop()).code, 0);

    await produce(scene, FIRST, SECOND, PARTITIONS);
    dumpBefore = join(scene.folder, 'before.ndjson');
    await dumpTopic(brokers, topic, dumpBefore);
    await withAdmin(brokers, async (admin) => {
      // The client deletes only from topics it has heard of.
      await admin.fetchTopicOffsets(topic);
      const partitions = [{ partition: 0, offset: String(LOST_TO) }];
      await admin.deleteTopicRecords({ topic, partitions });
    });
    const successor = scene.archiver({}, 'successor');
    await successor.ready();
    await sealed(scene, watch, PARTITIONS);
    await produce(scene, FIRST + SECOND, 400, PARTITIONS);
    await sealed(scene, watch, PARTITIONS);
    assert.equal((await successor.stop()).code, 0);
    second = await compareWithKafka({
      ...scene,
      s3,
      brokers,
      folder: join(scene.folder, 'second'),
    });
  });

  after(() => scene?.close());

  test('A1: before it everything was sealed', () => assertWhole(first, FIRST));

  test('A1: exactly one gap, of exactly the lost range, and the segments tile around it', () => {
    assert.deepEqual(second.gaps, [[0, FIRST / PARTITIONS, LOST_TO]]);
    assert.deepEqual(second.tiling, []);
  });

  test('A1: what Kafka had before is in a segment or in the gap, and nothing in both', async () => {
    // Partition 0 has lost its first records too, but those were sealed: the dump from before the
    // loss and the one from after it together say what there was.
    const lines = new Set([
      ...(await readFile(dumpBefore, 'utf8')).split('\n'),
      ...(await readFile(join(scene.folder, 'second', 'kafka.ndjson'), 'utf8')).split('\n'),
    ]);
    const whole = join(scene.folder, 'whole.ndjson');
    await writeFile(whole, [...lines].filter((line) => line !== '').join('\n'));
    const python = await pythonWith(READER_PACKAGES);
    const segments = join(scene.folder, 'second', 'segments');
    const answer = (await runReader(python, 'compare_segments.py', [
      segments,
      whole,
    ])) as unknown as Comparison;
    assert.deepEqual(answer.differencesFirst, []);
    const lost = LOST_TO - FIRST / PARTITIONS;
    assert.equal(answer.kafka, FIRST + SECOND + 400);
    assert.equal(answer.missing, lost);
    assert.equal(answer.records, FIRST + SECOND + 400 - lost);
    assert.deepEqual(answer.missingFirst[0], [0, FIRST / PARTITIONS]);
  });

  test('A1: the gap states why, and where Kafka’s log began', async () => {
    const slot = second.slots.find(
      ({ partition, firstOffset }) => partition === 0 && firstOffset === BigInt(FIRST / PARTITIONS),
    )!;
    const { gap, header } = readSegment(await readFile(slot.file));
    assert.equal(header.kind, 'gap');
    assert.deepEqual(gap, {
      from: BigInt(FIRST / PARTITIONS),
      to: BigInt(LOST_TO),
      reason: 'retention',
      logStartOffset: BigInt(LOST_TO),
    });
  });
});

/**
 * Three times, because what is to be seen is a race: the new log must reach past the position of the
 * old one before anybody asks whether it is still the same topic.
 */
describe('a topic deleted and made anew under running services', () => {
  const PARTITIONS = 2;
  const LIVES = [600, 900, 1_400, 2_000];
  let scene: Scene;
  /** Per life of the topic: its segments as they were sealed then, compared with Kafka. */
  const lives: Array<{ topicId: string; records: number; evidence: Evidence }> = [];
  const alertIds = new Set<string>();
  let keys: string[];

  before(async () => {
    const stack = await useStack();
    scene = await openScene(stack, 'recreated', { partitions: PARTITIONS, settings: SETTINGS });
    const rules = await writeRules(join(scene.folder, 'rules'));
    await installTemplate(scene.env());
    // Both live through it all, and nobody tells them.
    const archiver = scene.archiver();
    const detector = scene.detector({ 'detect.rules': rules, 'detect.shippedRules': false });
    await Promise.all([archiver.ready(), detector.ready()]);
    let from = 0;
    for (const [life, records] of LIVES.entries()) {
      if (life > 0) await recreate();
      await produceEvents(from, records);
      from += records;
      lives.push(await sealedLife(life, records));
      await judged();
    }
    for (const service of [archiver, detector]) assert.equal((await service.stop()).code, 0);
    const all = assertOneVersionEach(await listVersions(scene.rootS3, scene.bucket));
    keys = all.filter((key) => parseSlotKey('', key) !== null);
  });

  after(() => scene?.close());

  async function recreate(): Promise<void> {
    const { stack, topic } = scene;
    await withAdmin(stack.brokers, (admin) => admin.deleteTopics({ topics: [topic] }));
    await until('the topic is made anew', 60_000, async () => {
      await makeTopic(stack.brokers, topic, PARTITIONS);
      return true;
    });
  }

  async function produceEvents(from: number, count: number): Promise<void> {
    const { stack, topic } = scene;
    const schemaId = await registerSchema(stack.registryUrl, `${topic}-value`);
    const producer = await connectedProducer(stack.brokers);
    try {
      const messages = Array.from({ length: count }, (_, index) => {
        const event = judgedEvent(schemaId, 7, from + index, []);
        for (const id of event.alertIds) alertIds.add(id);
        return { key: null, value: event.framed, partition: index % PARTITIONS };
      });
      await produceAll(producer, topic, messages, 500);
    } finally {
      await producer.disconnect();
    }
  }

  /** Waits until the youngest chain holds all of `records`, then compares it with Kafka. */
  async function sealedLife(
    life: number,
    records: number,
  ): Promise<{ topicId: string; records: number; evidence: Evidence }> {
    const { rootS3: s3, bucket, topic, stack } = scene;
    const known = new Set(lives.map(({ topicId }) => topicId));
    const topicId = await until('the new chain is sealed', LIFE_MS_MAX, async () => {
      const versions = await listVersions(s3, bucket);
      const segments = versions.filter(({ key }) => parseSlotKey('', key) !== null);
      const slots = segments.map(({ key }) => ({ key, ...parseSlotKey('', key)! }));
      const own = slots.filter((slot) => !known.has(slot.topicId));
      const ends = await Promise.all(own.map(({ key }) => segmentEnd(key)));
      const sealedTo = (partition: number): bigint =>
        ends.reduce(
          (end, found) => (found.partition === partition && found.next > end ? found.next : end),
          0n,
        );
      const whole = [0, 1].every((partition) => sealedTo(partition) === BigInt(records / 2));
      return whole ? own[0]!.topicId : null;
    });
    const evidence = await compareWithKafka({
      s3,
      bucket,
      brokers: stack.brokers,
      topic,
      topicId,
      folder: join(scene.folder, `life-${life}`),
    });
    return { topicId, records, evidence };
  }

  async function segmentEnd(key: string): Promise<{ partition: number; next: bigint }> {
    const { header } = readSegment(await getObject(scene.rootS3, scene.bucket, key));
    return { partition: header.partition, next: header.nextOffset };
  }

  async function judged(): Promise<void> {
    const { stack, topic, detectGroup } = scene;
    await withAdmin(stack.brokers, async (admin) => {
      const ends = await endOffsets(admin, topic);
      await until('everything is judged', LIFE_MS_MAX, async () =>
        reaches(await committedOffsets(admin, detectGroup, topic), ends),
      );
    });
  }

  test('A1: each life has a chain of its own from offset 0 that holds all its records', () => {
    const ids = new Set(lives.map(({ topicId }) => topicId));
    assert.equal(ids.size, LIVES.length);
    for (const { evidence, records } of lives) assertWhole(evidence, records);
  });

  test('A1, A3: nothing was added to a chain after its topic was gone, and nothing changed', async () => {
    for (const [life, { topicId, evidence }] of lives.entries()) {
      const again = join(scene.folder, `again-${life}`);
      const { rootS3, bucket } = scene;
      const slots = await copySegments(
        rootS3,
        bucket,
        keys,
        again,
        (slot) => slot.topicId === topicId,
      );
      const names = (all: typeof slots): string[] => all.map(({ file }) => basename(file)).sort();
      assert.deepEqual(names(slots), names(evidence.slots));
      for (const { file } of slots) {
        const then = join(scene.folder, `life-${life}`, 'segments', basename(file));
        assert.ok((await readFile(file)).equals(await readFile(then)), basename(file));
      }
    }
    assert.equal(
      keys.length,
      lives.reduce((sum, { evidence }) => sum + evidence.segments, 0),
    );
  });

  test('D1: every event of every life was judged', async () => {
    const { stack, alertIndexPrefix } = scene;
    const found = assertOnce(await readAlerts(stack.opensearchUrl, alertIndexPrefix));
    assertSameIds(found, alertIds, 'alerts');
  });
});
