/**
 * Promises D1 and D2 for rules over many events, on real servers: two detectors share the work and are
 * killed with -9 at random moments while events flow out of order and twice, and a third one joins and
 * leaves. The alert ids are those of `lakeseal scan` of the same events, none missing, none more, and
 * nothing was taken for late.
 */
import assert from 'node:assert/strict';
import { createWriteStream, type WriteStream } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Exit } from '../stack/service.ts';
import { useStack } from '../stack/use.ts';
import {
  assertOnce,
  assertSameIds,
  type FoundAlert,
  installTemplate,
  readAlerts,
  scanFile,
} from './alerts.ts';
import { Fleet } from './fleet.ts';
import { connectedProducer, endOffsets, withAdmin } from './kafka.ts';
import { chosenSeed, type Random, seededRandom } from './random.ts';
import { openScene, type Scene } from './scene.ts';
import { LATENESS_MS, Stream, type StreamEvent, writeStreamRules } from './stream.ts';
import { until } from './wait.ts';

const PARTITIONS = 4;
const KILLS = 32;
/** Between two kills: from within a start, or a rebalance, to some time of quiet work. */
const PAUSE_MS_MAX = 7_000;
/** Of the third: joins before the first of these kills and leaves before the second, again and again. */
const VISITS = [
  [6, 11],
  [16, 21],
  [26, 30],
] as const;
const EVENTS_A_BATCH = 10;
const BATCH_PAUSE_MS = 250;
const STEP_MS = 4_000;
/** All windows, and what waits for silence, end within this after the last event. */
const CLOSING_MS = 3 * 3_600_000;
const JUDGED_MS_MAX = 120_000;

/** Writes the stream to the topic, as fast as it is told, and what it wrote to a file for `scan`. */
class Feed {
  readonly file: string;
  events = 0;
  repeated = 0;
  #stopping = false;
  #work: Promise<void> | undefined;
  readonly #scene: Scene;
  readonly #random: Random;
  readonly #stream: Stream;

  constructor(scene: Scene, random: Random) {
    this.#scene = scene;
    this.#random = random;
    this.#stream = new Stream(random, Date.now() - 20 * 3_600_000, STEP_MS);
    this.file = join(scene.folder, 'events.ndjson');
  }

  start(): void {
    this.#work = this.#run();
    this.#work.catch(() => {});
  }

  /** The last events bring event time beyond everything that was judged. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#work;
  }

  async #run(): Promise<void> {
    const { stack, topic } = this.#scene;
    const lines = createWriteStream(this.file);
    const producer = await connectedProducer(stack.brokers);
    const send = async (events: StreamEvent[]): Promise<void> => {
      const messages = events.map(({ json }, index) => ({
        key: null,
        value: json,
        partition: (this.events + index) % PARTITIONS,
      }));
      await producer.send({ topic, messages, acks: -1 });
    };
    try {
      let again: StreamEvent[] = [];
      while (!this.#stopping) {
        const fresh = Array.from({ length: EVENTS_A_BATCH }, () => this.#stream.next());
        this.#note(fresh, lines);
        await send([...again, ...fresh]);
        this.events += fresh.length;
        this.repeated += again.length;
        again = fresh.filter(() => this.#random.next() < 0.05);
        await sleep(BATCH_PAUSE_MS);
      }
      const closing = this.#stream.closing(CLOSING_MS);
      this.#note([closing], lines);
      await send(Array.from({ length: PARTITIONS }, () => closing));
    } finally {
      await producer.disconnect();
      await new Promise<void>((resolve) => lines.end(() => resolve()));
    }
  }

  #note(events: StreamEvent[], lines: WriteStream): void {
    for (const { json } of events) lines.write(`${json}\n`);
  }
}

describe('detectors killed while rules over many events are judged', () => {
  let scene: Scene;
  let feed: Feed;
  let fleet: Fleet;
  let found: FoundAlert[];
  let expected: Map<string, string>;
  let exits: Map<string, Exit>;
  let visits: Exit[];

  before(async () => {
    const stack = await useStack();
    const random = seededRandom(chosenSeed());
    process.stderr.write(`detector-kill: LAKESEAL_TEST_SEED=${random.seed}\n`);
    scene = await openScene(stack, 'detector-kill', { partitions: PARTITIONS });
    const rules = await writeStreamRules(join(scene.folder, 'rules'));
    await installTemplate(scene.env());
    const settings = {
      'detect.rules': rules,
      'detect.shippedRules': false,
      'detect.latenessMs': LATENESS_MS,
      'opensearch.timeoutMs': 10_000,
    };
    fleet = new Fleet((name, life) => scene.detector(settings, `${name}-${life}`));
    feed = new Feed(scene, random);
    feed.start();
    for (const name of ['a', 'b']) fleet.start(name);
    await Promise.all(['a', 'b'].map((name) => fleet.member(name).ready(120_000)));
    visits = await fight(fleet, random);
    await feed.stop();
    expected = await scanFile(feed.file, rules, ['--no-shipped-rules']);
    found = await judged(scene, expected);
    exits = await fleet.stop();
  });

  after(() => scene?.close());

  test('the planned faults happened', () => {
    assert.ok(fleet.kills >= 30, `only ${fleet.kills} kills`);
    assert.equal(visits.length, VISITS.length);
    assert.ok(feed.repeated > 50, `only ${feed.repeated} events came twice`);
    const rules = new Set(expected.values());
    assert.ok(rules.size >= 10, `only ${rules.size} rules raised anything`);
    assert.ok(expected.size > 300, `only ${expected.size} alerts`);
    process.stderr.write(
      `detector-kill: ${feed.events} events, ${fleet.kills} kills, ${expected.size} alerts of ${rules.size} rules\n`,
    );
  });

  test('D1, D2: the alert ids are those of scan', () => {
    assertSameIds(assertOnce(found), new Set(expected.keys()), 'killed run against scan');
  });

  test('nothing was late, refused or unreadable', async () => {
    const ends = await withAdmin(scene.stack.brokers, (admin) =>
      endOffsets(admin, scene.deadLetterTopic),
    );
    assert.deepEqual([...ends.values()], [0n]);
  });

  test('nobody ended that was not told to, and all stop gracefully', () => {
    assert.deepEqual(fleet.surprises, []);
    for (const [name, exit] of exits) assert.equal(exit.code, 0, `exit code of ${name}`);
    assert.deepEqual(
      visits.map(({ code }) => code),
      [0, 0, 0],
    );
  });
});

/** Kills and starts the two, one at a time; gives how the third has ended each time it left. */
async function fight(fleet: Fleet, random: Random): Promise<Exit[]> {
  const left: Array<Promise<Exit>> = [];
  for (let kill = 0; kill < KILLS; kill += 1) {
    if (VISITS.some(([joins]) => joins === kill)) await fleet.start('c').ready(120_000);
    if (VISITS.some(([, leaves]) => leaves === kill)) {
      // Not waited for: the others are killed while it hands its work over.
      left.push(fleet.leave('c'));
    }
    await sleep(random.integer(0, PAUSE_MS_MAX));
    const victim = random.pick(['a', 'b']);
    await fleet.kill(victim);
    await sleep(random.integer(0, 500));
    fleet.start(victim);
  }
  return Promise.all(left);
}

/** The alerts, once all that must be there are, and those that must not had time to come. */
async function judged(scene: Scene, expected: Map<string, string>): Promise<FoundAlert[]> {
  const { stack, alertIndexPrefix } = scene;
  const read = () => readAlerts(stack.opensearchUrl, alertIndexPrefix);
  await until('all alerts are there', JUDGED_MS_MAX, async () => {
    const ids = new Set((await read()).map(({ id }) => id));
    return [...expected.keys()].every((id) => ids.has(id));
  }).catch(() => {});
  return read();
}
