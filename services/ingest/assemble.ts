/**
 * From the fields of a shape to the event: opens JSON text in fields, types the actor, splits the
 * address, judges the outcome, gives the event its id.
 *
 * A nested field that cannot be read does not cost the event: `decodeErrors` names it and `extra`
 * keeps what it held. Only an event that does not say what was done, or when, is refused.
 */
import type { ResponseDatum } from '../../schemas/audit-event.ts';
import { actorName, actorType } from './actor.ts';
import { splitAddress } from './address.ts';
import type { Actor, AuditEvent } from './event.ts';
import { contentHash } from './event-id.ts';
import { eventTimeMs } from './event-time.ts';
import {
  isDeeperThan,
  isObject,
  JSON_DEPTH_MAX,
  type JsonObject,
  type JsonReading,
  spelling,
} from './json.ts';
import { outcomeOf } from './outcome.ts';
import { collectExtra, type EventFields, EXTRA_MAX } from './shapes/fields.ts';

/** Keys of one event's request parameters that are read; of more, the event says so. */
export const PARAMS_MAX = 10_000;
/** How Databricks ends a value that it cut, and the key it leaves when it cut them all. */
export const CUT_SUFFIX = '... truncated';
export const CUT_KEY = 'TRUNCATED';

export type Refusal = 'no_action' | 'no_time' | 'too_deep' | 'too_many_values';

interface Scope {
  reading: JsonReading;
  fields: EventFields;
  decodeErrors: string[];
}

/** `raw` is the event's own JSON text. */
export function assembleEvent(
  fields: EventFields,
  reading: JsonReading,
  raw: string,
): AuditEvent | Refusal {
  const serviceName = reading.text(fields.serviceName);
  const actionName = reading.text(fields.actionName);
  if (!serviceName || !actionName) return 'no_action';
  const eventTime = eventTimeMs(fields.time);
  if (eventTime === null) return 'no_time';

  const decodeErrors: string[] = [];
  const scope: Scope = { reading, fields, decodeErrors };
  const { requestParams, isCut } = readParams(scope);
  const response = readResponse(scope);
  const sourceAddressText = reading.text(fields.sourceAddress);
  const address = readAddress(sourceAddressText, decodeErrors);
  const orgId = reading.idText(fields.orgId);
  const ownId = reading.idText(fields.eventId);
  const event: AuditEvent = {
    eventId: ownId ?? '',
    eventIdSource: ownId ? fields.eventIdSource : 'content_hash',
    eventTime,
    eventTimeText: typeof fields.time === 'string' ? fields.time : null,
    shape: fields.shape,
    version: reading.text(fields.version),
    auditLevel: reading.text(fields.auditLevel),
    accountId: reading.idText(fields.accountId),
    workspaceId: reading.idText(fields.workspaceId) || orgId,
    orgId,
    shardName: reading.text(fields.shardName),
    resourceId: reading.text(fields.resourceId),
    category: reading.text(fields.category),
    serviceName,
    actionName,
    requestId: reading.idText(fields.requestId),
    sessionId: reading.idText(fields.sessionId),
    userAgent: reading.text(fields.userAgent),
    sourceIp: address === null ? null : address.ip,
    sourcePort: address === null ? null : address.port,
    sourceAddressText,
    actor: readActor(scope, requestParams),
    requestParams,
    requestParamsTruncated: isCut,
    response,
    outcome: outcomeOf(actionName, response === null ? null : response.statusCode),
    decodeErrors,
    extra: fields.extra,
    raw,
  };
  if (reading.isExtraCut) decodeErrors.push(`extra: more than ${EXTRA_MAX} keys`);
  if (reading.isTooDeep) return 'too_deep';
  if (event.eventIdSource === 'content_hash') event.eventId = contentHash(event);
  return event;
}

/** Notes a field that could not be read, and keeps what it held. */
function unread(scope: Scope, field: string, reason: string, value: unknown): void {
  scope.decodeErrors.push(`${field}: ${reason}`);
  scope.fields.extra[field] = scope.reading.json(value);
}

/** An object, or one that JSON text holds; null where there is none; undefined where unreadable. */
function open(
  scope: Scope,
  field: string,
  value: unknown,
): JsonObject | unknown[] | null | undefined {
  if (value === null || value === undefined || value === '') return null;
  let opened: unknown = value;
  if (typeof value === 'string') {
    opened = scope.reading.parseField(value);
    if (opened === undefined) {
      unread(scope, field, scope.reading.problem, value);
      return undefined;
    }
    if (opened === null) return null;
    if (isDeeperThan(opened, JSON_DEPTH_MAX)) {
      unread(scope, field, 'too_deep', value);
      return undefined;
    }
  }
  if (typeof opened !== 'object' || opened === null || spelling(opened) !== null) {
    unread(scope, field, 'not an object', value);
    return undefined;
  }
  return opened as JsonObject | unknown[];
}

function readAddress(text: string | null, decodeErrors: string[]): ReturnType<typeof splitAddress> {
  if (text === null || text === '') return null;
  const address = splitAddress(text);
  if (address === null) decodeErrors.push('sourceIPAddress: not an address');
  return address;
}

// --- who -----------------------------------------------------------------------------------------

const IDENTITY_KEYS = new Set(['email', 'subjectName', 'subject_name']);
const METADATA_KEYS = new Set([
  'run_by',
  'run_as',
  'acting_resource',
  'run_by_display_name',
  'run_as_display_name',
  'runBy',
  'runAs',
  'actingResource',
  'runByDisplayName',
  'runAsDisplayName',
]);

function readActor(scope: Scope, params: Record<string, string>): Actor {
  const { reading, fields } = scope;
  const identity = openObject(scope, 'userIdentity', fields.identity, IDENTITY_KEYS);
  const metadata = openObject(scope, 'identityMetadata', fields.identityMetadata, METADATA_KEYS);
  const actor: Actor = {
    name: '',
    type: 'unknown',
    email: reading.text(identity.email),
    subjectName: reading.text(identity.subjectName ?? identity.subject_name),
    runBy: reading.text(metadata.run_by ?? metadata.runBy),
    runAs: reading.text(metadata.run_as ?? metadata.runAs),
    runByDisplayName: reading.text(metadata.run_by_display_name ?? metadata.runByDisplayName),
    runAsDisplayName: reading.text(metadata.run_as_display_name ?? metadata.runAsDisplayName),
    actingResource: reading.text(metadata.acting_resource ?? metadata.actingResource),
  };
  actor.name = actorName(actor, params.user, params.recipient_name);
  actor.type = actorType(actor.name);
  return actor;
}

const EMPTY: JsonObject = Object.freeze(Object.create(null));

function openObject(
  scope: Scope,
  field: string,
  value: unknown,
  known: ReadonlySet<string>,
): JsonObject {
  const opened = open(scope, field, value);
  if (opened === null || opened === undefined) return EMPTY;
  if (!isObject(opened)) {
    unread(scope, field, 'not an object', value);
    return EMPTY;
  }
  collectExtra(scope.fields.extra, opened, known, `${field}.`, scope.reading);
  return opened;
}

// --- what ----------------------------------------------------------------------------------------

interface Params {
  requestParams: Record<string, string>;
  isCut: boolean;
}

function readParams(scope: Scope): Params {
  const params: Params = { requestParams: Object.create(null), isCut: false };
  const opened = open(scope, 'requestParams', scope.fields.requestParams);
  if (opened === null || opened === undefined) return params;
  if (Array.isArray(opened)) {
    readPairs(scope, params, opened);
  } else {
    let left = PARAMS_MAX;
    for (const key in opened) {
      if (left-- === 0) return cutParams(scope, params);
      addParam(scope, params, key, opened[key]);
    }
  }
  return params;
}

/** A map as a list of `[key, value]`, or of `{key, value}`. */
function readPairs(scope: Scope, params: Params, pairs: unknown[]): void {
  let left = PARAMS_MAX;
  for (const pair of pairs) {
    const [key, value] = Array.isArray(pair) ? pair : isObject(pair) ? [pair.key, pair.value] : [];
    if (typeof key !== 'string') {
      unread(scope, 'requestParams', 'neither a map nor pairs', pairs);
      return;
    }
    if (left-- === 0) {
      cutParams(scope, params);
      return;
    }
    addParam(scope, params, key, value);
  }
}

function cutParams(scope: Scope, params: Params): Params {
  scope.decodeErrors.push(`requestParams: more than ${PARAMS_MAX} keys`);
  params.isCut = true;
  return params;
}

function addParam(scope: Scope, params: Params, key: string, value: unknown): void {
  const text = scope.reading.text(value);
  if (text === null) return;
  params.requestParams[key] = text;
  if (text.endsWith(CUT_SUFFIX) || (key === CUT_KEY && text === '')) params.isCut = true;
}

const RESPONSE_KEYS = new Set([
  'statusCode',
  'status_code',
  'errorMessage',
  'error_message',
  'result',
]);

function readResponse(scope: Scope): ResponseDatum | null {
  const { reading, fields } = scope;
  const opened = open(scope, 'response', fields.response);
  if (opened === null || opened === undefined) return null;
  if (!isObject(opened)) {
    unread(scope, 'response', 'not an object', fields.response);
    return null;
  }
  collectExtra(fields.extra, opened, RESPONSE_KEYS, 'response.', reading);
  return {
    statusCode: readStatus(scope, opened.statusCode ?? opened.status_code),
    errorMessage: reading.text(opened.errorMessage ?? opened.error_message),
    result: reading.text(opened.result),
  };
}

/** Through the SQL API a status is text. */
const STATUS = /^\s*-?\d{1,10}(?:\.0*)?\s*$/;
const INT_MAX = 0x7fffffff;

function readStatus(scope: Scope, value: unknown): number | null {
  if (value === null || value === undefined || value === '') return null;
  const text = typeof value === 'string' ? value : spelling(value);
  const status = text !== null && STATUS.test(text) ? Number(text) : value;
  if (typeof status === 'number' && Number.isInteger(status) && Math.abs(status) <= INT_MAX) {
    return status;
  }
  unread(scope, 'response.statusCode', 'not a status code', value);
  return null;
}
