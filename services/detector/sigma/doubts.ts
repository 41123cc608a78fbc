/**
 * Rules that load and still cannot be meant: those that no event can match, those that every event
 * matches, and thresholds that nothing reaches. What is said here is certain; what is not said may
 * still be wrong.
 */
import type { Problem } from './problem.ts';
import type { Rule, RuleExpression, RuleSet, StatefulRule, Threshold } from './rule.ts';
import { satisfiable } from './satisfiable.ts';

/** Warnings, at the rule's first line, in order of the set. */
export function doubtsOf(set: RuleSet): Problem[] {
  return [...set.rules.flatMap(doubtsOfRule), ...set.stateful.flatMap(doubtsOfStateful)];
}

function doubtsOfRule(rule: Rule): Problem[] {
  const selections = new Map(rule.selections);
  const confined = [rule.condition, ...(rule.service === null ? [] : [serviceIs(rule.service)])];
  if (!satisfiable(confined, selections)) return [neverMatches(rule, selections)];
  const problems: Problem[] = [];
  const matchesAll = !satisfiable([{ kind: 'not', term: rule.condition }], selections);
  // A rule that only selects for another may well select everything.
  if (matchesAll && rule.alerts && rule.service === null) {
    problems.push(
      doubt(rule, 'every event matches this rule', 'select by serviceName and actionName'),
    );
  }
  for (const { level, when } of rule.levels) {
    if (satisfiable([...confined, when], selections)) continue;
    problems.push(
      doubt(
        rule,
        `no event that matches the rule has the level ${level}`,
        'correct its "when", or remove it',
      ),
    );
  }
  return problems;
}

function serviceIs(service: string): Rule['condition'] {
  const value = { kind: 'pattern' as const, pattern: [service], cased: false };
  return { kind: 'item', field: 'serviceName', values: [value] };
}

function neverMatches(rule: Rule, selections: Rule['selections']): Problem {
  const { condition, filters } = rule;
  if (filters.length > 0 && condition.kind === 'and') {
    // Filters are joined behind the rule's own condition.
    const own = condition.terms.slice(0, condition.terms.length - filters.length);
    if (satisfiable(own, selections)) {
      return doubt(
        rule,
        `its exceptions leave no event that could match: ${filters.join(', ')}`,
        'narrow them, or switch the rule off with an override',
      );
    }
  }
  return doubt(
    rule,
    'no event can match this rule',
    'look for values that exclude each other, and for selections that are joined with "and" where "or" is meant',
  );
}

function doubtsOfStateful(rule: StatefulRule): Problem[] {
  const never = (why: string): Problem[] => [
    doubt(rule, `the rule can never fire: ${why}`, 'correct its condition'),
  ];
  const { stateful } = rule;
  switch (stateful.kind) {
    case 'aggregate': {
      const counts = stateful.aggregate === 'event_count' || stateful.aggregate === 'value_count';
      const least = stateful.aggregate === 'event_count' ? 1 : 0;
      const range = counts ? { least, integers: true } : { least: null, integers: false };
      return feasible(stateful.thresholds, range) ? [] : never('no figure meets its condition');
    }
    case 'temporal': {
      const count = rule.rules.length;
      const possible = Array.from({ length: count }, (_, index) => index + 1);
      if (possible.some((one) => stateful.thresholds.every((limit) => meets(one, limit))))
        return [];
      return never(`it refers to ${count} rules, and no number of them meets its condition`);
    }
    case 'temporal_expression':
      return expressionFeasible(stateful.expression, rule.rules)
        ? []
        : never('no set of its rules meets its condition');
    default:
      return [];
  }
}

/**
 * Whether any number meets all thresholds. The operands, what lies right beside them and halfway
 * between them stand for all numbers, because no threshold tells others apart.
 */
function feasible(
  thresholds: readonly Threshold[],
  { least, integers }: { least: number | null; integers: boolean },
): boolean {
  const operands = thresholds.map(({ operand }) => operand);
  const between = operands.map((operand) => (operand + operands[0]!) / 2);
  const outside = [Math.min(...operands) - 1, Math.max(...operands) + 1];
  const figures = integers
    ? operands.flatMap((operand) => [-1, 0, 1, 2].map((step) => Math.floor(operand) + step))
    : [...operands, ...between, ...outside];
  return [...figures, ...(least === null ? [] : [least])].some(
    (figure) =>
      (least === null || figure >= least) && thresholds.every((limit) => meets(figure, limit)),
  );
}

function meets(figure: number, { operator, operand }: Threshold): boolean {
  switch (operator) {
    case 'lt':
      return figure < operand;
    case 'lte':
      return figure <= operand;
    case 'gt':
      return figure > operand;
    case 'gte':
      return figure >= operand;
    case 'eq':
      return figure === operand;
    case 'neq':
      return figure !== operand;
  }
}

/** Rules of an expression up to which every set of them is tried. */
const EXPRESSION_RULES_MAX = 12;

function expressionFeasible(expression: RuleExpression, rules: readonly string[]): boolean {
  if (rules.length > EXPRESSION_RULES_MAX) return true;
  for (let bits = 1; bits < 2 ** rules.length; bits += 1) {
    const occurred = new Set(rules.filter((_, index) => (bits >> index) & 1));
    if (holds(expression, occurred)) return true;
  }
  return false;
}

function holds(expression: RuleExpression, occurred: ReadonlySet<string>): boolean {
  switch (expression.kind) {
    case 'and':
      return expression.terms.every((term) => holds(term, occurred));
    case 'or':
      return expression.terms.some((term) => holds(term, occurred));
    case 'not':
      return !holds(expression.term, occurred);
    case 'rule':
      return occurred.has(expression.rule);
  }
}

function doubt(rule: Rule | StatefulRule, message: string, hint: string): Problem {
  const { file, line } = rule;
  return {
    severity: 'warning',
    file,
    line,
    column: 1,
    message: `${JSON.stringify(rule.title)}: ${message}`,
    hint,
  };
}
