/**
 * What every shape is brought to before it becomes an event: the same things under one name each,
 * still as the JSON values that were found. A key that no shape knows goes to `extra`.
 */
import type { EventIdSource, EventShape } from '../event.ts';
import type { JsonObject, JsonReading } from '../json.ts';

export interface EventFields {
  shape: EventShape;
  /** The route's own id of the event. */
  eventId: unknown;
  eventIdSource: EventIdSource;
  time: unknown;
  version: unknown;
  auditLevel: unknown;
  accountId: unknown;
  workspaceId: unknown;
  orgId: unknown;
  shardName: unknown;
  resourceId: unknown;
  category: unknown;
  serviceName: unknown;
  actionName: unknown;
  requestId: unknown;
  sessionId: unknown;
  userAgent: unknown;
  sourceAddress: unknown;
  /** Object, JSON text of one, or null; so are the next three. */
  identity: unknown;
  identityMetadata: unknown;
  requestParams: unknown;
  response: unknown;
  extra: Record<string, string>;
}

/** Reads one row of a shape. */
export type ShapeReader = (row: JsonObject, reading: JsonReading) => EventFields;

/** Unknown keys of one object that are kept; of more, the event says so. */
export const EXTRA_MAX = 1_000;

/** Copies to `extra` what `known` does not name, under `prefix` and the key. */
export function collectExtra(
  extra: Record<string, string>,
  row: JsonObject,
  known: ReadonlySet<string>,
  prefix: string,
  reading: JsonReading,
): void {
  let left = EXTRA_MAX;
  for (const key in row) {
    if (known.has(key) || row[key] === null) continue;
    if (left-- === 0) {
      reading.isExtraCut = true;
      return;
    }
    extra[prefix + key] = reading.json(row[key]);
  }
}
