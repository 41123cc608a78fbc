/** Rule texts in layers, resolved without files. */
import assert from 'node:assert/strict';
import { readDocuments } from '../../../services/detector/sigma/documents.ts';
import { describeProblem, type Problem } from '../../../services/detector/sigma/problem.ts';
import { resolveRules } from '../../../services/detector/sigma/resolve.ts';
import type { RuleSet } from '../../../services/detector/sigma/rule.ts';

export interface LayerOptions {
  lists?: Record<string, readonly string[]>;
  nowMs?: number;
}

export interface Layered {
  set: RuleSet;
  problems: Problem[];
}

/** Each text is a layer; its file is named `0.yml`, `1.yml`, …. */
export function layered(texts: readonly string[], options: LayerOptions = {}): Layered {
  const read = texts.map((text, layer) => readDocuments(`${layer}.yml`, layer, text));
  const resolved = resolveRules(
    read.flatMap(({ documents }) => documents),
    { lists: new Map(Object.entries(options.lists ?? {})), tests: true, nowMs: options.nowMs ?? 0 },
  );
  const problems = [...read.flatMap((one) => one.problems), ...resolved.problems];
  return { set: resolved.set, problems };
}

/** The set of layers that must load; warnings are passed over. */
export function setOf(texts: readonly string[], options: LayerOptions = {}): RuleSet {
  const { set, problems } = layered(texts, options);
  const errors = problems.filter(({ severity }) => severity === 'error');
  assert.deepEqual(errors.map(describeProblem), []);
  return set;
}

export function problemsOfLayers(texts: readonly string[], options: LayerOptions = {}): string[] {
  return layered(texts, options).problems.map(describeProblem);
}

/** UUID number `number`. */
export function idOf(number: number): string {
  return `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;
}

/** A detection rule of one action, with more lines at its end. */
export function detectionRule(number: number, action: string, more = ''): string {
  return `title: Rule ${number}
id: ${idOf(number)}
name: rule_${number}
level: low
logsource: {product: databricks}
detection:
  selection: {actionName: ${action}}
  condition: selection
${more}---
`;
}

/** A correlation whose `correlation:` is this YAML flow map, with more lines at its end. */
export function correlationRule(number: number, correlation: string, more = ''): string {
  return `title: Rule ${number}
id: ${idOf(number)}
name: rule_${number}
level: high
correlation: ${correlation}
${more}---
`;
}
