/**
 * Real servers for tests and the demo: Kafka, schema registry, MinIO and OpenSearch, by Docker
 * Compose where an engine answers, else natively from cached programs.
 *
 * A stack that is started here belongs to this process and ends with it, however it ends, unless it
 * is started with `keep`. Stopping ends exactly the processes that were started. Two stacks never
 * share a port or a folder.
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import {
  CreateBucketCommand,
  PutObjectLockConfigurationCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { Failure } from '../../services/runtime/errors.ts';
import { fetchPrograms, type Programs } from './artifacts.ts';
import { dockerAnswers, dockerRestart, dockerSignal, startDocker, stopDocker } from './docker.ts';
import { configEnv, rootSettings, type Setting } from './environment.ts';
import {
  createArchiverUser,
  logLength,
  type NativeContext,
  PORT_NAMES,
  type Ports,
  prepare,
  waitUntilReady,
} from './native.ts';
import { freePorts } from './ports.ts';
import {
  endProcess,
  identify,
  isAlive,
  isStopped,
  launch,
  type ProcessIdentity,
  readIdentity,
  signalProcess,
  waitForExit,
  waitForStopped,
} from './process.ts';
import { createProgress, type Progress } from './progress.ts';
import {
  type LaunchState,
  readState,
  SERVERS,
  type ServerName,
  type StackState,
  stateFileIn,
  writeJson,
  writeState,
} from './state.ts';
import { stopNative } from './stop.ts';

/** Every bucket, topic and index of `Stack.unique` starts so; the archiver may reach such buckets. */
export const NAME_PREFIX = 'lakeseal-';
/** Where `up.ts` and `down.ts` meet, one for each checkout. */
export const DEFAULT_STATE_FILE = join(import.meta.dirname, '..', '..', '.lakeseal', 'stack.json');
const RESTART_GRACE_MS = 10_000;
const LABELS: Record<ServerName, string> = {
  kafka: 'Kafka',
  registry: 'schema registry',
  minio: 'MinIO',
  opensearch: 'OpenSearch',
};

export interface StackOptions {
  /** Default: all four. */
  servers?: readonly ServerName[];
  /** An empty or new folder for everything the stack writes; default: a new one in the system's. */
  dir?: string;
  /** A second copy of the state file, for processes that do not know the folder. */
  stateFile?: string;
  /** Takes progress as whole lines; default: standard error, with a moving line on a terminal. */
  report?: (line: string) => void;
  /** Leave the stack running when this process ends. */
  keep?: boolean;
}

export interface Retention {
  mode: 'COMPLIANCE' | 'GOVERNANCE';
  days: number;
}

export interface Stack {
  readonly state: StackState;
  /** Path to hand to other processes as LAKESEAL_STACK. */
  readonly stateFile: string;
  readonly brokers: string[];
  readonly registryUrl: string;
  readonly s3: StackState['s3'];
  readonly opensearchUrl: string;
  /** A name nobody else has, valid as topic, bucket, index and group. */
  unique(name: string): string;
  /** A client with all rights; the caller destroys it. */
  rootS3(): S3Client;
  /** A client with the archiver's five rights; the caller destroys it. */
  archiverS3(): S3Client;
  /**
   * Makes a bucket with Object Lock and a default retention (COMPLIANCE, one day, unless told), and
   * gives its name. What is put there cannot be deleted; it goes with the folder of the stack.
   */
  createLockedBucket(name?: string, retention?: Retention): Promise<string>;
  /** LAKESEAL_* for a lakeseal process against this stack, see `environment.ts`. */
  configEnv(overrides?: Record<string, Setting>): Record<string, string>;
  /** The overrides for `configEnv` with which a process holds all rights on the store. */
  rootSettings(): Record<string, Setting>;
  /**
   * Resolves when the signal has taken effect: the process is gone, stopped or running again.
   * SIGKILL by default; SIGSTOP and SIGCONT for a server that hangs.
   */
  kill(server: ServerName, signal?: NodeJS.Signals): Promise<void>;
  /** Ends what may still run of it, starts it with the same ports and data, waits until ready. */
  restart(server: ServerName): Promise<void>;
  /** Restarts what is down or stopped; gives the servers that needed it. */
  heal(): Promise<ServerName[]>;
  /** Ends every server and removes the folder. */
  stop(): Promise<void>;
}

export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const progress = createProgress(options.report);
  const servers = SERVERS.filter((server) => options.servers?.includes(server) ?? true);
  const mode = await chooseMode();
  const stack =
    mode === 'docker'
      ? await startWithDocker(servers, options, progress)
      : await startNative(servers, options, progress);
  if (options.stateFile !== undefined) {
    mkdirSync(dirname(options.stateFile), { recursive: true });
    writeState(options.stateFile, stack.state);
  }
  return stack;
}

async function chooseMode(): Promise<'native' | 'docker'> {
  const wanted = process.env.LAKESEAL_STACK_MODE;
  if (wanted === 'native' || wanted === 'docker') return wanted;
  if (wanted) throw new Error('LAKESEAL_STACK_MODE must be native or docker');
  return (await dockerAnswers()) ? 'docker' : 'native';
}

async function startWithDocker(
  servers: ServerName[],
  options: StackOptions,
  progress: Progress,
): Promise<Stack> {
  const { dir, id } = makeFolder(options);
  const state = await progress.step('servers by Docker Compose', () =>
    startDocker(servers, dir, id),
  );
  return attach(state, stateFileIn(dir));
}

async function startNative(
  servers: ServerName[],
  options: StackOptions,
  progress: Progress,
): Promise<Stack> {
  const programs = await fetchPrograms(servers, progress);
  const context = await newContext(servers, options, programs);
  const stateFile = stateFileIn(context.dir);
  const native = context.state.native!;
  if (options.keep !== true) native.keeperPidFile = join(context.dir, 'keeper.pid.json');
  writeState(stateFile, context.state);
  if (native.keeperPidFile !== undefined) startKeeper(stateFile, native.keeperPidFile);
  try {
    const started = servers.map((server) =>
      progress.step(`starting ${LABELS[server]}`, () => startServer(server, context)),
    );
    const failed = (await Promise.allSettled(started)).find(({ status }) => status === 'rejected');
    if (failed?.status === 'rejected') throw failed.reason;
  } catch (error) {
    await endServers(context.state);
    throw error;
  }
  return attach(context.state, stateFile);
}

async function startServer(server: ServerName, context: NativeContext): Promise<void> {
  const how = await prepare(server, context);
  context.state.native!.launch[server] = how;
  // Written before the process is born, so that whoever ends the stack finds it.
  writeState(stateFileIn(context.dir), context.state);
  await waitUntilReady(server, context.state, how, launch(how), 0);
  if (server === 'minio') await createArchiverUser(context);
}

function makeFolder(options: StackOptions): { dir: string; id: string } {
  const id = randomBytes(3).toString('hex');
  if (options.dir === undefined) {
    const dir = mkdtempSync(join(tmpdir(), `lakeseal-${id}-`));
    // OpenSearch may run as another user, who has to pass through, not to look around.
    chmodSync(dir, 0o711);
    return { dir, id };
  }
  const dir = resolve(options.dir);
  mkdirSync(dir, { recursive: true, mode: 0o711 });
  return { dir, id };
}

async function newContext(
  servers: ServerName[],
  options: StackOptions,
  programs: Programs,
): Promise<NativeContext> {
  const numbers = await freePorts(PORT_NAMES.length);
  const ports = Object.fromEntries(
    PORT_NAMES.map((name, index) => [name, numbers[index]]),
  ) as unknown as Ports;
  const { dir, id } = makeFolder(options);
  const state: StackState = {
    version: 1,
    mode: 'native',
    id,
    dir,
    startedAt: new Date().toISOString(),
    servers,
    kafka: { brokers: [`127.0.0.1:${ports.kafka}`] },
    registry: { url: `http://127.0.0.1:${ports.registry}/apis/ccompat/v7` },
    s3: {
      endpoint: `http://127.0.0.1:${ports.minio}`,
      region: 'us-east-1',
      kmsKeyId: 'lakeseal',
      root: { accessKeyId: 'root', secretAccessKey: randomBytes(16).toString('hex') },
      archiver: { accessKeyId: 'archiver', secretAccessKey: randomBytes(16).toString('hex') },
      bucketPrefix: NAME_PREFIX,
    },
    opensearch: { url: `http://127.0.0.1:${ports.opensearch}` },
    native: { launch: {} },
  };
  return { dir, ports, programs, state, kmsKey: randomBytes(32).toString('base64') };
}

/** The keeper holds the reading end of a pipe whose writing end is only here. */
function startKeeper(stateFile: string, pidFile: string): void {
  const keeper = spawn(process.execPath, [join(import.meta.dirname, 'keeper.ts'), stateFile], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  keeper.on('error', () => {});
  keeper.unref();
  (keeper.stdin as Socket).unref();
  const identity = keeper.pid === undefined ? null : identify(keeper.pid);
  if (identity === null) throw new Error('cannot start the keeper of the stack');
  writeJson(pidFile, identity);
}

async function endServers(state: StackState): Promise<void> {
  const identities = Object.values(state.native?.launch ?? {})
    .map(({ pidFile }) => readIdentity(pidFile))
    .filter((identity) => identity !== null);
  await Promise.all(identities.map((identity) => endProcess(identity, 1_000)));
}

/** A stack that some process started, by its state file. */
export function attachStack(stateFile: string): Stack {
  return attach(readState(stateFile), resolve(stateFile));
}

function attach(state: StackState, stateFile: string): Stack {
  const client = (credentials: StackState['s3']['root']): S3Client =>
    new S3Client({
      endpoint: state.s3.endpoint,
      region: state.s3.region,
      credentials,
      forcePathStyle: true,
    });
  return {
    state,
    stateFile,
    brokers: state.kafka.brokers,
    registryUrl: state.registry.url,
    s3: state.s3,
    opensearchUrl: state.opensearch.url,
    unique: uniqueName,
    rootS3: () => client(state.s3.root),
    archiverS3: () => client(state.s3.archiver),
    configEnv: (overrides) => configEnv(state, overrides),
    rootSettings: () => rootSettings(state),
    async createLockedBucket(name = uniqueName('bucket'), retention = ONE_DAY) {
      const root = client(state.s3.root);
      try {
        await createLockedBucket(root, name, retention);
      } finally {
        root.destroy();
      }
      return name;
    },
    async kill(server, signal = 'SIGKILL') {
      if (state.mode === 'docker') return dockerSignal(state, server, signal);
      await signalNative(server, native(state, server), signal);
    },
    async restart(server) {
      if (state.mode === 'docker') return dockerRestart(state, server);
      await restartNative(server, state, native(state, server));
    },
    async heal() {
      if (state.mode === 'docker') return [];
      const down = state.servers.filter((server) => !isServing(native(state, server)));
      for (const server of down) await restartNative(server, state, native(state, server));
      return down;
    },
    async stop() {
      if (state.mode === 'docker') return stopDocker(state);
      await stopNative(stateFileIn(state.dir));
    },
  };
}

const ONE_DAY: Retention = { mode: 'COMPLIANCE', days: 1 };

async function createLockedBucket(
  root: S3Client,
  bucket: string,
  { mode, days }: Retention,
): Promise<void> {
  await root.send(new CreateBucketCommand({ Bucket: bucket, ObjectLockEnabledForBucket: true }));
  const rule = { DefaultRetention: { Mode: mode, Days: days } };
  const configuration = { ObjectLockEnabled: 'Enabled', Rule: rule } as const;
  await root.send(
    new PutObjectLockConfigurationCommand({
      Bucket: bucket,
      ObjectLockConfiguration: configuration,
    }),
  );
}

function native(state: StackState, server: ServerName): LaunchState {
  const how = state.native?.launch[server];
  if (how === undefined) throw new Error(`this stack has no ${server}`);
  return how;
}

function isServing(how: LaunchState): boolean {
  const identity = readIdentity(how.pidFile);
  return identity !== null && isAlive(identity) && !isStopped(identity);
}

function running(server: ServerName, how: LaunchState): ProcessIdentity {
  const identity = readIdentity(how.pidFile);
  if (identity !== null && isAlive(identity)) return identity;
  throw new Failure(`${server} is not running`, { code: 'STACK_SERVER_DOWN' });
}

async function signalNative(
  server: ServerName,
  how: LaunchState,
  signal: NodeJS.Signals,
): Promise<void> {
  const identity = running(server, how);
  signalProcess(identity, signal);
  if (signal === 'SIGSTOP') return waitForStopped(identity, true);
  if (signal === 'SIGCONT') return waitForStopped(identity, false);
  if (!(await waitForExit(identity, 30_000))) {
    throw new Failure(`${server} does not end on ${signal}`, { code: 'STACK_SERVER_ALIVE' });
  }
}

async function restartNative(
  server: ServerName,
  state: StackState,
  how: LaunchState,
): Promise<void> {
  const before = readIdentity(how.pidFile);
  if (before !== null) await endProcess(before, RESTART_GRACE_MS);
  const logFrom = logLength(how.log);
  await waitUntilReady(server, state, how, launch(how), logFrom);
}

const UNIQUE_NAME_MAX = 40;

/** `lakeseal-NAME-RANDOM`: 3 to 63 lower-case characters, as S3 wants it; the strictest of all. */
export function uniqueName(name: string): string {
  const plain = name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, UNIQUE_NAME_MAX);
  return `${NAME_PREFIX}${plain}-${randomBytes(4).toString('hex')}`;
}
