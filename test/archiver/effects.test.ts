/**
 * A fault at every single store call of a run that seals, notes, signs and writes roots: the
 * process dies before it, dies after it, or loses its answer. After a restart the archive verifies,
 * nothing is missing and nothing is doubled. A fault that was planned and not reached fails.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { HOUR_MS } from '../../schemas/evidence/root-leaf.ts';
import { parseSpliceSchema } from '../../schemas/segment.ts';
import type { ObjectStore } from '../../services/store/store.ts';
import { Bucket } from '../double/bucket.ts';
import { type FaultKind, FaultPlan, type Operation } from '../double/faults.ts';
import { doubleStore } from '../double/store.ts';
import { judgeComplete, judgeEvidence, seemsComplete } from './sim/evidence.ts';
import { judgeContent, judgeStore } from './sim/judge.ts';
import { Group, Log } from './sim/kafka.ts';
import { Process } from './sim/process.ts';
import { Random } from './sim/random.ts';
import { SIGNER } from './sim/simulation.ts';
import { World } from './sim/time.ts';

const PREFIX = 'p/';
const OPERATIONS: readonly Operation[] = ['put', 'get', 'list', 'versions', 'protection'];
const SCHEMA = '{"type":"record","name":"T","fields":[{"name":"eventTime","type":"long"}]}';
/** How long the first process runs: into the next hour, and beyond a look for it. */
const RUN_MS = 130_000;
const STEP_MS = 1_000;
const HEAL_MS = 300_000;
const PARTITIONS = 2;
const RECORDS = 40;

const WAYS = {
  'dies before': { kind: 'error_before', dies: true },
  'dies after': { kind: 'error_after', dies: true },
  'loses the answer of': { kind: 'reset_after', dies: false },
} as const satisfies Record<string, { kind: FaultKind; dies: boolean }>;
type Way = keyof typeof WAYS;

class Run {
  readonly world = new World();
  readonly bucket: Bucket;
  readonly faults: FaultPlan;
  readonly #random = new Random(1);
  readonly #logs = Array.from({ length: PARTITIONS }, (_, partition) => new Log(partition));
  readonly #group = new Group(this.#logs, () => {});
  readonly #dies: boolean;
  #process: Process | null = null;
  #defect: unknown;

  constructor(faults: FaultPlan, dies: boolean) {
    this.faults = faults;
    this.#dies = dies;
    this.world.nowMs += HOUR_MS - (this.world.nowMs % HOUR_MS) - 30_000;
    const defaultRetention = { mode: 'COMPLIANCE', days: 30 } as const;
    this.bucket = new Bucket({ nowMs: () => this.world.nowMs, defaultRetention });
    for (let index = 0; index < RECORDS; index++) this.#produce(index);
  }

  #produce(index: number): void {
    const value = index % 3 === 0 ? Buffer.from('{}') : Buffer.from([0, 0, 0, 0, 1, index]);
    const timestamp = BigInt(this.world.nowMs + index);
    this.#logs[index % PARTITIONS]!.append({ timestamp, key: null, value, headers: [] }, 0);
  }

  #start(): void {
    const schema = parseSpliceSchema(SCHEMA);
    assert.ok(!('problem' in schema));
    const process: Process = new Process('one', this.#group, {
      world: this.world,
      random: this.#random,
      store: this.#mortal(() => process.clock.kill()),
      schemas: { warm: async () => {}, find: () => schema },
      startAt: 'earliest',
      signer: async () => SIGNER,
      onRoot: async () => {},
      onDefect: (error) => {
        this.#defect ??= error;
      },
      onFenced: () => {},
    });
    // Wrong clocks are for the simulator: here each run up to the fault is the same.
    process.clock.skewMs = 0;
    this.#process = process;
    this.#group.rebalance([process.member], this.#random);
  }

  /** Kills the process at the planned call. */
  #mortal(die: () => void): ObjectStore {
    const store = doubleStore(this.bucket, this.faults);
    if (!this.#dies) return store;
    const watched = async <Output>(work: () => Promise<Output>): Promise<Output> => {
      const before = this.faults.unreached.length;
      const answer = work();
      answer.catch(() => {});
      if (this.faults.unreached.length < before) die();
      return answer;
    };
    return {
      putIfAbsent: (key, bytes) => watched(() => store.putIfAbsent(key, bytes)),
      get: (key, range) => watched(() => store.get(key, range)),
      list: (prefix, after, max) => watched(() => store.list(prefix, after, max)),
      versions: (key) => watched(() => store.versions(key)),
      protection: (key) => watched(() => store.protection(key)),
    };
  }

  async run(): Promise<void> {
    this.#start();
    await this.#advance(RUN_MS / 2);
    for (let index = 0; index < RECORDS; index++) this.#produce(index);
    await this.#advance(RUN_MS / 2);
    assert.deepEqual(this.faults.unreached, [], 'a planned fault was not reached');
    for (let waited = 0; !this.#isDone(); waited += 5_000) {
      assert.ok(waited < HEAL_MS, 'not complete after the restart');
      await this.#advance(5_000);
    }
    await this.#advance(5_000);
  }

  /** Whoever dies is started again. */
  async #advance(ms: number): Promise<void> {
    for (let passedMs = 0; passedMs < ms; passedMs += STEP_MS) {
      await this.world.advance(STEP_MS);
      if (this.#defect !== undefined) throw this.#defect;
      if (this.#process!.clock.dead) this.#start();
    }
  }

  #isDone(): boolean {
    const isSealed = this.#logs.every(
      ({ partition, endOffset }) => this.#group.committed.get(partition) === endOffset,
    );
    return isSealed && seemsComplete(this.bucket, PREFIX);
  }

  async judge(): Promise<void> {
    for (const log of this.#logs) {
      judgeStore(this.bucket, log);
      judgeContent(this.bucket, log, 0n);
    }
    const evidence = await judgeEvidence(this.bucket, PREFIX, SIGNER.verifier);
    judgeComplete(this.bucket, PREFIX, evidence);
    assert.equal(evidence.anomalies, 0);
    assert.equal(evidence.roots, 2, 'one root for each hour');
    assert.equal(evidence.logs.length, PARTITIONS + 1);
  }
}

async function calls(): Promise<Array<{ operation: Operation; nth: number }>> {
  const run = new Run(new FaultPlan(), false);
  await run.run();
  await run.judge();
  return OPERATIONS.flatMap((operation) =>
    Array.from({ length: run.faults.calls(operation) }, (_, nth) => ({ operation, nth })),
  );
}

describe('a fault at every effect', async () => {
  const all = await calls();

  test('there are effects of every kind', () => {
    for (const operation of OPERATIONS) {
      const count = all.filter((one) => one.operation === operation).length;
      assert.ok(count >= 4, `${count} calls of ${operation}`);
    }
  });

  for (const way of Object.keys(WAYS) as Way[]) {
    test(`the process ${way} a call: the archive verifies, and nothing is doubled`, async () => {
      for (const { operation, nth } of all) {
        const { kind, dies } = WAYS[way];
        const run = new Run(new FaultPlan([{ operation, nth, kind }]), dies);
        try {
          await run.run();
          await run.judge();
        } catch (error) {
          assert.fail(`${operation} ${nth}: ${(error as Error).stack}`);
        }
      }
    });
  }
});
