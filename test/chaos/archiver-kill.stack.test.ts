/**
 * Promises A1, A2 and A3 under kill -9: while two producers keep producing, archivers are killed at
 * random moments and started again, stopped past their session timeout and woken (zombies), and the
 * store is killed and restarted under way. At the end every record is in exactly one segment, no
 * slot has a second version, and no offset was ever committed before its records were sealed.
 *
 * Two arenas run at once, each with a topic, bucket and groups of its own:
 * - one group: two archivers share the partitions, Kafka's fence and the store's both at work;
 * - rivals: two archivers where one would do, each start in a group of its own, so that both want
 *   every slot, always, and only the store decides.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { JudgedEvidence } from '../archiver/sim/evidence.ts';
import type { Exit } from '../stack/service.ts';
import { type Stack, useStack } from '../stack/use.ts';
import { assertWhole, compareWithKafka, type Evidence, reaches, SealWatch } from './archive.ts';
import { judgeBucket, testKeyFile } from './evidence.ts';
import { Fleet } from './fleet.ts';
import { endOffsets, registerSchema, withAdmin } from './kafka.ts';
import { type Load, mixedLoad, startLoad } from './load.ts';
import { chosenSeed, type Random, seededRandom } from './random.ts';
import { CommitSampler, total } from './sampler.ts';
import { openScene, type Scene } from './scene.ts';
import { until } from './wait.ts';

const PARTITIONS = 4;
const NAMES = ['a', 'b'] as const;
const KILLS_OF_ONE_GROUP = 30;
const KILLS_OF_RIVALS = 30;
const OUTAGES = 4;
const ZOMBIES = 3;
/** Longer than the session timeout of 6 s, so that the partitions move. */
const ZOMBIE_SLEEP_MS = 7_000;
const PROGRESS_MS_MAX = 60_000;
const CATCH_UP_MS_MAX = 120_000;
const FENCED = '"another writer sealed this slot; adopted"';

class Arena {
  readonly scene: Scene;
  readonly fleet: Fleet;
  readonly random: Random;
  readonly sampler: CommitSampler;
  /** Kills after which something was sealed that no commit told of. */
  killsBeforeCommit = 0;
  zombiesFenced = 0;
  exits = new Map<string, Exit>();
  evidence: Evidence | undefined;
  judged: JudgedEvidence | undefined;
  produced = 0;
  #load: Load | undefined;

  constructor(scene: Scene, random: Random, fleet: Fleet) {
    const { stack, rootS3, bucket, topic, archiveGroup } = scene;
    this.scene = scene;
    this.random = random;
    this.fleet = fleet;
    const watch = new SealWatch(rootS3, bucket);
    this.sampler = new CommitSampler(stack.brokers, { group: archiveGroup, topic }, () =>
      watch.poll(topic, PARTITIONS),
    );
  }

  async open(): Promise<void> {
    const { stack, topic } = this.scene;
    const schemaId = await registerSchema(stack.registryUrl, `${topic}-value`);
    await this.sampler.start();
    this.#load = startLoad({
      brokers: stack.brokers,
      topic,
      producers: 2,
      batch: 20,
      pauseMs: 60,
      message: mixedLoad(schemaId),
    });
    for (const name of NAMES) this.fleet.start(name);
  }

  /** Waits until these have partitions: a kill before that would hit nothing. */
  async atWork(names: readonly string[]): Promise<void> {
    await Promise.all(names.map((name) => this.fleet.member(name).ready()));
  }

  /** Waits until something was sealed after now, then for a random while. */
  async randomMoment(spreadMs: number): Promise<void> {
    const before = total(this.sampler.durable);
    await until('records are sealed', PROGRESS_MS_MAX, () => total(this.sampler.durable) > before);
    await this.pause(spreadMs);
  }

  pause(spreadMs: number): Promise<void> {
    return sleep(this.random.integer(0, spreadMs));
  }

  /** Kills both, one soon after the other, while the other still works. */
  async killBoth(): Promise<void> {
    const [first, second] = this.random.next() < 0.5 ? NAMES : NAMES.toReversed();
    await this.fleet.kill(first!);
    await this.pause(700);
    await this.fleet.kill(second!);
  }

  /** Nobody runs now, so nobody commits: what is sealed beyond was hit between PUT and commit. */
  async countKillBeforeCommit(): Promise<void> {
    if (!(await this.sampler.look())) return;
    const { durable, committed } = this.sampler;
    const ahead = [...durable].some(([partition, end]) => end > (committed.get(partition) ?? 0n));
    if (ahead) this.killsBeforeCommit++;
  }

  startBoth(): void {
    for (const name of NAMES) this.fleet.start(name);
  }

  /** Ends the load, waits until all is sealed, stops the archivers and compares with Kafka. */
  async settle(): Promise<void> {
    const { scene, fleet, sampler } = this;
    const { stack, topic, rootS3: s3 } = scene;
    this.produced = await this.#load!.stop();
    const ends = await withAdmin(stack.brokers, (admin) => endOffsets(admin, topic));
    await until('everything is sealed', CATCH_UP_MS_MAX, () => reaches(sampler.durable, ends));
    this.exits = await fleet.stop();
    await sampler.look();
    await sampler.stop();
    this.evidence = await compareWithKafka({ ...scene, s3, brokers: stack.brokers });
    this.judged = await judgeBucket(s3, scene.bucket);
  }
}

async function openArena(
  stack: Stack,
  seed: number,
  name: string,
  groupOf: (scene: Scene, member: string, life: number) => string,
): Promise<Arena> {
  const scene = await openScene(stack, name, {
    partitions: PARTITIONS,
    settings: {
      // Many small segments: every kill finds one open, and often one on its way.
      'archive.segmentAgeMsMax': 500,
      'storage.timeoutMs': 3_000,
    },
  });
  const keyFile = testKeyFile(scene.folder);
  const fleet = new Fleet((member, life) =>
    scene.archiver(
      {
        'archive.group': groupOf(scene, member, life),
        'evidence.keyFile': keyFile,
        // Two that close segments at other places: a slot's loser must not go on as if it had won.
        'archive.segmentRecordsMax': member === 'a' ? 60 : 47,
      },
      `archiver-${member}-${String(life).padStart(3, '0')}`,
    ),
  );
  const arena = new Arena(scene, seededRandom(seed), fleet);
  await arena.open();
  return arena;
}

/** The store goes away at a random moment; now and then archivers die and start while it is away. */
async function outage(arena: Arena, round: number): Promise<void> {
  const { stack } = arena.scene;
  await arena.randomMoment(500);
  await stack.kill('minio');
  try {
    await arena.pause(1_500);
    if (round % 2 === 0) {
      await arena.killBoth();
      arena.startBoth();
    }
    await arena.pause(2_500);
  } finally {
    await stack.restart('minio');
  }
}

/** One archiver sleeps past its session; the other takes over; then the first wakes up. */
async function zombie(arena: Arena): Promise<void> {
  const { fleet, sampler, random, scene } = arena;
  await arena.randomMoment(500);
  const sleeper = fleet.member(random.pick(NAMES));
  sleeper.signal('SIGSTOP');
  try {
    await sleep(ZOMBIE_SLEEP_MS);
    const { stack, topic } = scene;
    const ends = await withAdmin(stack.brokers, (admin) => endOffsets(admin, topic));
    // Only the other one can have sealed all partitions up to here.
    await until('the other archiver took over', PROGRESS_MS_MAX, () =>
      reaches(sampler.durable, ends),
    );
  } finally {
    sleeper.signal('SIGCONT');
  }
  const fenced = until('the sleeper met the other segments', 15_000, async () =>
    (await readFile(sleeper.logFile, 'utf8')).includes(FENCED),
  );
  if (await fenced.catch(() => false)) arena.zombiesFenced++;
}

async function fightInOneGroup(arena: Arena): Promise<void> {
  const rounds = KILLS_OF_ONE_GROUP / NAMES.length;
  for (let round = 0; round < rounds; round++) {
    await arena.atWork(NAMES);
    await arena.randomMoment(1_200);
    if (round % 4 === 1 && round / 4 < OUTAGES) await outage(arena, Math.floor(round / 4));
    if (round % 4 === 3 && round / 4 < ZOMBIES) await zombie(arena);
    await arena.killBoth();
    await arena.countKillBeforeCommit();
    arena.startBoth();
  }
}

async function fightAsRivals(arena: Arena): Promise<void> {
  for (let kill = 0; kill < KILLS_OF_RIVALS; kill++) {
    const name = arena.random.pick(NAMES);
    await arena.atWork([name]);
    await arena.randomMoment(900);
    await arena.fleet.kill(name);
    arena.fleet.start(name);
  }
}

describe('archivers killed, stopped and doubled', () => {
  const seed = chosenSeed();
  let group: Arena;
  let rivals: Arena;

  before(async () => {
    process.stderr.write(`archiver-kill: LAKESEAL_TEST_SEED=${seed}\n`);
    const stack = await useStack();
    group = await openArena(stack, seed, 'kill-group', ({ archiveGroup }) => archiveGroup);
    rivals = await openArena(
      stack,
      seed + 1,
      'kill-rivals',
      ({ archiveGroup }, member, life) => `${archiveGroup}-${member}-${life}`,
    );
    await Promise.all([fightInOneGroup(group), fightAsRivals(rivals)]);
    await Promise.all([group.settle(), rivals.settle()]);
  });

  after(async () => {
    await Promise.all([group?.scene.close(), rivals?.scene.close()]);
  });

  test('the planned faults happened', () => {
    const kills = group.fleet.kills + rivals.fleet.kills;
    assert.ok(kills >= 50, `only ${kills} kills`);
    assert.ok(group.fleet.kills >= KILLS_OF_ONE_GROUP, `only ${group.fleet.kills} in one group`);
    assert.ok(group.killsBeforeCommit > 0, 'no kill fell between sealing and committing');
    assert.ok(group.zombiesFenced > 0, 'no zombie met a slot that the other had sealed');
  });

  test('A1, A3: one group: every record once, tiled, one version for each slot', () => {
    assertWhole(group.evidence!, group.produced);
  });

  test('A1, A3: rivals: every record once, tiled, one version for each slot', () => {
    assertWhole(rivals.evidence!, rivals.produced);
  });

  test('A4: one history of each log, signed to its end, a manifest for each segment', () => {
    for (const { judged, evidence } of [group, rivals]) {
      assert.equal(judged!.anomalies, 0);
      assert.equal(judged!.manifests, evidence!.segments);
      assert.ok(judged!.checkpoints > PARTITIONS && judged!.roots > 0);
    }
  });

  test('A2: no offset was committed before it was sealed', () => {
    assert.deepEqual(group.sampler.tooEarly, []);
    assert.ok(group.sampler.samples > 50, `only ${group.sampler.samples} samples`);
    assert.deepEqual(group.sampler.committed, group.sampler.durable, 'after a graceful stop');
  });

  test('nobody ended that was not told to, and all stop gracefully', () => {
    assert.deepEqual([...group.fleet.surprises, ...rivals.fleet.surprises], []);
    for (const exits of [group.exits, rivals.exits]) {
      for (const [name, exit] of exits) assert.equal(exit.code, 0, `exit code of ${name}`);
    }
  });
});
