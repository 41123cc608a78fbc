/**
 * The in-memory audit event. It has exactly the fields of `schemas/audit-event.avsc`, in the same
 * order, so that encoding is a copy and a decoded Avro record is an event. What is said here beside
 * the schema's own type are the words that lakeseal itself writes.
 */
import type { ActorDatum, AuditEventDatum } from '../../schemas/audit-event.ts';

export type EventShape = 'delivery' | 'system_table' | 'azure_record' | 'log_analytics';
export type EventIdSource = 'event_id' | 'log_id' | 'content_hash';
export type ActorType = 'user' | 'service_principal' | 'system' | 'unknown';
export type Outcome = 'success' | 'failure' | 'unknown';

export interface Actor extends ActorDatum {
  type: ActorType;
}

export interface AuditEvent extends AuditEventDatum {
  eventIdSource: EventIdSource;
  shape: EventShape;
  actor: Actor;
  /** Prototype-less, so that a hostile key such as `__proto__` is a plain entry. */
  requestParams: Record<string, string>;
  outcome: Outcome;
  /** Prototype-less. Unknown top-level fields as JSON text. */
  extra: Record<string, string>;
}
