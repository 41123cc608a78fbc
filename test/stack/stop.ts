/**
 * Ends the servers of a native stack, exactly those recorded in its folder, and removes the folder.
 * Safe to call twice and by two processes at once.
 */
import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { endProcess, readIdentity } from './process.ts';
import { readState } from './state.ts';

/** What is stopped will not be used again, so nobody waits long for a clean end. */
const GRACE_MS = 3_000;

export async function stopNative(stateFile: string): Promise<void> {
  const state = readState(stateFile);
  const launches = Object.values(state.native?.launch ?? {});
  await Promise.all(
    launches.map(async ({ pidFile }) => {
      const identity = readIdentity(pidFile);
      if (identity !== null) await endProcess(identity, GRACE_MS);
    }),
  );
  if (dirname(stateFile) === state.dir) rmSync(state.dir, { recursive: true, force: true });
}
