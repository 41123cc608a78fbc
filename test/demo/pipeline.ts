/** The lakeseal processes of the demo: set-up, archiver and detector, as an operator would run them. */
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { envName } from '../../services/runtime/config-keys.ts';
import { writeGeography } from '../company/week/geography.ts';
import { configEnv } from '../stack/environment.ts';
import { LAKESEAL_MAIN, type ServiceProcess, startService } from '../stack/service.ts';
import type { Stack } from '../stack/stack.ts';
import type { DemoAuthority } from './authority.ts';
import type { Story } from './story.ts';

export interface Pipeline {
  archiver: ServiceProcess;
  /** The one that runs now. */
  readonly detector: ServiceProcess;
  /**
   * Stops the detector and starts another with little lateness, so that rules which wait for event
   * time to pass judge what the first one counted.
   */
  settle(): Promise<void>;
  /** Shell variables for other lakeseal commands against the same servers. */
  envFile: string;
  /** Throws when one of the two has ended. */
  assertRunning(): void;
  stop(): Promise<void>;
}

/** Seconds, not minutes, until a quiet partition is sealed: the demo is watched. */
const SEGMENT_AGE_MS = 3_000;
/** When all is in: what waits for time to pass is judged after so much quiet. */
const SETTLING_LATENESS_MS = 3_000;

/** Runs one lakeseal command; its output goes to `onLine`. Resolves with the exit code. */
export async function runLakeseal(
  args: string[],
  env: Record<string, string>,
  onLine: (line: string) => void,
): Promise<number> {
  const child = spawn(process.execPath, [LAKESEAL_MAIN, ...args], {
    env: { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout });
  lines.on('line', onLine);
  const read = new Promise<void>((resolve) => lines.once('close', resolve));
  const code = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (exitCode) => resolve(exitCode ?? 1));
  });
  await read;
  return code;
}

/** Runs `lakeseal setup` as the administrator; returns that environment, and that of everybody else. */
export async function runSetup(
  story: Story,
  stack: Stack,
  folder: string,
  keyFile: string,
  authority: DemoAuthority | null,
): Promise<{ env: Record<string, string>; administrator: Record<string, string> }> {
  const { city, asn } = writeGeography(folder);
  const env = configEnv(stack.state, {
    'enrich.city': city,
    'enrich.asn': asn,
    'storage.bucket': stack.unique('demo'),
    'archive.segmentAgeMsMax': SEGMENT_AGE_MS,
    'archive.kmsKeyId': stack.s3.kmsKeyId,
    'archive.retentionDays': 1,
    'evidence.keyFile': keyFile,
    'collect.ledger': join(folder, 'ledger'),
    ...(authority === null ? {} : { 'anchors.timestamps': timestampsOf(authority) }),
  });
  const administrator = {
    ...env,
    LAKESEAL_SETUP_ACCESS_KEY_ID: stack.s3.root.accessKeyId,
    LAKESEAL_SETUP_SECRET_ACCESS_KEY: stack.s3.root.secretAccessKey,
  };
  const code = await runLakeseal(['setup'], administrator, (line) => story.line(`  ${line}`));
  if (code !== 0) throw new Error('lakeseal setup failed, see above');
  return { env, administrator };
}

/** As a variable takes it. */
function timestampsOf({ url, caFile }: DemoAuthority): string {
  return JSON.stringify([{ url, caFile }]);
}

export async function startPipeline(
  story: Story,
  env: Record<string, string>,
  folder: string,
  keep: boolean,
): Promise<Pipeline> {
  const archiver = startService(['archive'], env, join(folder, 'archiver.log'), { keep });
  const detectorLog = join(folder, 'detector.log');
  let detector = startService(['detect'], env, detectorLog, { keep });
  const envFile = join(folder, 'lakeseal.env');
  const quoted = Object.entries(env).map(([name, value]) => `${name}='${value}'`);
  writeFileSync(envFile, `${quoted.join('\n')}\n`, { mode: 0o600 });
  const ended: string[] = [];
  /** These ended because they were told to. */
  const retired = new Set<ServiceProcess>();
  const watch = (name: string, service: ServiceProcess): void => {
    void service.exited.then(() => {
      if (retired.has(service)) return;
      ended.push(`${name} ended, its log is ${service.logFile}`);
    });
  };
  watch('archiver', archiver);
  watch('detector', detector);
  await Promise.all([archiver.ready(), detector.ready()]);
  story.line(`  archiver: pid ${archiver.pid}, ready`);
  story.line(`  detector: pid ${detector.pid}, ready`);
  return {
    archiver,
    get detector() {
      return detector;
    },
    envFile,
    async settle() {
      const first = detector;
      const lateness = { [envName('detect.latenessMs')]: String(SETTLING_LATENESS_MS) };
      retired.add(first);
      await first.stop();
      detector = startService(['detect'], { ...env, ...lateness }, detectorLog, { keep });
      watch('detector', detector);
      await detector.ready();
      story.line(`  detector: pid ${detector.pid}, goes on where pid ${first.pid} stopped`);
    },
    assertRunning() {
      if (ended.length > 0) throw new Error(ended.join('; '));
    },
    async stop() {
      await Promise.all([archiver.stop(), detector.stop()]);
    },
  };
}
