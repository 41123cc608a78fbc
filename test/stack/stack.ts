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
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import {
  CreateBucketCommand,
  PutObjectLockConfigurationCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { dockerAnswers, isDownDocker, restartDocker, signalDocker, startDocker } from './docker.ts';
import { configEnv, rootSettings, type Setting } from './environment.ts';
import { isDownNative, restartNative, signalNative, startNative } from './native-stack.ts';
import { identify } from './process.ts';
import { createProgress } from './progress.ts';
import {
  keeperFileIn,
  NAME_PREFIX,
  readState,
  SERVERS,
  type ServerName,
  type StackState,
  stateFileIn,
  writeJson,
  writeState,
} from './state.ts';
import { stopStack } from './stop.ts';

/** Where `up.ts` and `down.ts` meet, one for each checkout. */
export const DEFAULT_STATE_FILE = join(import.meta.dirname, '..', '..', '.lakeseal', 'stack.json');
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
  /** A client with the archiver's six rights; the caller destroys it. */
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

/** Throws a `Failure` that says which server did not start and how its log ends. */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const progress = createProgress(options.report);
  const servers = SERVERS.filter((server) => options.servers?.includes(server) ?? true);
  const start = (await chooseMode()) === 'docker' ? startDocker : startNative;
  const dir = makeFolder(options.dir);
  const stateFile = stateFileIn(dir);
  if (options.keep !== true) startKeeper(dir, stateFile);
  let state: StackState;
  try {
    state = await start(servers, dir, progress);
  } catch (error) {
    // Without a state the keeper leaves the folder, and with it the logs that tell why, if any.
    for (const file of [stateFile, keeperFileIn(dir)]) rmSync(file, { force: true });
    if (readdirSync(dir).length === 0) rmdirSync(dir);
    throw error;
  }
  if (options.stateFile !== undefined) {
    mkdirSync(dirname(options.stateFile), { recursive: true });
    writeState(options.stateFile, state);
  }
  return attach(state, stateFile);
}

async function chooseMode(): Promise<StackState['mode']> {
  const wanted = process.env.LAKESEAL_STACK_MODE;
  if (wanted === 'native' || wanted === 'docker') return wanted;
  if (wanted) throw new Error('LAKESEAL_STACK_MODE must be native or docker');
  return (await dockerAnswers()) ? 'docker' : 'native';
}

function makeFolder(wanted: string | undefined): string {
  if (wanted === undefined) {
    const dir = mkdtempSync(join(tmpdir(), 'lakeseal-'));
    // OpenSearch may run as another user, who has to pass through, not to look around.
    chmodSync(dir, 0o711);
    return dir;
  }
  const dir = resolve(wanted);
  mkdirSync(dir, { recursive: true, mode: 0o711 });
  // It is removed with all that is in it when the stack stops.
  if (readdirSync(dir).length > 0) throw new Error(`not empty: ${dir}`);
  return dir;
}

/** The keeper holds the reading end of a pipe whose writing end is only here. */
function startKeeper(dir: string, stateFile: string): void {
  const keeper = spawn(process.execPath, [join(import.meta.dirname, 'keeper.ts'), stateFile], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  keeper.on('error', () => {});
  keeper.unref();
  (keeper.stdin as Socket).unref();
  const identity = keeper.pid === undefined ? null : identify(keeper.pid);
  if (identity === null) throw new Error('cannot start the keeper of the stack');
  writeJson(keeperFileIn(dir), identity);
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
      await (state.mode === 'docker' ? signalDocker : signalNative)(state, server, signal);
    },
    async restart(server) {
      await (state.mode === 'docker' ? restartDocker : restartNative)(state, server);
    },
    async heal() {
      const isDown = state.mode === 'docker' ? isDownDocker : isDownNative;
      const down: ServerName[] = [];
      for (const server of state.servers) {
        if (!(await isDown(state, server))) continue;
        await this.restart(server);
        down.push(server);
      }
      return down;
    },
    stop: () => stopStack(stateFileIn(state.dir)),
  };
}

const ONE_DAY: Retention = { mode: 'COMPLIANCE', days: 1 };

async function createLockedBucket(
  root: S3Client,
  bucket: string,
  retention: Retention,
): Promise<void> {
  await root.send(new CreateBucketCommand({ Bucket: bucket, ObjectLockEnabledForBucket: true }));
  await setDefaultRetention(root, bucket, retention);
}

export async function setDefaultRetention(
  client: S3Client,
  bucket: string,
  { mode, days }: Retention,
): Promise<void> {
  const rule = { DefaultRetention: { Mode: mode, Days: days } };
  const configuration = { ObjectLockEnabled: 'Enabled', Rule: rule } as const;
  await client.send(
    new PutObjectLockConfigurationCommand({
      Bucket: bucket,
      ObjectLockConfiguration: configuration,
    }),
  );
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
