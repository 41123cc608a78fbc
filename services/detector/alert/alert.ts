/**
 * An alert: what a rule says about one event or many, as the document that OpenSearch keeps
 * (`schemas/alert.schema.json`). Pure and deterministic: the id of a single-event rule's alert
 * depends on the rule's id and the event's id alone, that of a stateful rule's on rule, group and
 * period (promise D1), and nothing in the document on when or by whom it was made.
 *
 * An alert of a single-event rule never changes. One of a stateful rule is brought up to date: same
 * id, same index, higher `revision`, and a lower one never replaces a higher.
 *
 * The document is for reading and searching; the sealed record, whose address it carries, is the
 * evidence. So long values are cut and values that may hold secrets are left out here.
 */
import { createHash } from 'node:crypto';
import type { AuditEvent } from '../../ingest/event.ts';
import type { StatefulAlert } from '../correlate/types.ts';
import { LEVELS, type Level, type Rule, type RuleHeader } from '../sigma/rule.ts';

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
  /** True where more events were counted than identities are kept for. */
  countIsLowerBound: boolean;
  /** What a stateful rule found, in words and figures; null for a single-event rule. */
  reason: string | null;
  /** 1, and more for each change of a stateful rule's alert. */
  revision: number;
  evidence: ReadonlyArray<EvidenceAddress & { eventId: string }>;
}

/** The event's part of an alert. */
export type AlertContext = Pick<
  Alert,
  'actor' | 'source' | 'event' | 'requestParams' | 'redacted' | 'cut'
>;

/** Longest value of a request parameter, characters. */
export const PARAMETER_CHARS_MAX = 1_024;
/** Longest value of any other field that comes from the event, characters. */
export const FIELD_CHARS_MAX = 1_024;
export const PARAMETERS_MAX = 200;
export const PARAMETER_NAME_CHARS_MAX = 128;
/**
 * A context travels with every match and waits in the state of its group: one above this is made
 * shorter, with at most so many parameters of at most so many characters.
 */
export const CONTEXT_CHARS_MAX = 8_192;
const SHORT_PARAMETERS_MAX = 40;
const SHORT_PARAMETER_CHARS_MAX = 96;
/** Longest value of a group-by field on an alert, characters. */
const GROUP_CHARS_MAX = 1_024;
const REASON_CHARS_MAX = 1_024;

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
  return indexOf(prefix, alert['@timestamp']);
}

/**
 * Index of an alert of a stateful rule: by the start of its period, because the time of its last
 * event moves on while it is brought up to date, and a document cannot change its index.
 */
export function statefulAlertIndex(prefix: string, alert: StatefulAlert): string {
  return indexOf(prefix, isoTime(alert.periodMs));
}

function indexOf(prefix: string, time: string): string {
  if (Date.parse(time) === 0) return `${prefix}-undated`;
  return `${prefix}-${time.slice(0, 4)}.${time.slice(5, 7)}`;
}

function isPlausible(timeMs: number): boolean {
  return timeMs >= TIME_MS_MIN && timeMs < TIME_MS_MAX;
}

/** The alert of a single-event rule, at the level that the event gives it. */
export function alertOf(
  rule: Rule,
  event: AuditEvent,
  address: EvidenceAddress,
  level: Level = rule.level,
): Alert {
  const time = isoTime(event.eventTime);
  const context = eventContext(event, PARAMETERS_MAX, PARAMETER_CHARS_MAX);
  const cut = [...context.cut];
  if (!isPlausible(event.eventTime)) cut.push('@timestamp');
  const eventId = shortened(event.eventId, FIELD_CHARS_MAX);
  if (eventId.length < event.eventId.length) cut.push('evidence.eventId');
  return {
    id: alertId(rule.id, event.eventId),
    '@timestamp': time,
    rule: ruleBlock(rule, level),
    group: {},
    ...context,
    cut,
    first: time,
    last: time,
    count: 1,
    countIsLowerBound: false,
    reason: null,
    revision: 1,
    evidence: [{ ...addressOf(address), eventId }],
  };
}

function addressOf({ topic, partition, offset }: EvidenceAddress): EvidenceAddress {
  return { topic, partition, offset };
}

/**
 * What an alert of a stateful rule will show of this event, should it be the one that decides: JSON,
 * at most about `CONTEXT_CHARS_MAX` characters. `level` is what the event's own rule says of it; null
 * leaves the level to the stateful rule.
 */
export function contextOf(event: AuditEvent, level: Level | null = null): string {
  const more = level === null ? {} : { level };
  const whole = JSON.stringify({
    ...eventContext(event, PARAMETERS_MAX, PARAMETER_CHARS_MAX),
    ...more,
  });
  if (whole.length <= CONTEXT_CHARS_MAX) return whole;
  const short = eventContext(event, SHORT_PARAMETERS_MAX, SHORT_PARAMETER_CHARS_MAX);
  return JSON.stringify({ ...short, ...more });
}

/** The document of a stateful rule's alert, as it stands. */
export function statefulAlertOf(rule: RuleHeader, alert: StatefulAlert): Alert {
  const { level: shown, ...context } = readContext(alert.context);
  const level = (alert.rank === undefined ? undefined : LEVELS[alert.rank]) ?? shown;
  const cut = [...context.cut];
  const group: Record<string, string> = Object.create(null);
  for (const [name, value] of alert.group) {
    const kept = shortened(value, GROUP_CHARS_MAX);
    if (kept.length < value.length) cut.push(`group.${name}`);
    group[parameterName(name)] = kept;
  }
  return {
    id: alert.id,
    '@timestamp': isoTime(alert.last),
    rule: ruleBlock(rule, level ?? rule.level),
    group,
    ...context,
    cut,
    first: isoTime(alert.first),
    last: isoTime(alert.last),
    count: alert.count,
    countIsLowerBound: alert.countIsLowerBound,
    reason: shortened(alert.reason, REASON_CHARS_MAX),
    revision: alert.revision,
    evidence: alert.evidence.map((one) => ({
      ...addressOf(one),
      eventId: shortened(one.eventId, FIELD_CHARS_MAX),
    })),
  };
}

/** What stands for the event where a context cannot be read: the alert goes out all the same. */
const NO_CONTEXT: AlertContext = {
  actor: { name: '', type: 'unknown', email: null },
  source: { ip: null, port: null, userAgent: null },
  event: {
    service: '',
    action: '',
    workspaceId: null,
    accountId: null,
    auditLevel: null,
    outcome: 'unknown',
    statusCode: null,
    errorMessage: null,
    requestId: null,
    sessionId: null,
    shape: 'delivery',
  },
  requestParams: {},
  redacted: [],
  cut: ['event'],
};

/** Total: a context lies in Kafka between its making and its reading. */
function readContext(json: string): AlertContext & { level: Level | null } {
  try {
    const read = JSON.parse(json) as (AlertContext & { level?: Level }) | null;
    if (read !== null && typeof read === 'object' && Array.isArray(read.cut)) {
      const { actor, source, event, requestParams, redacted, cut, level } = read;
      const known = LEVELS.find((one) => one === level) ?? null;
      return { actor, source, event, requestParams, redacted, cut, level: known };
    }
  } catch {
    // Said by `cut`.
  }
  return { ...NO_CONTEXT, level: null };
}

function eventContext(
  event: AuditEvent,
  parametersMax: number,
  parameterCharsMax: number,
): AlertContext {
  const cut: string[] = [];
  const keep = (name: string, text: string | null): string | null => {
    if (text === null) return null;
    const kept = shortened(text, FIELD_CHARS_MAX);
    if (kept.length < text.length) cut.push(name);
    return kept;
  };
  const always = (name: string, text: string): string => keep(name, text) as string;
  const limits = { parametersMax, parameterCharsMax };
  const { parameters, redacted } = shownParameters(event.requestParams, cut, limits);
  return {
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

function ruleBlock(rule: RuleHeader, level: Level): Alert['rule'] {
  const attack = rule.tags
    .filter((tag) => tag.startsWith('attack.'))
    .map((tag) => tag.slice('attack.'.length));
  const isTechnique = (name: string): boolean => /^t\d{4}(\.\d{3})?$/.test(name);
  return {
    id: rule.id,
    title: rule.title,
    level,
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
  { parametersMax, parameterCharsMax }: { parametersMax: number; parameterCharsMax: number },
): { parameters: Record<string, string>; redacted: string[] } {
  const shown: Record<string, string> = Object.create(null);
  const redacted: string[] = [];
  const names = Object.keys(parameters);
  for (const name of names.slice(0, parametersMax)) {
    const value = parameters[name]!;
    const key = parameterName(name);
    if (REDACTED_PARAMETERS.has(name.toLowerCase().replace(/[_.-]/g, ''))) {
      shown[key] = `[left out: ${value.length} characters]`;
      redacted.push(key);
      continue;
    }
    const kept = shortened(value, parameterCharsMax);
    if (kept.length < value.length) cut.push(`requestParams.${key}`);
    shown[key] = kept;
  }
  if (names.length > parametersMax) cut.push('requestParams');
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
