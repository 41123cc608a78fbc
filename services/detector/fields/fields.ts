/**
 * Field names of rules, and how each is read from an event.
 *
 * A rule may use the spelling of log delivery (camelCase) or of the system table (snake_case),
 * whichever route the event took. Every value is read as text: audit routes disagree about types
 * (`200`, `"200"`), so rules compare text, and numeric modifiers read numbers out of it. A field
 * that the event lacks, or has as null, is `undefined`; decoding does not tell the two apart.
 */
import type { AuditEvent } from '../../ingest/event.ts';
import { type ParamKey, paramKey, paramOf } from '../../ingest/event-view.ts';
import { nearest } from '../../runtime/nearest.ts';
import { DERIVED } from './derived.ts';
import { NO_PLACES, type PlaceSource } from './place.ts';

/** A list stands for "any of these" (arrays inside JSON parameters). */
export type FieldValue = string | readonly string[] | undefined;
export type FieldReader = (event: AuditEvent) => FieldValue;

type Scalar = string | number | boolean | null | undefined;

/** Most values read out of one JSON parameter. */
const JSON_VALUES_MAX = 1_000;

/** Spellings, the first of which is the one that messages use, and the reader. */
const FIXED: ReadonlyArray<readonly [readonly string[], (event: AuditEvent) => Scalar]> = [
  [['serviceName', 'service_name'], (event) => event.serviceName],
  [['actionName', 'action_name'], (event) => event.actionName],
  [['auditLevel', 'audit_level'], (event) => event.auditLevel],
  [['accountId', 'account_id'], (event) => event.accountId],
  [['workspaceId', 'workspace_id'], (event) => event.workspaceId],
  [['orgId', 'org_id'], (event) => event.orgId],
  [['shardName', 'shard_name'], (event) => event.shardName],
  [['resourceId', 'resource_id'], (event) => event.resourceId],
  [['version'], (event) => event.version],
  [['category'], (event) => event.category],
  [['requestId', 'request_id'], (event) => event.requestId],
  [['sessionId', 'session_id'], (event) => event.sessionId],
  [['userAgent', 'user_agent'], (event) => event.userAgent],
  [['eventId', 'event_id'], (event) => event.eventId],
  [['timestamp', 'eventTime', 'event_time'], (event) => event.eventTime],
  [['sourceIPAddress', 'source_ip_address', 'sourceIp', 'source_ip'], (event) => event.sourceIp],
  [['sourcePort', 'source_port'], (event) => event.sourcePort],
  [['userIdentity.email', 'user_identity.email', 'actor.email'], (event) => event.actor.email],
  [
    [
      'userIdentity.subjectName',
      'user_identity.subject_name',
      'userIdentity.subject_name',
      'user_identity.subjectName',
      'actor.subjectName',
      'subjectName',
      'subject_name',
    ],
    (event) => event.actor.subjectName,
  ],
  [
    ['identityMetadata.runBy', 'identity_metadata.run_by', 'actor.runBy'],
    (event) => event.actor.runBy,
  ],
  [
    ['identityMetadata.runAs', 'identity_metadata.run_as', 'actor.runAs'],
    (event) => event.actor.runAs,
  ],
  [
    [
      'identityMetadata.runByDisplayName',
      'identity_metadata.run_by_display_name',
      'actor.runByDisplayName',
    ],
    (event) => event.actor.runByDisplayName,
  ],
  [
    [
      'identityMetadata.runAsDisplayName',
      'identity_metadata.run_as_display_name',
      'actor.runAsDisplayName',
    ],
    (event) => event.actor.runAsDisplayName,
  ],
  [
    [
      'identityMetadata.actingResource',
      'identity_metadata.acting_resource',
      'actor.actingResource',
    ],
    (event) => event.actor.actingResource,
  ],
  [['actor.name'], (event) => event.actor.name],
  [['actor.type'], (event) => event.actor.type],
  [['response.statusCode', 'response.status_code'], (event) => event.response?.statusCode],
  [['response.errorMessage', 'response.error_message'], (event) => event.response?.errorMessage],
  [['response.result'], (event) => event.response?.result],
  [['outcome'], (event) => event.outcome],
  [['shape'], (event) => event.shape],
  [['requestParamsTruncated'], (event) => event.requestParamsTruncated],
];

const READERS = new Map<string, FieldReader>(
  FIXED.flatMap(([names, read]) =>
    names.map((name): [string, FieldReader] => [name, (event) => asText(read(event))]),
  ),
);

const PARAMETERS = /^(?:requestParams|request_params)\.(.+)$/s;
const RESULT = /^response\.result\.(.+)$/s;

export const KNOWN_FIELDS: readonly string[] = [...READERS.keys(), ...DERIVED.keys()];

/** How a rule's field is read. Any name has a reader; an unknown one reads the event's `extra`. */
export function fieldReader(name: string, places: PlaceSource = NO_PLACES): FieldReader {
  const fixed = READERS.get(name);
  if (fixed !== undefined) return fixed;
  const derived = DERIVED.get(name);
  if (derived !== undefined) return (event) => asText(derived(event, places));
  const parameter = PARAMETERS.exec(name)?.[1];
  if (parameter !== undefined) return parameterReader(parameter);
  const result = RESULT.exec(name)?.[1];
  if (result !== undefined) {
    const path = result.split('.');
    return (event) => jsonValues(event.response?.result, path);
  }
  return extraReader(name);
}

/** The keys of a field that is one request parameter whole, in either spelling; else none. */
export function paramKeysOf(name: string): ParamKey[] {
  const key = READERS.has(name) || DERIVED.has(name) ? undefined : PARAMETERS.exec(name)?.[1];
  if (key === undefined || key.includes('.')) return [];
  const twin = twinOf(key);
  return [paramKey(key), ...(twin === null ? [] : [paramKey(twin)])];
}

/** What is doubtful about a field name, or null. */
export function fieldDoubt(name: string): { message: string; hint: string } | null {
  if (READERS.has(name) || DERIVED.has(name)) return null;
  if (PARAMETERS.test(name) || RESULT.test(name)) return null;
  const message = `no audit event has a field ${JSON.stringify(name)}`;
  if (name === 'requestParams' || name === 'request_params') {
    return { message: `${message} that can be compared`, hint: `name a key, as ${name}.user` };
  }
  const near = nearest(name, KNOWN_FIELDS);
  if (near !== null) return { message, hint: `did you mean "${near}"?` };
  return { message, hint: `if it is a request parameter, write "requestParams.${name}"` };
}

/** `target_user_name` for `targetUserName` and back; null where there is no other spelling. */
export function twinOf(key: string): string | null {
  if (/[^A-Za-z0-9_]/.test(key)) return null;
  const twin = key.includes('_')
    ? key.replace(/(?<=[A-Za-z0-9])_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())
    : key.replace(/(?<=[a-z0-9])[A-Z]|(?<=[A-Z])[A-Z](?=[a-z])/g, (letter) => `_${letter}`);
  const spelled = key.includes('_') ? twin : twin.toLowerCase();
  return spelled === key ? null : spelled;
}

/** What decoding adds to an event: a keyword is looked for in what Databricks wrote, not here. */
const ADDED = new Set(['eventId', 'outcome', 'shape', 'requestParamsTruncated', 'actor.type']);
const WRITTEN = FIXED.filter(([[name]]) => !ADDED.has(name!));

/** Every text of an event that a person could read in it, for keyword search. */
export function everyText(event: AuditEvent): string[] {
  const texts: string[] = [];
  for (const [, read] of WRITTEN) {
    const text = asText(read(event));
    if (text !== undefined && text !== '') texts.push(text);
  }
  if (event.eventIdSource !== 'content_hash') texts.push(event.eventId);
  if (event.sourceAddressText !== null) texts.push(event.sourceAddressText);
  const { requestParams, extra } = event;
  for (const key in requestParams) texts.push(requestParams[key]!);
  for (const key in extra) texts.push(extra[key]!);
  return texts;
}

function asText(value: Scalar): string | undefined {
  if (typeof value === 'string') return value;
  return value === null || value === undefined ? undefined : String(value);
}

/**
 * A request parameter: the key as written, else its camel or snake twin. In a dotted name each
 * longer key wins over a shorter key whose value is JSON that holds the rest of the path.
 */
function parameterReader(name: string): FieldReader {
  const steps = name.split('.');
  const whole = keyReader(name);
  if (steps.length === 1) return whole;
  const readers = steps
    .slice(1)
    .map((_, index) => index + 1)
    .toReversed()
    .map((length) => ({
      read: keyReader(steps.slice(0, length).join('.')),
      path: steps.slice(length),
    }));
  return (event) => {
    const literal = whole(event);
    if (literal !== undefined) return literal;
    for (const { read, path } of readers) {
      const text = read(event);
      if (text !== undefined) return jsonValues(text, path);
    }
    return undefined;
  };
}

function keyReader(key: string): (event: AuditEvent) => string | undefined {
  const twin = twinOf(key);
  const own = paramKey(key);
  if (twin === null) return (event) => paramOf(event, own);
  const other = paramKey(twin);
  return (event) => paramOf(event, own) ?? paramOf(event, other);
}

/** An unknown top-level field: kept by decoding as JSON text, read as the value it encodes. */
function extraReader(name: string): FieldReader {
  const [first, ...path] = name.split('.');
  return (event) => {
    const text = own(event.extra, name);
    if (text !== undefined) return jsonValues(text, []);
    return path.length === 0 ? undefined : jsonValues(own(event.extra, first!), path);
  };
}

function own(map: Record<string, string>, key: string): string | undefined {
  const value: unknown = map[key];
  return typeof value === 'string' ? value : undefined;
}

/** The scalars at `path` of a JSON text; arrays on the way and at the end mean each element. */
function jsonValues(text: string | null | undefined, path: readonly string[]): FieldValue {
  if (typeof text !== 'string') return undefined;
  let root: unknown;
  try {
    root = JSON.parse(text);
  } catch {
    return path.length === 0 ? text : undefined;
  }
  const found: string[] = [];
  collect(root, path, 0, found);
  return found.length === 0 ? undefined : found.length === 1 ? found[0]! : found;
}

function collect(value: unknown, path: readonly string[], step: number, found: string[]): void {
  if (found.length >= JSON_VALUES_MAX || value === null || value === undefined) return;
  if (Array.isArray(value)) {
    // A path consumes one object per step, so only arrays right inside arrays go no deeper.
    for (const element of value) if (!Array.isArray(element)) collect(element, path, step, found);
    return;
  }
  if (step === path.length) {
    found.push(typeof value === 'object' ? JSON.stringify(value) : String(value));
    return;
  }
  if (typeof value !== 'object') return;
  const key = path[step]!;
  const twin = twinOf(key);
  const next = Object.hasOwn(value, key) ? key : twin;
  if (next !== null && Object.hasOwn(value, next)) {
    collect((value as Record<string, unknown>)[next], path, step + 1, found);
  }
}
