/**
 * Every construct of the Sigma specification 2.1 that looks at one event, as vectors written by hand
 * from its text: a detection, an event as it is delivered, a verdict. They go the whole way, from
 * YAML and JSON through decoding to the matcher.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { Matcher } from '../../../services/detector/match/match.ts';
import { KNOWN_MODIFIERS } from '../../../services/detector/sigma/modifiers.ts';
import { mergedEvent } from '../../../services/detector/sigma/test-event.ts';
import { decodeJson } from '../../../services/ingest/decode.ts';
import { setOf } from './layers.ts';

interface Group {
  about: string;
  vectors: Array<{
    detection: Record<string, unknown>;
    event?: Record<string, unknown>;
    hit: boolean;
  }>;
}

const FOLDER = join(import.meta.dirname, 'vectors');
const FILES = readdirSync(FOLDER).sort();

const LOGIN = {
  version: '2.0',
  auditLevel: 'WORKSPACE_LEVEL',
  timestamp: Date.UTC(2026, 10, 24, 9, 30, 15, 123),
  workspaceId: '1234567890123456',
  sourceIPAddress: '203.0.113.10',
  userAgent: 'Mozilla/5.0',
  userIdentity: { email: 'alice@example.com', subjectName: null },
  serviceName: 'accounts',
  actionName: 'login',
  requestId: 'ServiceMain-1',
  requestParams: {},
  response: { statusCode: 200, errorMessage: null, result: null },
};

const LISTS = {
  users: ['alice', 'bob'],
  domains: ['example.com', 'example.org'],
  networks: ['203.0.113.0/24'],
  odd: ['*', '50%'],
};

function hits(detection: Record<string, unknown>, changes: Record<string, unknown>): boolean {
  const rule = {
    title: 'vector',
    id: '00000000-0000-4000-8000-000000000001',
    level: 'low',
    logsource: { product: 'databricks' },
    detection,
  };
  // JSON is YAML, and keeps the order of keys.
  const { rules } = setOf([JSON.stringify(rule)], { lists: LISTS });
  // A null of a vector is a null of the event, so it is put there after the merge.
  const event = { ...mergedEvent(LOGIN, changes), ...nulls(changes) };
  const decoded = decodeJson(JSON.stringify(event));
  assert.ok(decoded.ok);
  return new Matcher(rules).match(decoded.events[0]!).length > 0;
}

function nulls(changes: Record<string, unknown>): Record<string, unknown> {
  const { requestParams } = changes as { requestParams?: Record<string, unknown> };
  const whole = requestParams === undefined ? {} : { requestParams };
  const top = Object.fromEntries(Object.entries(changes).filter(([, value]) => value === null));
  return { ...whole, ...top };
}

const used = new Set<string>();

for (const file of FILES) {
  const groups = parse(readFileSync(join(FOLDER, file), 'utf8')) as Group[];
  for (const { about, vectors } of groups) {
    describe(`${file}: ${about}`, () => {
      for (const { detection, event = {}, hit } of vectors) {
        for (const match of JSON.stringify(detection).matchAll(/\|([a-z0-9]+)(?=[|"])/g)) {
          used.add(match[1]!);
        }
        it(`${JSON.stringify(detection)} on ${JSON.stringify(event)}: ${hit}`, () => {
          assert.equal(hits(detection, event), hit);
        });
      }
    });
  }
}

it('every modifier has a vector', () => {
  const aliases = ['ignorecase', 'multiline', 'dotall'];
  const missing = KNOWN_MODIFIERS.filter((one) => !used.has(one) && !aliases.includes(one));
  assert.deepEqual(missing, []);
});
