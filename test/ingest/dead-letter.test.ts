/** Dead letters: what they hold, how they are cut, and a sink that does not lose them. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { frame } from '../../schemas/audit-event.ts';
import {
  type DeadLetter,
  DeadLetterSink,
  deadLetterMessage,
} from '../../services/ingest/dead-letter.ts';
import {
  type OutgoingRecord,
  type RecordProducer,
  type RefusedRecord,
  recordBytes,
} from '../../services/ingest/produce.ts';
import type { KafkaRecord } from '../../services/ingest/record.ts';
import { configSchema } from '../../services/runtime/config.ts';
import { Failure } from '../../services/runtime/errors.ts';
import { silentLog } from '../../services/runtime/log.ts';

const NOW = Date.UTC(2026, 10, 24, 2, 3, 4, 5);
const MIB = 1024 * 1024;

function record(fields: Partial<KafkaRecord> = {}): KafkaRecord {
  return {
    topic: 'databricks.audit',
    partition: 3,
    offset: 9_007_199_254_740_993n,
    timestamp: 1_700_000_000_000n,
    key: Buffer.from('workspace-1'),
    value: Buffer.from('{not json'),
    headers: [],
    ...fields,
  };
}

const letter = (source: DeadLetter['source'], detail = 'line 1, column 2'): DeadLetter => ({
  source,
  reason: 'not_json',
  detail,
});

function texts({ headers = [] }: OutgoingRecord): Record<string, string> {
  return Object.fromEntries(headers.map(({ key, value }) => [key, String(value)]));
}

describe('message', () => {
  test('of a record', () => {
    const headers = [
      { key: 'trace', value: Buffer.from('t') },
      { key: 'lakeseal.reason', value: Buffer.from('forged') },
      { key: 'nothing', value: null },
    ];
    const source = record({ headers });
    const message = deadLetterMessage(letter(source), NOW, MIB);
    assert.equal(message.value, source.value);
    assert.equal(message.key, source.key);
    assert.deepEqual(message.headers!.slice(0, 3), headers);
    assert.deepEqual(texts({ ...message, headers: message.headers!.slice(3) }), {
      'lakeseal.reason': 'not_json',
      'lakeseal.detail': 'line 1, column 2',
      'lakeseal.topic': 'databricks.audit',
      'lakeseal.partition': '3',
      'lakeseal.offset': '9007199254740993',
      'lakeseal.timestamp': '1700000000000',
      'lakeseal.at': '2026-11-24T02:03:04.005Z',
    });
    assert.deepEqual(deadLetterMessage(letter(source), NOW, MIB), message);
  });

  test('of a framed value: the schema id; of a tombstone: that it was one', () => {
    const framed = record({ value: frame(70_000, Buffer.from([1, 2])) });
    const message = deadLetterMessage(letter(framed), NOW, MIB);
    assert.equal(texts(message)['lakeseal.schema-id'], '70000');
    const tombstone = deadLetterMessage(letter(record({ value: null })), NOW, MIB);
    assert.equal(tombstone.value, null);
    assert.equal(texts(tombstone)['lakeseal.tombstone'], 'true');
  });

  test('of a line', () => {
    const bytes = Buffer.from([0xff, 0xfe, 0x00]);
    const source = { file: 'audit/2026-11-24.json.gz', line: 17, bytes };
    const message = deadLetterMessage(letter(source), NOW, MIB);
    assert.equal(message.value, bytes);
    assert.equal(message.key, null);
    assert.deepEqual(texts(message), {
      'lakeseal.reason': 'not_json',
      'lakeseal.detail': 'line 1, column 2',
      'lakeseal.file': 'audit/2026-11-24.json.gz',
      'lakeseal.line': '17',
      'lakeseal.at': '2026-11-24T02:03:04.005Z',
    });
  });

  test('never larger than the topic takes; what is cut says so, with length and SHA-256', () => {
    const size = fc.oneof(fc.nat({ max: 2_000 }), fc.nat({ max: 200_000 }));
    const header = fc.tuple(fc.string({ maxLength: 30 }), size);
    fc.assert(
      fc.property(
        size,
        size,
        fc.array(header, { maxLength: 4 }),
        fc.integer({ min: 16_384, max: 150_000 }),
        fc.string({ maxLength: 5_000 }),
        (keyBytes, valueBytes, pairs, bytesMax, detail) => {
          const value = Buffer.alloc(valueBytes, 'v');
          const headers = pairs.map(([key, bytes]) => ({ key, value: Buffer.alloc(bytes) }));
          const source = record({ key: Buffer.alloc(keyBytes), value, headers });
          const message = deadLetterMessage(letter(source, detail), NOW, bytesMax);
          assert.ok(recordBytes(message) <= bytesMax, `${recordBytes(message)} > ${bytesMax}`);
          const own = texts(message);
          assert.ok(value.subarray(0, message.value!.length).equals(message.value!));
          if (message.value!.length < value.length) {
            assert.equal(own['lakeseal.whole-bytes'], String(value.length));
            const digest = createHash('sha256').update(value).digest('hex');
            assert.equal(own['lakeseal.whole-sha256'], digest);
          } else {
            assert.equal(own['lakeseal.whole-bytes'], undefined);
          }
          const lost = message.headers!.filter(({ key }) => key === 'lakeseal.dropped');
          const kept = pairs.every(([key]) => message.headers!.some((one) => one.key === key));
          assert.ok(kept || lost.some(({ value: what }) => String(what) === 'headers'));
          assert.ok(message.key !== null || lost.some(({ value: what }) => String(what) === 'key'));
        },
      ),
      { numRuns: 300, seed: 9 },
    );
  });
});

type Answer = RefusedRecord[] | Error;

function sinkOn(answers: Array<Answer | ((records: OutgoingRecord[]) => Answer)>): {
  sink: DeadLetterSink;
  sent: OutgoingRecord[][];
  slept: number[];
  abort: AbortController;
} {
  const sent: OutgoingRecord[][] = [];
  const slept: number[] = [];
  const abort = new AbortController();
  const producer: RecordProducer = {
    produceBatch: async (records) => {
      sent.push(records);
      const next = answers.shift() ?? [];
      const answer = typeof next === 'function' ? next(records) : next;
      if (answer instanceof Error) throw answer;
      return answer;
    },
    partitionCount: async () => 1,
    disconnect: async () => {},
  };
  const clock = {
    now: () => NOW,
    sleep: async (ms: number) => {
      slept.push(ms);
    },
  };
  const config = configSchema.parse({});
  const options = { config, log: silentLog, clock, random: () => 1, producer };
  return { sink: new DeadLetterSink({ ...options, signal: abort.signal }), sent, slept, abort };
}

const down = (): Failure =>
  new Failure('cannot write', { code: 'KAFKA_UNREACHABLE', retryable: true });

describe('sink', () => {
  test('tries again for as long as Kafka is away, then resolves', async () => {
    const { sink, sent, slept } = sinkOn(Array.from({ length: 50 }, down));
    await sink.send([letter(record()), letter(record({ offset: 2n }))]);
    assert.equal(sent.length, 51);
    assert.equal(sent.at(-1)!.length, 2);
    assert.deepEqual(slept.slice(0, 3), [500, 1_000, 2_000]);
    assert.equal(Math.max(...slept), 30_000);
  });

  test('cuts shorter what the topic refuses, and only that', async () => {
    const topicTakes = 300_000;
    const refuse = (records: OutgoingRecord[]): RefusedRecord[] =>
      records.flatMap((one, index) => {
        const bytes = recordBytes(one);
        return bytes > topicTakes ? [{ index, bytes, code: 'too_large' as const }] : [];
      });
    const { sink, sent } = sinkOn(Array.from({ length: 20 }, () => refuse));
    const value = Buffer.alloc(5 * MIB, 'big');
    await sink.send([letter(record()), letter(record({ value })), letter(record())]);
    assert.equal(sent[0]!.length, 3);
    assert.ok(sent.slice(1).every((records) => records.length === 1));
    const last = sent.at(-1)![0]!;
    assert.ok(recordBytes(last) <= topicTakes && recordBytes(last) > topicTakes / 4);
    assert.equal(texts(last)['lakeseal.whole-bytes'], String(value.length));
    await sink.send([letter(record({ value }))]);
    assert.equal(recordBytes(sent.at(-1)![0]!) <= topicTakes, true);
  });

  test('a topic that takes nothing is a failure, not a loop', async () => {
    const refuse = (records: OutgoingRecord[]): RefusedRecord[] =>
      records.map((one, index) => ({ index, bytes: recordBytes(one), code: 'too_large' }));
    const { sink } = sinkOn(Array.from({ length: 100 }, () => refuse));
    await assert.rejects(sink.send([letter(record({ value: Buffer.alloc(MIB) }))]), {
      code: 'DEAD_LETTER_TOO_LARGE',
    });
  });

  test('what trying again cannot mend rejects at once; a missing topic after a while', async () => {
    const denied = new Failure('cannot write', { code: 'KAFKA_UNAUTHORIZED' });
    const first = sinkOn([denied]);
    await assert.rejects(first.sink.send([letter(record())]), { code: 'KAFKA_UNAUTHORIZED' });
    assert.equal(first.sent.length, 1);
    const missing = new Failure('no', { code: 'KAFKA_TOPIC_MISSING', retryable: true });
    const second = sinkOn(Array.from({ length: 50 }, () => missing));
    await assert.rejects(second.sink.send([letter(record())]), { code: 'KAFKA_TOPIC_MISSING' });
    assert.equal(second.sent.length, 7);
  });

  test('an aborted signal ends the retries with the failure', async () => {
    const { sink, abort } = sinkOn([down(), down(), down()]);
    abort.abort();
    await assert.rejects(sink.send([letter(record())]), { code: 'KAFKA_UNREACHABLE' });
  });

  test('no letters, no request', async () => {
    const { sink, sent } = sinkOn([]);
    await sink.send([]);
    assert.deepEqual(sent, []);
  });
});
