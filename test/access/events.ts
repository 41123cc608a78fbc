/** Changes of access for tests, made directly or from audit events. */
import assert from 'node:assert/strict';
import type { AccessEvent, Effect } from '../../services/access/change.ts';
import { accessEventOf } from '../../services/access/changes.ts';
import { decodeJson } from '../../services/ingest/decode.ts';

export const DAY = Date.UTC(2026, 10, 24);
export const MINUTE_MS = 60_000;

/** `minute` of the 24th of November 2026. */
export function accessEvent(minute: number, id: string, effects: readonly Effect[]): AccessEvent {
  return {
    eventId: id,
    timeMs: DAY + minute * MINUTE_MS,
    by: 'alice@example.com',
    action: 'a.b',
    at: { topic: 'databricks.audit', partition: 0, offset: BigInt(minute) },
    effects,
  };
}

/** A line of a delivery file. */
export function line(minute: number, pair: string, params: object, more: object = {}): string {
  const [serviceName, actionName] = pair.split('.');
  return JSON.stringify({
    version: '2.0',
    auditLevel: 'WORKSPACE_LEVEL',
    timestamp: DAY + minute * MINUTE_MS,
    workspaceId: '77',
    accountId: 'a1',
    sourceIPAddress: '203.0.113.10',
    userIdentity: { email: 'alice@example.com', subjectName: null },
    serviceName,
    actionName,
    requestId: `r${minute}`,
    requestParams: params,
    response: { statusCode: 200 },
    ...more,
  });
}

/** What such a line changed. */
export function changeOf(minute: number, pair: string, params: object, more = {}): AccessEvent {
  const decoded = decodeJson(line(minute, pair, params, more));
  assert.ok(decoded.ok);
  const at = { topic: 'databricks.audit', partition: 0, offset: BigInt(minute) };
  const event = accessEventOf(decoded.events[0]!, at);
  assert.ok(event !== null, pair);
  return event;
}

export const grant = (minute: number, who: string, how: 'add' | 'remove', on = 'main.s.t') =>
  changeOf(minute, 'unityCatalog.updatePermissions', {
    securable_type: 'TABLE',
    securable_full_name: on,
    changes: JSON.stringify([{ principal: who, [how]: ['SELECT'] }]),
  });
