/** Users of the store, each with a policy of its own, made by the store's client. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { fetchPrograms } from './artifacts.ts';
import { createProgress } from './progress.ts';
import type { Stack } from './stack.ts';
import type { Credentials, StackState } from './state.ts';

const run = promisify(execFile);

/** @param folder private, for the policy and the client's own files. */
export async function addStoreUser(
  { endpoint, root }: Pick<StackState['s3'], 'endpoint' | 'root'>,
  { mc: program, folder }: { mc: string; folder: string },
  { accessKeyId, secretAccessKey }: Credentials,
  { name, policy }: { name: string; policy: unknown },
): Promise<void> {
  const policyFile = join(folder, `${name}-policy.json`);
  writeFileSync(policyFile, JSON.stringify(policy, null, 2));
  const login = endpoint.replace('://', `://${root.accessKeyId}:${root.secretAccessKey}@`);
  const env = { PATH: process.env.PATH, HOME: folder, MC_HOST_stack: login };
  const mc = (...args: string[]) =>
    run(program, ['--config-dir', join(folder, 'mc'), ...args], { env });
  await mc('admin', 'policy', 'create', 'stack', name, policyFile);
  await mc('admin', 'user', 'add', 'stack', accessKeyId, secretAccessKey);
  await mc('admin', 'policy', 'attach', 'stack', name, '--user', accessKeyId);
}

const USER_NAME_MAX = 20;

/** One more user, under a name that nobody else has. It goes with the stack. */
export async function uniqueStoreUser(
  stack: Stack,
  name: string,
  policy: unknown,
): Promise<Credentials> {
  const { mc } = await fetchPrograms(
    ['minio'],
    createProgress(() => {}),
  );
  const unique = stack.unique(name);
  const user = {
    accessKeyId: unique.slice(-USER_NAME_MAX),
    secretAccessKey: `secret-of-${unique}`.slice(0, 40),
  };
  const folder = mkdtempSync(join(tmpdir(), 'lakeseal-user-'));
  try {
    await addStoreUser(stack.s3, { mc, folder }, user, { name: unique, policy });
  } finally {
    rmSync(folder, { recursive: true });
  }
  return user;
}
