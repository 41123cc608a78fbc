/** Which shape a JSON object has, by its keys. */
import { isObject, type JsonObject } from '../json.ts';
import { readAzureRecord } from './azure-record.ts';
import { readDelivery } from './delivery.ts';
import type { ShapeReader } from './fields.ts';
import { readLogAnalytics } from './log-analytics.ts';
import { readSystemTable } from './system-table.ts';

/** The reader of a row, or null where no key tells that it is an audit event. */
export function shapeOf(row: JsonObject): ShapeReader | null {
  if (isObject(row.properties) && row.properties.serviceName !== undefined) return readAzureRecord;
  if (row.ServiceName !== undefined && (row.Type ?? row.ActionName) !== undefined) {
    return readLogAnalytics;
  }
  if (row.service_name !== undefined) return readSystemTable;
  return row.serviceName === undefined ? null : readDelivery;
}
