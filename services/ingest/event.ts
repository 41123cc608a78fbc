/**
 * The in-memory audit event. It has exactly the fields of `schemas/audit-event.avsc`, in the same
 * order, so that encoding is a copy and a decoded Avro record is an event.
 */

export type EventShape = 'delivery' | 'system_table' | 'azure_record' | 'log_analytics';
export type EventIdSource = 'event_id' | 'log_id' | 'content_hash';
export type ActorType = 'user' | 'service_principal' | 'system' | 'unknown';
export type Outcome = 'success' | 'failure' | 'unknown';

export interface Actor {
  name: string;
  type: ActorType;
  email: string | null;
  subjectName: string | null;
  runBy: string | null;
  runAs: string | null;
  runByDisplayName: string | null;
  runAsDisplayName: string | null;
  actingResource: string | null;
}

export interface EventResponse {
  statusCode: number | null;
  errorMessage: string | null;
  result: string | null;
}

export interface AuditEvent {
  eventId: string;
  eventIdSource: EventIdSource;
  /** Milliseconds since the epoch, UTC. */
  eventTime: number;
  eventTimeText: string | null;
  shape: EventShape;
  version: string | null;
  auditLevel: string | null;
  accountId: string | null;
  workspaceId: string | null;
  orgId: string | null;
  shardName: string | null;
  resourceId: string | null;
  category: string | null;
  serviceName: string;
  actionName: string;
  requestId: string | null;
  sessionId: string | null;
  userAgent: string | null;
  sourceIp: string | null;
  sourcePort: number | null;
  sourceAddressText: string | null;
  actor: Actor;
  /** Prototype-less, so that a hostile key such as `__proto__` is a plain entry. */
  requestParams: Record<string, string>;
  requestParamsTruncated: boolean;
  response: EventResponse | null;
  outcome: Outcome;
  decodeErrors: string[];
  /** Prototype-less. Unknown top-level fields as JSON text. */
  extra: Record<string, string>;
  raw: string;
}
