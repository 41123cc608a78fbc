/** The detector's handlers with everything around them faked: what is passed, kept and dead-lettered. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { auditEventSchema, encodeAuditEvent, frame } from '../../schemas/audit-event.ts';
import { parseAvroSchema } from '../../schemas/avro.ts';
import { alertId } from '../../services/detector/alert/alert.ts';
import type { OutgoingAlert } from '../../services/detector/alert/send.ts';
import { Detector, type DetectorParts, rejectedLetter } from '../../services/detector/detector.ts';
import type { StatefulRule } from '../../services/detector/sigma/rule.ts';
import { movesTime } from '../../services/detector/stream/announce.ts';
import { Engine } from '../../services/detector/stream/engine.ts';
import type { OutgoingMatch } from '../../services/detector/stream/outbox.ts';
import { decodeStreamRecord } from '../../services/detector/stream/records.ts';
import { Judge } from '../../services/detector/workbench/judge.ts';
import type { RecordBatch } from '../../services/ingest/consume-types.ts';
import type { DeadLetter } from '../../services/ingest/dead-letter.ts';
import { DECODE_LIMITS, decodeJson, decodeRecord } from '../../services/ingest/decode.ts';
import type { KafkaRecord } from '../../services/ingest/record.ts';
import { RecordViewer } from '../../services/ingest/record-view.ts';
import { auditEvent, rulesOf, ruleText } from './events.ts';
import { anyLine, Dice, damaged, linesLike } from './match/mutate.ts';

const rules = rulesOf(ruleText('sel:\n  actionName: setAdmin\ncondition: sel'));
const engine = new Engine({ rules, stateful: [], exceptions: [], disabled: [] });
const type = parseAvroSchema(auditEventSchema);
const NOW_MS = 1_795_512_700_000;

interface Scene {
  detector: Detector;
  alerts: OutgoingAlert[];
  matches: OutgoingMatch[];
  letters: DeadLetter[];
  ready: Map<string, boolean>;
  counts: Record<string, number>;
}

function scene(changes: Partial<DetectorParts> = {}): Scene {
  const alerts: OutgoingAlert[] = [];
  const matches: OutgoingMatch[] = [];
  const letters: DeadLetter[] = [];
  const ready = new Map<string, boolean>();
  const counts: Record<string, number> = {};
  const count = (name: string, by = 1): void => {
    counts[name] = (counts[name] ?? 0) + by;
  };
  let time = NOW_MS;
  const detector = new Detector({
    engine: () => engine,
    outbox: { add: async (match) => void matches.push(match) },
    matchesPartitions: 4,
    latenessMs: 1_800_000,
    startAt: 'earliest',
    sender: {
      add: async (alert) => void alerts.push(alert),
      get unsent() {
        return alerts.length;
      },
    },
    schemas: { get: () => type, warm: async () => {}, away: () => false },
    deadLetter: async (more) => void letters.push(...more),
    limits: DECODE_LIMITS,
    alertIndexPrefix: 'alerts',
    metrics: {
      events: (by) => count('events', by),
      undecodable: (reason) => count(reason),
      matched: () => count('matched'),
      alerts: () => {},
      unsent: () => {},
      rulesLoaded: () => {},
      rulesCurrent: () => {},
      dropped: () => {},
      timeless: (by) => count('timeless', by),
      lag: (_, seconds) => count('lag', seconds),
      revoked: () => count('revoked'),
    },
    clock: {
      now: () => (time += 1),
      sleep: (ms) => {
        time += ms;
        return new Promise((resolve) => setImmediate(resolve));
      },
    },
    breathe: async () => {},
    ready: (check, ok) => void ready.set(check, ok),
    ...changes,
  });
  return { detector, alerts, matches, letters, ready, counts };
}

async function assign(detector: Detector, generation = 1): Promise<void> {
  const at = { topic: 'events', topicId: '-', logStartOffset: 0n, logEndOffset: 0n };
  await detector.assigned([{ ...at, partition: 0, committedOffset: null }], generation);
}

function batchOf(
  values: Array<string | Buffer | null>,
  changes: Partial<RecordBatch> = {},
): RecordBatch {
  const records = values.map(
    (value, n): KafkaRecord => ({
      topic: 'events',
      partition: 0,
      offset: BigInt(100 + n),
      timestamp: 1_000_000n,
      key: null,
      value: typeof value === 'string' ? Buffer.from(value) : value,
      headers: [],
    }),
  );
  return {
    topic: 'events',
    partition: 0,
    generation: 1,
    records,
    nextOffset: BigInt(100 + values.length),
    highWatermark: BigInt(100 + values.length),
    logStartOffset: 0n,
    heartbeat: async () => {},
    stale: () => false,
    ...changes,
  };
}

function line(requestId: string, actionName = 'setAdmin'): string {
  const timestamp = 1_795_512_600_000;
  return JSON.stringify({ timestamp, serviceName: 'accounts', actionName, requestId });
}

const offsets = (detector: Detector): bigint[] =>
  detector.committable().offsets.map(({ offset }) => offset);

describe('detector, of what it judges without decoding', () => {
  const detections = [
    'sel: { actionName: login }',
    'sel: { requestParams.user|contains: a }',
    'sel: { requestParams.path.a: 1 }',
    'sel: { userIdentity.email|endswith: example.com }',
    'sel: { response.statusCode|gte: 400 }',
  ];
  const judging = new Engine({
    rules: detections.flatMap((detection, n) =>
      rulesOf(ruleText(`${detection}\ncondition: sel`)).map((rule) => ({
        ...rule,
        id: `00000000-0000-4000-8000-00000000000${n}`,
      })),
    ),
    stateful: [],
    exceptions: [],
    disabled: [],
  });

  /** What there must be of these values, by decoding each of them. */
  function expectedOf(values: readonly Buffer[]) {
    const told = { alerts: [] as string[], events: 0, letters: 0, newest: null as number | null };
    for (const value of values) {
      const decoded = decodeRecord(value, () => type, DECODE_LIMITS);
      told.letters += decoded.ok ? decoded.refused.length : 1;
      for (const event of decoded.ok ? decoded.events : []) {
        told.events += 1;
        for (const { id } of judging.matcher.match(event))
          told.alerts.push(alertId(id, event.eventId));
        const { eventTime } = event;
        if (movesTime(eventTime, NOW_MS)) told.newest = Math.max(told.newest ?? 0, eventTime);
      }
    }
    return told;
  }

  async function judged(values: Buffer[]) {
    const { detector, alerts, letters, counts } = scene({ engine: () => judging });
    await assign(detector);
    await detector.batch(batchOf(values));
    const [source] = detector.sources();
    return {
      alerts: alerts.map(({ id }) => id),
      events: counts.events ?? 0,
      letters: letters.length,
      newest: source!.announced.newest,
    };
  }

  it('finds what decoding every record finds, whatever the bytes (D1, I1)', async () => {
    const dice = new Dice(20_261_128);
    let alerts = 0;
    let letters = 0;
    for (let round = 0; round < 60; round += 1) {
      const values: Buffer[] = [];
      for (let n = 0; n < 50; n += 1) {
        values.push(...linesLike(dice, anyLine(dice), 4));
        values.push(damaged(dice, frame(1, encodeAuditEvent(auditEvent({ eventId: `${n}` })))));
      }
      const expected = expectedOf(values);
      assert.deepEqual(await judged(values), expected);
      alerts += expected.alerts.length;
      letters += expected.letters;
    }
    assert.ok(alerts > 1_000 && letters > 1_000, JSON.stringify({ alerts, letters }));
  });

  it('decodes where a rule asks for what bytes do not tell', async () => {
    const values = ['["admin"]', '{"a":1}', '"a"', '"\\u0061"'].map((user, n) => {
      const head = `{"timestamp":1795512600000,"serviceName":"accounts","actionName":"x"`;
      return Buffer.from(`${head},"requestId":"${n}","requestParams":{"user":${user}}}`);
    });
    const expected = expectedOf(values);
    assert.equal(expected.alerts.length, 4);
    assert.deepEqual(await judged(values), expected);
    const judge = new Judge(judging);
    const viewer = new RecordViewer();
    const found = values.flatMap((bytes) => {
      const fired = judge.fired(viewer.json(bytes));
      if (fired?.length === 0) return [];
      const decoded = decodeJson(bytes);
      assert.ok(decoded.ok);
      const at = { topic: 'f', partition: 0, offset: 1n };
      return judge.event(decoded.events[0]!, at, fired).map(({ id }) => id);
    });
    assert.deepEqual(found, expected.alerts);
  });
});

describe('detector', () => {
  it('commits past records without alerts at once, and past alerts when they are settled', async () => {
    const { detector, alerts } = scene();
    await assign(detector);
    await detector.batch(batchOf([line('a', 'login'), line('b'), line('c')]));
    assert.deepEqual(offsets(detector), [101n]);
    assert.deepEqual(
      alerts.map(({ record }) => record.offset),
      [101n, 102n],
    );
    alerts[1]!.settled();
    assert.deepEqual(offsets(detector), [101n]);
    alerts[0]!.settled();
    assert.deepEqual(offsets(detector), [103n]);
  });

  it('hands matches of stateful rules on, and commits past them when they are acknowledged', async () => {
    const [leaf] = rulesOf(ruleText('sel:\n  actionName: setAdmin\ncondition: sel'));
    const stateful: StatefulRule = {
      ...leaf!,
      id: '00000000-0000-4000-8000-000000000002',
      stateful: {
        kind: 'aggregate',
        aggregate: 'event_count',
        fields: [],
        percentile: null,
        thresholds: [{ operator: 'gte', operand: 2 }],
      },
      rules: [leaf!.id],
      groupBy: [{ name: 'serviceName', perRule: new Map() }],
      timespanMs: 60_000,
      suppressMs: 60_000,
      alerts: true,
      chained: [],
    };
    const set = { rules: [{ ...leaf!, alerts: false }], stateful: [stateful] };
    const correlating = new Engine({ ...set, exceptions: [], disabled: [] });
    const { detector, alerts, matches } = scene({ engine: () => correlating });
    await assign(detector);
    await detector.batch(batchOf([line('a', 'login'), line('b'), line('c')]));
    assert.equal(alerts.length, 0);
    assert.equal(matches.length, 2);
    const read = matches.map(({ value }) => decodeStreamRecord(value));
    const [record] = read;
    assert.ok(record?.kind === 'matches');
    const first = record.matches[0]!;
    assert.equal(first.plan, correlating.plans.get(stateful.id)!.fingerprint);
    assert.deepEqual(first.match.group, ['accounts']);
    assert.equal(first.match.offset, 101n);
    assert.equal(JSON.parse(first.match.context).event.action, 'setAdmin');
    assert.equal(matches[0]!.partition, matches[1]!.partition);
    assert.deepEqual(offsets(detector), [101n]);
    for (const match of matches) match.settled();
    assert.deepEqual(offsets(detector), [103n]);
    const [source] = detector.sources();
    assert.equal(source!.announced.next, 103n);
    assert.equal(source!.announced.newest, 1_795_512_600_000);
  });

  it('offers an offset again until it is committed, and then no more', async () => {
    const { detector } = scene();
    await assign(detector);
    await detector.batch(batchOf([line('a', 'login')]));
    const commit = detector.committable();
    assert.deepEqual(offsets(detector), [101n]);
    detector.committed({ ...commit, generation: 0 });
    assert.deepEqual(offsets(detector), [101n]);
    detector.committed(commit);
    assert.deepEqual(offsets(detector), []);
  });

  it('judges framed Avro and raw JSON alike, and several events of one record', async () => {
    const { detector, alerts, counts } = scene();
    await assign(detector);
    const event = auditEvent({ actionName: 'setAdmin', eventId: 'avro' });
    const framed = frame(7, encodeAuditEvent(event));
    await detector.batch(batchOf([framed, line('a'), `[${line('b')},${line('c', 'login')}]`]));
    assert.equal(alerts.length, 3);
    assert.deepEqual(counts, { events: 4, matched: 3, lag: 0 });
    assert.equal(JSON.parse(alerts[0]!.json).evidence[0].eventId, 'avro');
  });

  it('dead-letters what it cannot read before it passes it', async () => {
    const order: string[] = [];
    const { detector, letters } = scene({
      deadLetter: async (more) => {
        order.push(...more.map(({ reason }) => reason));
        assert.deepEqual(offsets(detector), []);
        letters.push(...more);
      },
    });
    await assign(detector);
    await detector.batch(batchOf([null, 'x', Buffer.from([0, 1]), `[${line('a')},{}]`]));
    assert.deepEqual(order, ['tombstone', 'not_json', 'bad_avro', 'no_event']);
    assert.equal(letters[3]!.detail.startsWith('event 2 of the record: '), true);
    assert.equal((letters[3]!.source as KafkaRecord).value?.toString(), '{}');
  });

  it('does not pass what the dead-letter topic did not take', async () => {
    const { detector } = scene({
      deadLetter: async () => {
        throw new Error('no rights');
      },
    });
    await assign(detector);
    await assert.rejects(detector.batch(batchOf(['x'])), /no rights/);
    assert.deepEqual(offsets(detector), []);
  });

  it('waits for a registry that is away, and then goes on', async () => {
    let asked = 0;
    const { detector, alerts, letters, ready } = scene({
      schemas: {
        get: () => (asked < 4 ? 'unavailable' : type),
        warm: async () => {},
        away: () => {
          asked += 1;
          return true;
        },
      },
    });
    await assign(detector);
    const framed = frame(7, encodeAuditEvent(auditEvent({ actionName: 'setAdmin' })));
    await detector.batch(batchOf([framed]));
    assert.equal(asked, 4);
    assert.equal(alerts.length, 1);
    assert.deepEqual(letters, []);
    assert.equal(ready.get('registry'), true);
  });

  it('does not wait when the registry answers and only records claim too many schemas', async () => {
    const { detector, letters } = scene({
      schemas: { get: () => 'unavailable', warm: async () => {}, away: () => false },
    });
    await assign(detector);
    await detector.batch(batchOf([frame(7, Buffer.from([1]))]));
    assert.deepEqual(
      letters.map(({ reason }) => reason),
      ['schema_unavailable'],
    );
    assert.deepEqual(offsets(detector), [101n]);
  });

  it('loads a schema it has not seen', async () => {
    const loaded = new Set<number>();
    const { detector, alerts } = scene({
      schemas: {
        get: (id) => (loaded.has(id) ? type : undefined),
        warm: async (ids) => {
          for (const id of ids) loaded.add(id);
        },
        away: () => false,
      },
    });
    await assign(detector);
    await detector.batch(
      batchOf([frame(9, encodeAuditEvent(auditEvent({ actionName: 'setAdmin' })))]),
    );
    assert.deepEqual([...loaded], [9]);
    assert.equal(alerts.length, 1);
  });

  it('passes nothing of a batch that turned stale, or of another generation', async () => {
    const { detector, alerts } = scene();
    await assign(detector);
    let asked = 0;
    const stale = (): boolean => {
      asked += 1;
      return asked > 2;
    };
    await detector.batch(batchOf([line('a'), line('b'), line('c')], { stale }));
    assert.equal(alerts.length, 1);
    await detector.batch(batchOf([line('a', 'login')], { generation: 0 }));
    assert.deepEqual(offsets(detector), []);
    await assign(detector, 2);
    alerts[0]!.settled();
    assert.deepEqual(offsets(detector), []);
  });

  it('adds no alert and passes nothing once it is stopped', async () => {
    const { detector, alerts } = scene({
      sender: {
        add: async (alert) => {
          alerts.push(alert);
          detector.stop();
        },
        unsent: 0,
      },
    });
    await assign(detector);
    await detector.batch(batchOf([`[${line('a')},${line('b')}]`, line('c')]));
    assert.equal(alerts.length, 1);
    assert.deepEqual(offsets(detector), []);
  });

  it('gives way to other work within long batches', async () => {
    let breaths = 0;
    const { detector } = scene({
      breathe: async () => {
        breaths += 1;
      },
    });
    await assign(detector);
    await detector.batch(batchOf(Array.from({ length: 10_000 }, () => line('a', 'login'))));
    assert.ok(breaths >= 10, `${breaths} breaths`);
  });

  it('decodes one heavy record a turn of the event loop, however many partitions have one', async () => {
    const told: string[] = [];
    const lookUp = (): 'unknown' => {
      told.push('decode');
      return 'unknown';
    };
    const { detector } = scene({
      schemas: { get: lookUp, warm: async () => {}, away: () => false },
      breathe: async () => {
        await new Promise((resolve) => setImmediate(resolve));
        told.push('turn');
      },
    });
    const at = { topic: 'events', topicId: '-', logStartOffset: 0n, logEndOffset: 0n };
    const partitions = [0, 1, 2, 3];
    await detector.assigned(
      partitions.map((partition) => ({ ...at, partition, committedOffset: null })),
      1,
    );
    const heavy = Buffer.concat([Buffer.from([0, 0, 0, 0, 9]), Buffer.alloc(600_000)]);
    await Promise.all(
      partitions.map((partition) => detector.batch(batchOf([heavy], { partition }))),
    );
    assert.equal(told.filter((word) => word === 'decode').length, partitions.length);
    const together = told.filter((word, index) => word === 'decode' && told[index - 1] === word);
    assert.deepEqual(together, []);
  });

  it('dead-letters a rejected alert as the alert, with the address of its record', () => {
    const alert: OutgoingAlert = {
      index: 'alerts-2026.11',
      id: 'the-id',
      json: '{"id":"the-id"}',
      revision: null,
      record: { ...batchOf(['x']).records[0]!, value: null },
      settled: () => {},
    };
    const item = { status: 400, errorType: 'mapper_parsing_exception', errorReason: 'why' };
    const letter = rejectedLetter(alert, item);
    const source = letter.source as KafkaRecord;
    assert.equal(letter.reason, 'alert_rejected');
    assert.equal(letter.detail, '400 mapper_parsing_exception: why');
    assert.equal(source.value?.toString(), '{"id":"the-id"}');
    assert.equal(source.offset, 100n);
    assert.equal(source.headers[0]!.value!.toString(), 'the-id');
  });
});
