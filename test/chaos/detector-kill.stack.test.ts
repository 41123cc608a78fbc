/**
 * Promises D1 and D2 for rules over many events, on real servers: two detectors share the work and are
 * killed with -9 at random moments while events flow out of order and twice, and a third one joins and
 * leaves. The alert ids are those of `lakeseal scan` of the same events, none missing, none more, and
 * nothing was taken for late.
 */
import assert from 'node:assert/strict';
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
  judgedAlerts,
  scanFile,
} from './alerts.ts';
import { Feed } from './feed.ts';
import { Fleet } from './fleet.ts';
import { endOffsets, withAdmin } from './kafka.ts';
import { chosenSeed, type Random, seededRandom } from './random.ts';
import { openScene, type Scene } from './scene.ts';
import { LATENESS_MS, writeStreamRules } from './stream.ts';

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
const JUDGED_MS_MAX = 120_000;

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
    feed = new Feed(scene, random, PARTITIONS);
    feed.start();
    for (const name of ['a', 'b']) fleet.start(name);
    await Promise.all(['a', 'b'].map((name) => fleet.member(name).ready(120_000)));
    visits = await fight(fleet, random);
    await feed.stop();
    expected = await scanFile(feed.file, rules, ['--no-shipped-rules']);
    found = await judgedAlerts(scene, expected.keys(), JUDGED_MS_MAX);
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
