/**
 * `lakeseal setup`: makes what lakeseal needs in Kafka, the schema registry, the object store and
 * OpenSearch, and says of each thing whether it made, changed or found it. Running it again changes
 * nothing; a dry run writes nothing. The parts are independent: one that fails does not keep the
 * others from being set up.
 */
import {
  alertTemplate,
  findingTemplate,
  installTemplate,
  openSearchClient,
} from '../detector/alert/opensearch.ts';
import { type RegisteredSchema, registerSchemas } from '../ingest/registry.ts';
import type { Config } from '../runtime/config.ts';
import type { Log } from '../runtime/log.ts';
import { setUpBucket } from './bucket.ts';
import { setUpTopics } from './kafka-topics.ts';
import { topicSchemas } from './schemas.ts';
import { failedItem, type SetupItem, type SetupOutcome, type SetupPart } from './setup-items.ts';
import { type Cell, formatTable, paint, type Terminal, toJson } from './terminal.ts';

/** Never rejects. */
export async function runSetup(config: Config, log: Log, dryRun: boolean): Promise<SetupItem[]> {
  const parts = await Promise.all([
    guard('kafka', 'topics', () => setUpTopics(config, log, dryRun)),
    guard('registry', 'schemas', () => setUpSchemas(config, dryRun)),
    guard('store', `bucket ${config.storage.bucket}`, () => setUpBucket(config, dryRun)),
    guard('opensearch', 'index templates', () => setUpTemplates(config, dryRun)),
  ]);
  return parts.flat();
}

async function guard(
  part: SetupPart,
  item: string,
  run: () => Promise<SetupItem[]>,
): Promise<SetupItem[]> {
  try {
    return await run();
  } catch (error) {
    return [failedItem(part, item, error)];
  }
}

async function setUpSchemas(config: Config, dryRun: boolean): Promise<SetupItem[]> {
  const reports = await registerSchemas(config.registry, topicSchemas(config), { dryRun });
  return reports.flatMap((report) => describeSchema(report));
}

const SCHEMA_OUTCOMES = {
  created: 'made',
  found: 'found',
  'would create': 'would make',
} as const;
const COMPATIBILITY_OUTCOMES = {
  set: 'changed',
  found: 'found',
  'would set': 'would change',
} as const;

function describeSchema({ subject, id, schema, compatibility }: RegisteredSchema): SetupItem[] {
  return [
    {
      part: 'registry',
      item: `schema ${subject}`,
      outcome: SCHEMA_OUTCOMES[schema],
      detail: id === null ? '' : `id ${id}`,
    },
    {
      part: 'registry',
      item: `compatibility of ${subject}`,
      outcome: COMPATIBILITY_OUTCOMES[compatibility],
      detail: 'BACKWARD or stricter',
    },
  ];
}

async function setUpTemplates(config: Config, dryRun: boolean): Promise<SetupItem[]> {
  const client = openSearchClient(config.opensearch);
  try {
    const items: SetupItem[] = [];
    for (const template of [alertTemplate(config.opensearch), findingTemplate(config.opensearch)]) {
      const { name, body } = template;
      const { outcome } = await installTemplate(client, template, { dryRun });
      const detail = `for ${body.index_patterns.join(', ')}`;
      items.push({ part: 'opensearch', item: `index template ${name}`, outcome, detail });
    }
    return items;
  } finally {
    await client.close();
  }
}

/** Prints the items and gives the exit code: 1 where one failed. */
export function tellItems(
  terminal: Terminal,
  items: SetupItem[],
  { dryRun, json }: { dryRun: boolean; json: boolean },
): number {
  const code = items.some(({ outcome }) => outcome === 'failed') ? 1 : 0;
  if (json) {
    terminal.out(toJson({ ok: code === 0, dryRun, items }));
    return code;
  }
  const rows = items.map(({ part, item, outcome, detail }): Cell[] => [
    [TONES[outcome], outcome],
    part,
    item,
    detail,
  ]);
  terminal.out(formatTable(terminal, ['', 'PART', 'ITEM', 'DETAIL'], rows));
  for (const { part, item, outcome, hint } of items) {
    if (hint === undefined) continue;
    terminal.out(`${paint(terminal, TONES[outcome], `${part}: ${item}:`)} ${hint}`);
  }
  if (dryRun) terminal.out('\nNothing was changed (--dry-run).');
  return code;
}

const TONES: Record<SetupOutcome, 'good' | 'bad' | 'attention' | 'quiet'> = {
  made: 'good',
  changed: 'good',
  found: 'quiet',
  'would make': 'good',
  'would change': 'good',
  differs: 'attention',
  'not offered': 'attention',
  failed: 'bad',
};
