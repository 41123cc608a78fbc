/**
 * The verifier's service over time: what runs when, what OpenSearch is told, what survives a restart,
 * a store or an OpenSearch that is away; and an archive on the double that is tampered with and mended.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { Registry } from 'prom-client';
import { type Unwrap, unwrapWith } from '../../schemas/envelope.ts';
import { evidenceKey } from '../../schemas/evidence/log-layout.ts';
import { wrappingKey } from '../../schemas/wrapping-key.ts';
import { unwrappingAsFar } from '../../services/cli/archive-place.ts';
import type { BulkAnswer } from '../../services/detector/alert/bulk.ts';
import { planRewrap, writeWraps } from '../../services/evidence/wraps.ts';
import { Failure } from '../../services/runtime/errors.ts';
import { HealthState } from '../../services/runtime/health.ts';
import { silentLog } from '../../services/runtime/log.ts';
import type { Fact } from '../../services/watch/facts.ts';
import { watchMetrics } from '../../services/watch/metrics.ts';
import { verifierRuns } from '../../services/watch/runs.ts';
import type { RunKind } from '../../services/watch/schedule.ts';
import { type RunResult, type WatchOptions, watch } from '../../services/watch/watch.ts';
import { FaultPlan } from '../double/faults.ts';
import { doubleStore } from '../double/store.ts';
import { POSTURE } from '../posture/a-posture.ts';
import { bucketSource } from '../verifier/bucket-source.ts';
import {
  PREFIX,
  type SmallArchive,
  START_MS,
  signer,
  smallArchive,
} from '../verifier/proof-archive.ts';
import { dataKey, replace, scene } from '../verifier/tamperings.ts';
import { HandClock } from './hand-clock.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const EVERY = { incremental: HOUR_MS, whole: 7 * DAY_MS, posture: 15 * MINUTE_MS };

const altered: Fact = {
  code: 'segment_altered',
  class: 'tampered',
  meaning: 'the bytes of a segment are not those that were sealed',
  key: 'sealed/data/x',
  versionId: '',
  expected: 'one',
  found: 'another',
};

interface File {
  path: string;
  text: string | null;
  read(): string | null;
  write(text: string): void;
}

function file(): File {
  return {
    path: 'file',
    text: null,
    read() {
      return this.text;
    },
    write(text) {
      this.text = text;
    },
  };
}

type Told = Record<'id' | 'status' | 'code' | 'key' | 'subject' | '@timestamp', string> & {
  _id: string;
  recovered: string | null;
};

/** A service with all that it leaves behind; `start` is a new process on it. */
class Scene {
  readonly clock = new HandClock(START_MS);
  readonly ledger = file();
  readonly told: Told[] = [];
  readonly ran: Array<[kind: RunKind, afterMs: number]> = [];
  health = new HealthState();
  metrics = new Registry();
  /** What OpenSearch answers instead of taking all. */
  refusal: BulkAnswer | null = null;
  run: (kind: RunKind) => Promise<RunResult>;

  constructor(run: (kind: RunKind) => Promise<RunResult>) {
    this.run = run;
  }

  start(): () => Promise<void> {
    const end = new AbortController();
    this.health = new HealthState();
    this.metrics = new Registry();
    const options: WatchOptions = {
      context: {
        clock: this.clock,
        random: () => 0.5,
        log: silentLog,
        signal: end.signal,
        health: this.health,
      },
      metrics: watchMetrics(this.metrics),
      every: EVERY,
      archive: 'the double',
      index: 'lakeseal-findings',
      run: (kind) => {
        this.ran.push([kind, this.clock.now() - START_MS]);
        return this.run(kind);
      },
      bulk: async (lines) => this.refusal ?? this.#take(lines),
      file: {
        path: this.ledger.path,
        read: () => this.ledger.read(),
        write: (text) => this.ledger.write(text),
      },
    };
    const done = watch(options);
    return async () => {
      end.abort();
      await done;
    };
  }

  #take(lines: string[]): BulkAnswer {
    const items = [];
    for (let at = 0; at < lines.length; at += 2) {
      const { index } = JSON.parse(lines[at]!);
      assert.equal(index._index, 'lakeseal-findings');
      this.told.push({ _id: index._id, ...JSON.parse(lines[at + 1]!) });
      items.push({ status: 201, errorType: null, errorReason: null });
    }
    return { kind: 'items', items };
  }

  async gauge(name: string): Promise<number> {
    const text = await this.metrics.getSingleMetricAsString(name);
    return text
      .split('\n')
      .filter((line) => !line.startsWith('#'))
      .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
  }
}

const finds = (...facts: Fact[]): RunResult => ({ facts, keep: () => {} });

describe('the verifier as a service', () => {
  test('runs whole at first, then as the intervals say, over restarts too', async () => {
    const scene = new Scene(async () => finds());
    const stop = scene.start();
    await scene.clock.pass(DAY_MS);
    await stop();
    const count = (kind: RunKind): number => scene.ran.filter(([one]) => one === kind).length;
    assert.deepEqual([count('whole'), count('incremental'), count('posture')], [1, 24, 97]);
    const again = scene.start();
    await scene.clock.pass(6 * DAY_MS);
    await again();
    assert.deepEqual([count('whole'), count('incremental')], [2, 24 * 7 - 1]);
    assert.deepEqual(
      scene.ran.filter(([kind]) => kind === 'whole').map(([, atMs]) => atMs),
      [0, 7 * DAY_MS],
    );
  });

  test('tells of a fact once while it lasts, and once when it has recovered', async () => {
    let there = true;
    const scene = new Scene(async (kind) =>
      kind !== 'posture' && there ? finds(altered) : finds(),
    );
    const stop = scene.start();
    await scene.clock.pass(3 * HOUR_MS);
    assert.equal(await scene.gauge('lakeseal_verifier_open_findings'), 1);
    await stop();
    const again = scene.start();
    await scene.clock.pass(HOUR_MS);
    assert.deepEqual(
      scene.told.map(({ status }) => status),
      ['open'],
    );
    there = false;
    await scene.clock.pass(2 * HOUR_MS);
    assert.equal(await scene.gauge('lakeseal_verifier_open_findings'), 0);
    there = true;
    await scene.clock.pass(HOUR_MS);
    await again();
    const [first, recovered, second] = scene.told;
    assert.deepEqual(
      scene.told.map(({ status }) => status),
      ['open', 'recovered', 'open'],
    );
    assert.equal(recovered!._id, first!._id, 'the document is replaced');
    assert.equal(recovered!.recovered, new Date(START_MS + 5 * HOUR_MS).toISOString());
    assert.equal(second!.id, first!.id);
    assert.notEqual(second!._id, first!._id, 'what came back is another occurrence');
  });

  test('keeps what OpenSearch does not take, over a restart, and says that it is not ready', async () => {
    const scene = new Scene(async (kind) => (kind === 'posture' ? finds() : finds(altered)));
    scene.refusal = { kind: 'failed', status: null, reason: 'away' };
    const stop = scene.start();
    await scene.clock.pass(10 * MINUTE_MS);
    assert.equal(await scene.gauge('lakeseal_verifier_unsent_findings'), 1);
    assert.deepEqual(scene.health.failingReady(), [{ check: 'opensearch', reason: 'away' }]);
    await stop();
    const again = scene.start();
    await scene.clock.pass(MINUTE_MS);
    const blocked = { status: 429, errorType: 'cluster_block_exception', errorReason: null };
    scene.refusal = { kind: 'items', items: [blocked] };
    await scene.clock.pass(5 * MINUTE_MS);
    assert.deepEqual(scene.told, []);
    scene.refusal = null;
    await scene.clock.pass(2 * MINUTE_MS);
    assert.equal(scene.told.length, 1);
    assert.deepEqual(scene.health.failingReady(), []);
    assert.equal(await scene.gauge('lakeseal_verifier_unsent_findings'), 0);
    await again();
  });

  test('a run that fails recovers nothing, is repeated, and keeps the others running', async () => {
    let down = false;
    const scene = new Scene(async (kind) => {
      if (down && kind !== 'posture') throw new Failure('the store is away', { code: 'S3' });
      return kind === 'posture' ? finds() : finds(altered);
    });
    const stop = scene.start();
    await scene.clock.pass(MINUTE_MS);
    down = true;
    await scene.clock.pass(2 * HOUR_MS);
    assert.match(
      scene.health.failingReady()[0]!.reason,
      /incremental run failed: the store is away/,
    );
    const tries = scene.ran.filter(([kind]) => kind === 'incremental').length;
    assert.ok(tries > 10, 'sooner than its interval');
    assert.equal(scene.ran.filter(([kind]) => kind === 'posture').length, 9);
    down = false;
    await scene.clock.pass(HOUR_MS);
    assert.deepEqual(scene.health.failingReady(), []);
    assert.deepEqual(
      scene.told.map(({ status }) => status),
      ['open'],
    );
    await stop();
  });

  test('what was found is on disk before the next run may begin behind it', async () => {
    const order: boolean[] = [];
    const scene = new Scene(async () => ({
      facts: [altered],
      keep: () => void order.push(scene.ledger.text?.includes(altered.key) ?? false),
    }));
    const stop = scene.start();
    await scene.clock.pass(MINUTE_MS);
    await stop();
    assert.deepEqual(order, [true, true], 'of the archive, and of the posture');
  });

  test('a process that is told to stop does not wait for a run', async () => {
    const scene = new Scene(() => new Promise(() => {}));
    const stop = scene.start();
    await scene.clock.pass(MINUTE_MS);
    await stop();
    assert.equal(scene.ledger.text, null);
  });
});

/** The runs that production makes, over the double, in which nothing can be written any more. */
function readOnlyRuns(
  { bucket, store }: SmallArchive,
  clock: HandClock,
  state: File,
  unwrap: () => Promise<Unwrap> = async () => unwrapWith([]),
) {
  return verifierRuns({
    verify: {
      source: bucketSource(bucket),
      prefix: PREFIX,
      verifiers: [signer.verifier],
      kept: [],
      deep: true,
      rootAgeMsMax: null,
      concurrency: 2,
      judgeStamp: null,
      judgeWitness: null,
      stampsSince: null,
      breathe: () => setImmediate(),
      progress: () => {},
    },
    unwrap,
    posture: {
      store,
      target: { bucket: 'audit', prefix: PREFIX },
      verifiers: [signer.verifier],
      read: async () => POSTURE,
      rights: null,
    },
    state,
    nowMs: () => clock.now(),
  });
}

test('a tampering is found, told once over three runs, and recovered, without a write', async () => {
  const archive = await scene();
  const { bucket } = archive;
  const state = file();
  const service = new Scene(async () => finds());
  service.run = readOnlyRuns(archive, service.clock, state);
  const written: string[] = [];
  const guarded = bucket.put.bind(bucket);
  const mayWrite = { now: false };
  bucket.put = (key, ...rest) => {
    if (!mayWrite.now) written.push(key);
    return guarded(key, ...rest);
  };
  const byAdministrator = async (act: () => Promise<void> | void): Promise<void> => {
    mayWrite.now = true;
    await act();
    mayWrite.now = false;
  };
  const stop = service.start();
  await service.clock.pass(30 * MINUTE_MS);
  assert.deepEqual(
    service.told.map(({ code, key }) => [code, key]),
    [['baseline_missing', 'baseline']],
  );
  const key = dataKey(10n);
  let sealed: Buffer;
  await byAdministrator(async () => {
    await archive.seal(2);
    sealed = bucket.current(key)!.bytes!;
    replace(bucket, key, Buffer.from('forged'));
  });
  await service.clock.pass(3 * HOUR_MS);
  const ofArchive = (): string[] =>
    service.told
      .filter(({ subject }) => subject === 'archive')
      .map(({ code, status }) => `${code} ${status}`);
  assert.deepEqual(ofArchive(), ['segment_altered open']);
  assert.deepEqual(
    service.ran.map(([kind]) => kind).filter((kind) => kind !== 'posture'),
    ['whole', 'incremental', 'incremental', 'incremental'],
  );
  await byAdministrator(() => replace(bucket, key, sealed));
  await service.clock.pass(HOUR_MS);
  assert.deepEqual(ofArchive(), ['segment_altered open', 'segment_altered recovered']);
  await stop();
  assert.deepEqual(written, []);
  assert.ok(!(state.text ?? '').includes('forged'));
});

test('a deep run opens what was wrapped again, from the next run on', async () => {
  const [old, next] = [wrappingKey(Buffer.alloc(32, 1)), wrappingKey(Buffer.alloc(32, 2))];
  const archive = smallArchive({ key: old });
  await archive.seal(3);
  await archive.root(0);
  const { bucket } = archive;
  // Evidence alone: what stands in front of segments would open them.
  const store = doubleStore(bucket, new FaultPlan());
  const left: string[] = [];
  const clock = new HandClock(START_MS);
  const runs = readOnlyRuns(archive, clock, file(), () =>
    unwrappingAsFar({ store, prefix: PREFIX }, [next], ({ code }) => left.push(code)),
  );
  assert.equal((await runs('whole')).unopened, 2);
  const { bodies } = await planRewrap(store, PREFIX, [old], next);
  const time = '2026-11-24T00:00:00Z';
  await writeWraps(
    store,
    PREFIX,
    signer,
    bodies.map((body) => ({ time, ...body })),
  );
  const { facts, unopened } = await runs('whole');
  assert.deepEqual([facts, unopened, left], [[], 0, []]);
  // Its log broken: said, found, and the rest of the archive is verified all the same.
  const key = evidenceKey(PREFIX, { log: 'wraps', kind: 'leaf', number: 0 });
  replace(bucket, key, Buffer.from('{}\n'));
  const broken = await runs('whole');
  assert.ok(broken.facts.some((fact) => fact.key === key));
  assert.deepEqual([broken.unopened, left], [2, ['EVIDENCE']]);
  const service = new Scene(runs);
  const stop = service.start();
  await service.clock.pass(MINUTE_MS);
  assert.match(await service.metrics.metrics(), /lakeseal_verifier_unopened_segments 2/);
  await stop();
});
