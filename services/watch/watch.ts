/**
 * The verifier as a service: runs it when it is due, keeps what is open, and tells OpenSearch of what
 * changed. What a run reads is given; nothing here can write to an archive.
 *
 * What is known is on disk before it is told and before the state of the verification goes on: a crash
 * at any point costs a run, or the same notice a second time under the same id.
 */
import { type BulkAnswer, type BulkItem, verdictOf } from '../detector/alert/bulk.ts';
import { backoffMs } from '../runtime/backoff.ts';
import { Failure } from '../runtime/errors.ts';
import type { ServiceContext } from '../runtime/service.ts';
import { counted } from '../runtime/wording.ts';
import { type Fact, judgeRun, type OpenFact, type Subject } from './facts.ts';
import {
  emptyLedger,
  type Ledger,
  ledgerText,
  noticeLines,
  noticesOf,
  parseLedger,
} from './ledger.ts';
import type { WatchMetrics } from './metrics.ts';
import { dueMs, type Intervals, nextArchiveRun, type RunKind } from './schedule.ts';

export interface RunResult {
  facts: readonly Fact[];
  /** Encrypted segments that no key opened; of runs that look into segments. */
  unopened?: number;
  /** Called once the facts are kept: the next incremental run may then begin where this one ended. */
  keep(): void;
}

export interface WatchOptions {
  context: Pick<ServiceContext, 'clock' | 'random' | 'log' | 'signal' | 'health'>;
  metrics: WatchMetrics;
  every: Intervals;
  /** What the archive is called in a notice. */
  archive: string;
  /** Index of the notices. */
  index: string;
  /** May reject: the run is then tried again. */
  run: (kind: RunKind) => Promise<RunResult>;
  /** Sends one bulk body; never rejects. */
  bulk: (lines: string[]) => Promise<BulkAnswer>;
  /** The file of the ledger. */
  file: { path: string; read(): string | null; write(text: string): void };
}

/** A run that failed is tried again after this, or after its interval where that is shorter. */
const RETRY_MS = 5 * 60_000;
const NOTICES_PER_REQUEST = 500;
const SEND_BACKOFF = { firstMs: 1_000, maxMs: 60_000 };

/** Until the signal aborts; a run that is under way then is given up, and repeated by the next process. */
export async function watch(options: WatchOptions): Promise<void> {
  const watching = new Watch(options);
  const { signal } = options.context;
  const aborted = new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
  await Promise.race([watching.loops(), aborted]);
}

class Watch {
  readonly #options: WatchOptions;
  #ledger: Ledger;
  #sending = false;

  constructor(options: WatchOptions) {
    this.#options = options;
    const { archive, file } = options;
    const text = file.read();
    this.#ledger = text === null ? emptyLedger(archive) : parseLedger(text, file.path, archive);
    options.metrics.open(this.#ledger.open);
    options.metrics.unsent(this.#ledger.unsent.length);
  }

  async loops(): Promise<void> {
    const { every, context } = this.#options;
    const { clock } = context;
    const archive = () => nextArchiveRun(this.#ledger.ran, every, clock.now());
    const posture = () => {
      const atMs = dueMs(this.#ledger.ran.posture, every.posture, clock.now());
      return { kind: 'posture', atMs } as const;
    };
    await Promise.all([
      this.#loop('archive', archive),
      this.#loop('posture', posture),
      this.#send(),
    ]);
  }

  async #loop(subject: Subject, next: () => { kind: RunKind; atMs: number }): Promise<void> {
    const { clock, signal } = this.#options.context;
    for (let notBeforeMs = 0; !signal.aborted; ) {
      const { kind, atMs } = next();
      const waitMs = Math.max(atMs, notBeforeMs) - clock.now();
      if (waitMs > 0) {
        await clock.sleep(waitMs, signal);
        continue;
      }
      const done = await this.#run(subject, kind);
      const { every } = this.#options;
      notBeforeMs = done ? 0 : clock.now() + Math.min(RETRY_MS, every[kind]);
    }
  }

  /** False where the run failed: nothing is then known, and nothing recovers. */
  async #run(subject: Subject, kind: RunKind): Promise<boolean> {
    const { context, metrics, run } = this.#options;
    const { clock, log, health, signal } = context;
    const startMs = clock.now();
    try {
      const { facts, unopened, keep } = await run(kind);
      if (signal.aborted) return false;
      const endMs = clock.now();
      this.#judge(subject, kind, facts, endMs);
      keep();
      metrics.ran(kind, facts.length > 0 ? 'findings' : 'clean', endMs, endMs - startMs);
      if (unopened !== undefined) metrics.unopened(unopened);
      health.ready(subject, true);
      log.info({ kind, findings: facts.length, unopened, tookMs: endMs - startMs }, 'verified');
      void this.#send();
      return true;
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      if (signal.aborted) return false;
      const endMs = clock.now();
      metrics.ran(kind, 'failed', endMs, endMs - startMs);
      health.ready(subject, false, `the last ${kind} run failed: ${error.message}`);
      log.error({ kind, err: error }, 'a run of the verifier failed');
      return false;
    }
  }

  #judge(subject: Subject, kind: RunKind, facts: readonly Fact[], atMs: number): void {
    const { log } = this.#options.context;
    const { open, opened, recovered, left } = judgeRun(this.#ledger.open, subject, facts, atMs);
    for (const one of opened) log.warn(told(one), 'found');
    for (const one of recovered) log.info(told(one), 'recovered');
    if (left > 0) log.error({ left }, 'more findings than are kept open');
    const unsent = [...this.#ledger.unsent, ...noticesOf(opened, recovered, atMs)];
    this.#keep({ ...this.#ledger, open, unsent, ran: { ...this.#ledger.ran, [kind]: atMs } });
  }

  #keep(ledger: Ledger): void {
    const { file, metrics } = this.#options;
    file.write(ledgerText(ledger));
    this.#ledger = ledger;
    metrics.open(ledger.open);
    metrics.unsent(ledger.unsent.length);
  }

  /** Until OpenSearch knows all; one at a time. */
  async #send(): Promise<void> {
    if (this.#sending) return;
    this.#sending = true;
    const { clock, random, signal } = this.#options.context;
    for (let attempt = 0; this.#ledger.unsent.length > 0 && !signal.aborted; ) {
      if (await this.#sendSome()) attempt = 0;
      else await clock.sleep(backoffMs(attempt++, SEND_BACKOFF, random), signal);
    }
    this.#sending = false;
  }

  /** False where one of them must be sent again. */
  async #sendSome(): Promise<boolean> {
    const { bulk, context } = this.#options;
    const { health, log } = context;
    const batch = this.#ledger.unsent.slice(0, NOTICES_PER_REQUEST);
    const answer = await bulk(batch.flatMap((one) => noticeLines(one, this.#options)));
    if (answer.kind === 'failed' || answer.items.length !== batch.length) {
      const reason = answer.kind === 'failed' ? answer.reason : 'an answer of other documents';
      health.ready('opensearch', false, reason);
      log.warn({ reason }, 'OpenSearch takes no findings');
      return false;
    }
    const again = batch.filter((one, at) => this.#mustGoAgain(one.fact, answer.items[at]!));
    const waits = again.length > 0 ? `${counted(again.length, 'finding')} not taken` : '';
    health.ready('opensearch', waits === '', waits);
    const unsent = [...again, ...this.#ledger.unsent.slice(batch.length)];
    try {
      this.#keep({ ...this.#ledger, unsent });
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      // They are told a second time: under the same ids, so it does no harm.
      health.ready('opensearch', false, error.message);
      log.error({ err: error }, 'what was told cannot be noted');
      return false;
    }
    return again.length === 0;
  }

  #mustGoAgain(fact: OpenFact, item: BulkItem): boolean {
    const verdict = verdictOf(item);
    if (verdict === 'rejected') {
      const { errorType } = item;
      this.#options.context.log.error({ ...told(fact), errorType }, 'OpenSearch rejects a finding');
    }
    return verdict === 'retry';
  }
}

/** What a log may know of a fact. */
function told({ id, code, class: kind, key }: OpenFact) {
  return { id, code, class: kind, key };
}
