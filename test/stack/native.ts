/**
 * How each server is configured, started and known to be ready, without Docker. Everything binds to
 * 127.0.0.1 and writes under the folder of its stack; heaps are small, because all four run beside
 * each other and the tests.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chownSync,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createConnection } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { ListBucketsCommand, S3Client } from '@aws-sdk/client-s3';
import { Failure } from '../../services/runtime/errors.ts';
import type { Programs } from './artifacts.ts';
import { freshFetch } from './fresh-fetch.ts';
import { isAlive, type ProcessIdentity } from './process.ts';
import type { LaunchState, ServerName, StackState } from './state.ts';
import { addStoreUser } from './store-user.ts';

const run = promisify(execFile);

/** Largest record that the broker takes; a topic of lakeseal asks for as much. */
export const RECORD_BYTES_MAX = 32 * 1024 * 1024;
/**
 * The quick compiler only. Halves the processor time of a start (OpenSearch: 22 s to 10 s), which is
 * what two busy cores wait for. Not for Kafka: its throughput is measured against.
 */
const QUICK_START = '-XX:TieredStopAtLevel=1';
const READY_MS_MAX = 300_000;
const LOG_TAIL_LINES = 25;
/** Where /etc/passwd names no `nobody`. */
const NOBODY_ID = 65_534;

export interface Ports {
  kafka: number;
  controller: number;
  registry: number;
  registryManagement: number;
  minio: number;
  opensearch: number;
  opensearchTransport: number;
}

export const PORT_NAMES: (keyof Ports)[] = [
  'kafka',
  'controller',
  'registry',
  'registryManagement',
  'minio',
  'opensearch',
  'opensearchTransport',
];

export interface NativeContext {
  dir: string;
  ports: Ports;
  programs: Programs;
  state: StackState;
  kmsKey: string;
}

/** Writes what the server reads at its start and says how to start it. */
export async function prepare(server: ServerName, context: NativeContext): Promise<LaunchState> {
  const cwd = join(context.dir, server);
  mkdirSync(join(cwd, 'tmp'), { recursive: true });
  const launch = await PREPARE[server](context, cwd);
  return {
    cwd,
    log: join(context.dir, `${server}.log`),
    pidFile: join(context.dir, `${server}.pid.json`),
    ...launch,
  };
}

type Launch = Pick<LaunchState, 'command' | 'args' | 'env' | 'uid' | 'gid'>;

const PREPARE: Record<
  ServerName,
  (context: NativeContext, cwd: string) => Promise<Launch> | Launch
> = {
  kafka: prepareKafka,
  registry: prepareRegistry,
  minio: prepareMinio,
  opensearch: prepareOpensearch,
};

async function prepareKafka({ ports, programs }: NativeContext, cwd: string): Promise<Launch> {
  const properties = join(cwd, 'server.properties');
  const log4j = join(cwd, 'log4j2.yaml');
  writeFileSync(properties, kafkaProperties(ports, join(cwd, 'data')));
  writeFileSync(log4j, KAFKA_LOG4J);
  const java = join(programs.jdk.home, 'bin', 'java');
  const common = [`-Djava.io.tmpdir=${join(cwd, 'tmp')}`, `-Dlog4j2.configurationFile=${log4j}`];
  const classPath = ['-cp', join(programs.kafkaLib, '*')];
  const clusterId = randomBytes(16).toString('base64url');
  // In one word: one id of 64 begins with a "-", and would be taken for an option.
  const id = `--cluster-id=${clusterId}`;
  const format = ['kafka.tools.StorageTool', 'format', id, '-c', properties];
  await run(java, [...common, '-Xmx128m', QUICK_START, ...classPath, ...format]);
  return {
    command: java,
    args: ['-Xms256m', '-Xmx512m', ...common, ...classPath, 'kafka.Kafka', properties],
    env: baseEnv(cwd),
  };
}

function kafkaProperties(ports: Ports, data: string): string {
  const properties: Record<string, string | number> = {
    'process.roles': 'broker,controller',
    'node.id': 1,
    'controller.quorum.voters': `1@127.0.0.1:${ports.controller}`,
    listeners: `PLAINTEXT://127.0.0.1:${ports.kafka},CONTROLLER://127.0.0.1:${ports.controller}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${ports.kafka}`,
    'controller.listener.names': 'CONTROLLER',
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'inter.broker.listener.name': 'PLAINTEXT',
    'log.dirs': data,
    'offsets.topic.replication.factor': 1,
    'offsets.topic.num.partitions': 4,
    'transaction.state.log.replication.factor': 1,
    'transaction.state.log.min.isr': 1,
    'transaction.state.log.num.partitions': 4,
    'group.initial.rebalance.delay.ms': 0,
    'auto.create.topics.enable': 'false',
    'message.max.bytes': RECORD_BYTES_MAX,
    'replica.fetch.max.bytes': RECORD_BYTES_MAX,
    // Tests set a retention of seconds on a topic and wait for its records to go.
    'log.retention.check.interval.ms': 1_000,
    'log.segment.delete.delay.ms': 1_000,
    // A session as short as a test wants it: the zombie tests wait for it to end.
    'group.min.session.timeout.ms': 1_000,
  };
  return Object.entries(properties)
    .map(([key, value]) => `${key}=${value}\n`)
    .join('');
}

const KAFKA_LOG4J = `Configuration:
  Appenders:
    Console:
      name: STDOUT
      PatternLayout:
        pattern: "[%d] %p %m (%c)%n"
  Loggers:
    Root:
      level: INFO
      AppenderRef:
        - ref: STDOUT
`;

function prepareRegistry({ ports, programs }: NativeContext, cwd: string): Launch {
  const properties = {
    'java.io.tmpdir': join(cwd, 'tmp'),
    'quarkus.http.host': '127.0.0.1',
    'quarkus.http.port': ports.registry,
    'quarkus.management.host': '127.0.0.1',
    'quarkus.management.port': ports.registryManagement,
    'java.util.logging.manager': 'org.jboss.logmanager.LogManager',
    'apicurio.rules.global.compatibility': 'BACKWARD',
    'apicurio.datasource.jdbc.initial-size': 2,
    'apicurio.datasource.jdbc.min-size': 2,
    // On disk, at once (the default is after half a second): schemas keep their ids when the
    // registry is killed and restarted.
    'apicurio.datasource.url': `jdbc:h2:file:${join(cwd, 'registry')};WRITE_DELAY=0`,
  };
  const flags = Object.entries(properties).map(([key, value]) => `-D${key}=${value}`);
  return {
    command: join(programs.jdk.home, 'bin', 'java'),
    args: [
      '-Xms64m',
      '-Xmx384m',
      QUICK_START,
      ...flags,
      '-jar',
      join(programs.registryHome, 'quarkus-run.jar'),
    ],
    env: baseEnv(cwd),
  };
}

function prepareMinio({ ports, programs, state, kmsKey }: NativeContext, cwd: string): Launch {
  const data = join(cwd, 'data');
  mkdirSync(data);
  const env = {
    ...baseEnv(cwd),
    MINIO_ROOT_USER: state.s3.root.accessKeyId,
    MINIO_ROOT_PASSWORD: state.s3.root.secretAccessKey,
    MINIO_KMS_SECRET_KEY: `${state.s3.kmsKeyId}:${kmsKey}`,
    MINIO_BROWSER: 'off',
    MINIO_UPDATE: 'off',
  };
  return {
    command: programs.minio,
    args: ['server', data, '--address', `127.0.0.1:${ports.minio}`, '--quiet'],
    env,
  };
}

function prepareOpensearch({ ports, programs, dir }: NativeContext, cwd: string): Launch {
  const owner = process.getuid?.() === 0 ? nobody() : undefined;
  const home = owner === undefined ? programs.opensearchHome : reachableHome(programs, cwd);
  const config = join(cwd, 'config');
  copyTree(join(home, 'config'), config, copyFileSync);
  writeFileSync(join(config, 'opensearch.yml'), opensearchYml(ports, cwd, dir));
  // Garbage collector logs and heap dumps would go into the program's own folder.
  const flags = readFileSync(join(config, 'jvm.options'), 'utf8').split('\n');
  const kept = flags.filter((flag) => !/logs\/|HeapDump/.test(flag));
  writeFileSync(join(config, 'jvm.options'), kept.join('\n'));
  for (const folder of ['data', 'logs', 'tmp']) mkdirSync(join(cwd, folder), { recursive: true });
  if (owner !== undefined) {
    chownSync(cwd, owner.uid, owner.gid);
    for (const folder of ['config', 'data', 'logs', 'tmp']) chownTree(join(cwd, folder), owner);
  }
  return {
    // Its own shell need not be executable: jar, which unpacked it, keeps no permissions.
    command: 'bash',
    args: [join(home, 'bin', 'opensearch')],
    env: {
      ...baseEnv(cwd),
      OPENSEARCH_JAVA_HOME: programs.jdk.home,
      OPENSEARCH_JAVA_OPTS: `-Xms512m -Xmx1g ${QUICK_START}`,
      OPENSEARCH_PATH_CONF: config,
      OPENSEARCH_TMPDIR: join(cwd, 'tmp'),
    },
    ...(owner === undefined ? {} : { uid: owner.uid, gid: owner.gid }),
  };
}

function opensearchYml(ports: Ports, cwd: string, dir: string): string {
  const settings: Record<string, string | number | boolean> = {
    'cluster.name': `lakeseal-${dir.slice(-6)}`,
    'node.name': 'lakeseal',
    'discovery.type': 'single-node',
    'network.host': '127.0.0.1',
    'http.port': ports.opensearch,
    'transport.port': ports.opensearchTransport,
    'path.data': join(cwd, 'data'),
    'path.logs': join(cwd, 'logs'),
    // A developer's disk that is 90 % full must not make the indices read-only.
    'cluster.routing.allocation.disk.threshold_enabled': false,
  };
  return Object.entries(settings)
    .map(([key, value]) => `${key}: ${JSON.stringify(value)}\n`)
    .join('');
}

interface Owner {
  uid: number;
  gid: number;
}

/** OpenSearch refuses root, so root starts it as the user that owns nothing. */
function nobody(): Owner {
  const line = existsSync('/etc/passwd')
    ? readFileSync('/etc/passwd', 'utf8')
        .split('\n')
        .find((candidate) => candidate.startsWith('nobody:'))
    : undefined;
  const [, , uid, gid] = line?.split(':') ?? [];
  return { uid: Number(uid ?? NOBODY_ID), gid: Number(gid ?? NOBODY_ID) };
}

/** The program where an unprivileged user can read it: root's home is mostly closed to others. */
function reachableHome(programs: Programs, cwd: string): string {
  for (let folder = programs.opensearchHome; ; folder = dirname(folder)) {
    if ((statSync(folder).mode & 0o005) !== 0o005) break;
    if (folder === dirname(folder)) return programs.opensearchHome;
  }
  const home = join(cwd, 'home');
  copyTree(programs.opensearchHome, home, linkOrCopy);
  return home;
}

function linkOrCopy(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch {
    copyFileSync(from, to);
  }
}

function copyTree(from: string, to: string, copy: (from: string, to: string) => void): void {
  mkdirSync(to, { recursive: true });
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const source = join(from, entry.name);
    const target = join(to, entry.name);
    if (entry.isDirectory()) copyTree(source, target, copy);
    else copy(source, target);
  }
}

function chownTree(path: string, owner: Owner): void {
  chownSync(path, owner.uid, owner.gid);
  if (!statSync(path).isDirectory()) return;
  for (const name of readdirSync(path)) chownTree(join(path, name), owner);
}

/** What a server sees of the environment: nothing of the user's settings may change a test. */
function baseEnv(home: string): Record<string, string> {
  return { PATH: process.env.PATH ?? '/usr/bin:/bin', HOME: home, LANG: 'C.UTF-8' };
}

/** Bytes that the log already holds: readiness is judged by what comes after. */
export function logLength(log: string): number {
  return existsSync(log) ? statSync(log).size : 0;
}

/**
 * Resolves when the server answers. Throws `STACK_SERVER_DIED` or `STACK_SERVER_SILENT` with the end
 * of its log.
 */
export async function waitUntilReady(
  server: ServerName,
  state: StackState,
  launch: LaunchState,
  identity: ProcessIdentity,
  logFrom: number,
): Promise<void> {
  const deadline = Date.now() + READY_MS_MAX;
  let last: unknown;
  while (isAlive(identity)) {
    try {
      if (await isReady(server, state, launch.log, logFrom)) return;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) {
      throw new Failure(
        `${server} does not answer after ${READY_MS_MAX / 1000} s\n${tail(launch.log)}`,
        {
          code: 'STACK_SERVER_SILENT',
          hint: `Its whole log: ${launch.log}`,
          cause: last,
        },
      );
    }
    await sleep(100);
  }
  throw new Failure(`${server} ended at its start; the end of its log:\n${tail(launch.log)}`, {
    code: 'STACK_SERVER_DIED',
    hint: `Its whole log: ${launch.log}`,
    cause: last,
  });
}

function tail(log: string): string {
  if (!existsSync(log)) return '    (no log)';
  const lines = readFileSync(log, 'utf8').trimEnd().split('\n').slice(-LOG_TAIL_LINES);
  return lines.map((line) => `    ${line}`).join('\n');
}

async function isReady(
  server: ServerName,
  state: StackState,
  log: string,
  logFrom: number,
): Promise<boolean> {
  switch (server) {
    case 'kafka':
      if (!readFileSync(log).subarray(logFrom).includes('Kafka Server started')) return false;
      return accepts(state.kafka.brokers[0]!);
    case 'registry':
      return answers(`${state.registry.url}/subjects`);
    case 'minio':
      return listsBuckets(state);
    case 'opensearch':
      return answers(`${state.opensearch.url}/_cluster/health?wait_for_status=yellow&timeout=60s`);
  }
}

async function answers(url: string): Promise<boolean> {
  const response = await freshFetch(url, { signal: AbortSignal.timeout(65_000) });
  await response.arrayBuffer();
  return response.ok;
}

/** A signed request: MinIO accepts connections a moment before it knows its users. */
async function listsBuckets(state: StackState): Promise<boolean> {
  const client = new S3Client({
    endpoint: state.s3.endpoint,
    region: state.s3.region,
    credentials: state.s3.root,
    forcePathStyle: true,
    maxAttempts: 1,
  });
  try {
    await client.send(new ListBucketsCommand({}), { abortSignal: AbortSignal.timeout(5_000) });
    return true;
  } finally {
    client.destroy();
  }
}

function accepts(address: string): Promise<boolean> {
  const [host, port] = address.split(':');
  return new Promise((resolve) => {
    const socket = createConnection({ host: host!, port: Number(port) });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** The six rights of the archiver, and no more: writing without a word on retention, reading. */
export const ARCHIVER_ACTIONS = {
  objects: ['s3:PutObject', 's3:GetObject', 's3:GetObjectVersion', 's3:GetObjectRetention'],
  buckets: ['s3:ListBucket', 's3:ListBucketVersions'],
};

export function archiverPolicy(bucketPrefix: string): unknown {
  const arn = `arn:aws:s3:::${bucketPrefix}*`;
  return {
    Version: '2012-10-17',
    Statement: [
      { Effect: 'Allow', Action: ARCHIVER_ACTIONS.objects, Resource: [`${arn}/*`] },
      { Effect: 'Allow', Action: ARCHIVER_ACTIONS.buckets, Resource: [arn] },
    ],
  };
}

/** Makes the user `state.s3.archiver` with that policy. */
export async function createArchiverUser({ state, dir, programs }: NativeContext): Promise<void> {
  const { archiver, bucketPrefix } = state.s3;
  const place = { mc: programs.mc, folder: join(dir, 'minio') };
  const policy = archiverPolicy(bucketPrefix);
  await addStoreUser(state.s3, place, archiver, { name: 'archiver', policy });
}
