/**
 * A row of system.access.audit: snake_case, every column nullable. Read through the SQL API its
 * structs are JSON text and its status code is text; documentation prints camelCase inside.
 */
import type { JsonObject, JsonReading } from '../json.ts';
import { collectExtra, type EventFields } from './fields.ts';

const KNOWN = new Set([
  'account_id',
  'workspace_id',
  'version',
  'event_time',
  'source_ip_address',
  'user_agent',
  'session_id',
  'user_identity',
  'service_name',
  'action_name',
  'request_id',
  'request_params',
  'response',
  'audit_level',
  'event_id',
  'identity_metadata',
]);

export function readSystemTable(row: JsonObject, reading: JsonReading): EventFields {
  const extra: Record<string, string> = Object.create(null);
  collectExtra(extra, row, KNOWN, '', reading);
  return {
    shape: 'system_table',
    eventId: row.event_id,
    eventIdSource: 'event_id',
    time: row.event_time,
    version: row.version,
    auditLevel: row.audit_level,
    accountId: row.account_id,
    workspaceId: row.workspace_id,
    orgId: null,
    shardName: null,
    resourceId: null,
    category: null,
    serviceName: row.service_name,
    actionName: row.action_name,
    requestId: row.request_id,
    sessionId: row.session_id,
    userAgent: row.user_agent,
    sourceAddress: row.source_ip_address,
    identity: row.user_identity,
    identityMetadata: row.identity_metadata,
    requestParams: row.request_params,
    response: row.response,
    extra,
  };
}
