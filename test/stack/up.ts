/**
 * `node test/stack/up.ts [--state FILE] [--keep] [SERVER…]`: starts a stack, prints where everything
 * is, and holds it until ctrl-C; with --keep it leaves it running for `down.ts` to stop.
 */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import { describeFailure } from '../../services/runtime/errors.ts';
import { DEFAULT_STATE_FILE, type Stack, startStack } from './stack.ts';
import { SERVERS, type ServerName } from './state.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { state: { type: 'string' }, keep: { type: 'boolean', default: false } },
});

function addresses(stack: Stack): string {
  const table = new Table({ head: ['server', 'address'], style: { head: [], border: [] } });
  const { state } = stack;
  const addressOf: Record<ServerName, string> = {
    kafka: state.kafka.brokers.join(','),
    registry: state.registry.url,
    minio: state.s3.endpoint,
    opensearch: state.opensearch.url,
  };
  for (const server of state.servers) table.push([server, addressOf[server]]);
  if (state.dashboards !== undefined) table.push(['dashboards', state.dashboards.url]);
  table.push(['folder', state.dir], ['state file', stack.stateFile]);
  return table.toString();
}

async function main(): Promise<void> {
  const stateFile = resolve(values.state ?? DEFAULT_STATE_FILE);
  const unknown = positionals.filter((name) => !SERVERS.includes(name as ServerName));
  if (unknown.length > 0) throw new Error(`no such server: ${unknown.join(', ')}`);
  const stack = await startStack({
    keep: values.keep,
    stateFile,
    ...(positionals.length === 0 ? {} : { servers: positionals as ServerName[] }),
  });
  console.log(addresses(stack));
  if (values.keep) {
    console.log(`stop it with: node test/stack/down.ts --state ${stateFile}`);
    return;
  }
  console.log('ctrl-C stops it');
  await new Promise((done) => {
    process.once('SIGINT', done);
    process.once('SIGTERM', done);
    setInterval(() => {}, 60_000);
  });
  await stack.stop();
  process.exit(0);
}

main().catch((error: unknown) => {
  console.error(describeFailure('stack', error));
  process.exit(1);
});
