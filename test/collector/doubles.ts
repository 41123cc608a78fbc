/** Doubles for the collector's edges: a Kafka that remembers, a bucket in memory, a clock. */
import { createHash } from 'node:crypto';
import { type AuditEventDatum, auditEventType, unframe } from '../../schemas/audit-event.ts';
import type { EventRecord, Letter } from '../../services/collector/build.ts';
import type { CollectProgress, CollectUi } from '../../services/collector/collect-types.ts';
import type { Delivery, OpenedObject } from '../../services/collector/s3.ts';
import type { Target } from '../../services/collector/target.ts';
import type { Clock } from '../../services/runtime/clock.ts';
import { assembleConfig, type Config } from '../../services/runtime/config.ts';
import { Failure } from '../../services/runtime/errors.ts';
import type { ServiceContext } from '../../services/runtime/service.ts';
import { inPieces } from '../ingest/chunks.ts';
import { quietContext } from '../runtime/quiet-context.ts';

export function defaultConfig(): Config {
  const made = assembleConfig(undefined, {}, () => '');
  if (!made.ok) throw new Error('the default configuration must be valid');
  return made.config;
}

/** Sleeps end with the signal, or at once where `ms` is a poll; `polls` counts those. */
export class TestClock implements Clock {
  #now = 0;
  polls = 0;
  readonly #pollMs: number;
  readonly #onPoll: (poll: number) => void | Promise<void>;

  constructor(pollMs = 30_000, onPoll: (poll: number) => void | Promise<void> = () => {}) {
    this.#pollMs = pollMs;
    this.#onPoll = onPoll;
  }

  now(): number {
    this.#now += 1;
    return this.#now;
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (ms === this.#pollMs) {
      this.polls += 1;
      await this.#onPoll(this.polls);
      return;
    }
    await new Promise<void>((resolve) => {
      if (signal?.aborted) resolve();
      else signal?.addEventListener('abort', () => resolve(), { once: true });
    });
  }
}

export function testContext(
  signal = new AbortController().signal,
  clock: Clock = new TestClock(),
  config = defaultConfig(),
): ServiceContext {
  return { ...quietContext(config, signal), clock, random: () => 0.5 };
}

/** Remembers what it was sent. `failAfter`: sends that succeed before every later one fails. */
export class TestTarget implements Target {
  readonly clusterId = 'cluster';
  readonly schemaId = 7;
  readonly records: EventRecord[] = [];
  readonly letters: Letter[] = [];
  sends = 0;
  failAfter = Number.POSITIVE_INFINITY;
  closed = false;

  async sendEvents(records: EventRecord[]): Promise<number[]> {
    this.sends += 1;
    if (this.sends > this.failAfter) throw new Failure('Kafka is gone', { code: 'KAFKA_GONE' });
    this.records.push(...records);
    return [];
  }

  async sendLetters(letters: Letter[]): Promise<void> {
    this.letters.push(...letters);
  }

  async close(): Promise<void> {
    this.closed = true;
  }

  events(): AuditEventDatum[] {
    return this.records.map(({ value }) => auditEventType.fromBuffer(unframe(value)!.datum));
  }

  /** The original lines. */
  lines(): string[] {
    return this.events().map(({ raw }) => raw);
  }
}

/** A delivery bucket in memory. */
export class TestBucket {
  readonly objects = new Map<string, Buffer>();
  /** When an object was delivered, ms; 0 where nothing is said. */
  readonly modified = new Map<string, number>();
  opened: string[] = [];
  listings = 0;
  /** Called with each key that is opened; may change the bucket, or throw. */
  onOpen: (key: string) => void = () => {};

  put(key: string, body: string | Buffer): void {
    this.objects.set(key, Buffer.from(body));
  }

  delivery(prefix: string): Delivery {
    const etag = (body: Buffer): string => createHash('md5').update(body).digest('hex');
    const { objects, modified } = this;
    const listing = (): void => {
      this.listings += 1;
    };
    return {
      async *list() {
        listing();
        const keys = [...objects.keys()].filter((key) => key.startsWith(prefix));
        keys.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
        for (const key of keys) {
          const body = objects.get(key)!;
          const modifiedMs = modified.get(key) ?? 0;
          yield { key, etag: etag(body), bytes: body.length, modifiedMs };
        }
      },
      open: async (key): Promise<OpenedObject | null> => {
        this.opened.push(key);
        this.onOpen(key);
        const body = objects.get(key);
        if (body === undefined) return null;
        return { key, etag: etag(body), bytes: body.length, chunks: inPieces(body, [1_000]) };
      },
      close() {},
    };
  }
}

export class TestUi implements CollectUi {
  readonly problems: string[] = [];
  readonly seen: CollectProgress[] = [];
  ended = false;
  onProgress: (now: CollectProgress) => void = () => {};
  problem(text: string): void {
    this.problems.push(text);
  }
  progress(now: CollectProgress): void {
    this.seen.push(now);
    this.onProgress(now);
  }
  done(): void {
    this.ended = true;
  }
}

/** A delivery line; `n` makes it one of its own. */
export function eventLine(n: number, more: object = {}): string {
  return JSON.stringify({
    version: '2.0',
    auditLevel: 'WORKSPACE_LEVEL',
    timestamp: 1_759_795_200_000 + n,
    orgId: 1_234_567_890_123_456,
    workspaceId: '1234567890123456',
    accountId: '11111111-2222-3333-4444-555555555555',
    userIdentity: { email: 'ana@example.com', subjectName: null },
    serviceName: 'accounts',
    actionName: 'login',
    requestId: `ServiceMain-${n}`,
    requestParams: { user: 'ana@example.com' },
    response: { statusCode: 200 },
    ...more,
  });
}

export function eventLines(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, at) => eventLine(from + at));
}
