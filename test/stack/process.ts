/**
 * Processes by id, told apart from later ones that the system gave the same id: an identity is the
 * id and the moment of birth. Nothing here ever signals a process it has not recorded itself.
 */
import { execFileSync, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type LaunchState, writeJson } from './state.ts';

export interface ProcessIdentity {
  pid: number;
  /** Start time as the system tells it; compared, never interpreted. */
  born: string;
}

/** Who has this id now, or null: nobody, or a dead process that was not collected yet. */
export function identify(pid: number): ProcessIdentity | null {
  return process.platform === 'linux' ? identifyByProc(pid) : identifyByPs(pid);
}

function identifyByProc(pid: number): ProcessIdentity | null {
  const fields = procStat(pid);
  if (fields === null || fields[0] === 'Z' || fields[0] === 'X') return null;
  const born = fields[19];
  return born === undefined ? null : { pid, born };
}

/** Fields of /proc/PID/stat from the third (state) on; the second may itself hold blanks. */
function procStat(pid: number): string[] | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return null;
  }
}

function identifyByPs(pid: number): ProcessIdentity | null {
  try {
    const line = execFileSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
    const [, stat, born] = /^(\S+)\s+(.+)$/.exec(line) ?? [];
    if (stat === undefined || born === undefined || stat.startsWith('Z')) return null;
    return { pid, born };
  } catch {
    return null;
  }
}

export function isAlive(identity: ProcessIdentity): boolean {
  return identify(identity.pid)?.born === identity.born;
}

/** True when the signal was sent; false when that process is gone. */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (!isAlive(identity)) return false;
  try {
    return process.kill(identity.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

export async function waitForExit(identity: ProcessIdentity, timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs;
  while (isAlive(identity)) {
    if (Date.now() > deadline) return false;
    await sleep(20);
  }
  return true;
}

/** Asks, waits, then insists. Works on a process that is stopped by SIGSTOP, too. */
export async function endProcess(identity: ProcessIdentity, graceMs: number): Promise<void> {
  if (!signalProcess(identity, 'SIGTERM')) return;
  signalProcess(identity, 'SIGCONT');
  if (await waitForExit(identity, graceMs)) return;
  signalProcess(identity, 'SIGKILL');
  if (!(await waitForExit(identity, 10_000))) {
    throw new Error(`process ${identity.pid} does not die`);
  }
}

/** False where the system does not tell (anything but Linux). */
export function isStopped(identity: ProcessIdentity): boolean {
  return process.platform === 'linux' && procStat(identity.pid)?.[0] === 'T';
}

/** Waits until the system shows the process as stopped (or running again): signals take a moment. */
export async function waitForStopped(identity: ProcessIdentity, stopped: boolean): Promise<void> {
  if (process.platform !== 'linux') return;
  const deadline = Date.now() + 5_000;
  while (isAlive(identity) && isStopped(identity) !== stopped) {
    if (Date.now() > deadline) throw new Error(`process ${identity.pid} ignores the signal`);
    await sleep(10);
  }
}

export function readIdentity(pidFile: string): ProcessIdentity | null {
  try {
    return JSON.parse(readFileSync(pidFile, 'utf8')) as ProcessIdentity;
  } catch {
    return null;
  }
}

/**
 * Starts a server that outlives this process, in a process group of its own (so that ctrl-C reaches
 * only the one who started it), and records who it is.
 */
export function launch(how: LaunchState): ProcessIdentity {
  const log = openSync(how.log, 'a');
  try {
    const child = spawn(how.command, how.args, {
      cwd: how.cwd,
      env: how.env,
      detached: true,
      stdio: ['ignore', log, log],
      ...(how.uid === undefined ? {} : { uid: how.uid }),
      ...(how.gid === undefined ? {} : { gid: how.gid }),
    });
    // An executable that cannot be run is told by `error`; the caller sees a process without id.
    child.on('error', () => {});
    child.unref();
    if (child.pid === undefined) throw new Error(`cannot run ${how.command}`);
    const identity = identify(child.pid) ?? { pid: child.pid, born: 'never' };
    writeJson(how.pidFile, identity);
    return identity;
  } finally {
    closeSync(log);
  }
}
