/** Log delivery to S3 and GCS: one camelCase object a line. Ids are numbers or text, or absent. */
import type { JsonObject, JsonReading } from '../json.ts';
import { collectExtra, type EventFields } from './fields.ts';

const KNOWN = new Set([
  'version',
  'auditLevel',
  'timestamp',
  'orgId',
  'workspaceId',
  'shardName',
  'accountId',
  'sourceIPAddress',
  'userAgent',
  'sessionId',
  'userIdentity',
  'serviceName',
  'actionName',
  'requestId',
  'requestParams',
  'response',
]);

export function readDelivery(row: JsonObject, reading: JsonReading): EventFields {
  const extra: Record<string, string> = Object.create(null);
  collectExtra(extra, row, KNOWN, '', reading);
  return {
    shape: 'delivery',
    eventId: null,
    eventIdSource: 'content_hash',
    time: row.timestamp,
    version: row.version,
    auditLevel: row.auditLevel,
    accountId: row.accountId,
    workspaceId: row.workspaceId,
    orgId: row.orgId,
    shardName: row.shardName,
    resourceId: null,
    category: null,
    serviceName: row.serviceName,
    actionName: row.actionName,
    requestId: row.requestId,
    sessionId: row.sessionId,
    userAgent: row.userAgent,
    sourceAddress: row.sourceIPAddress,
    identity: row.userIdentity,
    identityMetadata: null,
    requestParams: row.requestParams,
    response: row.response,
    extra,
  };
}
