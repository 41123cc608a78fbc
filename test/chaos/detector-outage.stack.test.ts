/**
 * Promises D1 (single-event rules), A2 and D4 on real servers: two detectors are killed with -9 at
 * random moments while events flow, and OpenSearch is killed and restarted under them. The alert ids
 * are those of an undisturbed run and of `lakeseal scan`, none missing, none twice, and no offset was
 * committed before its alerts were stored. Meanwhile the archiver keeps sealing.
 */
import assert from 'node:assert/strict';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Exit, ServiceProcess } from '../stack/service.ts';
import { useStack } from '../stack/use.ts';
import {
  ask,
  assertOnce,
  assertSameIds,
  type Expected,
  type FoundAlert,
  installTemplate,
  readAlerts,
  scanFile,
  storedPrefix,
} from './alerts.ts';
import { reaches, SealWatch } from './archive.ts';
import {
  judgedEvent,
  monthIndex,
  OWN_RULE_IDS,
  shippedExamples,
  writeRules,
} from './detections.ts';
import { Fleet } from './fleet.ts';
import {
  committedOffsets,
  connectedProducer,
  endOffsets,
  readTopic,
  registerSchema,
  withAdmin,
} from './kafka.ts';
import { chosenSeed, seededRandom } from './random.ts';
import { CommitSampler, total } from './sampler.ts';
import { openScene, type Scene } from './scene.ts';
import { until } from './wait.ts';

const PARTITIONS = 4;
const NAMES = ['a', 'b'] as const;
const ROUNDS = 5;
/** Rounds in which OpenSearch is killed; in the first of them both detectors live through it. */
const OUTAGE_ROUNDS = [1, 3];
const PROGRESS_MS_MAX = 90_000;
const JUDGED_MS_MAX = 120_000;
const PRODUCERS = 2;
const BATCH = 25;
const BATCH_PAUSE_MS = 200;

/** All that is produced, and where it went: what must be stored before an offset is committed. */
class Feed {
  /** Per partition, in offset order: an alert that a record must raise. */
  readonly alerts: Array<Array<Expected & { offset: bigint }>>;
  /** Alerts that must come of what was produced, by their id. */
  readonly ids = new Set<string>();
  readonly file: string;
  #stopping = false;
  #work: Promise<unknown> | undefined;
  readonly #scene: Scene;

  constructor(scene: Scene) {
    this.#scene = scene;
    this.alerts = Array.from({ length: PARTITIONS }, () => []);
    this.file = join(scene.folder, 'events.ndjson');
  }

  async start(): Promise<void> {
    const { stack, topic } = this.#scene;
    const schemaId = await registerSchema(stack.registryUrl, `${topic}-value`);
    const lines = createWriteStream(this.file);
    const scopes = Array.from({ length: PRODUCERS }, (_, index) => index + 1);
    const runs = scopes.map((scope) => this.#produce(schemaId, scope, lines));
    this.#work = Promise.all(runs).then(
      () => new Promise<void>((resolve) => lines.end(() => resolve())),
    );
    this.#work.catch(() => {});
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#work;
  }

  async #produce(schemaId: number, scope: number, lines: NodeJS.WritableStream): Promise<void> {
    const { stack } = this.#scene;
    const examples = shippedExamples();
    const producer = await connectedProducer(stack.brokers);
    // Of some events the next batch holds a second record, in another form and partition.
    let again: Array<{ value: Buffer; event: ReturnType<typeof judgedEvent>; partition: number }> =
      [];
    try {
      for (let number = 0; !this.#stopping; number += BATCH) {
        const records = again;
        again = [];
        for (let at = number; at < number + BATCH; at++) {
          const event = judgedEvent(schemaId, scope, at, examples);
          lines.write(`${event.json}\n`);
          for (const id of event.alertIds) this.ids.add(id);
          const json = Buffer.from(event.json);
          const framed = event.framed ?? json;
          const [value, other] = at % 2 === 0 ? [framed, json] : [json, framed];
          records.push({ value, event, partition: at % PARTITIONS });
          if (at % 5 === 0) again.push({ value: other, event, partition: (at + 1) % PARTITIONS });
        }
        await this.#send(producer, records);
        await sleep(BATCH_PAUSE_MS);
      }
      await this.#send(producer, again);
    } finally {
      await producer.disconnect();
    }
  }

  async #send(
    producer: Awaited<ReturnType<typeof connectedProducer>>,
    records: Array<{ value: Buffer; event: ReturnType<typeof judgedEvent>; partition: number }>,
  ): Promise<void> {
    if (records.length === 0) return;
    const { topic, alertIndexPrefix } = this.#scene;
    const messages = records.map(({ value, partition }) => ({ key: null, value, partition }));
    const answers = await producer.send({ topic, messages, acks: -1 });
    for (const { partition, baseOffset } of answers) {
      let offset = BigInt(baseOffset!);
      for (const { event } of records.filter((record) => record.partition === partition)) {
        for (const id of event.alertIds) {
          const index = monthIndex(alertIndexPrefix, event.timeMs);
          this.alerts[partition]!.push({ index, id, offset });
        }
        offset++;
      }
    }
    // Two producers share a partition; their answers may come in the other order.
    for (const list of this.alerts) list.sort((a, b) => (a.offset < b.offset ? -1 : 1));
  }
}

/**
 * Rules over one event. The events of this test lie months apart in no order, which is no stream that
 * rules over many make sense of; those have a test of their own.
 */
const ONE_EVENT = new Set([...OWN_RULE_IDS, ...shippedExamples().map(({ ruleId }) => ruleId)]);

async function ofOneEvent(prefix: string): Promise<FoundAlert[]> {
  const { opensearchUrl } = await useStack();
  const found = await readAlerts(opensearchUrl, prefix);
  return found.filter(({ ruleId }) => ONE_EVENT.has(ruleId));
}

/** Offsets beyond what was produced so far: nothing is known to be missing. */
const NOTHING_MISSING = 2n ** 62n;

/** Per partition: the offset of the first record of which an alert is not stored. */
function acknowledged(scene: Scene, feed: Feed): () => Promise<Map<number, bigint>> {
  const checked = Array.from({ length: PARTITIONS }, () => new Set<string>());
  return async () => {
    const durable = new Map<number, bigint>();
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const seen = checked[partition]!;
      const open = feed.alerts[partition]!.filter(({ id, offset }) => !seen.has(`${offset} ${id}`));
      const stored = await storedPrefix(scene.stack.opensearchUrl, open);
      for (const { id, offset } of open.slice(0, stored)) seen.add(`${offset} ${id}`);
      durable.set(partition, open[stored]?.offset ?? NOTHING_MISSING);
    }
    return durable;
  };
}

class Fight {
  readonly seed = chosenSeed();
  readonly random = seededRandom(this.seed);
  readonly scene: Scene;
  readonly feed: Feed;
  readonly fleet: Fleet;
  readonly sampler: CommitSampler;
  readonly watch: SealWatch;
  readonly rules: string;
  outages = 0;
  killedBeforeCommit = 0;

  constructor(scene: Scene, rules: string) {
    const { stack, topic, detectGroup, rootS3, bucket } = scene;
    this.scene = scene;
    this.rules = rules;
    this.feed = new Feed(scene);
    this.watch = new SealWatch(rootS3, bucket);
    this.fleet = new Fleet((name, life) =>
      scene.detector(detectSettings(rules), `detector-${name}-${life}`),
    );
    this.sampler = new CommitSampler(
      stack.brokers,
      { group: detectGroup, topic },
      acknowledged(scene, this.feed),
    );
  }

  async rounds(): Promise<void> {
    this.startBoth();
    for (let round = 0; round < ROUNDS; round++) {
      await Promise.all(NAMES.map((name) => this.fleet.member(name).ready(120_000)));
      await this.randomMoment();
      if (OUTAGE_ROUNDS.includes(round)) await this.outage(round !== OUTAGE_ROUNDS[0]);
      await this.killBoth();
      this.startBoth();
    }
  }

  startBoth(): void {
    for (const name of NAMES) this.fleet.start(name);
  }

  /** Waits until commits moved on, which they do only with stored alerts, then a random while. */
  async randomMoment(): Promise<void> {
    const before = total(this.sampler.committed);
    await until('commits move on', PROGRESS_MS_MAX, () => total(this.sampler.committed) > before);
    await sleep(this.random.integer(0, 1_200));
  }

  async killBoth(): Promise<void> {
    const [first, second] = this.random.next() < 0.5 ? NAMES : NAMES.toReversed();
    await this.fleet.kill(first!);
    await sleep(this.random.integer(0, 700));
    await this.fleet.kill(second!);
    // Nobody runs now. What is committed must be stored, and what is stored beyond was hit between.
    if (!(await this.sampler.look())) return;
    const { committed } = this.sampler;
    const ahead = this.feed.alerts.flatMap((list, partition) =>
      list.filter(({ offset }) => offset >= (committed.get(partition) ?? 0n)).slice(0, 1),
    );
    if ((await storedPrefix(this.scene.stack.opensearchUrl, ahead)) > 0) this.killedBeforeCommit++;
  }

  /** OpenSearch dies while alerts flow, and stays away until the archiver has sealed on. */
  async outage(killDetectors: boolean): Promise<void> {
    const { stack, topic } = this.scene;
    await stack.kill('opensearch');
    try {
      await sleep(this.random.integer(500, 2_000));
      const ends = await withAdmin(stack.brokers, (admin) => endOffsets(admin, topic));
      await until('the archiver seals on without OpenSearch', 30_000, async () =>
        reaches(await this.watch.poll(topic, PARTITIONS), ends),
      );
      this.outages++;
      if (killDetectors) await this.killBoth();
    } finally {
      await stack.restart('opensearch');
    }
    if (!killDetectors) return;
    await until('the commits can be judged', 30_000, () => this.sampler.look());
    this.startBoth();
    await Promise.all(NAMES.map((name) => this.fleet.member(name).ready(120_000)));
  }
}

function detectSettings(rules: string): Record<string, string | number> {
  return {
    'detect.rules': rules,
    'opensearch.timeoutMs': 5_000,
    // Alerts wait for others, so that at any moment some are not stored: a commit too early shows.
    'opensearch.bulkAgeMsMax': 1_500,
  };
}

async function committedTo(scene: Scene, group: string, ends: Map<number, bigint>): Promise<void> {
  const { stack, topic } = scene;
  await withAdmin(stack.brokers, (admin) =>
    until(`${group} has judged everything`, JUDGED_MS_MAX, async () =>
      reaches(await committedOffsets(admin, group, topic), ends),
    ),
  );
}

describe('detectors killed, OpenSearch killed', () => {
  let fight: Fight;
  let archiver: ServiceProcess;
  let ends: Map<number, bigint>;
  let exits: Map<string, Exit>;
  let disturbed: Set<string>;

  before(async () => {
    const stack = await useStack();
    const scene = await openScene(stack, 'detector-outage', { partitions: PARTITIONS });
    const rules = await writeRules(join(scene.folder, 'rules'));
    await installTemplate(scene.env());
    fight = new Fight(scene, rules);
    process.stderr.write(`detector-outage: LAKESEAL_TEST_SEED=${fight.seed}\n`);
    archiver = scene.archiver({ 'archive.segmentAgeMsMax': 500 });
    await archiver.ready();
    await fight.sampler.start();
    await fight.feed.start();
    await fight.rounds();
    await fight.feed.stop();
    ends = await withAdmin(stack.brokers, (admin) => endOffsets(admin, scene.topic));
    await committedTo(scene, scene.detectGroup, ends);
    await fight.sampler.look();
    await fight.sampler.stop();
    exits = await fight.fleet.stop();
    disturbed = assertOnce(await ofOneEvent(scene.alertIndexPrefix));
  });

  after(() => fight?.scene.close());

  test('the planned faults happened', () => {
    assert.ok(fight.fleet.kills >= 10, `only ${fight.fleet.kills} kills`);
    assert.equal(fight.outages, OUTAGE_ROUNDS.length);
    assert.ok(fight.killedBeforeCommit > 0, 'no kill fell between storing and committing');
    assert.ok(disturbed.size > 1_000, `only ${disturbed.size} alerts`);
  });

  test('D1: the alerts that must be there are there, and of the own rules no other', () => {
    const missing = [...fight.feed.ids].filter((id) => !disturbed.has(id));
    assert.deepEqual(missing, []);
  });

  test('D1: the disturbed run gives what scan gives', async () => {
    const scanned = new Map(
      [...(await scanFile(fight.feed.file, fight.rules))].filter(([, rule]) => ONE_EVENT.has(rule)),
    );
    assertSameIds(disturbed, new Set(scanned.keys()), 'disturbed run against scan');
    const own = [...scanned].filter(([, rule]) => OWN_RULE_IDS.has(rule)).map(([id]) => id);
    assert.ok(own.length > 500, `only ${own.length} hits of the own rules`);
    for (const id of own) assert.ok(fight.feed.ids.has(id), `${id} was not to be raised`);
  });

  test('D1: the disturbed run gives what an undisturbed run gives', async () => {
    const { scene, rules } = fight;
    const { stack } = scene;
    const prefix = stack.unique('detector-quiet');
    const group = `${scene.detectGroup}-quiet`;
    const settings = {
      ...detectSettings(rules),
      'detect.group': group,
      'opensearch.alertIndexPrefix': prefix,
    };
    await installTemplate(scene.env(settings));
    const detector = scene.detector(settings, 'quiet');
    await detector.ready();
    await committedTo(scene, group, ends);
    assert.equal((await detector.stop()).code, 0);
    const undisturbed = assertOnce(await ofOneEvent(prefix));
    assertSameIds(disturbed, undisturbed, 'disturbed run against undisturbed run');
  });

  test('A2: no offset was committed before its alerts were stored', () => {
    assert.deepEqual(fight.sampler.tooEarly, []);
    assert.ok(fight.sampler.samples > 30, `only ${fight.sampler.samples} samples`);
  });

  test('nobody ended that was not told to, and all stop gracefully', async () => {
    assert.deepEqual(fight.fleet.surprises, []);
    for (const [name, exit] of exits) assert.equal(exit.code, 0, `exit code of ${name}`);
    assert.equal((await archiver.stop()).code, 0);
  });
});

const BAD_MONTH_MS = Date.UTC(2026, 3, 10);
const GOOD_MONTH_MS = Date.UTC(2026, 4, 10);

describe('an alert that OpenSearch rejects', () => {
  let scene: Scene;
  let detector: ServiceProcess;
  const rejected: string[] = [];
  const accepted: string[] = [];

  before(async () => {
    const stack = await useStack();
    scene = await openScene(stack, 'rejected-alert', { partitions: 1 });
    const { alertIndexPrefix, topic } = scene;
    await installTemplate(scene.env());
    await refuseMonth(scene, monthIndex(alertIndexPrefix, BAD_MONTH_MS));
    const rules = await writeRules(join(scene.folder, 'rules'));
    const producer = await connectedProducer(stack.brokers);
    try {
      const messages = [];
      // Own hits only: every tenth number; the rejected ones stand among the accepted.
      for (let number = 10; number <= 600; number += 10) {
        const bad = number % 40 === 0;
        const event = judgedEvent(0, 9, number, []);
        const timeMs = (bad ? BAD_MONTH_MS : GOOD_MONTH_MS) + number;
        const json = { ...JSON.parse(event.json), event_time: new Date(timeMs).toISOString() };
        (bad ? rejected : accepted).push(...event.alertIds);
        messages.push({ key: null, value: Buffer.from(JSON.stringify(json)) });
      }
      await producer.send({ topic, messages, acks: -1 });
    } finally {
      await producer.disconnect();
    }
    detector = scene.detector({ ...detectSettings(rules), 'detect.shippedRules': false });
    await detector.ready();
    const ends = await withAdmin(stack.brokers, (admin) => endOffsets(admin, topic));
    await committedTo(scene, scene.detectGroup, ends);
  });

  after(() => scene?.close());

  test('D4: it is dead-lettered with the reason and its whole content', async () => {
    const letters = new Map<string, { reason: string; ruleId: string }>();
    await readTopic(scene.stack.brokers, scene.deadLetterTopic, ({ value, headers }) => {
      const alert = JSON.parse(value!.toString()) as { id: string; rule: { id: string } };
      const text = (name: string): string =>
        Buffer.from(headers.find(([key]) => key === name)?.[1] ?? '', 'base64').toString();
      assert.equal(text('lakeseal.alert'), alert.id);
      assert.equal(text('lakeseal.reason'), 'alert_rejected');
      assert.match(text('lakeseal.detail'), /^400 strict_dynamic_mapping_exception/);
      letters.set(alert.id, { reason: text('lakeseal.reason'), ruleId: alert.rule.id });
    });
    assertSameIds(new Set(letters.keys()), new Set(rejected), 'dead letters');
  });

  test('D4: every other alert is stored, and the position moved on', async () => {
    const { opensearchUrl } = scene.stack;
    const stored = assertOnce(await readAlerts(opensearchUrl, scene.alertIndexPrefix));
    assertSameIds(stored, new Set(accepted), 'stored alerts');
  });

  test('D4: a metric tells of the rejections', async () => {
    const counted = await detector.metric('lakeseal_detector_alerts_total', {
      outcome: 'rejected',
    });
    assert.equal(counted, rejected.length);
    assert.equal((await detector.stop()).code, 0);
  });
});

/** A month whose index takes no alert: its name leads to an index of another, strict mapping. */
async function refuseMonth(scene: Scene, month: string): Promise<void> {
  const url = scene.stack.opensearchUrl;
  const { status, body } = await ask(url, 'PUT', scene.stack.unique('refusing'), {
    settings: { number_of_shards: 1, number_of_replicas: 0 },
    mappings: { dynamic: 'strict', properties: { other: { type: 'keyword' } } },
    aliases: { [month]: {} },
  });
  assert.equal(status, 200, JSON.stringify(body));
}
