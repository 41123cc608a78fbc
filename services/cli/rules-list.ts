/** `lakeseal rules list`: a table, JSON, or an ATT&CK Navigator layer. */

import type { Level, RuleSet } from '../detector/sigma/rule.ts';
import { loadRules, SHIPPED_RULES } from '../detector/sigma/rules.ts';
import { coverageLayer } from '../detector/workbench/coverage.ts';
import {
  filterRules,
  type ListedRule,
  type ListFilter,
  listRules,
} from '../detector/workbench/list.ts';
import type { Config } from '../runtime/config.ts';
import { version } from '../runtime/version.ts';
import { counted } from '../runtime/wording.ts';
import { type LayerFlags, type Layers, layersOf, loadOrTell } from './rules-load.ts';
import { type Cell, formatTable, type Terminal, type Tone, toJson } from './terminal.ts';

const TITLE_CHARS_SHOWN = 60;

export function listAllRules(
  terminal: Terminal,
  paths: readonly string[],
  flags: LayerFlags & ListFilter & { coverage?: true; json?: true },
  config: () => Config,
  nowMs: number,
): number {
  const layers = layersOf(paths, flags, config);
  const set = loadOrTell(terminal, layers, nowMs);
  if (set === null) return 1;
  const rules = filterRules(listRules(set, shippedAlone(layers, nowMs)), flags);
  if (flags.coverage === true) terminal.out(toJson(coverageLayer(rules, version)));
  else if (flags.json === true) terminal.out(toJson(rules));
  else tellRules(terminal, rules);
  return 0;
}

/** What the shipped layer is without the operator's, to tell which rules were changed. */
function shippedAlone({ shipped, lists }: Layers, nowMs: number): RuleSet | null {
  if (!shipped) return null;
  const loaded = loadRules({ layers: [SHIPPED_RULES], lists, nowMs });
  return loaded.ok ? loaded.set : null;
}

const TONES: Record<Level | '', Tone> = {
  critical: 'bad',
  high: 'bad',
  medium: 'attention',
  low: 'strong',
  informational: 'quiet',
  '': 'quiet',
};

function tellRules(terminal: Terminal, rules: readonly ListedRule[]): void {
  if (rules.length === 0) {
    terminal.out('no rule is like that');
    return;
  }
  const rows = rules.map(
    ({ id, level, title, kind, alerts, techniques, source, needs }): Cell[] => [
      id,
      [TONES[level], level === '' ? '-' : level],
      title.length > TITLE_CHARS_SHOWN ? `${title.slice(0, TITLE_CHARS_SHOWN - 1)}…` : title || '-',
      alerts || source === 'disabled' ? kind || '-' : `${kind}, serves others`,
      techniques.join(' ') || '-',
      source,
      describeNeeds(needs) || '-',
    ],
  );
  terminal.out(
    formatTable(terminal, ['ID', 'LEVEL', 'TITLE', 'KIND', 'ATT&CK', 'SOURCE', 'NEEDS'], rows),
  );
  const off = rules.filter(({ source }) => source === 'disabled').length;
  terminal.out(
    `\n${counted(rules.length, 'rule')}${off === 0 ? '' : `, ${off} of them switched off`}`,
  );
}

/** `city/country` for a file of either kind, `NAME.txt` for a list. */
function describeNeeds({ fields, lists }: ListedRule['needs']): string {
  const databases = new Set(fields.map(({ anyOf }) => anyOf.join('/')));
  return [...databases, ...lists.map((name) => `${name}.txt`)].join(' ');
}
