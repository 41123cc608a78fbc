/**
 * The services as an operator runs them, against their floors: a company day is collected to a
 * fresh topic, read raw by plain kafkajs, then read by the service under test, one after another.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { testKeyFile } from '../chaos/evidence.ts';
import { writeDelivery } from '../company/write.ts';
import { runLakeseal } from '../demo/pipeline.ts';
import { configEnv } from '../stack/environment.ts';
import { type ServiceProcess, startService } from '../stack/service.ts';
import { attachStack, type Stack, startStack } from '../stack/stack.ts';
import { median } from './rounds.ts';

const run = promisify(execFile);

/** Rarely: each look costs the service a few milliseconds. */
const POLL_MS = 200;
const TAKEN_IN = 'lakeseal_consumer_records_total';
const BENCH_MS_MAX = 600_000;
/** Enough keys to reach every partition. */
const WORKSPACES = 30;
const LINES_PER_FILE = 250;

type Bench = 'archive' | 'detect';

interface Raw {
  records: number;
  bytes: number;
  seconds: number;
  cpuSeconds: number;
}

interface Floors {
  bytesPerRecord: number;
  deflatePerSecond: number;
  jsonParsePerSecond: number;
  avroDecodePerSecond: number;
}

interface Measured {
  seconds: number;
  cpuSeconds: number;
}

export interface PipelineOptions {
  events: number;
  /** Folder for a CPU profile of the service. */
  profile?: string | undefined;
}

export async function benchPipeline(name: Bench, options: PipelineOptions): Promise<object> {
  const stateFile = process.env.LAKESEAL_STACK;
  const stack = stateFile ? attachStack(stateFile) : await startStack();
  const folder = mkdtempSync(join(tmpdir(), 'lakeseal-bench-'));
  try {
    return await measure(name, options, stack, folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
    if (!stateFile) await stack.stop();
  }
}

async function measure(
  name: Bench,
  { events, profile }: PipelineOptions,
  stack: Stack,
  folder: string,
): Promise<object> {
  const delivery = join(folder, 'delivery');
  const topic = stack.unique('bench');
  const env = benchEnv(stack, topic, folder);
  note(`writing ${events} events`);
  const linesPerFile = LINES_PER_FILE;
  const { paths } = writeDelivery({
    ...{ seed: 1, events, workspaces: WORKSPACES },
    ...{ out: delivery, linesPerFile },
  });
  await setUp(stack, env);
  note('collecting them to Kafka');
  const records = await collect(paths, env);
  note('reading them raw');
  const script = join(import.meta.dirname, 'raw-consumer.ts');
  const raw = await child<Raw>([script, stack.brokers.join(','), topic, String(records)]);
  note('codec and decoding floors');
  const floors = await child<Floors>([join(import.meta.dirname, 'floors.ts'), delivery]);
  const timed = { topic, records, folder, profile };
  if (name === 'detect') {
    note('judging');
    return report(name, records, raw, floors, await timeOne(name, env, timed));
  }
  const rounds: Array<Record<ArchiveWay, Measured>> = [];
  for (let round = 0; round < ARCHIVE_ROUNDS; round++) {
    const first = round % 2 === 0 ? ARCHIVE_WAYS : ARCHIVE_WAYS.toReversed();
    const measured: Array<[ArchiveWay, Measured]> = [];
    for (const way of first) {
      note(`sealing, round ${round + 1} of ${ARCHIVE_ROUNDS}: ${way}`);
      measured.push([way, await timeArchive(stack, env, timed, ENVIRONMENT[way])]);
    }
    rounds.push(Object.fromEntries(measured) as Record<ArchiveWay, Measured>);
  }
  const evidence = fastest(rounds.map((one) => one.evidence));
  const bare = fastest(rounds.map((one) => one.bare));
  const ratios = (of: keyof Measured): { median: number; rounds: number[] } => {
    const all = rounds.map((one) => rounded(one.bare[of] / one.evidence[of]));
    return { median: rounded(median(all)), rounds: all };
  };
  return {
    ...report(name, records, raw, floors, evidence),
    withoutEvidence: {
      recordsPerSecond: Math.round(records / bare.seconds),
      recordsPerCpuSecond: Math.round(records / bare.cpuSeconds),
    },
    ratioOfEvidence: ratios('seconds'),
    ratioOfEvidenceCpu: ratios('cpuSeconds'),
  };
}

function rounded(ratio: number): number {
  return Math.round(ratio * 1000) / 1000;
}

interface Timed {
  topic: string;
  records: number;
  folder: string;
  profile: string | undefined;
}

/** The machine's speed drifts: in turns, each way first as often as the other. */
const ARCHIVE_ROUNDS = 14;
type ArchiveWay = 'evidence' | 'bare';
const ARCHIVE_WAYS: readonly ArchiveWay[] = ['evidence', 'bare'];
const WITHOUT = join(import.meta.dirname, 'without-evidence.ts');
const ENVIRONMENT: Record<ArchiveWay, Record<string, string>> = {
  evidence: {},
  bare: { NODE_OPTIONS: `--import=${WITHOUT}` },
};

function fastest(all: readonly Measured[]): Measured {
  return all.reduce((best, one) => (one.seconds < best.seconds ? one : best));
}

/** A bucket and a group of its own: where to read from is asked of the store. */
async function timeArchive(
  stack: Stack,
  common: Record<string, string>,
  timed: Timed,
  more: Record<string, string>,
): Promise<Measured> {
  const own = configEnv(stack.state, {
    'storage.bucket': stack.unique('bench'),
    'archive.group': stack.unique('bench-archiver'),
  });
  const { LAKESEAL_STORAGE_BUCKET, LAKESEAL_ARCHIVE_GROUP } = own;
  const env = { ...common, LAKESEAL_STORAGE_BUCKET, LAKESEAL_ARCHIVE_GROUP, ...more } as typeof own;
  const { NODE_OPTIONS, ...plain } = env;
  await setUp(stack, plain);
  return timeOne('archive', env, timed);
}

async function timeOne(
  name: Bench,
  env: Record<string, string>,
  { topic, records, folder, profile }: Timed,
): Promise<Measured> {
  const options = [
    env.NODE_OPTIONS ?? '',
    profile === undefined ? '' : `--cpu-prof --cpu-prof-dir=${resolve(profile)}`,
  ];
  const NODE_OPTIONS = options.join(' ').trim();
  const profiled = NODE_OPTIONS === '' ? {} : { NODE_OPTIONS };
  // A log of its own, since the port is read out of it.
  const logFolder = mkdtempSync(join(folder, `${name}-`));
  const logFile = join(logFolder, 'service.log');
  const service = startService([name], { ...env, ...profiled }, logFile);
  return timeService(service, topic, records);
}

function benchEnv(stack: Stack, topic: string, folder: string): Record<string, string> {
  return configEnv(stack.state, {
    'topics.events': topic,
    'topics.deadLetter': `${topic}-dead`,
    'topics.matches': `${topic}-matches`,
    'topics.state': `${topic}-state`,
    'storage.bucket': stack.unique('bench'),
    'archive.group': stack.unique('bench-archiver'),
    'archive.topics': [topic],
    'archive.kmsKeyId': stack.s3.kmsKeyId,
    'archive.retentionDays': 1,
    // Small enough that segments are sealed all along and not only at the end.
    'archive.segmentBytesMax': 4 * 1024 * 1024,
    'evidence.keyFile': testKeyFile(folder),
    'detect.group': stack.unique('bench-detector'),
    'opensearch.alertIndexPrefix': stack.unique('bench'),
    'collect.ledger': join(folder, 'ledger'),
  });
}

async function setUp(stack: Stack, env: Record<string, string>): Promise<void> {
  const administrator = {
    ...env,
    LAKESEAL_SETUP_ACCESS_KEY_ID: stack.s3.root.accessKeyId,
    LAKESEAL_SETUP_SECRET_ACCESS_KEY: stack.s3.root.secretAccessKey,
  };
  let output = '';
  const code = await runLakeseal(['setup'], administrator, (line) => {
    output += `${line}\n`;
  });
  if (code !== 0) throw new Error(`lakeseal setup failed:\n${output}`);
}

/** In the order of delivery: workspace by workspace, most events would come a day too late. */
async function collect(paths: string[], env: Record<string, string>): Promise<number> {
  let output = '';
  const code = await runLakeseal(['collect', '--json', ...paths], env, (line) => {
    output += line;
  });
  if (code !== 0) throw new Error(`lakeseal collect ended with exit code ${code}`);
  return (JSON.parse(output) as { records: number }).records;
}

async function child<Result>(args: string[]): Promise<Result> {
  const { stdout } = await run(process.execPath, args);
  return JSON.parse(stdout) as Result;
}

/**
 * From the assignment (the service is ready) until every record was taken in, the service was told
 * to stop, and what it still held was durable. That includes leaving the group.
 */
async function timeService(
  service: ServiceProcess,
  topic: string,
  records: number,
): Promise<Measured> {
  await service.ready();
  const startedAt = process.hrtime.bigint();
  const deadline = Date.now() + BENCH_MS_MAX;
  const takenIn = (): Promise<number> => service.metric(TAKEN_IN, { topic });
  const already = await takenIn();
  if (already > records / 10)
    throw new Error('too few records: much was done before the clock ran');
  const cpuBefore = await service.metric('process_cpu_seconds_total');
  while ((await takenIn()) < records) {
    if (Date.now() > deadline) throw new Error(`not through after ${BENCH_MS_MAX} ms`);
    await sleep(POLL_MS);
  }
  const cpuSeconds = (await service.metric('process_cpu_seconds_total')) - cpuBefore;
  const { code, signal } = await service.stop();
  if (code !== 0) throw new Error(`the service ended with ${code ?? signal}: ${service.logFile}`);
  return { seconds: Number(process.hrtime.bigint() - startedAt) / 1e9, cpuSeconds };
}

function report(
  name: Bench,
  records: number,
  raw: Raw,
  floors: Floors,
  measured: Measured,
): object {
  const perSecond = Math.round(records / measured.seconds);
  const rawPerSecond = Math.round(raw.records / raw.seconds);
  const floor =
    name === 'archive'
      ? Math.min(rawPerSecond, floors.deflatePerSecond)
      : Math.min(rawPerSecond, floors.jsonParsePerSecond, floors.avroDecodePerSecond);
  return {
    bench: name,
    machine: { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version },
    records,
    bytesPerRecord: Math.round(raw.bytes / raw.records),
    recordsPerSecond: perSecond,
    mbPerSecond: Math.round((perSecond * raw.bytes) / raw.records / 1e5) / 10,
    recordsPerCpuSecond: Math.round(records / measured.cpuSeconds),
    floors: {
      rawConsumptionPerSecond: rawPerSecond,
      rawConsumptionPerCpuSecond: Math.round(raw.records / raw.cpuSeconds),
      deflatePerSecond: floors.deflatePerSecond,
      jsonParsePerSecond: floors.jsonParsePerSecond,
      avroDecodePerSecond: floors.avroDecodePerSecond,
    },
    ratioToSlowestFloor: Math.round((perSecond / floor) * 100) / 100,
  };
}

function note(text: string): void {
  process.stderr.write(`bench: ${text}\n`);
}
