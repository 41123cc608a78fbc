/**
 * Why a detection rule fires on an event, or why it does not: its condition as a tree, each part
 * with its own verdict and what the event has in its place.
 *
 * The verdicts of single values are those of the matcher itself: every value of the rule is given
 * to it as a rule of its own, and only AND, OR and NOT are worked out here. So an explanation
 * cannot disagree with the detector about a value, and a property test holds the whole to it.
 */
import { strict as assert } from 'node:assert';
import type { AuditEvent } from '../../ingest/event.ts';
import { type FieldReader, type FieldValue, fieldReader } from '../fields/fields.ts';
import { NO_PLACES, type PlaceSource } from '../fields/place.ts';
import { Matcher } from '../match/match.ts';
import type { Pattern } from '../sigma/pattern.ts';
import type { Expression, Level, Rule, ValueTest } from '../sigma/rule.ts';

export type Explanation =
  | { kind: 'and' | 'or'; holds: boolean; terms: Explanation[] }
  | { kind: 'not'; holds: boolean; term: Explanation }
  | { kind: 'selection'; name: string; holds: boolean; term: Explanation }
  | {
      kind: 'item';
      field: string;
      holds: boolean;
      /** What the event has; not redacted, see `values.ts` for showing it. */
      actual: FieldValue;
      values: Array<{ test: ValueTest; holds: boolean }>;
    }
  | { kind: 'keyword'; pattern: Pattern; cased: boolean; holds: boolean };

export interface ExplainedRule {
  rule: Rule;
  holds: boolean;
  /** Where the log source confines the rule to one service, else null. */
  service: { wanted: string; actual: string; holds: boolean } | null;
  /** The rule's own. */
  condition: Explanation;
  /** Exceptions in force: one that does not hold keeps the rule from firing. */
  filters: Array<{ title: string; holds: boolean; term: Explanation }>;
  /** The cases of the level up to the first that holds. */
  levels: Array<{ level: Level; holds: boolean; term: Explanation }>;
  level: Level;
}

type Item = Expression & { kind: 'item' };
type Keyword = Expression & { kind: 'keyword' };

/** Explains one rule; made once, asked for any number of events. */
export class Explainer {
  readonly rule: Rule;
  readonly #matcher: Matcher;
  /** First probe of each leaf; those of an item's values follow each other. */
  readonly #probes = new Map<Item | Keyword, number>();
  readonly #service: number;
  readonly #readers = new Map<string, FieldReader>();

  constructor(rule: Rule, places: PlaceSource = NO_PLACES) {
    this.rule = rule;
    const probes: Rule[] = [];
    const probe = (condition: Expression, service: string | null): number => {
      const nothing = { selections: new Map(), levels: [], filters: [], tests: [] };
      probes.push({
        ...rule,
        ...nothing,
        id: String(probes.length),
        name: null,
        service,
        condition,
      });
      return probes.length - 1;
    };
    for (const leaf of leavesOf(rule)) {
      if (this.#probes.has(leaf)) continue;
      if (leaf.kind === 'keyword') this.#probes.set(leaf, probe(leaf, null));
      else {
        this.#readers.set(leaf.field, fieldReader(leaf.field, places));
        this.#probes.set(leaf, probes.length);
        for (const value of leaf.values) probe({ ...leaf, values: [value] }, null);
      }
    }
    this.#service = probe(ALWAYS, rule.service);
    this.#matcher = new Matcher(probes, places);
  }

  explain(event: AuditEvent): ExplainedRule {
    const { rule } = this;
    const holding = new Set(this.#matcher.match(event).map(({ id }) => Number(id)));
    const tree = (expression: Expression): Explanation => this.#tree(expression, event, holding);
    const confined = holding.has(this.#service);
    const { condition, filters } = withoutFilters(rule);
    const own = tree(condition);
    const excepted = filters.map((filter) => {
      const term = tree(filter.term);
      return { title: filter.title, holds: term.holds, term };
    });
    const levels: ExplainedRule['levels'] = [];
    for (const { level, when } of rule.levels) {
      const term = tree(when);
      levels.push({ level, holds: term.holds, term });
      if (term.holds) break;
    }
    const decided = levels.at(-1);
    return {
      rule,
      holds: confined && own.holds && excepted.every(({ holds }) => holds),
      service:
        rule.service === null
          ? null
          : { wanted: rule.service, actual: event.serviceName, holds: confined },
      condition: own,
      filters: excepted,
      levels,
      level: decided?.holds === true ? decided.level : rule.level,
    };
  }

  #tree(expression: Expression, event: AuditEvent, holding: ReadonlySet<number>): Explanation {
    const tree = (inner: Expression): Explanation => this.#tree(inner, event, holding);
    switch (expression.kind) {
      case 'and': {
        const terms = expression.terms.map(tree);
        return { kind: 'and', holds: terms.every(({ holds }) => holds), terms };
      }
      case 'or': {
        const terms = expression.terms.map(tree);
        return { kind: 'or', holds: terms.some(({ holds }) => holds), terms };
      }
      case 'not': {
        const term = tree(expression.term);
        return { kind: 'not', holds: !term.holds, term };
      }
      case 'selection': {
        const term = tree(selectionOf(this.rule, expression.name));
        return { kind: 'selection', name: expression.name, holds: term.holds, term };
      }
      case 'keyword': {
        const { pattern, cased } = expression;
        return {
          kind: 'keyword',
          pattern,
          cased,
          holds: holding.has(this.#probes.get(expression)!),
        };
      }
      case 'item': {
        const first = this.#probes.get(expression)!;
        const values = expression.values.map((test, index) => ({
          test,
          holds: holding.has(first + index),
        }));
        const actual = this.#readers.get(expression.field)!(event);
        const holds = values.some((value) => value.holds);
        return { kind: 'item', field: expression.field, holds, actual, values };
      }
    }
  }
}

/** Filters in force are joined to the rule's condition by AND, in their order. */
function withoutFilters({ condition, filters }: Rule): {
  condition: Expression;
  filters: Array<{ title: string; term: Expression }>;
} {
  if (filters.length === 0) return { condition, filters: [] };
  assert(condition.kind === 'and' && condition.terms.length === filters.length + 1);
  const [own, ...terms] = condition.terms;
  return {
    condition: own!,
    filters: terms.map((term, index) => ({ title: filters[index]!, term })),
  };
}

/** True of every event: one of two opposites. */
const ALWAYS: Expression = {
  kind: 'or',
  terms: [true, false].map((wanted) => ({
    kind: 'item',
    field: 'serviceName',
    values: [{ kind: 'exists', wanted }],
  })),
};

function selectionOf(rule: Rule, name: string): Expression {
  const selection = rule.selections.get(name);
  if (selection === undefined) throw new TypeError(`rule ${rule.id} has no selection ${name}`);
  return selection;
}

/** Everything that reads the event, of the condition and of the cases of the level. */
function* leavesOf(rule: Rule): Generator<Item | Keyword> {
  const below = function* (expression: Expression): Generator<Item | Keyword> {
    switch (expression.kind) {
      case 'and':
      case 'or':
        for (const term of expression.terms) yield* below(term);
        return;
      case 'not':
        yield* below(expression.term);
        return;
      case 'selection':
        yield* below(selectionOf(rule, expression.name));
        return;
      default:
        yield expression;
    }
  };
  yield* below(rule.condition);
  for (const { when } of rule.levels) yield* below(when);
}
