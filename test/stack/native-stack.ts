/**
 * The servers as processes of this machine: started side by side, signalled by their recorded ids,
 * started again with the same ports and data.
 */
import { randomBytes } from 'node:crypto';
import { Failure } from '../../services/runtime/errors.ts';
import { fetchPrograms, type Programs } from './artifacts.ts';
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
  isAlive,
  isStopped,
  launch,
  type ProcessIdentity,
  readIdentity,
  signalProcess,
  waitForExit,
  waitForStopped,
} from './process.ts';
import type { Progress } from './progress.ts';
import {
  type LaunchState,
  NAME_PREFIX,
  type ServerName,
  type StackState,
  stateFileIn,
  writeState,
} from './state.ts';
import { endServers } from './stop.ts';

/** For those that started well beside one that did not. */
const START_GRACE_MS = 1_000;
const RESTART_GRACE_MS = 10_000;
const LABELS: Record<ServerName, string> = {
  kafka: 'Kafka',
  registry: 'schema registry',
  minio: 'MinIO',
  opensearch: 'OpenSearch',
};

/** Leaves no process behind when it throws. */
export async function startNative(
  servers: ServerName[],
  dir: string,
  progress: Progress,
): Promise<StackState> {
  const programs = await fetchPrograms(servers, progress);
  const context = await newContext(servers, dir, programs);
  writeState(stateFileIn(dir), context.state);
  const started = servers.map((server) =>
    progress.step(`starting ${LABELS[server]}`, () => startServer(server, context)),
  );
  const failed = (await Promise.allSettled(started)).find(({ status }) => status === 'rejected');
  if (failed?.status === 'rejected') {
    await endServers(context.state, START_GRACE_MS);
    throw failed.reason;
  }
  return context.state;
}

async function startServer(server: ServerName, context: NativeContext): Promise<void> {
  const how = await prepare(server, context);
  context.state.native!.launch[server] = how;
  // Written before the process is born, so that whoever ends the stack finds it.
  writeState(stateFileIn(context.dir), context.state);
  await waitUntilReady(server, context.state, how, launch(how), 0);
  if (server === 'minio') await createArchiverUser(context);
}

async function newContext(
  servers: ServerName[],
  dir: string,
  programs: Programs,
): Promise<NativeContext> {
  const numbers = await freePorts(PORT_NAMES.length);
  const ports = Object.fromEntries(
    PORT_NAMES.map((name, index) => [name, numbers[index]]),
  ) as unknown as Ports;
  const state: StackState = {
    version: 1,
    mode: 'native',
    id: randomBytes(3).toString('hex'),
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

function launchOf(state: StackState, server: ServerName): LaunchState {
  const how = state.native?.launch[server];
  if (how === undefined) throw new Error(`this stack has no ${server}`);
  return how;
}

/** Stopped by SIGSTOP counts as down. */
export function isDownNative(state: StackState, server: ServerName): boolean {
  const identity = readIdentity(launchOf(state, server).pidFile);
  return identity === null || !isAlive(identity) || isStopped(identity);
}

function running(state: StackState, server: ServerName): ProcessIdentity {
  const identity = readIdentity(launchOf(state, server).pidFile);
  if (identity !== null && isAlive(identity)) return identity;
  throw new Failure(`${server} is not running`, { code: 'STACK_SERVER_DOWN' });
}

export async function signalNative(
  state: StackState,
  server: ServerName,
  signal: NodeJS.Signals,
): Promise<void> {
  const identity = running(state, server);
  signalProcess(identity, signal);
  if (signal === 'SIGSTOP') return waitForStopped(identity, true);
  if (signal === 'SIGCONT') return waitForStopped(identity, false);
  if (!(await waitForExit(identity, 30_000))) {
    throw new Failure(`${server} does not end on ${signal}`, { code: 'STACK_SERVER_ALIVE' });
  }
}

export async function restartNative(state: StackState, server: ServerName): Promise<void> {
  const how = launchOf(state, server);
  const before = readIdentity(how.pidFile);
  if (before !== null) await endProcess(before, RESTART_GRACE_MS);
  const logFrom = logLength(how.log);
  await waitUntilReady(server, state, how, launch(how), logFrom);
}
