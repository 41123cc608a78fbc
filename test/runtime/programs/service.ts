/**
 * A service in a process of its own, for the tests of the lifecycle. The first argument says how it
 * behaves, the second how long a stop may take; it prints `running` on standard output when it runs.
 */
import { configSchema } from '../../../services/runtime/config.ts';
import { Failure } from '../../../services/runtime/errors.ts';
import { runService } from '../../../services/runtime/lifecycle.ts';
import type { ServiceContext } from '../../../services/runtime/service.ts';

const behaviours: Record<string, (context: ServiceContext) => Promise<void>> = {
  async stops({ signal, health }) {
    health.ready('work', true);
    await aborted(signal);
    process.stdout.write('sealed\n');
  },
  async reloads({ signal, onHangup }) {
    const release = onHangup(() => {
      process.stdout.write('looked\n');
      release();
      process.stdout.write('deaf\n');
    });
    process.stdout.write('listening\n');
    await aborted(signal);
  },
  async hangs() {
    await new Promise(() => setInterval(() => {}, 1_000));
  },
  async fails() {
    throw new Failure('the store is gone', { code: 'S3_GONE', hint: 'bring it back' });
  },
  async rejects() {
    Promise.reject(new Error('nobody awaits this'));
    await new Promise(() => setInterval(() => {}, 1_000));
  },
  async throws() {
    setTimeout(() => {
      throw new Error('nobody catches this');
    });
    await new Promise(() => setInterval(() => {}, 1_000));
  },
};

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve()));
}

const behaviour = behaviours[process.argv[2] ?? ''];
if (behaviour === undefined) throw new Error(`no behaviour ${process.argv[2]}`);
const config = configSchema.parse({});
process.exitCode = await runService(
  'probe',
  config,
  async (context) => {
    process.stdout.write('running\n');
    await behaviour(context);
    return undefined;
  },
  { http: true, ...(process.argv[3] === undefined ? {} : { stopMsMax: Number(process.argv[3]) }) },
);
