/**
 * Ends the servers of a stack, exactly those recorded in its state, and removes its folder. Safe to
 * call twice and by two processes at once.
 */
import { existsSync, rmSync } from 'node:fs';
import { stopDocker } from './docker.ts';
import { endProcess, readIdentity } from './process.ts';
import { readState, type StackState } from './state.ts';

/** What is stopped will not be used again, so nobody waits long for a clean end. */
const GRACE_MS = 3_000;

/** `stateFile` is the one in the stack's own folder; without it there is nothing to do. */
export async function stopStack(stateFile: string): Promise<void> {
  if (!existsSync(stateFile)) return;
  const state = readState(stateFile);
  if (state.mode === 'docker') await stopDocker(state);
  else await endServers(state, GRACE_MS);
  rmSync(state.dir, { recursive: true, force: true });
}

export async function endServers(state: StackState, graceMs: number): Promise<void> {
  const launches = Object.values(state.native?.launch ?? {});
  await Promise.all(
    launches.map(async ({ pidFile }) => {
      const identity = readIdentity(pidFile);
      if (identity !== null) await endProcess(identity, graceMs);
    }),
  );
}
