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
  archive   Kafka to sealed segments, against raw consumption and the codec
  detect    Kafka to judged events, against raw consumption, JSON.parse and Avro decoding

In this process:
  decode    audit events from JSON and Avro
  match     rules against events
  segment   segment writing and reading
`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    events: { type: 'string' },
    profile: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

async function main(): Promise<number> {
  const [name] = positionals;
  const events = values.events === undefined ? undefined : Number(values.events);
  if (events !== undefined && !(Number.isSafeInteger(events) && events >= 1_000)) {
    throw new Error('--events takes a whole number from 1000 on');
  }
  if (name === 'archive' || name === 'detect') {
    const { benchPipeline } = await import('./pipeline.ts');
    print(await benchPipeline(name, { events: events ?? 600_000, profile: values.profile }));
    return 0;
  }
  if (name === 'decode' || name === 'match' || name === 'segment') {
    // They are scripts of their own too: what follows the name is theirs.
    process.argv.splice(process.argv.indexOf(name), 1);
    await import(`./${name}.ts`);
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
