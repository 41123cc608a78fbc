import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { check } from '../../services/cli/checks.ts';
import { decideTopic, wantedTopics } from '../../services/cli/kafka-topics.ts';
import { judgeTopic } from '../../services/cli/preflight-kafka.ts';
import { judgeCreate } from '../../services/cli/preflight-opensearch.ts';
import { judgeClock, judgeRetention } from '../../services/cli/preflight-store.ts';
import { configSchema } from '../../services/runtime/config.ts';
import { Failure } from '../../services/runtime/errors.ts';

const config = configSchema.parse({});
const good = {
  'max.message.bytes': String(config.topics.recordBytesMax + 1024 * 1024),
  'cleanup.policy': 'delete',
  'retention.ms': '604800000',
  'message.timestamp.type': 'LogAppendTime',
};

function topic(settings: Record<string, string> = {}, partitions = 8, replicationFactor = 1) {
  return {
    partitions,
    replicationFactor,
    settings: new Map(Object.entries({ ...good, ...settings })),
  };
}

describe('topics', () => {
  test('a dead letter has room for the largest record and its headers', () => {
    const [events, deadLetter] = wantedTopics(config);
    assert.ok(deadLetter!.recordBytesMax > events!.recordBytesMax);
  });

  test('setup makes what is missing and says what differs, with the remedy', () => {
    const [events] = wantedTopics(config);
    assert.equal(decideTopic(events!, null).step, 'make');
    assert.equal(decideTopic(events!, topic()).step, 'found');
    const decision = decideTopic(
      events!,
      topic({ 'max.message.bytes': '1000', 'message.timestamp.type': 'CreateTime' }, 4, 3),
    );
    assert.equal(decision.step, 'differs');
    assert.match(
      decision.detail,
      /4 partitions instead of 8; replication 3 instead of 1; records up to 1000/,
    );
    assert.match(decision.hint!, /kafka-configs\.sh .*max\.message\.bytes=33554432/);
  });

  const cases: Array<[string, Record<string, string>, RegExp | null]> = [
    ['fits', {}, null],
    ['kept for ever', { 'retention.ms': '-1' }, null],
    ['compacted', { 'cleanup.policy': 'compact,delete' }, /compacted/],
    ['too small records', { 'max.message.bytes': '100000' }, /max\.message\.bytes is 100000/],
    [
      'kept for ever by event time',
      { 'retention.ms': '-1', 'message.timestamp.type': 'CreateTime' },
      null,
    ],
    [
      'kept by event time',
      { 'message.timestamp.type': 'CreateTime' },
      /retention goes by CreateTime/,
    ],
    ['too short retention', { 'retention.ms': '3600000' }, /retention\.ms is 3600000/],
  ];
  for (const [name, settings, expected] of cases) {
    test(`preflight: ${name}`, () => {
      const { outcome, detail } = judgeTopic('t', topic(settings), config);
      assert.equal(outcome, expected === null ? 'ok' : 'failed');
      if (expected !== null) assert.match(detail, expected);
    });
  }
});

describe('judgements', () => {
  test('clocks: five minutes either way, the whole second of the date forgiven', () => {
    const at = Date.parse('2026-01-01T00:00:00Z');
    const date = new Date(at).toUTCString();
    assert.equal(judgeClock('b', at, at + 50, date).outcome, 'ok');
    assert.equal(judgeClock('b', at + 300_900, at + 301_000, date).outcome, 'ok');
    assert.equal(judgeClock('b', at + 302_000, at + 302_000, date).outcome, 'failed');
    assert.equal(judgeClock('b', at - 302_000, at - 302_000, date).outcome, 'failed');
    assert.equal(judgeClock('b', at, at, undefined).outcome, 'unknown');
  });

  test('retention: not shorter, not weaker', () => {
    const day = 86_400_000;
    const wanted = { retentionMode: 'COMPLIANCE', retentionDays: 365 } as const;
    assert.equal(judgeRetention(wanted, 'COMPLIANCE', 365 * day - 2_000).outcome, 'ok');
    assert.equal(judgeRetention(wanted, 'COMPLIANCE', 400 * day).outcome, 'ok');
    assert.equal(judgeRetention(wanted, 'COMPLIANCE', 364 * day).outcome, 'failed');
    assert.equal(judgeRetention(wanted, 'GOVERNANCE', 365 * day).outcome, 'failed');
    const weak = { retentionMode: 'GOVERNANCE', retentionDays: 1 } as const;
    assert.equal(judgeRetention(weak, 'COMPLIANCE', day).outcome, 'ok');
  });

  test('OpenSearch: created once, strict', () => {
    assert.equal(judgeCreate(201, 409, 400).outcome, 'ok');
    assert.match(judgeCreate(503, 409, 400).detail, /answers 503/);
    assert.match(judgeCreate(201, 201, 400).detail, /201 instead of 409/);
    assert.match(judgeCreate(201, 409, 201).detail, /unknown field answers 201/);
  });

  test('what a check throws is its failure, with the hint', async () => {
    const thrown = new Failure('no', { code: 'X', hint: 'do', cause: new Error('why') });
    assert.deepEqual(await check('store', 'name', () => Promise.reject(thrown)), {
      part: 'store',
      check: 'name',
      outcome: 'failed',
      detail: 'no: why (X)',
      hint: 'do',
    });
  });
});
