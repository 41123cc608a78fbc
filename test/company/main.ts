/**
 * Writes a generated company day as a Databricks delivery folder.
 *
 *   node test/company/main.ts --events 20000 --seed 1 --out DIR
 *   node test/company/main.ts --events 20000 --seed 1 --out - | lakeseal collect -
 */
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { companyDay, type DayOptions } from './day.ts';
import { writeDelivery } from './write.ts';

const { values } = parseArgs({
  options: {
    out: { type: 'string' },
    seed: { type: 'string', default: '1' },
    events: { type: 'string', default: '20000' },
    days: { type: 'string', default: '1' },
    workspaces: { type: 'string', default: '5' },
    'first-day': { type: 'string' },
    benign: { type: 'boolean', default: false },
  },
});

if (values.out === undefined) {
  console.error('usage: main.ts --out DIR|- [--events N] [--seed N] [--days N] [--workspaces N]');
  console.error('               [--first-day yyyy-mm-dd] [--benign]');
  process.exit(1);
}

const options: DayOptions = {
  seed: count('seed', values.seed),
  events: count('events', values.events),
  days: count('days', values.days),
  workspaces: count('workspaces', values.workspaces),
  benign: values.benign,
  ...(values['first-day'] === undefined ? {} : { firstDay: values['first-day'] }),
};

if (values.out === '-') {
  for (const { line } of companyDay(options).lines()) {
    if (!process.stdout.write(`${line}\n`)) await once(process.stdout, 'drain');
  }
} else {
  const { told, paths: _, ...summary } = writeDelivery({ ...options, out: values.out });
  console.log(JSON.stringify({ ...summary, attacks: told.length }));
}

function count(name: string, text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  console.error(`--${name}: not a number: ${text}`);
  process.exit(1);
}
