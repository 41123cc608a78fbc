/** One rule file on its own: for tests, tools and editors that have a text and no folder. */
import { readDocuments } from './documents.ts';
import { type Problem, sortProblems } from './problem.ts';
import { resolveRules } from './resolve.ts';
import type { Rule, StatefulRule } from './rule.ts';

export { RULE_FILE_BYTES_MAX } from './tree.ts';

export interface ParsedRuleFile {
  /** Detection rules, those that only serve a stateful rule included. */
  rules: Rule[];
  stateful: StatefulRule[];
  problems: Problem[];
}

/**
 * The rules of a text, with every problem it has. `file` only names places. References go to rules
 * of the same text; placeholders need lists and have none here. Never throws, whatever the text.
 */
export function parseRuleFile(file: string, source: string): ParsedRuleFile {
  const { documents, problems } = readDocuments(file, 0, source);
  const resolved = resolveRules(documents, { lists: new Map(), tests: true, nowMs: 0 });
  return {
    rules: [...resolved.set.rules],
    stateful: [...resolved.set.stateful],
    problems: sortProblems([...problems, ...resolved.problems]),
  };
}
