/**
 * `npm run bench -- NAME [--events N] [--profile FOLDER]`: one benchmark, one JSON object on standard output.
 *
 * Each figure stands beside its floor, measured in the same run on the same bytes, because the
 * machine's speed drifts: the ratio is what can be compared.
 */
import { parseArgs } from 'node:util';
import { describeFailure } from '../../services/runtime/errors.ts';

const HELP = `Usage: npm run bench -- NAME [--events N] [--profile FOLDER]

On real servers:
  archive      Kafka to sealed segments, against raw consumption and the codec
  detect       Kafka to judged events, against raw consumption, JSON.parse and Avro decoding
  latency      a record acknowledged to its alert found by a search

In this process:
  correlate    matches into open groups, and what a million of them cost in memory
  decode       audit events from JSON and Avro
  detect-core  bytes to verdict with all shipped rules, against JSON.parse
  match        50, 500 and 5,000 rules against events
  prove        from a record or an event id to its proof, the whole command
  rsigma       the same rules and events for rsigma (--rsigma PROGRAM) and for lakeseal
  segment      segment writing and reading
  verify       verifying an archive, against SHA-256 of the same bytes, and its memory
`;

/** Scripts of their own too: what follows their names is theirs. */
const SCRIPTS = new Set([
  'correlate',
  'decode',
  'detect-core',
  'latency',
  'match',
  'prove',
  'rsigma',
  'segment',
  'verify',
]);

async function main(): Promise<number> {
  const [, , name] = process.argv;
  if (name !== undefined && SCRIPTS.has(name)) {
    process.argv.splice(2, 1);
    await import(`./${name}.ts`);
    return 0;
  }
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      events: { type: 'string' },
      profile: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  const [pipeline] = positionals;
  const events = values.events === undefined ? undefined : Number(values.events);
  if (events !== undefined && !(Number.isSafeInteger(events) && events >= 1_000)) {
    throw new Error('--events takes a whole number from 1000 on');
  }
  if (pipeline === 'archive' || pipeline === 'detect') {
    const { benchPipeline } = await import('./pipeline.ts');
    print(await benchPipeline(pipeline, { events: events ?? 600_000, profile: values.profile }));
    return 0;
  }
  process.stderr.write(HELP);
  return values.help ? 0 : 1;
}

function print(result: unknown): void {
  process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
}

// Servers and services end with this process; without a handler a signal would skip that.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    process.stderr.write(`${describeFailure('bench', error)}\n`);
    process.exit(1);
  },
);
