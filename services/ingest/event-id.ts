/**
 * The identity of an event that has none: SHA-256 over what happened, in canonical JSON.
 *
 * It depends on nothing that the route adds (file, offset, time of arrival, order of keys, white
 * space), so that a line delivered twice has one id. The response is part of it: a long action is
 * logged twice with one request id, and both are events.
 */
import { hash } from 'node:crypto';
import type { AuditEvent } from './event.ts';

/** 64 hexadecimal digits. Changing what goes in changes every id: alerts would come twice. */
export function contentHash(event: AuditEvent): string {
  const { actor, requestParams, response } = event;
  const keys = Object.keys(requestParams).sort();
  const canonical = [
    event.accountId,
    event.workspaceId,
    event.eventTime,
    event.serviceName,
    event.actionName,
    event.requestId,
    event.sessionId,
    [actor.email, actor.subjectName, actor.runBy, actor.runAs],
    event.sourceAddressText,
    keys.map((key) => [key, requestParams[key]]),
    response === null ? null : [response.statusCode, response.errorMessage, response.result],
  ];
  return hash('sha256', JSON.stringify(canonical), 'hex');
}
