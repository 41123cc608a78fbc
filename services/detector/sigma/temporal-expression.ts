/** Extended temporal conditions: which of a correlation's rules must, and must not, have occurred. */
import type { Targets } from './chains.ts';
import { parseCondition, type Vocabulary } from './condition.ts';
import type { Findings } from './findings.ts';
import type { Expression, RuleExpression } from './rule.ts';
import { type ScalarTree, spotIn } from './tree.ts';

type Target = NonNullable<ReturnType<Targets['get']>>;

const RULES: Vocabulary = {
  unknown: (name) => `the condition names ${JSON.stringify(name)}, which is no rule of it`,
  known: (names) => `the rules are ${names.join(', ')}`,
};
const ANY_RULES: Vocabulary = {
  unknown: (name) => `no rule has the id or name ${JSON.stringify(name)}`,
  known: () => 'name rules of the rule folders by their id or name',
};

/**
 * The expression with ids in it, and the rules it uses. `rules` may be left out of a correlation;
 * where they are given, expression and list name the same.
 */
export function resolveExpression(
  text: ScalarTree,
  names: readonly ScalarTree[],
  named: readonly Target[],
  targets: Targets,
  findings: Findings,
): { expression: RuleExpression; used: Target[] } | null {
  const isOpen = names.length === 0;
  const known = isOpen ? targets.keys() : names.map((name) => name.text);
  const parsed = parseCondition(text.text, known, isOpen ? ANY_RULES : RULES);
  if (!parsed.ok) {
    findings.error(spotIn(text, parsed.at), parsed.message, parsed.hint);
    return null;
  }
  if (isOpen && /\bof\b/.test(text.text)) {
    findings.error(text, '"of" needs a list of rules to choose from', 'add "rules: […]"');
    return null;
  }
  const expression = withIds(parsed.expression, targets);
  if (expression === null) return null;
  const used = [...new Set([...parsed.used].map((name) => targets.get(name)!))];
  for (const target of named) {
    if (used.includes(target)) continue;
    findings.error(
      names.find((name) => targets.get(name.text) === target) ?? text,
      `the condition does not name the rule ${target.name ?? target.id}`,
      'name it in the condition, or take it out of "rules"',
    );
  }
  if (holdsOfNothing(expression)) {
    findings.error(
      text,
      'the condition holds before anything has occurred',
      'join what must not occur with "and" to a rule that must',
    );
    return null;
  }
  return { expression, used };
}

function withIds(expression: Expression, targets: Targets): RuleExpression | null {
  switch (expression.kind) {
    case 'and':
    case 'or': {
      const terms = expression.terms.map((term) => withIds(term, targets));
      const whole = terms.filter((term) => term !== null);
      return whole.length < terms.length ? null : { kind: expression.kind, terms: whole };
    }
    case 'not': {
      const term = withIds(expression.term, targets);
      return term === null ? null : { kind: 'not', term };
    }
    case 'selection': {
      const target = targets.get(expression.name);
      return target === undefined ? null : { kind: 'rule', rule: target.id };
    }
    default:
      return null;
  }
}

function holdsOfNothing(expression: RuleExpression): boolean {
  switch (expression.kind) {
    case 'and':
      return expression.terms.every(holdsOfNothing);
    case 'or':
      return expression.terms.some(holdsOfNothing);
    case 'not':
      return !holdsOfNothing(expression.term);
    case 'rule':
      return false;
  }
}
