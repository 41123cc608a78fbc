/**
 * One record of Azure diagnostic settings (Event Hub, storage export). What Databricks says is in
 * `properties`; identity, response and parameters are JSON text there unless a pipeline opened
 * them. Times have whole seconds.
 */
import type { JsonObject, JsonReading } from '../json.ts';
import { collectExtra, type EventFields } from './fields.ts';

const KNOWN = new Set(['resourceId', 'time', 'category', 'identity', 'properties']);
const KNOWN_PROPERTIES = new Set([
  'sourceIPAddress',
  'sourceIpAddress',
  'logId',
  'serviceName',
  'userAgent',
  'response',
  'sessionId',
  'actionName',
  'requestId',
  'requestParams',
]);

/** `row.properties` is an object: that is how the shape is known. */
export function readAzureRecord(row: JsonObject, reading: JsonReading): EventFields {
  const properties = row.properties as JsonObject;
  const extra: Record<string, string> = Object.create(null);
  collectExtra(extra, row, KNOWN, '', reading);
  collectExtra(extra, properties, KNOWN_PROPERTIES, 'properties.', reading);
  return {
    shape: 'azure_record',
    eventId: properties.logId,
    eventIdSource: 'log_id',
    time: row.time,
    version: null,
    auditLevel: null,
    accountId: null,
    workspaceId: null,
    orgId: null,
    shardName: null,
    resourceId: row.resourceId,
    category: row.category,
    serviceName: properties.serviceName,
    actionName: properties.actionName,
    requestId: properties.requestId,
    sessionId: properties.sessionId,
    userAgent: properties.userAgent,
    sourceAddress: properties.sourceIPAddress ?? properties.sourceIpAddress,
    identity: row.identity,
    identityMetadata: null,
    requestParams: properties.requestParams,
    response: properties.response,
    extra,
  };
}
