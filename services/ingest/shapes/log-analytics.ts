/**
 * A row of an Azure Log Analytics table: flat, PascalCase. Identity, Response and RequestParams
 * are text in the older tables and dynamic in the newer, which also spell SourceIpAddress.
 */
import type { JsonObject, JsonReading } from '../json.ts';
import { collectExtra, type EventFields } from './fields.ts';

const KNOWN = new Set([
  'TimeGenerated',
  'Category',
  'Identity',
  'SourceIPAddress',
  'SourceIpAddress',
  'LogId',
  'ServiceName',
  'UserAgent',
  'SessionId',
  'ActionName',
  'RequestId',
  'Response',
  'RequestParams',
  '_ResourceId',
]);

export function readLogAnalytics(row: JsonObject, reading: JsonReading): EventFields {
  const extra: Record<string, string> = Object.create(null);
  collectExtra(extra, row, KNOWN, '', reading);
  // Exports name the resource without the underscore; where both are given, neither is lost.
  if (row._ResourceId === undefined) delete extra.ResourceId;
  return {
    shape: 'log_analytics',
    eventId: row.LogId,
    eventIdSource: 'log_id',
    time: row.TimeGenerated,
    version: null,
    auditLevel: null,
    accountId: null,
    workspaceId: null,
    orgId: null,
    shardName: null,
    resourceId: row._ResourceId ?? row.ResourceId,
    category: row.Category,
    serviceName: row.ServiceName,
    actionName: row.ActionName,
    requestId: row.RequestId,
    sessionId: row.SessionId,
    userAgent: row.UserAgent,
    sourceAddress: row.SourceIPAddress ?? row.SourceIpAddress,
    identity: row.Identity,
    identityMetadata: null,
    requestParams: row.RequestParams,
    response: row.Response,
    extra,
  };
}
