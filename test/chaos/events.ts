/**
 * Audit events by the thousand: a few templates with ids that never come twice, as the collector
 * would write them (framed Avro) and as Databricks delivers them (JSON). Pure.
 */
import { type AuditEventDatum, encodeAuditEvent, frame } from '../../schemas/audit-event.ts';

interface Template {
  serviceName: string;
  actionName: string;
  requestParams: Record<string, string>;
}

const TEMPLATES: readonly Template[] = [
  { serviceName: 'notebook', actionName: 'openNotebook', requestParams: { notebookId: '4711' } },
  {
    serviceName: 'unityCatalog',
    actionName: 'getTable',
    requestParams: { full_name_arg: 'main.sales.orders', include_delta_metadata: 'true' },
  },
  { serviceName: 'clusters', actionName: 'start', requestParams: { cluster_id: '0520-070249-ab' } },
  {
    serviceName: 'jobs',
    actionName: 'runNow',
    requestParams: { job_id: '912', naïve: 'Grüße aus München \u{1f512}' },
  },
  { serviceName: 'databrickssql', actionName: 'getQuery', requestParams: {} },
];

const WORKSPACES = ['1234567890123456', '6051921418418893', '0'];
const PEOPLE = ['ana@example.com', 'ben@example.com', 'chi@example.com'];
/** 2026-03-02T08:00:00Z */
export const FIRST_EVENT_MS = 1_772_438_400_000;

function uuid(scope: number, number: number): string {
  const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');
  return `${hex(scope >>> 0, 8)}-0000-4000-8000-${hex(number, 12)}`;
}

export interface EventChoice {
  /** Tells the events of one run from those of another. */
  scope: number;
  number: number;
  /** Replaces the template's. */
  action?: Template;
  /** Bytes of padding in a request parameter. */
  padding?: number;
  timeMs?: number;
}

function choose({ scope, number, action, padding = 0 }: EventChoice): {
  template: Template;
  params: Record<string, string>;
  email: string;
  workspaceId: string;
  eventId: string;
} {
  const template = action ?? TEMPLATES[number % TEMPLATES.length]!;
  const params = { ...template.requestParams };
  if (padding > 0) params.padding = 'x'.repeat(padding);
  return {
    template,
    params,
    email: PEOPLE[number % PEOPLE.length]!,
    workspaceId: WORKSPACES[number % WORKSPACES.length]!,
    eventId: uuid(scope, number),
  };
}

/** A row of `system.access.audit` as JSON: the shape that has an event id of its own. */
export function eventJson(choice: EventChoice): string {
  const { template, params, email, workspaceId, eventId } = choose(choice);
  return JSON.stringify({
    account_id: '5f0a6f0e-0000-4000-8000-000000000001',
    workspace_id: workspaceId,
    version: '2.0',
    event_time: new Date(choice.timeMs ?? FIRST_EVENT_MS + choice.number).toISOString(),
    source_ip_address: `203.0.113.${1 + (choice.number % 200)}`,
    user_agent: 'example-client/1.0',
    session_id: null,
    user_identity: { email, subject_name: null },
    service_name: template.serviceName,
    action_name: template.actionName,
    request_id: `ServiceMain-${eventId}`,
    request_params: params,
    response: { status_code: 200, error_message: null, result: null },
    audit_level: workspaceId === '0' ? 'ACCOUNT_LEVEL' : 'WORKSPACE_LEVEL',
    event_id: eventId,
  });
}

/** The same event as the collector would encode it. */
export function eventDatum(choice: EventChoice): Buffer {
  const { template, params, email, workspaceId, eventId } = choose(choice);
  const timeMs = choice.timeMs ?? FIRST_EVENT_MS + choice.number;
  const event: AuditEventDatum = {
    eventId,
    eventIdSource: 'event_id',
    eventTime: timeMs,
    eventTimeText: new Date(timeMs).toISOString(),
    shape: 'system_table',
    version: '2.0',
    auditLevel: workspaceId === '0' ? 'ACCOUNT_LEVEL' : 'WORKSPACE_LEVEL',
    accountId: '5f0a6f0e-0000-4000-8000-000000000001',
    workspaceId,
    orgId: null,
    shardName: null,
    resourceId: null,
    category: null,
    serviceName: template.serviceName,
    actionName: template.actionName,
    requestId: `ServiceMain-${eventId}`,
    sessionId: null,
    userAgent: 'example-client/1.0',
    sourceIp: `203.0.113.${1 + (choice.number % 200)}`,
    sourcePort: null,
    sourceAddressText: `203.0.113.${1 + (choice.number % 200)}`,
    actor: {
      name: email,
      type: 'user',
      email,
      subjectName: null,
      runBy: null,
      runAs: null,
      runByDisplayName: null,
      runAsDisplayName: null,
      actingResource: null,
    },
    requestParams: params,
    requestParamsTruncated: false,
    response: { statusCode: 200, errorMessage: null, result: null },
    outcome: 'success',
    decodeErrors: [],
    extra: {},
    raw: eventJson(choice),
  };
  return encodeAuditEvent(event);
}

export function framedEvent(schemaId: number, choice: EventChoice): Buffer {
  return frame(schemaId, eventDatum(choice));
}

export function workspaceKey(choice: EventChoice): Buffer {
  return Buffer.from(choose(choice).workspaceId);
}

export interface MixedMessage {
  key: Buffer | null;
  value: Buffer | null;
  headers?: Record<string, Buffer | string>;
}

/**
 * What a topic may hold: two thirds framed events, one in six raw JSON, and now and then a
 * tombstone, garbage, an empty value, a cut frame or headers. The same number gives the same message.
 */
export function mixedMessage(schemaId: number, choice: EventChoice): MixedMessage {
  const { number } = choice;
  const key = number % 7 === 3 ? null : Buffer.concat([workspaceKey(choice), uuidKey(number)]);
  const message: MixedMessage = { key, value: mixedValue(schemaId, choice) };
  if (number % 11 === 5) {
    message.headers = {
      source: 'chaos',
      binary: Buffer.from([0, 255, number & 255]),
      empty: Buffer.alloc(0),
    };
  }
  return message;
}

/** Spreads keys over partitions. */
function uuidKey(number: number): Buffer {
  return Buffer.from(`-${number % 997}`);
}

function mixedValue(schemaId: number, choice: EventChoice): Buffer | null {
  const { number } = choice;
  if (number % 101 === 50) return null;
  if (number % 103 === 51) return Buffer.from([0xff, 0xfe, number & 255, 0x00]);
  if (number % 107 === 52) return Buffer.alloc(0);
  if (number % 109 === 53) return framedEvent(schemaId, choice).subarray(0, 40);
  if (number % 113 === 54) return Buffer.concat([framedEvent(schemaId, choice), Buffer.from('x')]);
  if (number % 6 === 1) return Buffer.from(eventJson(choice));
  return framedEvent(schemaId, choice);
}
