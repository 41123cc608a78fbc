/**
 * An archive that is encrypted before it is stored, on real servers: what lies in the bucket says
 * nothing without a key and verifies all the same; with it every record is read and proved. Two
 * archivers seal one after the other, the second with a secret that (a double of) KMS keeps; then all
 * is handed to a third key, without a segment being touched.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { S3Client } from '@aws-sdk/client-s3';
import type { Kafka } from 'kafkajs';
import { auditEventSchema, auditEventType, frame } from '../../schemas/audit-event.ts';
import { readEnvelopeHeader } from '../../schemas/envelope.ts';
import { parseEvidenceKey } from '../../schemas/evidence/log-layout.ts';
import { parseSlotKey } from '../../schemas/layout.ts';
import { archive } from '../../services/archiver/run.ts';
import { runCommandLine } from '../../services/cli/program.ts';
import { connectKafka } from '../../services/ingest/kafka.ts';
import { registerSchemas } from '../../services/ingest/registry.ts';
import { loadConfig } from '../../services/runtime/config.ts';
import { silentLog } from '../../services/runtime/log.ts';
import { assertOneVersionEach, getObject, listVersions } from '../chaos/archive.ts';
import { TEST_SIGNER, testKeyFile } from '../chaos/evidence.ts';
import { createScreen } from '../cli/screen.ts';
import { type KmsDouble, startKms } from '../double/kms.ts';
import { createTopic, until } from '../ingest/kafka-stack.ts';
import { quietContext } from '../runtime/quiet-context.ts';
import { type Stack, useStack } from '../stack/use.ts';

const PARTITIONS = 2;
const RECORDS = 1_200;
const SEGMENT_RECORDS = 150;
const SEGMENTS = RECORDS / SEGMENT_RECORDS;
const NEEDLE = 'kestrel@example.com';
/** The one event that a filter finds. */
const DELETED = 777;
const AWS = { AWS_ACCESS_KEY_ID: 'double', AWS_SECRET_ACCESS_KEY: 'double' };

const environment = { ...process.env };
const folder = mkdtempSync(join(tmpdir(), 'lakeseal-encrypted-'));
let stack: Stack;
let kms: KmsDouble;
let root: S3Client;
let kafka: Kafka;
let bucket: string;
let topic: string;
let group: string;
let signingKey: string;
let schemaId: number;

before(async () => {
  Object.assign(process.env, AWS);
  stack = await useStack();
  kms = await startKms();
  kms.add('segments', 'SYMMETRIC_DEFAULT');
  root = stack.rootS3();
  bucket = await stack.createLockedBucket();
  topic = stack.unique('encrypted');
  group = stack.unique('group');
  signingKey = testKeyFile(folder);
  const config = loadConfig(undefined, envWith());
  kafka = connectKafka(config, silentLog);
  const [registered] = await registerSchemas(config.registry, [
    { topic, schema: auditEventSchema },
  ]);
  schemaId = registered!.id!;
  await createTopic(kafka, topic, PARTITIONS);
});

after(async () => {
  process.env = environment;
  root?.destroy();
  await kms?.close();
  rmSync(folder, { recursive: true });
});

function envWith(...keys: string[]): Record<string, string> {
  const { 'setup.accessKeyId': id, 'setup.secretAccessKey': secret } = stack.rootSettings();
  return stack.configEnv({
    'topics.events': topic,
    'archive.topics': [topic],
    'archive.group': group,
    'archive.segmentRecordsMax': SEGMENT_RECORDS,
    'archive.envelopeKmsEndpoint': kms.endpoint,
    'storage.bucket': bucket,
    'evidence.keyFile': signingKey,
    'holds.accessKeyId': id!,
    'holds.secretAccessKey': secret!,
    ...(keys.length === 0 ? {} : { 'archive.envelopeKeys': keys }),
  });
}

async function run(env: Record<string, string>, ...argv: string[]) {
  const screen = createScreen(env);
  const code = await runCommandLine(argv, screen);
  return { code, out: screen.output(), err: screen.errors() };
}

async function newKey(name: string, ...kmsKey: string[]): Promise<string> {
  const file = join(folder, name);
  const made = await run(envWith(), 'keys', 'envelope', '--out', file, ...kmsKey);
  assert.equal(made.code, 0, made.err);
  return file;
}

async function produce(from: number, to: number): Promise<void> {
  const producer = kafka.producer({ allowAutoTopicCreation: false });
  await producer.connect();
  const messages = Array.from({ length: to - from }, (_, at) => {
    const index = from + at;
    const datum = auditEventType.toBuffer({
      eventId: `event-${index}`,
      eventIdSource: 'event_id',
      eventTime: 1_790_000_000_000 + index,
      shape: 'delivery',
      serviceName: 'clusters',
      actionName: index === DELETED ? 'delete' : 'create',
      actor: { name: NEEDLE, type: 'user' },
      outcome: 'success',
      raw: JSON.stringify({ index, by: NEEDLE }),
    });
    return { partition: index % PARTITIONS, value: frame(schemaId, datum) };
  });
  await producer.send({ topic, messages });
  await producer.disconnect();
}

interface Seen {
  /** `KEY VERSION_ID` of each version. */
  versions: string[];
  segments: string[];
  manifests: number;
}

async function seen(): Promise<Seen> {
  const versions = await listVersions(root, bucket);
  const keys = assertOneVersionEach(versions);
  const leaves = keys.filter((key) => {
    const parsed = parseEvidenceKey('', key);
    return parsed?.kind === 'leaf' && parsed.log.startsWith('partition/');
  });
  return {
    versions: versions.map(({ key, versionId }) => `${key} ${versionId}`),
    segments: keys.filter((key) => parseSlotKey('', key) !== null),
    manifests: leaves.length,
  };
}

/** Until so many segments are sealed, with their manifests. */
async function archiveUntil(segments: number, ...keys: string[]): Promise<void> {
  const stop = new AbortController();
  const config = loadConfig(undefined, envWith(...keys));
  const running = archive(quietContext(config, stop.signal));
  try {
    await until(`${segments} segments`, async () => {
      const { segments: there, manifests } = await seen();
      return there.length === segments && manifests === segments;
    });
  } finally {
    stop.abort();
    await running;
  }
}

test('is unreadable without a key, verifies without one, and is handed to another', async () => {
  const local = await newKey('local.key');
  const kept = await newKey('segments.kms', '--kms', 'segments');
  const next = await newKey('next.key');
  await produce(0, RECORDS / 2);
  await archiveUntil(SEGMENTS / 2, local);
  await produce(RECORDS / 2, RECORDS);
  await archiveUntil(SEGMENTS, kept, local);

  const { versions, segments } = await seen();
  const wraps: string[] = [];
  for (const key of segments) {
    const stored = await getObject(root, bucket, key);
    assert.ok(!stored.includes(NEEDLE) && !stored.includes('avro.schema'), key);
    wraps.push(readEnvelopeHeader(stored).header.wrap);
  }
  const each = SEGMENTS / 2;
  assert.deepEqual(wraps.sort(), [
    ...new Array(each).fill('kms'),
    ...new Array(each).fill('local'),
  ]);

  const env = envWith();
  const vkey = ['--key', TEST_SIGNER.verifier.vkey];
  const stored = await run(env, 'verify', ...vkey, '--deep');
  assert.equal(stored.code, 0, stored.out + stored.err);
  assert.match(stored.out, /encrypted: what is inside 4 segments was not looked at/);
  const both = ['--unwrap-key', local, '--unwrap-key', kept];
  await verifiedWhole(env, ...vkey, ...both);
  const half = await run(env, 'verify', ...vkey, '--deep', '--unwrap-key', kept);
  assert.match(half.out, /encrypted: what is inside \d segments? was not looked at/);

  const offset = RECORDS / PARTITIONS - 1;
  await proved(env, offset, local, kept);
  await found(local, kept);

  const rewrapped = await run(env, 'keys', 'rewrap', '--to', next, ...both);
  assert.match(rewrapped.out, /^8 keys wrapped, signed and sealed/, rewrapped.err);
  const now = await seen();
  assert.deepEqual(now.segments, segments);
  assert.ok(versions.every((version) => now.versions.includes(version)));
  assert.equal(now.versions.length, versions.length + 2);
  await verifiedWhole(env, ...vkey, '--unwrap-key', next);
  await proved(env, 0, next);
  await found(next);
});

async function verifiedWhole(env: Record<string, string>, ...argv: string[]): Promise<void> {
  const { code, out, err } = await run(env, 'verify', ...argv, '--deep');
  assert.equal(code, 0, out + err);
  assert.doesNotMatch(out, /encrypted:/);
  assert.match(out, /VERIFIED/);
}

async function proved(
  env: Record<string, string>,
  offset: number,
  ...keys: string[]
): Promise<void> {
  const out = mkdtempSync(join(folder, 'proof-'));
  const unwrap = keys.flatMap((file) => ['--unwrap-key', file]);
  const record = `${topic}/1/${offset}`;
  const refused = await run(env, 'prove', record, '--out', out);
  assert.match(refused.err, /\(ENVELOPE_KEY\)/);
  const made = await run(env, 'prove', record, '--out', out, ...unwrap);
  assert.equal(made.code, 0, made.err);
  const file = join(out, readdirSync(out)[0]!);
  // With nothing but the file and the public key.
  const held = await run({}, 'prove', '--check', file, '--key', TEST_SIGNER.verifier.vkey);
  assert.equal(held.code, 0, held.err);
}

/** A filter reads what is inside: with the key one segment, without it all are in doubt. */
async function found(...keys: string[]): Promise<void> {
  const argv = ['hold', 'add', 'CASE-7', '--reason', 'test', '--filter', 'actionName=delete'];
  const chosen = async (env: Record<string, string>): Promise<boolean[]> => {
    const { code, out, err } = await run(env, ...argv, '--dry-run', '--json');
    assert.equal(code, 0, err);
    const { segments } = JSON.parse(out) as { segments: Array<{ doubtful: boolean }> };
    return segments.map(({ doubtful }) => doubtful);
  };
  assert.deepEqual(await chosen(envWith(...keys)), [false]);
  assert.deepEqual(await chosen(envWith()), new Array(SEGMENTS).fill(true));
}
