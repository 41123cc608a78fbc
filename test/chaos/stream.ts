/**
 * A stream of events for rules over many of them, and rules of every kind that judge it: a few actors
 * who do a few things, in event time that runs much faster than the clock, out of order within the
 * lateness, with repetitions. Which alerts come of it nobody says here: `lakeseal scan` does.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Random } from './random.ts';

export const LATENESS_MS = 10 * 60_000;
/** How far behind the newest event one may come: half of what is allowed. */
const BEHIND_MS_MAX = LATENESS_MS / 2;
const ACTORS = 40;
const ACTIONS = ['read', 'write', 'grant', 'download', 'revoke', 'login'] as const;

function base(number: number, name: string): string {
  const id = `57a7ef01-0000-4000-8000-${String(number).padStart(12, '0')}`;
  return `title: Stream ${name}
id: ${id}
name: stream_${name}
status: experimental
level: low
logsource:
  product: databricks
`;
}

/** A detection rule that only serves others, for each action. */
const LEAVES = ACTIONS.map(
  (action, index) => `${base(index + 1, action)}detection:
  selection:
    serviceName: stream
    actionName: ${action}
  condition: selection
`,
);

function correlation(number: number, name: string, body: string): string {
  return `${base(number, name).replace(/logsource:\n {2}product: databricks\n/, '')}correlation:
${body}`;
}

function own(number: number, name: string, action: string, body: string): string {
  return `${base(number, name)}detection:
  selection:
    serviceName: stream
    actionName: ${action}
  condition: selection
lakeseal:
  suppress: { period: 30m }
${body}`;
}

/** Judged as they come, judged in order, chains, and what did not happen. */
const STATEFUL = [
  correlation(
    101,
    'many_reads',
    `  type: event_count
  rules: [stream_read]
  group-by: [actor.name]
  timespan: 10m
  condition: { gte: 6 }
`,
  ),
  correlation(
    102,
    'many_objects',
    `  type: value_count
  rules: [stream_read, stream_write]
  group-by: [actor.name]
  timespan: 15m
  condition: { field: requestParams.object, gte: 7 }
`,
  ),
  correlation(
    103,
    'all_three',
    `  type: temporal
  rules: [stream_grant, stream_download, stream_revoke]
  group-by: [actor.name]
  timespan: 8m
`,
  ),
  correlation(
    104,
    'in_order',
    `  type: temporal_ordered
  rules: [stream_grant, stream_download, stream_revoke]
  group-by: [actor.name]
  timespan: 20m
`,
  ),
  correlation(
    105,
    'grant_kept',
    `  type: temporal
  rules: [stream_grant, stream_revoke]
  group-by: [actor.name]
  timespan: 20m
  condition: stream_grant and not stream_revoke
`,
  ),
  correlation(
    106,
    'sum',
    `  type: value_sum
  rules: [stream_write]
  group-by: [actor.name]
  timespan: 30m
  condition: { field: requestParams.bytes, gt: 4000 }
`,
  ),
  correlation(
    107,
    'few_logins',
    `  type: event_count
  rules: [stream_login]
  group-by: [actor.name]
  timespan: 15m
  condition: { lt: 2 }
`,
  ),
  correlation(
    108,
    'chain',
    `  type: temporal_ordered
  rules: [stream_many_reads_inner, stream_revoke]
  group-by: [actor.name]
  timespan: 20m
`,
  ),
  correlation(
    109,
    'many_reads_inner',
    `  type: event_count
  rules: [stream_read]
  group-by: [actor.name]
  timespan: 5m
  condition: { gte: 3 }
`,
  ),
  own(
    110,
    'new_place',
    'login',
    `  first_seen:
    fields: [sourceIp]
    group-by: [actor.name]
    timespan: 2h
    learn: 20m
`,
  ),
  own(
    111,
    'not_revoked',
    'grant',
    `  absence: { followed_by: stream_revoke, group-by: [actor.name], within: 10m }
`,
  ),
  own(
    112,
    'silent',
    'write',
    `  silence: { group-by: [actor.name], for: 25m }
`,
  ),
];

/** Writes the rules to a new folder and gives it. */
export async function writeStreamRules(folder: string): Promise<string> {
  await mkdir(folder);
  await writeFile(join(folder, 'stream.yml'), [...LEAVES, ...STATEFUL].join('---\n'));
  return folder;
}

export interface StreamEvent {
  json: string;
  timeMs: number;
}

export class Stream {
  readonly #random: Random;
  readonly #stepMs: number;
  #newestMs: number;
  #number = 0;

  /** @param stepMs how far event time moves from one event to the next, on average */
  constructor(random: Random, startMs: number, stepMs: number) {
    this.#random = random;
    this.#newestMs = startMs;
    this.#stepMs = stepMs;
  }

  get newestMs(): number {
    return this.#newestMs;
  }

  next(): StreamEvent {
    const random = this.#random;
    this.#newestMs += random.integer(0, 2 * this.#stepMs);
    const isBehind = random.next() < 0.5;
    const timeMs = this.#newestMs - (isBehind ? random.integer(0, BEHIND_MS_MAX) : 0);
    // The first actors do much, the last little: some groups are full, some fall silent.
    const actor = Math.floor(ACTORS * random.next() ** 3);
    return this.#event(timeMs, `actor${actor}@example.com`, random.pick(ACTIONS));
  }

  /** An event that no rule knows and that is far ahead: after it, all before has been judged. */
  closing(aheadMs: number): StreamEvent {
    return this.#event(this.#newestMs + aheadMs, 'nobody@example.com', 'close');
  }

  #event(timeMs: number, name: string, action: string): StreamEvent {
    const random = this.#random;
    this.#number += 1;
    const json = JSON.stringify({
      version: '2.0',
      auditLevel: 'WORKSPACE_LEVEL',
      timestamp: timeMs,
      workspaceId: '1234567890123456',
      sourceIPAddress: `203.0.113.${random.integer(1, 12)}`,
      userAgent: 'example-client/1.0',
      userIdentity: { email: name },
      serviceName: 'stream',
      actionName: action,
      requestId: `ServiceMain-${random.seed}-${this.#number}`,
      requestParams: {
        object: `object-${random.integer(1, 15)}`,
        bytes: String(random.integer(1, 1_000)),
      },
      response: { statusCode: 200 },
    });
    return { json, timeMs };
  }
}
