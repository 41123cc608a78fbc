/**
 * Watches over a stack that is not to outlive the process that started it: its standard input is a
 * pipe from that process, and when the pipe closes, however that process ended (kill -9 too), the
 * servers are ended and their folder is removed. Run as `node keeper.ts STATE_FILE`.
 */
import { stopStack } from './stop.ts';

const stateFile = process.argv[2];
if (stateFile === undefined) throw new Error('usage: node keeper.ts STATE_FILE');

// Only the pipe decides: a signal to the terminal's process group must not end the watch.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});

process.stdin.resume();
process.stdin.on('error', () => {});
process.stdin.on('close', () => {
  void stopStack(stateFile).finally(() => process.exit(0));
});
