/** One seeded schedule of processes, Kafka, store, faults and time; judged at the end. */
import assert from 'node:assert/strict';
import { sha256 } from '../../../schemas/evidence/merkle.ts';
import { ed25519Signer, type Signer } from '../../../schemas/evidence/note.ts';
import { HOUR_MS } from '../../../schemas/evidence/root-leaf.ts';
import { parseSpliceSchema } from '../../../schemas/segment.ts';
import type { WriterSchemas } from '../../../services/archiver/schemas.ts';
import { Failure } from '../../../services/runtime/errors.ts';
import { type EnvelopeOptions, envelopeStore } from '../../../services/store/envelope-store.ts';
import { Bucket } from '../../double/bucket.ts';
import { type Fault, type FaultKind, FaultPlan, type Operation } from '../../double/faults.ts';
import { doubleStore } from '../../double/store.ts';
import { judgeComplete, judgeEvidence, seemsComplete } from './evidence.ts';
import { chainOf, judgeCommit, judgeContent, judgeStore } from './judge.ts';
import { Group, Log } from './kafka.ts';
import { ENVELOPE_KEY, openedBytes } from './opened.ts';
import { Process, type ProcessOptions } from './process.ts';
import { Random } from './random.ts';
import { World } from './time.ts';

export const SIGNER = ed25519Signer('audit.example.com', Buffer.alloc(32, 7));

const PREFIX = 'p/';
const ENVELOPE: EnvelopeOptions = {
  prefix: PREFIX,
  keys: [ENVELOPE_KEY],
  sha256: async (bytes) => sha256(bytes),
  breathe: async () => {},
};
const STEPS = 60;
/** Virtual time after which a healed system must have sealed everything. */
const HEAL_MS = 400_000;

const SCHEMA = '{"type":"record","name":"T","fields":[{"name":"s","type":"string"}]}';
const FAULTS: Array<[Operation, FaultKind]> = [
  ...(['error_before', 'error_after', 'reset_before', 'reset_after'] as const),
  ...(['conflict', 'slow_down', 'denied', 'silence_after'] as const),
].flatMap(
  (kind): Array<[Operation, FaultKind]> =>
    kind === 'conflict'
      ? [['put', kind]]
      : (['put', 'get', 'list', 'versions', 'protection'] as const).map((operation) => [
          operation,
          kind,
        ]),
);

export interface Tally {
  seals: number;
  gaps: number;
  fenced: number;
  records: number;
  kills: number;
  manifests: number;
  checkpoints: number;
  roots: number;
  upgrades: number;
}

export const NO_TALLY: Tally = {
  seals: 0,
  gaps: 0,
  fenced: 0,
  records: 0,
  kills: 0,
  manifests: 0,
  checkpoints: 0,
  roots: 0,
  upgrades: 0,
};

export class Simulation {
  readonly tally: Tally = { ...NO_TALLY };
  readonly #random: Random;
  readonly #world = new World();
  readonly #bucket: Bucket;
  readonly #faults: FaultPlan;
  readonly #logs: Log[];
  readonly #isEncrypted: boolean;
  readonly #groups: Group[];
  readonly #startAt: 'earliest' | 'latest';
  readonly #startedAt = new Map<number, bigint>();
  #processes: Array<{ process: Process; group: Group }> = [];
  #registryUp = true;
  #keyUp = true;
  /** The step before which the archive had no evidence. */
  #upgradeAt = -1;
  /** Checkpoints of roots that were handed over. */
  readonly #handedOver = new Set<string>();
  #defect: unknown;
  #count = 0;

  constructor(seed: number) {
    const random = new Random(seed);
    this.#random = random;
    this.#isEncrypted = seed % 4 === 3;
    // An hour begins at some time in most runs.
    this.#world.nowMs += HOUR_MS - (this.#world.nowMs % HOUR_MS) - random.int(0, 200_000);
    this.#bucket = new Bucket({
      nowMs: () => this.#world.nowMs,
      ...(random.chance(0.5) ? { defaultRetention: { mode: 'GOVERNANCE', days: 30 } } : {}),
    });
    if (random.chance(0.15)) this.#upgradeAt = random.int(20, 40);
    this.#faults = new FaultPlan(this.#planFaults());
    this.#logs = Array.from({ length: random.int(1, 3) }, (_, partition) => new Log(partition));
    const onCommit = ({ partition, offset }: { partition: number; offset: bigint }): void => {
      judgeCommit(this.#bucket, partition, offset);
    };
    // Two groups on one archive: rivals that contend for every slot, all the time.
    const groups = random.chance(0.3) ? 2 : 1;
    this.#groups = Array.from({ length: groups }, () => new Group(this.#logs, onCommit));
    this.#startAt = random.chance(0.15) ? 'latest' : 'earliest';
    if (random.chance(0.5)) this.#produce(30);
    if (random.chance(0.3)) this.#expire();
    for (const log of this.#logs) this.#startedAt.set(log.partition, 2n ** 62n);
  }

  #planFaults(): Fault[] {
    return Array.from({ length: this.#random.int(1, 4) }, () => {
      const [operation, kind] = this.#random.pick(FAULTS);
      return { operation, kind, nth: this.#random.int(0, operation === 'put' ? 12 : 5) };
    }).filter(
      (fault, index, all) =>
        all.findIndex(
          ({ operation, nth }) => operation === fault.operation && nth === fault.nth,
        ) === index,
    );
  }

  async run(): Promise<void> {
    this.#start();
    this.#start();
    for (let step = 0; step < STEPS; step++) {
      if (step === this.#upgradeAt) await this.#forgetEvidence();
      this.#act();
      await this.#world.advance(this.#random.int(1, 1_500));
      if (this.#defect !== undefined) throw this.#defect;
    }
    await this.#reachFaults();
    await this.#heal();
    await this.#judge();
  }

  #act(): void {
    const random = this.#random;
    const action = random.int(0, 99);
    if (action < 55) this.#produce(random.int(1, 25));
    else if (action < 65) this.#rebalance();
    else if (action < 72) this.#kill();
    else if (action < 77) this.#stopOne();
    else if (action < 84) this.#freezeOrThaw();
    else if (action < 88) this.#start();
    else if (action < 92) this.#expire();
    else if (action < 95) this.#registryUp = !this.#registryUp;
    else if (action < 97) this.#keyUp = !this.#keyUp;
    else this.#moveClock();
  }

  // --- actions ---------------------------------------------------------------------------------

  #produce(count: number): void {
    const random = this.#random;
    for (let index = 0; index < count; index++) {
      const log = random.pick(this.#logs);
      const text = `${this.#count++}`;
      const headers = random.chance(0.2)
        ? [
            { key: 'h', value: Buffer.from(text) },
            { key: 'h', value: Buffer.alloc(0) },
          ]
        : [];
      log.append(
        {
          timestamp: BigInt(this.#world.nowMs + random.int(-5_000, 5_000)),
          key: random.chance(0.5) ? Buffer.from(`k${text}`) : null,
          value: this.#value(text),
          headers,
        },
        random.chance(0.1) ? random.int(1, 4) : 0,
      );
    }
    if (random.chance(0.1)) random.pick(this.#logs).endOffset += 2n;
  }

  #value(text: string): Buffer | null {
    const random = this.#random;
    const kind = random.int(0, 9);
    if (kind === 0) return null;
    if (kind === 1) return Buffer.from(`{"raw":${text}}`);
    if (kind === 2) return Buffer.from([0, 0, 0, 0, 9, 1, 2, 3]);
    const frame = Buffer.from([0, 0, 0, 0, random.chance(0.85) ? 1 : 2]);
    const body = Buffer.concat([Buffer.from([text.length * 2]), Buffer.from(text)]);
    const broken = kind === 3 ? Buffer.from([0]) : Buffer.alloc(0);
    if (kind === 4)
      return Buffer.concat([frame, Buffer.from([0xd0, 0x0f]), Buffer.alloc(1000, 97)]);
    return Buffer.concat([frame, body, broken]);
  }

  #options(): ProcessOptions {
    const store = doubleStore(this.#bucket, this.#faults);
    return {
      world: this.#world,
      random: this.#random,
      store: this.#isEncrypted ? envelopeStore(store, ENVELOPE) : store,
      schemas: this.#schemas(),
      startAt: this.#startAt,
      signer: async () => this.#signer(),
      onRoot: async (key) => {
        if (!this.#keyUp) throw new Error('what follows is away');
        this.#handedOver.add(key);
      },
      onDefect: (error) => {
        this.#defect ??= error;
      },
      onFenced: () => {
        this.tally.fenced++;
      },
    };
  }

  /** A key that is gone, or that stops signing later. */
  #signer(): Signer {
    if (!this.#keyUp) throw new Failure('the key is away', { code: 'KEY_FILE' });
    return {
      verifier: SIGNER.verifier,
      sign: async (text) => {
        if (!this.#keyUp) throw new Failure('the key does not sign', { code: 'KEY' });
        return SIGNER.sign(text);
      },
    };
  }

  #schemas(): WriterSchemas {
    const schema = parseSpliceSchema(SCHEMA);
    if ('problem' in schema) throw new Error(schema.problem);
    return {
      warm: () => Promise.resolve(),
      find: (id) => (this.#registryUp && (id === 1 || id === 2) ? schema : null),
    };
  }

  #start(): void {
    if (this.#live().length >= 4) return;
    const group = this.#random.pick(this.#groups);
    const process = new Process(`process-${this.#count++}`, group, this.#options());
    this.#processes.push({ process, group });
    this.#rebalance(group);
  }

  /** As an archive from before there was evidence: nobody runs, and there is none. */
  async #forgetEvidence(): Promise<void> {
    for (const { process } of this.#processes) process.clock.kill();
    // What was sent arrives.
    await this.#world.advance(20_000);
    for (const { key, versionId } of this.#bucket.versions(`${PREFIX}evidence/`)) {
      this.#bucket.remove(key, versionId, { bypassGovernance: true });
    }
    this.tally.upgrades++;
    this.#handedOver.clear();
    this.#start();
    this.#start();
  }

  #live(): Array<{ process: Process; group: Group }> {
    return this.#processes.filter(({ process }) => process.isLive);
  }

  /** The coordinator takes a frozen member for gone: it wakes up as a zombie. */
  #rebalance(group = this.#random.pick(this.#groups)): void {
    const members = this.#live()
      .filter((one) => one.group === group && !one.process.clock.frozen)
      .map(({ process }) => process.member);
    group.rebalance(members, this.#random);
  }

  #kill(): void {
    const live = this.#live();
    if (live.length === 0) return;
    const { process, group } = this.#random.pick(live);
    process.clock.kill();
    this.tally.kills++;
    this.#rebalance(group);
    if (this.#random.chance(0.8)) this.#start();
  }

  #stopOne(): void {
    const live = this.#live().filter(({ process }) => !process.clock.frozen);
    if (live.length === 0) return;
    const { process, group } = this.#random.pick(live);
    const { onDefect } = this.#options();
    process.stop().then(() => this.#rebalance(group), onDefect);
    if (this.#random.chance(0.8)) this.#start();
  }

  #freezeOrThaw(): void {
    const live = this.#live();
    if (live.length === 0) return;
    const { process, group } = this.#random.pick(live);
    if (process.clock.frozen) process.clock.thaw();
    else process.clock.freeze();
    if (this.#random.chance(0.7)) this.#rebalance(group);
  }

  #expire(): void {
    const log = this.#random.pick(this.#logs);
    const held = log.records.filter(({ offset }) => offset >= log.startOffset);
    if (held.length > 0) log.startOffset = this.#random.pick(held).offset;
  }

  #moveClock(): void {
    const live = this.#live();
    if (live.length > 0) {
      this.#random.pick(live).process.clock.skewMs += this.#random.int(-50_000, 50_000);
    }
  }

  // --- the end ---------------------------------------------------------------------------------

  /** What was planned must happen: work goes on until it has. */
  async #reachFaults(): Promise<void> {
    for (let round = 0; this.#faults.unreached.length > 0; round++) {
      assert.ok(round < 100, `never reached: ${JSON.stringify(this.#faults.unreached)}`);
      this.#produce(20);
      this.#kill();
      this.#start();
      await this.#world.advance(5_000);
      if (this.#defect !== undefined) throw this.#defect;
    }
  }

  /** No more trouble: one process of each group is left to finish. */
  async #heal(): Promise<void> {
    this.#registryUp = true;
    this.#keyUp = true;
    for (const { process } of this.#processes) if (process.clock.frozen) process.clock.thaw();
    for (const group of this.#groups) {
      for (const { process } of this.#live().filter((one) => one.group === group)) {
        process.clock.kill();
      }
      const process = new Process(`last-${this.#count++}`, group, this.#options());
      this.#processes.push({ process, group });
      this.#rebalance(group);
    }
    const isDone = (): boolean =>
      this.#logs.every((log) => {
        const next = chainOf(this.#bucket, log.partition).at(-1)?.header.nextOffset ?? 0n;
        return log.records.every(({ offset }) => offset < next || offset < log.startOffset);
      });
    for (let waited = 0; !isDone(); waited += 5_000) {
      assert.ok(waited < HEAL_MS, 'A1: not everything is sealed after all trouble ended');
      await this.#world.advance(5_000);
      if (this.#defect !== undefined) throw this.#defect;
    }
    // What comes after the end must not undo it; but an hour may begin, and brings another root.
    await this.#world.advance(10_000);
    for (let waited = 0; !this.#isProved(); waited += 5_000) {
      assert.ok(waited < HEAL_MS, 'A4: evidence is not complete after all trouble ended');
      await this.#world.advance(5_000);
      if (this.#defect !== undefined) throw this.#defect;
    }
    if (this.#defect !== undefined) throw this.#defect;
  }

  /** All is noted and signed, and the newest root was handed over. */
  #isProved(): boolean {
    if (!seemsComplete(this.#bucket, PREFIX)) return false;
    const roots = this.#bucket.versions(`${PREFIX}evidence/root/`).map(({ key }) => key);
    const newest = roots.filter((key) => key.endsWith('.note')).at(-1);
    return newest !== undefined && this.#handedOver.has(newest);
  }

  async #judge(): Promise<void> {
    const isRight = this.#bucket
      .versions(`${PREFIX}data/`)
      .every(({ bytes }) => (openedBytes(bytes!) !== bytes) === this.#isEncrypted);
    assert.ok(isRight, 'every segment is encrypted, or none');
    for (const log of this.#logs) {
      judgeStore(this.#bucket, log);
      judgeContent(this.#bucket, log, this.#startedAt.get(log.partition)!);
      for (const { records, gap } of chainOf(this.#bucket, log.partition)) {
        this.tally.seals++;
        this.tally.records += records.length;
        if (gap !== null) this.tally.gaps++;
      }
    }
    const evidence = await judgeEvidence(this.#bucket, PREFIX, SIGNER.verifier);
    judgeComplete(this.#bucket, PREFIX, evidence);
    assert.equal(evidence.anomalies, 0);
    this.tally.manifests += evidence.manifests;
    this.tally.roots += evidence.roots;
    this.tally.checkpoints += evidence.checkpoints;
  }
}
