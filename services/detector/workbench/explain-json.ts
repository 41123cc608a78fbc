/** An explanation as plain JSON, for programs. What may be secret is left out as for people. Pure. */
import type { ExplainedRule, Explanation } from './explain.ts';
import { actualText, patternText, wantedText } from './values.ts';

export type JsonTree =
  | { kind: 'and' | 'or'; holds: boolean; terms: JsonTree[] }
  | { kind: 'not'; holds: boolean; term: JsonTree }
  | { kind: 'selection'; name: string; holds: boolean; term: JsonTree }
  | {
      kind: 'item';
      field: string;
      holds: boolean;
      actual: string;
      values: Array<{ wanted: string; holds: boolean }>;
    }
  | { kind: 'keyword'; wanted: string; holds: boolean };

export interface JsonExplanation {
  rule: { id: string; title: string };
  holds: boolean;
  level: string;
  service: ExplainedRule['service'];
  condition: JsonTree;
  exceptions: Array<{ title: string; holds: boolean; term: JsonTree }>;
  levels: Array<{ level: string; holds: boolean; term: JsonTree }>;
}

export function explanationJson(explained: ExplainedRule): JsonExplanation {
  const { rule, holds, level, service, condition, filters, levels } = explained;
  return {
    rule: { id: rule.id, title: rule.title },
    holds,
    level,
    service,
    condition: jsonTree(condition),
    exceptions: filters.map((filter) => ({ ...filter, term: jsonTree(filter.term) })),
    levels: levels.map((one) => ({ ...one, term: jsonTree(one.term) })),
  };
}

function jsonTree(tree: Explanation): JsonTree {
  switch (tree.kind) {
    case 'and':
    case 'or':
      return { kind: tree.kind, holds: tree.holds, terms: tree.terms.map(jsonTree) };
    case 'not':
      return { kind: 'not', holds: tree.holds, term: jsonTree(tree.term) };
    case 'selection':
      return { ...tree, term: jsonTree(tree.term) };
    case 'keyword':
      return { kind: 'keyword', wanted: patternText(tree.pattern), holds: tree.holds };
    case 'item': {
      const values = tree.values.map(({ test, holds }) => ({ wanted: wantedText(test), holds }));
      const { field, holds, actual } = tree;
      return { kind: 'item', field, holds, actual: actualText(field, actual), values };
    }
  }
}
