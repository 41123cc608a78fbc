/**
 * An alert: what a rule says about an event, as the document that OpenSearch keeps
 * (`schemas/alert.schema.json`). Pure and deterministic: the id depends on the rule's id and the
 * event's id alone (promise D1), and nothing in the document on when or by whom it was made.
 *
 * The document is for reading and searching; the sealed record, whose address it carries, is the
 * evidence. So long values are cut and values that may hold secrets are left out here.
 */
import { createHash } from 'node:crypto';
import type { AuditEvent } from '../../ingest/event.ts';
import type { Level, Rule } from '../sigma/rule.ts';

export interface EvidenceAddress {
  topic: string;
  partition: number;
  offset: bigint;
}

export interface Alert {
  id: string;
  /** Time of the event, ISO 8601 with milliseconds and Z. */
  '@timestamp': string;
  rule: {
    id: string;
    title: string;
    level: Level;
    status: string | null;
    description: string | null;
    author: string | null;
    tags: readonly string[];
    /** ATT&CK tactics by name (`credential-access`) and techniques by id (`T1562.008`). */
    tactics: readonly string[];
    techniques: readonly string[];
    references: readonly string[];
    falsepositives: readonly string[];
    runbook: readonly string[];
  };
  /** Empty for a single-event rule. */
  group: Record<string, string>;
  actor: { name: string; type: string; email: string | null };
  source: { ip: string | null; port: number | null; userAgent: string | null };
  event: {
    service: string;
    action: string;
    workspaceId: string | null;
    accountId: string | null;
    auditLevel: string | null;
    outcome: string;
    statusCode: number | null;
    errorMessage: string | null;
    requestId: string | null;
    sessionId: string | null;
    shape: string;
  };
  requestParams: Record<string, string>;
  /** Names of request parameters whose value is left out, and of fields that were cut. */
  redacted: readonly string[];
  cut: readonly string[];
  first: string;
  last: string;
  count: number;
  evidence: ReadonlyArray<EvidenceAddress & { eventId: string }>;
}

/** Longest value of a request parameter, characters. */
export const PARAMETER_CHARS_MAX = 1_024;
/** Longest value of any other field that comes from the event, characters. */
export const FIELD_CHARS_MAX = 1_024;
export const PARAMETERS_MAX = 200;
export const PARAMETER_NAME_CHARS_MAX = 128;

/**
 * Request parameters whose value may hold credentials or customer data: the text of commands and
 * queries, and settings that carry secrets in the clear. Compared without case, `_`, `-` and `.`.
 */
export const REDACTED_PARAMETERS: ReadonlySet<string> = new Set([
  'commandtext',
  'querytext',
  'query',
  'statement',
  'sqltext',
  'content',
  'token',
  'tokenvalue',
  'accesstoken',
  'refreshtoken',
  'bearertoken',
  'sessiontoken',
  'sastoken',
  'password',
  'newpassword',
  'passphrase',
  'secret',
  'secretvalue',
  'clientsecret',
  'stringvalue',
  'bytesvalue',
  'privatekey',
  'accesskey',
  'secretaccesskey',
  'authorization',
  'connectionstring',
  'credential',
  'credentials',
  'personalaccesstoken',
  'options',
  'sparkconf',
  'sparkenvvars',
  'environmentvariables',
  'newcluster',
  'notebookparams',
  'baseparameters',
]);

/**
 * 43 characters: SHA-256, base64url, whole. A rule id has a fixed length, so no two pairs of rule
 * and event share an input.
 */
export function alertId(ruleId: string, eventId: string): string {
  return createHash('sha256')
    .update(`lakeseal-alert-v1\n${ruleId}\n${eventId}`)
    .digest('base64url');
}

/** Databricks wrote no audit event before; and an event far ahead has a wrong clock. */
const TIME_MS_MIN = Date.UTC(2013, 0, 1);
const TIME_MS_MAX = Date.UTC(2050, 0, 1);

/** ISO 8601 in UTC; the epoch for a time that no audit event can have. */
export function isoTime(timeMs: number): string {
  return new Date(isPlausible(timeMs) ? timeMs : 0).toISOString();
}

/**
 * Index of an alert: PREFIX-YYYY.MM by event time, so that a replay finds what is there already.
 * Impossible times share one index, or a hostile producer could open an index per month for ever.
 */
export function alertIndex(prefix: string, alert: Alert): string {
  const time = alert['@timestamp'];
  if (Date.parse(time) === 0) return `${prefix}-undated`;
  return `${prefix}-${time.slice(0, 4)}.${time.slice(5, 7)}`;
}

function isPlausible(timeMs: number): boolean {
  return timeMs >= TIME_MS_MIN && timeMs < TIME_MS_MAX;
}

/** The alert of a single-event rule. */
export function alertOf(rule: Rule, event: AuditEvent, address: EvidenceAddress): Alert {
  const cut: string[] = [];
  const keep = (name: string, text: string | null): string | null => {
    if (text === null) return null;
    const kept = shortened(text, FIELD_CHARS_MAX);
    if (kept.length < text.length) cut.push(name);
    return kept;
  };
  const always = (name: string, text: string): string => keep(name, text) as string;
  const time = isoTime(event.eventTime);
  if (!isPlausible(event.eventTime)) cut.push('@timestamp');
  const { parameters, redacted } = shownParameters(event.requestParams, cut);
  return {
    id: alertId(rule.id, event.eventId),
    '@timestamp': time,
    rule: ruleBlock(rule),
    group: {},
    actor: {
      name: always('actor.name', event.actor.name),
      type: event.actor.type,
      email: keep('actor.email', event.actor.email),
    },
    source: {
      ip: keep('source.ip', event.sourceIp),
      port: event.sourcePort,
      userAgent: keep('source.userAgent', event.userAgent),
    },
    event: {
      service: always('event.service', event.serviceName),
      action: always('event.action', event.actionName),
      workspaceId: keep('event.workspaceId', event.workspaceId),
      accountId: keep('event.accountId', event.accountId),
      auditLevel: keep('event.auditLevel', event.auditLevel),
      outcome: event.outcome,
      statusCode: event.response?.statusCode ?? null,
      errorMessage: keep('event.errorMessage', event.response?.errorMessage ?? null),
      requestId: keep('event.requestId', event.requestId),
      sessionId: keep('event.sessionId', event.sessionId),
      shape: event.shape,
    },
    requestParams: parameters,
    redacted,
    cut,
    first: time,
    last: time,
    count: 1,
    evidence: [
      {
        topic: address.topic,
        partition: address.partition,
        offset: address.offset,
        eventId: always('evidence.eventId', event.eventId),
      },
    ],
  };
}

/** JSON of an alert, one line; offsets keep all digits. */
export function alertJson(alert: Alert): string {
  return JSON.stringify(alert, (_, value: unknown) =>
    typeof value === 'bigint' ? rawJson(String(value)) : value,
  );
}

// TypeScript's libraries do not know JSON.rawJSON yet; every supported Node has it.
const rawJson = (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON;

function ruleBlock(rule: Rule): Alert['rule'] {
  const attack = rule.tags
    .filter((tag) => tag.startsWith('attack.'))
    .map((tag) => tag.slice('attack.'.length));
  const isTechnique = (name: string): boolean => /^t\d{4}(\.\d{3})?$/.test(name);
  return {
    id: rule.id,
    title: rule.title,
    level: rule.level,
    status: rule.status,
    description: rule.description,
    author: rule.author,
    tags: rule.tags,
    tactics: attack
      .filter((name) => /^[a-z][a-z_-]*$/.test(name))
      .map((name) => name.replaceAll('_', '-')),
    techniques: attack.filter(isTechnique).map((name) => name.toUpperCase()),
    references: rule.references,
    falsepositives: rule.falsepositives,
    runbook: rule.runbook,
  };
}

function shownParameters(
  parameters: Record<string, string>,
  cut: string[],
): { parameters: Record<string, string>; redacted: string[] } {
  const shown: Record<string, string> = Object.create(null);
  const redacted: string[] = [];
  const names = Object.keys(parameters);
  for (const name of names.slice(0, PARAMETERS_MAX)) {
    const value = parameters[name]!;
    const key = parameterName(name);
    if (REDACTED_PARAMETERS.has(name.toLowerCase().replace(/[_.-]/g, ''))) {
      shown[key] = `[left out: ${value.length} characters]`;
      redacted.push(key);
      continue;
    }
    const kept = shortened(value, PARAMETER_CHARS_MAX);
    if (kept.length < value.length) cut.push(`requestParams.${key}`);
    shown[key] = kept;
  }
  if (names.length > PARAMETERS_MAX) cut.push('requestParams');
  return { parameters: shown, redacted };
}

/** OpenSearch takes no empty name, and none that is empty between or around dots. */
function parameterName(name: string): string {
  const short = shortened(name, PARAMETER_NAME_CHARS_MAX);
  return short
    .split('.')
    .map((part) => (part.trim() === '' ? '_' : part))
    .join('.');
}

/** At most `charsMax` characters, not cut inside a surrogate pair, always encodable as UTF-8. */
function shortened(text: string, charsMax: number): string {
  let end = Math.min(text.length, charsMax);
  if (end < text.length && isHighSurrogate(text.charCodeAt(end - 1))) end -= 1;
  return (text.slice(0, end) as string & { toWellFormed(): string }).toWellFormed();
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff;
}
