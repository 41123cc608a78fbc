/**
 * Which ATT&CK techniques the rules in force look for, as a layer that ATT&CK Navigator opens
 * (layer format 4.5). Pure: the same rules give the same text.
 */
import { LEVELS, type Level } from '../sigma/rule.ts';
import type { ListedRule } from './list.ts';

export interface NavigatorLayer {
  name: string;
  versions: { navigator: string; layer: string };
  domain: 'enterprise-attack';
  description: string;
  sorting: number;
  layout: Record<string, string | boolean>;
  techniques: LayerTechnique[];
  gradient: { colors: string[]; minValue: number; maxValue: number };
  legendItems: Array<{ label: string; color: string }>;
}

interface LayerTechnique {
  techniqueID: string;
  /** How many rules look for it. */
  score: number;
  /** Of the worst level among them; wins over the gradient. */
  color: string;
  comment: string;
  metadata: Array<{ name: string; value: string }>;
  showSubtechniques: boolean;
}

const COLOURS: Record<Level, string> = {
  informational: '#dbe9f6',
  low: '#c7e9c0',
  medium: '#fee391',
  high: '#fe9929',
  critical: '#de2d26',
};

/** 3: by score, the highest first. */
const SORT_BY_SCORE = 3;

/** Rules that are switched off or only serve others are no coverage. */
export function coverageLayer(rules: readonly ListedRule[], version: string): NavigatorLayer {
  const counted = rules.filter((rule) => rule.alerts && rule.source !== 'disabled');
  const byTechnique = new Map<string, ListedRule[]>();
  for (const rule of counted) {
    for (const id of new Set(rule.techniques)) {
      byTechnique.set(id, [...(byTechnique.get(id) ?? []), rule]);
    }
  }
  const ids = [...byTechnique.keys()].sort();
  const parents = new Set(ids.filter((id) => id.includes('.')).map((id) => id.split('.')[0]!));
  const techniques = ids.map((id) => {
    return layerTechnique(id, byTechnique.get(id)!, parents.has(id));
  });
  const most = Math.max(1, ...techniques.map(({ score }) => score));
  return {
    name: 'lakeseal rules',
    versions: { navigator: '4.9.0', layer: '4.5' },
    domain: 'enterprise-attack',
    description:
      `Rules of lakeseal ${version}: the score is how many rules look for a technique, ` +
      'the colour is the worst level among them.',
    sorting: SORT_BY_SCORE,
    layout: { layout: 'side', showID: true, showName: true, expandedSubtechniques: 'annotated' },
    techniques,
    gradient: { colors: [COLOURS.informational, COLOURS.critical], minValue: 0, maxValue: most },
    legendItems: LEVELS.map((level) => ({ label: level, color: COLOURS[level] })),
  };
}

function layerTechnique(
  techniqueID: string,
  rules: readonly ListedRule[],
  showSubtechniques: boolean,
): LayerTechnique {
  const ranks = rules.map(({ level }) => (level === '' ? 0 : LEVELS.indexOf(level)));
  const worst = LEVELS[Math.max(...ranks)]!;
  return {
    techniqueID,
    score: rules.length,
    color: COLOURS[worst],
    comment: rules.map(({ title, level }) => `${title} (${level})`).join('\n'),
    metadata: [
      { name: 'rules', value: String(rules.length) },
      { name: 'worst level', value: worst },
    ],
    showSubtechniques,
  };
}
