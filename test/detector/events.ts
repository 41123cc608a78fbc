/** Audit events and rules for the tests of the detector. */
import assert from 'node:assert/strict';
import { Matcher } from '../../services/detector/match/match.ts';
import { describeProblem } from '../../services/detector/sigma/problem.ts';
import type { Rule } from '../../services/detector/sigma/rule.ts';
import { parseRuleFile } from '../../services/detector/sigma/rule-file.ts';
import type { Actor, AuditEvent } from '../../services/ingest/event.ts';

export const ACTOR: Actor = {
  name: 'alice@example.com',
  type: 'user',
  email: 'alice@example.com',
  subjectName: null,
  runBy: null,
  runAs: null,
  runByDisplayName: null,
  runAsDisplayName: null,
  actingResource: null,
};

export function auditEvent(changes: Partial<AuditEvent> = {}): AuditEvent {
  return {
    eventId: 'event-1',
    eventIdSource: 'event_id',
    eventTime: Date.UTC(2026, 10, 24, 9, 30, 15, 123),
    eventTimeText: null,
    shape: 'delivery',
    version: '2.0',
    auditLevel: 'WORKSPACE_LEVEL',
    accountId: '11111111-2222-3333-4444-555555555555',
    workspaceId: '1234567890123456',
    orgId: null,
    shardName: null,
    resourceId: null,
    category: null,
    serviceName: 'accounts',
    actionName: 'login',
    requestId: 'ServiceMain-1',
    sessionId: null,
    userAgent: 'Mozilla/5.0',
    sourceIp: '203.0.113.10',
    sourcePort: null,
    sourceAddressText: '203.0.113.10',
    actor: ACTOR,
    requestParams: {},
    requestParamsTruncated: false,
    response: { statusCode: 200, errorMessage: null, result: null },
    outcome: 'success',
    decodeErrors: [],
    extra: {},
    raw: '{}',
    ...changes,
  };
}

/** An event whose request parameters are these. */
export function withParams(requestParams: Record<string, string>): AuditEvent {
  return auditEvent({ requestParams: Object.assign(Object.create(null), requestParams) });
}

/** A whole rule around a detection (YAML, not indented). */
export function ruleText(detection: string, more = ''): string {
  const indented = detection
    .trim()
    .split('\n')
    .map((line) => `  ${line}`)
    .join('\n');
  return `title: test rule
id: 00000000-0000-4000-8000-000000000001
level: low
logsource:
  product: databricks
detection:
${indented}
${more}`;
}

/** The rules of a text that must load without error. */
export function rulesOf(text: string): Rule[] {
  const { rules, problems } = parseRuleFile('rule.yml', text);
  const errors = problems.filter((problem) => problem.severity === 'error');
  assert.deepEqual(errors.map(describeProblem), []);
  return rules;
}

/** Whether a detection with one selection (YAML of its value) and its condition fires. */
export function fires(detection: string, event: AuditEvent): boolean {
  return new Matcher(rulesOf(ruleText(detection))).match(event).length > 0;
}

/** The problems of a text, one line each. */
export function problemsOf(text: string): string[] {
  return parseRuleFile('rule.yml', text).problems.map(describeProblem);
}
