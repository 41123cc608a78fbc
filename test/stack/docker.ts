/**
 * The same stack by Docker Compose: only the servers of `docker-compose.yml`, in a project of its
 * own, on free ports. Used where an engine answers.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Failure } from '../../services/runtime/errors.ts';
import { freePorts } from './ports.ts';
import type { Progress } from './progress.ts';
import { NAME_PREFIX, type ServerName, type StackState, stateFileIn, writeState } from './state.ts';

const run = promisify(execFile);

const COMPOSE_FILE = join(import.meta.dirname, '..', '..', 'docker-compose.yml');
const OUTPUT_BYTES_MAX = 16 * 1024 * 1024;

/** True when an engine answers and Compose is there. */
export async function dockerAnswers(): Promise<boolean> {
  try {
    await run('docker', ['info'], { timeout: 10_000 });
    await run('docker', ['compose', 'version'], { timeout: 10_000 });
    return true;
  } catch {
    return false;
  }
}

export async function startDocker(
  servers: ServerName[],
  dir: string,
  progress: Progress,
): Promise<StackState> {
  const state = await newState(servers, dir);
  writeState(stateFileIn(dir), state);
  const services: string[] = [...servers];
  if (state.dashboards !== undefined) services.push('dashboards');
  try {
    await progress.step('starting the servers by Docker Compose', () =>
      compose(state, 'up', '-d', '--wait', ...services),
    );
    // Apart from the others: --wait takes a service that ends, and that none depends on, as failed.
    if (servers.includes('minio')) await compose(state, 'run', '--rm', '--no-deps', 'minio-init');
  } catch (error) {
    await stopDocker(state).catch(() => {});
    throw error;
  }
  return state;
}

async function newState(servers: ServerName[], dir: string): Promise<StackState> {
  const id = randomBytes(3).toString('hex');
  const [kafka, registry, minio, opensearch, dashboards] = await freePorts(5);
  const rootPassword = randomBytes(16).toString('hex');
  const archiverPassword = randomBytes(16).toString('hex');
  const state: StackState = {
    version: 1,
    mode: 'docker',
    id,
    dir,
    startedAt: new Date().toISOString(),
    servers,
    kafka: { brokers: [`127.0.0.1:${kafka}`] },
    registry: { url: `http://127.0.0.1:${registry}/apis/ccompat/v7` },
    s3: {
      endpoint: `http://127.0.0.1:${minio}`,
      region: 'us-east-1',
      kmsKeyId: 'lakeseal',
      root: { accessKeyId: 'root', secretAccessKey: rootPassword },
      archiver: { accessKeyId: 'archiver', secretAccessKey: archiverPassword },
      bucketPrefix: NAME_PREFIX,
    },
    opensearch: { url: `http://127.0.0.1:${opensearch}` },
    docker: {
      project: `lakeseal-${id}`,
      env: {
        KAFKA_PORT: String(kafka),
        REGISTRY_PORT: String(registry),
        MINIO_PORT: String(minio),
        OPENSEARCH_PORT: String(opensearch),
        DASHBOARDS_PORT: String(dashboards),
        MINIO_ROOT_PASSWORD: rootPassword,
        ARCHIVER_PASSWORD: archiverPassword,
        MINIO_KMS_KEY: randomBytes(32).toString('base64'),
      },
    },
  };
  if (servers.includes('opensearch')) {
    state.dashboards = { url: `http://127.0.0.1:${dashboards}` };
  }
  return state;
}

export async function signalDocker(
  state: StackState,
  server: ServerName,
  signal: NodeJS.Signals,
): Promise<void> {
  // A container's first process cannot be stopped by a signal; freezing it has the same effect.
  if (signal === 'SIGSTOP') await compose(state, 'pause', server);
  else if (signal === 'SIGCONT') await compose(state, 'unpause', server);
  else await compose(state, 'kill', '-s', signal, server);
}

export async function restartDocker(state: StackState, server: ServerName): Promise<void> {
  // A frozen container is not started again by `up`.
  await compose(state, 'kill', server);
  await compose(state, 'up', '-d', '--wait', '--no-deps', server);
}

export async function isDownDocker(state: StackState, server: ServerName): Promise<boolean> {
  const running = await compose(state, 'ps', '--services', '--status', 'running');
  return !running.split('\n').includes(server);
}

export async function stopDocker(state: StackState): Promise<void> {
  await compose(state, 'down', '--volumes', '--timeout', '3');
}

async function compose(state: StackState, ...args: string[]): Promise<string> {
  const { project, env } = state.docker!;
  try {
    const { stdout } = await run(
      'docker',
      ['compose', '-p', project, '-f', COMPOSE_FILE, ...args],
      {
        env: { ...process.env, ...env },
        maxBuffer: OUTPUT_BYTES_MAX,
      },
    );
    return stdout;
  } catch (error) {
    const { stderr = '' } = error as { stderr?: string };
    throw new Failure(`docker compose ${args[0]} failed:\n${stderr.trim()}`, {
      code: 'STACK_DOCKER_FAILED',
      hint: 'LAKESEAL_STACK_MODE=native starts the servers without Docker.',
      cause: error,
    });
  }
}
