import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { check } from '../../services/cli/checks.ts';
import { decideTopic, wantedTopics } from '../../services/cli/kafka-topics.ts';
import { judgeInternal, judgeTopic } from '../../services/cli/preflight-kafka.ts';
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

  test('the state is compacted, late enough, and what differs is said', () => {
    const state = wantedTopics(config).find(({ topic }) => topic === config.topics.state)!;
    const settings = {
      'cleanup.policy': 'compact',
      'min.compaction.lag.ms': '3600000',
      'segment.bytes': '67108864',
    };
    assert.equal(decideTopic(state, topic(settings)).step, 'found');
    const decision = decideTopic(state, topic({ ...settings, 'min.compaction.lag.ms': '0' }));
    assert.equal(decision.step, 'differs');
    assert.match(decision.detail, /min\.compaction\.lag\.ms 0 instead of 3600000/);
    assert.match(decision.hint!, /--topic lakeseal\.state --add-config min\.compaction\.lag\.ms/);
  });

  const compacted = topic({ 'cleanup.policy': 'compact' });
  const internal: Array<
    [string, ReturnType<typeof topic> | null, ReturnType<typeof topic> | null, RegExp | null]
  > = [
    ['fit', topic(), compacted, null],
    ['no matches', null, compacted, /not there: lakeseal\.matches$/],
    ['neither', null, null, /lakeseal\.matches, lakeseal\.state/],
    [
      'other partitions',
      topic(),
      topic({ 'cleanup.policy': 'compact' }, 4),
      /8 partitions and .* 4/,
    ],
    ['state that is deleted', topic(), topic(), /deletes state/],
    [
      'state that is deleted too',
      topic(),
      topic({ 'cleanup.policy': 'compact,delete' }),
      /deletes/,
    ],
    ['matches compacted', topic({ 'cleanup.policy': 'compact' }), compacted, /is compacted/],
    [
      'matches kept too short',
      topic({ 'retention.ms': '1000' }),
      compacted,
      /retention\.ms .* 1000/,
    ],
  ];
  for (const [name, matches, state, wrong] of internal) {
    test(`of correlation: ${name}`, () => {
      const { outcome, detail } = judgeInternal(config, matches, state);
      assert.equal(outcome, wrong === null ? 'ok' : 'failed', detail);
      if (wrong !== null) assert.match(detail, wrong);
    });
  }

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
    assert.match(
      judgeCreate(201, 409, 400, [201, 200, 200]).detail,
      /revisions 2, 1 and 3.*201, 200, 200/,
    );
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
