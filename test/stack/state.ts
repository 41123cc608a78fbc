/**
 * What is known of a running stack, as one JSON file: where each server listens, how it was
 * started, who may log in. Any process that can read the file can use, kill or restart a server.
 *
 * The file does not change after the start. What does change, the process id of each server, lies in
 * a file per server, so that two processes can restart two servers at once.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const SERVERS = ['kafka', 'registry', 'minio', 'opensearch'] as const;
export type ServerName = (typeof SERVERS)[number];

/** How to start one native server again, with the same ports and data. */
export interface LaunchState {
  command: string;
  args: string[];
  /** The whole environment of the process; nothing is inherited. */
  env: Record<string, string>;
  cwd: string;
  /** Set where root starts a server that refuses root. */
  uid?: number;
  gid?: number;
  /** Standard output and error of every start, appended. */
  log: string;
  /** JSON `{pid, born}`, see `process.ts`. */
  pidFile: string;
}

export interface Credentials {
  accessKeyId: string;
  secretAccessKey: string;
}

export interface StackState {
  version: 1;
  mode: 'native' | 'docker';
  /** Six characters that tell this stack from any other. */
  id: string;
  /** Everything the stack writes lies here; removed when it stops. */
  dir: string;
  startedAt: string;
  /** The servers that were asked for; addresses of the others lead nowhere. */
  servers: ServerName[];
  kafka: { brokers: string[] };
  registry: { url: string };
  s3: {
    endpoint: string;
    region: string;
    kmsKeyId: string;
    root: Credentials;
    /** Holds six rights on buckets named `BUCKET_PREFIX…` and no other right. */
    archiver: Credentials;
    /** What `archiver` may reach: buckets whose name starts so. */
    bucketPrefix: string;
  };
  opensearch: { url: string };
  dashboards?: { url: string };
  native?: { launch: Partial<Record<ServerName, LaunchState>> };
  docker?: { project: string; env: Record<string, string> };
}

/** Every bucket, topic and index of `Stack.unique` starts so; the archiver may reach such buckets. */
export const NAME_PREFIX = 'lakeseal-';

/** Who watches over a stack that is not to outlive the process that started it. */
export function keeperFileIn(dir: string): string {
  return join(dir, 'keeper.pid.json');
}

export function stateFileIn(dir: string): string {
  return join(dir, 'stack.json');
}

export function writeState(file: string, state: StackState): void {
  writeJson(file, state, 0o600);
}

export function readState(file: string): StackState {
  const state = JSON.parse(readFileSync(file, 'utf8')) as StackState;
  if (state.version !== 1) throw new Error(`not a stack state of version 1: ${file}`);
  return state;
}

/** Written whole or not at all: a reader never sees half a file. */
export function writeJson(file: string, value: unknown, mode = 0o644): void {
  const temporary = `${file}.${process.pid}`;
  writeFileSync(temporary, `${JSON.stringify(value, null, 2)}\n`, { mode });
  renameSync(temporary, file);
}
