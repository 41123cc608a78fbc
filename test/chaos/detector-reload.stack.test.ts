/**
 * Promises D1 and D3 while rules change, on real servers: two detectors, a steady stream, rules of which
 * some stay and some are changed, added, excepted and switched off, by file and by SIGHUP, and one
 * detector that is killed with -9 in the middle of it, or both restarted in turn. Once over one folder that both read, once over a
 * folder for each, of which one is changed some seconds before the other.
 *
 * Rules that stay give the alerts of `lakeseal scan`; each meaning of a rule that changes gives those of
 * the events that were judged by it (`changing-judge.ts`); nothing is dead-lettered.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { freshFetch } from '../stack/fresh-fetch.ts';
import { useStack } from '../stack/use.ts';
import {
  assertOnce,
  assertSameIds,
  type FoundAlert,
  installTemplate,
  judgedAlerts,
  scanFile,
} from './alerts.ts';
import {
  engineOf,
  type Fence,
  type Owed,
  owedOf,
  owedOfSingle,
  readMatches,
} from './changing-judge.ts';
import {
  brokenRules,
  CHANGING_FILE,
  changingRules,
  EXCEPTED,
  idOf,
  SINGLE,
  STAGES,
  STATEFUL,
  STEADY,
  writeChanging,
} from './changing-rules.ts';
import { Feed } from './feed.ts';
import { Fleet } from './fleet.ts';
import { committedOffsets, type DumpedRecord, endOffsets, readTopic, withAdmin } from './kafka.ts';
import { chosenSeed, type Random, seededRandom } from './random.ts';
import { openScene, type Scene } from './scene.ts';
import { LATENESS_MS, writeStreamRules } from './stream.ts';
import { until } from './wait.ts';

const PARTITIONS = 4;
const NAMES = ['a', 'b'] as const;
/** Judged between two changes: with them event time goes on by more than most windows are long. */
const QUIET_EVENTS = 400n;
/** Between two restarts: a few seconds. One who has not restarted yet waits for 30 s at most. */
const ROLLING_EVENTS = 80n;
const QUIET_MS_MAX = 120_000;
const TAKEN_MS_MAX = 60_000;
const JUDGED_MS_MAX = 120_000;
const RELOAD_MS = 1_000;
/** Those that are told by a signal would find a change by themselves after the test only. */
const NEVER_MS = 3_600_000;

interface Variant {
  name: string;
  /** Of each detector. */
  folders: readonly [string, string];
}

const VARIANTS: readonly Variant[] = [
  { name: 'over one folder', folders: ['rules', 'rules'] },
  { name: 'over a folder for each', folders: ['rules-a', 'rules-b'] },
];

/** Two detectors, and the folders that they read. */
class Site {
  readonly scene: Scene;
  readonly fleet: Fleet;
  readonly fences: Fence[] = [];
  readonly random: Random;
  readonly #folders: readonly [string, string];

  constructor(scene: Scene, random: Random, folders: readonly [string, string]) {
    this.scene = scene;
    this.random = random;
    this.#folders = [join(scene.folder, folders[0]), join(scene.folder, folders[1])];
    this.fleet = new Fleet((name, life) => {
      const at = NAMES.indexOf(name as (typeof NAMES)[number]);
      const settings = {
        'detect.rules': this.#folders[at]!,
        'detect.shippedRules': false,
        'detect.latenessMs': LATENESS_MS,
        'detect.reloadMs': at === 0 ? RELOAD_MS : NEVER_MS,
        'opensearch.timeoutMs': 10_000,
      };
      return scene.detector(settings, `${name}-${life}`);
    });
  }

  get isShared(): boolean {
    return this.#folders[0] === this.#folders[1];
  }

  async writeAll(text: string): Promise<void> {
    for (const folder of new Set(this.#folders)) await writeChanging(folder, text);
  }

  async write(name: (typeof NAMES)[number], text: string): Promise<void> {
    await writeChanging(this.#folders[NAMES.indexOf(name)]!, text);
  }

  /** How often the detector in its present life has said so. */
  async #said(name: string, what: string): Promise<number> {
    const log = await readFile(this.fleet.member(name).logFile, 'utf8');
    return log.split(what).length - 1;
  }

  async logOf(name: string): Promise<string> {
    return readFile(this.fleet.member(name).logFile, 'utf8');
  }

  /** Does it, and waits until the detector says so. The second one looks when it is told to. */
  async #until(name: string, what: string, change: () => Promise<void>): Promise<void> {
    const said = await this.#said(name, what);
    await change();
    if (name === 'b') this.fleet.member(name).signal('SIGHUP');
    await until(`${name} says: ${what}`, TAKEN_MS_MAX, async () => {
      return (await this.#said(name, what)) > said;
    });
  }

  /** Gives it the text, and waits until it is in force there. */
  async change(name: (typeof NAMES)[number], text: string): Promise<void> {
    await this.#until(name, 'other rules are in force', () => this.write(name, text));
  }

  async refuse(name: (typeof NAMES)[number], text: string): Promise<void> {
    await this.#until(name, 'those of before stay in force', () => this.write(name, text));
  }

  /** Until so many more events are judged, and settled. */
  async quiet(events = QUIET_EVENTS): Promise<void> {
    const { stack, detectGroup, topic } = this.scene;
    await withAdmin(stack.brokers, async (admin) => {
      const judged = async (): Promise<bigint> => {
        const offsets = await committedOffsets(admin, detectGroup, topic);
        return [...offsets.values()].reduce((sum, offset) => sum + offset, 0n);
      };
      const wanted = (await judged()) + events;
      await until(
        `${events} more events are judged`,
        QUIET_MS_MAX,
        async () => (await judged()) >= wanted,
        500,
      );
    });
  }

  /** Where both have gone from one stage to the next. */
  async rollOut(roll: () => Promise<void>): Promise<void> {
    const { scene, fences } = this;
    const { topic, matchesTopic, detectGroup } = scene;
    const [judged, folded] = await withAdmin(scene.stack.brokers, async (admin) => [
      await committedOffsets(admin, detectGroup, topic),
      await committedOffsets(admin, `${detectGroup}.correlate`, matchesTopic),
    ]);
    await roll();
    const ends = await withAdmin(scene.stack.brokers, (admin) => endOffsets(admin, topic));
    fences.push({ judged: judged!, folded: folded!, ends });
  }

  async restart(name: (typeof NAMES)[number]): Promise<void> {
    const { code } = await this.fleet.leave(name);
    assert.equal(code, 0, `exit code of ${name}`);
    await this.fleet.start(name).ready(TAKEN_MS_MAX);
  }

  /** Kills it in the middle of what it does with new rules, and starts it again. */
  async fell(name: (typeof NAMES)[number]): Promise<void> {
    await sleep(this.random.integer(0, 1_000));
    await this.fleet.kill(name);
    await sleep(this.random.integer(0, 1_000));
    this.fleet.start(name);
  }
}

/** All that is done to the rules, in its order. */
async function operate(site: Site): Promise<void> {
  const { fleet } = site;
  await site.quiet();
  await site.rollOut(async () => {
    if (site.isShared) await site.write('a', changingRules(1));
    else await site.change('a', changingRules(1));
    await site.fell('a');
    // Not waited for: it starts while the other changes.
    await site.change('b', changingRules(1));
    await fleet.member('a').ready(TAKEN_MS_MAX);
  });
  await site.quiet();
  for (const name of NAMES) await site.refuse(name, brokenRules().text);
  await refused(site);
  await site.quiet(QUIET_EVENTS / 2n);
  await site.rollOut(async () => {
    await site.change('b', changingRules(2));
    await site.fell('b');
    if (site.isShared) await inForce(site, 'a');
    else await site.change('a', changingRules(2));
    await fleet.member('b').ready(TAKEN_MS_MAX);
  });
  await site.quiet();
  await site.rollOut(async () => {
    // As a rolling restart does it: each starts with the new rules, and has never seen the others.
    for (const name of NAMES) {
      await site.write(name, changingRules(3));
      await site.restart(name);
      await site.quiet(ROLLING_EVENTS);
    }
  });
  await site.quiet();
}

/** Both say which line is at fault, to whoever reads the log, the metrics or the readiness. */
async function refused(site: Site): Promise<void> {
  const { line } = brokenRules();
  for (const name of NAMES) {
    const log = await site.logOf(name);
    assert.match(log, new RegExp(`${CHANGING_FILE}:${line}:\\d+: error: `), name);
    const member = site.fleet.member(name);
    assert.equal(await member.metric('lakeseal_detector_rules_current'), 0, name);
    const port = /"port":(\d+)/.exec(log)?.[1];
    const answer = await freshFetch(`http://127.0.0.1:${port}/readyz`);
    assert.equal(answer.ok, false);
    assert.match(await answer.text(), new RegExp(`${CHANGING_FILE}:${line}:\\d+`));
  }
}

async function inForce(site: Site, name: string): Promise<void> {
  await until(`${name} has the rules on disk`, TAKEN_MS_MAX, async () => {
    return (await site.fleet.member(name).metric('lakeseal_detector_rules_current')) === 1;
  });
}

for (const variant of VARIANTS) {
  describe(`rules that change ${variant.name}`, () => {
    let site: Site;
    let feed: Feed;
    let found: FoundAlert[];
    let unchanged: Map<string, string>;
    let owed: Map<string, Owed>;
    let plans: Map<string, number>;

    before(async () => {
      const stack = await useStack();
      const random = seededRandom(chosenSeed());
      process.stderr.write(`detector-reload: LAKESEAL_TEST_SEED=${random.seed}\n`);
      const scene = await openScene(stack, 'detector-reload', { partitions: PARTITIONS });
      for (const folder of new Set(variant.folders)) {
        await writeStreamRules(join(scene.folder, folder));
      }
      site = new Site(scene, random, variant.folders);
      await site.writeAll(changingRules(0));
      await installTemplate(scene.env());
      feed = new Feed(scene, random, PARTITIONS);
      feed.start();
      for (const name of NAMES) site.fleet.start(name);
      await Promise.all(NAMES.map((name) => site.fleet.member(name).ready(120_000)));
      await operate(site);
      await feed.stop();
      const still = await writeStreamRules(join(scene.folder, 'still'));
      unchanged = await scanFile(feed.file, still, ['--no-shipped-rules']);
      ({ owed, plans } = await owedByRules(site));
      const must = [...owed.values()].flatMap((one) => [...one.must]);
      found = await judgedAlerts(scene, [...unchanged.keys(), ...must], JUDGED_MS_MAX);
    });

    after(async () => {
      await site?.fleet.stop();
      await site?.scene.close();
    });

    test('the planned changes happened', () => {
      assert.equal(site.fleet.kills, 2);
      assert.equal(site.fences.length, STAGES - 1);
      assert.deepEqual(site.fleet.surprises, []);
      assert.ok(unchanged.size > 50, `only ${unchanged.size} alerts of rules that stay`);
      for (const [rule, { must }] of owed) assert.ok(must.size > 3, `${rule}: ${must.size} alerts`);
      process.stderr.write(
        `detector-reload: ${feed.events} events, ${unchanged.size} + ${[...owed.values()].map(({ must, may }) => `${must.size}/${may.size}`).join(' ')} alerts\n`,
      );
    });

    test('nothing was late, refused or set apart', async () => {
      const letters: string[] = [];
      const { stack, deadLetterTopic } = site.scene;
      await readTopic(stack.brokers, deadLetterTopic, ({ headers, value }) => {
        letters.push(`${JSON.stringify(headers)} ${value?.toString('utf8').slice(0, 300)}`);
      });
      assert.deepEqual(
        { count: letters.length, first: letters.slice(0, 2) },
        { count: 0, first: [] },
      );
    });

    test('rules that stay give the alerts of scan', () => {
      const ids = assertOnce(found.filter(({ ruleId }) => !owed.has(ruleId)));
      assertSameIds(ids, new Set(unchanged.keys()), 'changing rules against scan');
    });

    test('each meaning of a rule that changes gives the alerts of what was judged by it', () => {
      for (const [rule, { must, may }] of owed) {
        const ids = assertOnce(found.filter(({ ruleId }) => ruleId === rule));
        const missing = [...must].filter((id) => !ids.has(id));
        const extra = [...ids].filter((id) => !may.has(id));
        assert.deepEqual({ rule, missing, extra }, { rule, missing: [], extra: [] });
      }
    });

    test('a rule that is the same has one meaning, whatever is changed around it', () => {
      assert.equal(plans.get(STEADY), 1);
      assert.equal(plans.get(EXCEPTED), 1);
      assert.equal(plans.get(idOf(2)), 2);
    });
  });
}

/** By what is on the topics: alerts of each rule that changes, and how many meanings each rule had. */
async function owedByRules(
  site: Site,
): Promise<{ owed: Map<string, Owed>; plans: Map<string, number> }> {
  const { scene, fences } = site;
  const engines = [];
  for (let stage = 0; stage < STAGES; stage += 1) {
    const folder = join(scene.folder, `stage-${stage}`);
    await writeStreamRules(folder);
    await writeChanging(folder, changingRules(stage));
    engines.push(engineOf(folder));
  }
  const matches = await readMatches(scene);
  const owed = new Map<string, Owed>();
  for (const rule of [...STATEFUL, STEADY, EXCEPTED]) {
    const stages = engines.map((engine) => engine.plans.get(rule) ?? null);
    owed.set(rule, owedOf(stages, matches.get(rule) ?? new Map(), fences));
  }
  const records: DumpedRecord[] = [];
  await readTopic(scene.stack.brokers, scene.topic, (record) => void records.push(record));
  owed.set(SINGLE, owedOfSingle(SINGLE, engines, records, fences));
  return { owed, plans: new Map([...matches].map(([rule, found]) => [rule, found.size])) };
}
