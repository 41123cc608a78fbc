/**
 * Events that rules hit, by construction: a rule folder of our own whose hits are known without
 * asking the detector, and the hit examples inside the shipped rules, each made unique.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { alertId } from '../../services/detector/alert/alert.ts';
import { loadRules, SHIPPED_LISTS, SHIPPED_RULES } from '../../services/detector/sigma/rules.ts';
import { decodeJson } from '../../services/ingest/decode.ts';
import { type EventChoice, eventJson, FIRST_EVENT_MS, framedEvent } from './events.ts';

interface OwnRule {
  id: string;
  text: string;
  hits: (number: number) => boolean;
}

const DAY_MS = 86_400_000;
/** Hit events are spread over three months, so that alerts go to three indices. */
const MONTH_STEP_MS = 31 * DAY_MS;

const OWN_RULES: readonly OwnRule[] = [
  {
    id: 'c4a05000-0000-4000-8000-000000000001',
    text: `  selection:
    serviceName: chaos
    actionName: hit
  condition: selection
level: low`,
    hits: (number) => number % 10 === 0,
  },
  {
    id: 'c4a05000-0000-4000-8000-000000000002',
    text: `  selection:
    serviceName: chaos
    requestParams.target|cidr: 192.0.2.0/24
  mild:
    requestParams.note|contains: harmless
  condition: selection and not mild
level: high`,
    hits: (number) => number % 30 === 0,
  },
];

const RULE_HEAD = (id: string): string => `title: Chaos ${id.slice(-2)}
id: ${id}
status: experimental
description: A hit of a test.
author: lakeseal
date: 2026-11-24
logsource:
  product: databricks
  service: audit
detection:
`;

export const OWN_RULE_IDS: ReadonlySet<string> = new Set(OWN_RULES.map(({ id }) => id));

/** Writes the own rules to a new folder and gives it. */
export async function writeRules(folder: string): Promise<string> {
  await mkdir(folder);
  for (const { id, text } of OWN_RULES) {
    await writeFile(join(folder, `chaos_${id.slice(-2)}.yml`), `${RULE_HEAD(id)}${text}\n`);
  }
  return folder;
}

interface Example {
  ruleId: string;
  event: Record<string, unknown>;
}

/** The hit examples of the shipped rules over one event. */
export function shippedExamples(): Example[] {
  const loaded = loadRules({ layers: [SHIPPED_RULES], lists: [SHIPPED_LISTS], nowMs: Date.now() });
  if (!loaded.ok) throw new Error('the shipped rules do not load');
  const examples: Example[] = [];
  for (const { id, alerts, tests } of loaded.set.rules) {
    for (const { hit, events, places } of alerts ? tests : []) {
      if (!hit || events.length !== 1 || places.size > 0) continue;
      examples.push({ ruleId: id, event: events[0]!.event as Record<string, unknown> });
    }
  }
  return examples;
}

export interface JudgedEvent {
  json: string;
  /** Framed Avro of the same event, where it has one. */
  framed: Buffer | null;
  timeMs: number;
  /** Alerts that must come of it; other rules may match an example too. */
  alertIds: string[];
}

const EXAMPLE_EVERY = 15;

/** One event by its number: an own hit, a shipped example, or one that no rule knows. */
export function judgedEvent(
  schemaId: number,
  scope: number,
  number: number,
  examples: readonly Example[],
): JudgedEvent {
  const own = OWN_RULES.filter(({ hits }) => hits(number));
  if (own.length > 0) {
    const timeMs = FIRST_EVENT_MS + (number % 3) * MONTH_STEP_MS + number;
    const target = number % 30 === 0 ? '192.0.2.77' : '198.51.100.7';
    const action = { serviceName: 'chaos', actionName: 'hit', requestParams: { target } };
    return ownEvent(schemaId, { scope, number, timeMs, action }, own);
  }
  if (examples.length > 0 && number % EXAMPLE_EVERY === 7) {
    const { ruleId, event } = examples[Math.floor(number / EXAMPLE_EVERY) % examples.length]!;
    const json = JSON.stringify({ ...event, requestId: `ServiceMain-${scope}-${number}` });
    const decoded = decodeJson(json);
    if (!decoded.ok) throw new Error(`an example that cannot be decoded: ${decoded.detail}`);
    const { eventId, eventTime } = decoded.events[0]!;
    return { json, framed: null, timeMs: eventTime, alertIds: [alertId(ruleId, eventId)] };
  }
  // The second half of a near miss: everything but the exception says hit.
  const action = {
    serviceName: 'chaos',
    actionName: 'miss',
    requestParams: { target: '192.0.2.1', note: 'quite harmless' },
  };
  return ownEvent(schemaId, number % 4 === 1 ? { scope, number, action } : { scope, number }, []);
}

function ownEvent(schemaId: number, choice: EventChoice, rules: readonly OwnRule[]): JudgedEvent {
  const json = eventJson(choice);
  const eventId = (JSON.parse(json) as { event_id: string }).event_id;
  return {
    json,
    framed: framedEvent(schemaId, choice),
    timeMs: choice.timeMs ?? FIRST_EVENT_MS + choice.number,
    alertIds: rules.map(({ id }) => alertId(id, eventId)),
  };
}

/** PREFIX-YYYY.MM, the index an alert of this time goes to. */
export function monthIndex(prefix: string, timeMs: number): string {
  return `${prefix}-${new Date(timeMs).toISOString().slice(0, 7).replace('-', '.')}`;
}
