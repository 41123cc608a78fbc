/**
 * Promise I1 on real servers: hostile Avro, slow texts, 10,000 mutated records, a 20 MB record, all
 * mixed with good events, through archiver and detector. Every record is archived byte for byte,
 * what cannot be decoded is dead-lettered with the reason and its bytes, the good events' alerts are
 * all there, both reach the end, and no process stalls for a second.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { auditEventSchema, unframe } from '../../schemas/audit-event.ts';
import { type AvroType, parseAvroSchema } from '../../schemas/avro.ts';
import { longBytes } from '../../schemas/varint.ts';
import { DECODE_LIMITS, type DecodeReason, decodeRecord } from '../../services/ingest/decode.ts';
import { freshFetch } from '../stack/fresh-fetch.ts';
import type { ServiceProcess } from '../stack/service.ts';
import { useStack } from '../stack/use.ts';
import { assertOnce, installTemplate, readAlerts } from './alerts.ts';
import { assertWhole, compareWithKafka, type Evidence, reaches, SealWatch } from './archive.ts';
import { judgedEvent, writeRules } from './detections.ts';
import { eventJson, framedEvent } from './events.ts';
import {
  HOSTILE_SCHEMAS,
  type HostileIds,
  hostileAvro,
  hostileTexts,
  hugeEvent,
  mutated,
} from './hostile.ts';
import {
  committedOffsets,
  connectedProducer,
  type DumpedRecord,
  endOffsets,
  readTopic,
  registerSchema,
  withAdmin,
} from './kafka.ts';
import { seededRandom } from './random.ts';
import { openScene, type Scene } from './scene.ts';
import { until } from './wait.ts';

const PARTITIONS = 8;
const SEED = 0x1a5ea1;
const MUTATIONS = 10_000;
const GOOD = 3_000;
/** So that several partitions hold a heavy one at once. */
const HOSTILE_COPIES = 4;
const HUGE_BYTES = 20_000_000;
const RECORD_BYTES_MAX = 32 * 1024 * 1024;
const STALL_MS_MAX = 1_000;
const DONE_MS_MAX = 300_000;
/** Bytes of one produce request. */
const REQUEST_BYTES = 1_000_000;

/**
 * The worst stall of each service: its greatest event-loop lag between two looks, less what its main
 * thread stood ready between them without being given a processor, as the kernel counts it. So a
 * busy machine does not count, and work does.
 */
class StallWatch {
  readonly worst = new Map<string, { stallMs: number; lagMs: number }>();
  samples = 0;
  readonly #services: Record<string, ServiceProcess>;
  readonly #waitedMs = new Map<string, number>();
  #stopping = false;
  #loop: Promise<void> = Promise.resolve();

  constructor(services: Record<string, ServiceProcess>) {
    this.#services = services;
  }

  /** What happened before, such as the loading of modules, does not count. */
  async start(): Promise<void> {
    await this.#sample();
    this.worst.clear();
    this.samples = 0;
    this.#loop = this.#run();
    // `stop` tells; where something else fails first, that is the failure to be told.
    this.#loop.catch(() => {});
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#loop;
    await this.#sample();
  }

  async #run(): Promise<void> {
    while (!this.#stopping) {
      await this.#sample();
      await sleep(100);
    }
  }

  async #sample(): Promise<void> {
    const looks = Object.entries(this.#services).map(async ([name, service]) => {
      const lagMs = 1_000 * (await service.metric('nodejs_eventloop_lag_max_seconds'));
      const waitedMs = waitedForProcessorMs(service.pid);
      const stallMs = lagMs - (waitedMs - (this.#waitedMs.get(name) ?? 0));
      this.#waitedMs.set(name, waitedMs);
      const worst = this.worst.get(name);
      if (worst === undefined || stallMs > worst.stallMs) this.worst.set(name, { stallMs, lagMs });
    });
    await Promise.all(looks);
    this.samples++;
  }
}

/** How long the main thread was ready to run and did not, since it began; 0 where nobody counts. */
function waitedForProcessorMs(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[1]) / 1e6;
  } catch {
    return 0;
  }
}

/** An event schema that grew by a long: its datums end with a number no double can hold. */
const GROWN_SCHEMA = {
  ...auditEventSchema,
  fields: [
    ...(auditEventSchema.fields as object[]),
    { name: 'sequence', type: ['null', 'long'], default: null },
  ],
};
const BEYOND_DOUBLE = Buffer.concat([Buffer.from([2]), longBytes(2n ** 60n + 1n)]);

interface Input {
  values: Buffer[];
  /** Alerts of the good events. */
  alertIds: Set<string>;
}

function makeInput(ids: HostileIds, auditId: number, grownId: number): Input {
  const random = seededRandom(SEED);
  const values: Buffer[] = [];
  const alertIds = new Set<string>();
  for (let number = 0; number < GOOD; number++) {
    const event = judgedEvent(auditId, 1, number, []);
    for (const id of event.alertIds) alertIds.add(id);
    if (number % 3 === 0) values.push(Buffer.from(event.json));
    else if (number % 50 === 1) values.push(grown(event.framed!, grownId));
    else values.push(event.framed!);
  }
  for (let number = 0; number < MUTATIONS; number++) {
    const choice = { scope: 2, number };
    const good = number % 2 === 0 ? framedEvent(auditId, choice) : Buffer.from(eventJson(choice));
    values.push(mutated(good, random));
  }
  for (let copy = 0; copy < HOSTILE_COPIES; copy++) {
    values.push(...hostileAvro(ids, auditId).values(), ...hostileTexts().values());
  }
  values.push(hugeEvent({ scope: 3, number: 1 }, HUGE_BYTES));
  return { values: shuffled(values, random), alertIds };
}

function grown(framed: Buffer, grownId: number): Buffer {
  const value = Buffer.concat([framed, BEYOND_DOUBLE]);
  value.writeInt32BE(grownId, 1);
  return value;
}

function shuffled<Item>(
  items: Item[],
  random: { integer(from: number, to: number): number },
): Item[] {
  const order = [...items];
  for (let at = order.length - 1; at > 0; at--) {
    const other = random.integer(0, at);
    [order[at], order[other]] = [order[other]!, order[at]!];
  }
  return order;
}

async function produce({ stack, topic }: Scene, values: readonly Buffer[]): Promise<void> {
  const producer = await connectedProducer(stack.brokers);
  try {
    let messages: Array<{ key: null; value: Buffer | null; partition: number }> = [];
    let bytes = 0;
    const send = async (): Promise<void> => {
      if (messages.length > 0) await producer.send({ topic, messages, acks: -1 });
      messages = [];
      bytes = 0;
    };
    for (const [index, value] of values.entries()) {
      if (bytes + value.length > REQUEST_BYTES) await send();
      messages.push({ key: null, value, partition: index % PARTITIONS });
      bytes += value.length;
    }
    messages.push({ key: null, value: null, partition: 0 });
    await send();
  } finally {
    await producer.disconnect();
  }
}

/** What the decoder says of every record of the topic that it cannot read. */
async function undecodable({ stack, topic }: Scene): Promise<Map<string, Verdict>> {
  const records: DumpedRecord[] = [];
  await readTopic(stack.brokers, topic, (record) => void records.push(record));
  const types = await schemasOf(stack.registryUrl, records);
  const found = new Map<string, Verdict>();
  for (const { partition, offset, value } of records) {
    const copy = value === null ? null : Buffer.from(value);
    const decoded = decodeRecord(copy, (id) => types.get(id) ?? 'unknown', DECODE_LIMITS);
    if (decoded.ok && decoded.refused.length === 0) continue;
    const reason = decoded.ok ? decoded.refused[0]!.reason : decoded.reason;
    found.set(`${partition}/${offset}`, { reason, value: copy, whole: !decoded.ok });
  }
  return found;
}

interface Verdict {
  reason: DecodeReason;
  value: Buffer | null;
  /** False where only some events of the record were refused. */
  whole: boolean;
}

/** Every schema that a record names and the registry has: a mutation may name another's. */
async function schemasOf(
  registryUrl: string,
  records: readonly DumpedRecord[],
): Promise<Map<number, AvroType>> {
  const ids = new Set<number>();
  for (const { value } of records) {
    const framed = value === null ? null : unframe(value);
    if (framed !== null) ids.add(framed.schemaId);
  }
  const types = new Map<number, AvroType>();
  for (const id of ids) {
    const response = await freshFetch(`${registryUrl}/schemas/ids/${id}`);
    const { schema } = (await response.json()) as { schema?: string };
    if (response.ok && schema !== undefined) types.set(id, parseAvroSchema(JSON.parse(schema)));
  }
  return types;
}

interface Letter {
  reason: string;
  detail: string;
  value: Buffer | null;
  tombstone: boolean;
  wholeBytes: number | null;
  wholeSha256: string | null;
}

/** Of what could not be read. */
async function readLetters({ stack, deadLetterTopic, topic }: Scene): Promise<Map<string, Letter>> {
  const letters = new Map<string, Letter>();
  await readTopic(stack.brokers, deadLetterTopic, ({ value, headers }) => {
    const header = (name: string): string | null => {
      const found = headers.findLast(([key]) => key === `lakeseal.${name}`)?.[1];
      return found === undefined || found === null ? null : Buffer.from(found, 'base64').toString();
    };
    assert.equal(header('topic'), topic);
    // Events with times all over the place, which rules over many events cannot judge any more: each
    // is one more letter for each such rule. They are readable, and not what is looked for here.
    if (header('reason') === 'late_for_correlation') return;
    const bytes = header('whole-bytes');
    letters.set(`${header('partition')}/${header('offset')}`, {
      reason: header('reason') ?? '',
      detail: header('detail') ?? '',
      value: value === null ? null : Buffer.from(value),
      tombstone: header('tombstone') === 'true',
      wholeBytes: bytes === null ? null : Number(bytes),
      wholeSha256: header('whole-sha256'),
    });
  });
  return letters;
}

describe('bad input', () => {
  let scene: Scene;
  let archiver: ServiceProcess;
  let detector: ServiceProcess;
  let input: Input;
  let stalls: StallWatch;
  let evidence: Evidence;
  let produced = 0;

  before(async () => {
    const stack = await useStack();
    scene = await openScene(stack, 'bad-input', {
      partitions: PARTITIONS,
      topicSettings: { 'max.message.bytes': String(RECORD_BYTES_MAX) },
    });
    const { topic, rootS3, bucket, detectGroup } = scene;
    const { registryUrl, brokers } = stack;
    const names = Object.keys(HOSTILE_SCHEMAS) as Array<keyof typeof HOSTILE_SCHEMAS>;
    const ids = {} as HostileIds;
    for (const name of names) {
      ids[name] = await registerSchema(registryUrl, `${topic}-${name}`, HOSTILE_SCHEMAS[name]);
    }
    const auditId = await registerSchema(registryUrl, `${topic}-value`);
    const grownId = await registerSchema(registryUrl, `${topic}-value`, GROWN_SCHEMA);
    await installTemplate(scene.env());
    const rules = await writeRules(join(scene.folder, 'rules'));
    archiver = scene.archiver({
      'archive.segmentAgeMsMax': 2_000,
      'archive.segmentRecordsMax': 800,
    });
    detector = scene.detector({ 'detect.rules': rules });
    await Promise.all([archiver.ready(), detector.ready()]);
    input = makeInput(ids, auditId, grownId);
    stalls = new StallWatch({ archiver, detector });
    await stalls.start();
    await produce(scene, input.values);
    produced = input.values.length + 1;
    const ends = await withAdmin(brokers, (admin) => endOffsets(admin, topic));
    const watch = new SealWatch(rootS3, bucket);
    await until('everything is sealed', DONE_MS_MAX, async () =>
      reaches(await watch.poll(topic, PARTITIONS), ends),
    );
    await withAdmin(brokers, (admin) =>
      until('everything is judged', DONE_MS_MAX, async () =>
        reaches(await committedOffsets(admin, detectGroup, topic), ends),
      ),
    );
    await stalls.stop();
    const worst = JSON.stringify(Object.fromEntries(stalls.worst));
    process.stderr.write(`bad-input: worst stalls: ${worst}\n`);
    evidence = await compareWithKafka({ ...scene, s3: rootS3, brokers });
  });

  after(() => scene?.close());

  test('I1, A1: every record is archived byte for byte, the 20 MB one too', () => {
    assertWhole(evidence, produced);
    assert.ok(evidence.typed > GOOD / 2 && evidence.opaque > MUTATIONS / 2);
  });

  test('I1: what cannot be decoded is dead-lettered with its reason and its bytes', async () => {
    const expected = await undecodable(scene);
    assert.ok(expected.size > MUTATIONS / 2, `only ${expected.size} undecodable records`);
    const letters = await readLetters(scene);
    const missing = [...expected.keys()].filter((at) => !letters.has(at));
    const extra = [...letters.keys()].filter((at) => !expected.has(at));
    assert.deepEqual({ missing, extra }, { missing: [], extra: [] });
    for (const [at, { reason, value, whole }] of expected) {
      const letter = letters.get(at)!;
      // The registry is asked for so many ids a minute; those beyond cannot be called unknown.
      const accepted = reason === 'unknown_schema' ? [reason, 'schema_unavailable'] : [reason];
      assert.ok(accepted.includes(letter.reason), `${at}: ${letter.reason}, expected ${reason}`);
      assert.notEqual(letter.detail, '');
      if (whole) assertSameBytes(at, letter, value);
    }
    const reasons = new Set([...expected.values()].map(({ reason }) => reason));
    for (const reason of ['bad_avro', 'not_json', 'wrong_schema', 'oversized', 'tombstone']) {
      assert.ok(reasons.has(reason as DecodeReason), `no record was ${reason}`);
    }
  });

  test('I1: a metric counts each', async () => {
    const counted = await detector.metric('lakeseal_detector_undecodable_total');
    assert.ok(counted >= (await readLetters(scene)).size, `only ${counted}`);
  });

  test('I1, D1: the alerts of the good events are all there', async () => {
    const { stack, alertIndexPrefix } = scene;
    const found = assertOnce(await readAlerts(stack.opensearchUrl, alertIndexPrefix));
    const missing = [...input.alertIds].filter((id) => !found.has(id));
    assert.deepEqual(missing, []);
    assert.ok(input.alertIds.size >= GOOD / 10);
  });

  test('I1: no process stalled for a second', () => {
    assert.ok(stalls.samples > 10, `only ${stalls.samples} samples`);
    for (const [name, { stallMs, lagMs }] of stalls.worst) {
      assert.ok(stallMs < STALL_MS_MAX, `${name}: ${stallMs} ms of a lag of ${lagMs} ms`);
    }
    assert.equal(stalls.worst.size, 2);
  });

  test('both processes live and stop gracefully', async () => {
    assert.equal((await archiver.stop()).code, 0);
    assert.equal((await detector.stop()).code, 0);
  });
});

function assertSameBytes(at: string, letter: Letter, value: Buffer | null): void {
  if (value === null) {
    assert.ok(letter.tombstone, `${at}: not told to be a tombstone`);
    return;
  }
  if (letter.wholeBytes === null) {
    assert.ok(letter.value?.equals(value), `${at}: other bytes`);
    return;
  }
  assert.equal(letter.wholeBytes, value.length);
  assert.equal(letter.wholeSha256, createHash('sha256').update(value).digest('hex'));
  assert.ok(value.subarray(0, letter.value!.length).equals(letter.value!), `${at}: another part`);
}
