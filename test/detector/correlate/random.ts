/** Rule sets, streams and deliveries out of a seed, for the properties of correlation. */
import type { Limits } from '../../../services/detector/correlate/limits.ts';
import type {
  RuleExpression,
  RuleSet,
  StatefulKind,
  StatefulRule,
  Threshold,
} from '../../../services/detector/sigma/rule.ts';
import { aggregate, groupField, ruleSet, stateful } from '../made.ts';
import type { PlainEvent } from './plain-evaluator.ts';

/** A small generator (mulberry32): the same numbers for a seed on every machine. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** From `low` to `high`, both included. */
  int(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1));
  }

  of<T>(list: readonly T[]): T {
    return list[this.int(0, list.length - 1)]!;
  }

  chance(share: number): boolean {
    return this.next() < share;
  }

  some<T>(list: readonly T[], least: number): T[] {
    const chosen = list.filter(() => this.chance(0.6));
    while (chosen.length < least)
      chosen.push(...list.filter((one) => !chosen.includes(one)).slice(0, 1));
    return chosen;
  }
}

export const DETECTIONS = ['a', 'b', 'c', 'd'] as const;
const USERS = ['ann', 'bob'] as const;

export type KindName =
  | StatefulKind['kind']
  | 'ordered'
  | 'computed'
  | 'tumbling'
  | 'chain'
  | 'suppress';
export const KIND_NAMES: readonly KindName[] = [
  'aggregate',
  'temporal',
  'ordered',
  'computed',
  'tumbling',
  'temporal_expression',
  'first_seen',
  'baseline',
  'travel',
  'absence',
  'silence',
  'chain',
  'suppress',
];

function growing(random: Random, most: number): Threshold[] {
  return random.chance(0.8)
    ? [{ operator: 'gte', operand: random.int(1, most) }]
    : [{ operator: 'gt', operand: random.int(0, most - 1) }];
}

function anyThreshold(random: Random, most: number): Threshold[] {
  const one: Threshold = {
    operator: random.of(['lt', 'lte', 'eq', 'neq'] as const),
    operand: random.int(0, most),
  };
  return random.chance(0.3) ? [{ operator: 'gte', operand: random.int(1, 2) }, one] : [one];
}

function expression(random: Random, rules: readonly string[], depth = 0): RuleExpression {
  const [first, ...rest] = rules;
  const leaf = (rule: string): RuleExpression => {
    const one: RuleExpression = { kind: 'rule', rule };
    return random.chance(0.35) ? { kind: 'not', term: one } : one;
  };
  if (rest.length === 0) return leaf(first!);
  const kind = random.of(['and', 'and', 'or'] as const);
  const whole: RuleExpression = {
    kind,
    terms: [leaf(first!), expression(random, rest, depth + 1)],
  };
  return depth > 0 && random.chance(0.15) ? { kind: 'not', term: whole } : whole;
}

function hasPositive(tree: RuleExpression, negated = false): boolean {
  if (tree.kind === 'rule') return !negated;
  if (tree.kind === 'not') return hasPositive(tree.term, !negated);
  return tree.terms.some((term) => hasPositive(term, negated));
}

function kindOf(random: Random, name: KindName, rules: readonly string[]): StatefulKind {
  const fields = random.chance(0.3) ? ['value', 'size'] : ['value'];
  switch (name) {
    case 'aggregate':
      return random.chance(0.5)
        ? ({ ...aggregate('event_count', {}), thresholds: growing(random, 5) } as StatefulKind)
        : ({
            ...aggregate('value_count', {}, fields),
            thresholds: growing(random, 4),
          } as StatefulKind);
    case 'suppress':
      return aggregate('event_count', { gte: 1 });
    case 'temporal':
    case 'ordered':
      return {
        kind: 'temporal',
        ordered: name === 'ordered',
        thresholds: random.chance(0.7) ? [] : growing(random, rules.length),
      };
    case 'computed': {
      const of = random.of(['value_sum', 'value_avg', 'value_percentile'] as const);
      const percentile = of === 'value_percentile' ? random.of([0, 25, 50, 95, 100]) : null;
      return aggregate(
        of,
        { gte: random.int(1, of === 'value_sum' ? 30 : 9) },
        ['size'],
        percentile,
      );
    }
    case 'tumbling': {
      const of = random.of([
        'event_count',
        'value_count',
        'value_sum',
        'value_avg',
        'value_percentile',
        'temporal',
      ] as const);
      if (of === 'temporal') {
        return {
          kind: 'temporal',
          ordered: random.chance(0.5),
          thresholds: anyThreshold(random, 3),
        };
      }
      const made = aggregate(
        of,
        {},
        of === 'event_count' ? [] : of === 'value_count' ? fields : ['size'],
        50,
      );
      return {
        ...made,
        thresholds: anyThreshold(random, of === 'value_sum' ? 20 : 5),
      } as StatefulKind;
    }
    case 'temporal_expression': {
      for (;;) {
        const tree = expression(random, rules);
        if (hasPositive(tree)) return { kind: name, ordered: random.chance(0.3), expression: tree };
      }
    }
    case 'first_seen':
      return { kind: name, fields, learnMs: random.of([0, 20, 60]) };
    case 'baseline': {
      const method = random.of(['zscore', 'tukey'] as const);
      return {
        kind: name,
        measure: random.of(['event_count', 'value_count'] as const),
        fields: ['value'],
        periodMs: 20,
        historyMs: random.of([60, 120, 200]),
        excludeMs: random.of([0, 20, 30, 40]),
        periodsMin: random.int(1, 3),
        method,
        factor: random.of([0, 0.5, 1, 2]),
        floor: random.int(0, 3),
        spreadMin: method === 'tukey' ? random.of([0, 0.5, 1]) : 0,
        coldStart: random.chance(0.5) ? null : random.int(1, 4),
      };
    }
    case 'travel':
      return {
        kind: name,
        speedKmh: random.of([1e6, 1e8, 1e9]),
        distanceKmMin: random.of([0, 500]),
      };
    case 'absence':
      return { kind: name, followedBy: random.of(['b', 'b', 'a']) };
    case 'silence':
      return { kind: name };
    case 'chain':
      throw new Error('a chain is more than a kind');
  }
}

/** A rule of the kind, and what it needs below it. The rule itself comes last. */
function rulesOf(random: Random, name: KindName, id: string): StatefulRule[] {
  const timespanMs = random.of([1, 10, 20, 40, 60, 100]);
  const suppressMs = random.chance(0.5) ? timespanMs : random.of([7, 20, 50, 200]);
  const groupBy = random.chance(0.8)
    ? [groupField('user', random.chance(0.3) ? { b: 'target' } : {})]
    : random.chance(0.5)
      ? []
      : [groupField('user'), groupField('place')];
  if (name === 'chain') return chain(random, id, groupBy, timespanMs, suppressMs);
  const single =
    name === 'first_seen' || name === 'travel' || name === 'silence' || name === 'baseline';
  const own = name === 'suppress' ? id : 'a';
  const rules =
    name === 'absence' || name === 'suppress' || single
      ? [own]
      : random.some(
          DETECTIONS.slice(0, 3),
          name === 'temporal' || name === 'ordered' || name === 'temporal_expression' ? 2 : 1,
        );
  const kind = kindOf(random, name, rules);
  const timespan = kind.kind === 'baseline' ? kind.historyMs : timespanMs;
  return [stateful(kind, { id, rules, groupBy, timespanMs: timespan, suppressMs })];
}

function chain(
  random: Random,
  id: string,
  groupBy: StatefulRule['groupBy'],
  timespanMs: number,
  suppressMs: number,
): StatefulRule[] {
  const inner = random.of([
    'aggregate',
    'temporal',
    'ordered',
    'computed',
    'tumbling',
    'temporal_expression',
    'first_seen',
    'absence',
    'silence',
    'travel',
  ] as const);
  const innerId = `${id}-inner`;
  const finer = random.chance(0.5) ? [groupField('place')] : [];
  const [below] = rulesOf(random, inner, innerId);
  const made = { ...below!, groupBy: [...groupBy, ...finer], alerts: random.chance(0.3) };
  const rules = [innerId, 'd'];
  const outer = random.of<StatefulKind>([
    aggregate('event_count', { gte: random.int(1, 3) }),
    aggregate('value_count', { gte: random.int(1, 3) }, ['value']),
    aggregate('event_count', { lt: random.int(1, 3) }),
    { kind: 'temporal', ordered: false, thresholds: [] },
    { kind: 'temporal', ordered: true, thresholds: [] },
    {
      kind: 'temporal_expression',
      ordered: false,
      expression: {
        kind: 'and',
        terms: [
          { kind: 'rule', rule: innerId },
          { kind: 'not', term: { kind: 'rule', rule: 'd' } },
        ],
      },
    },
    { kind: 'absence', followedBy: 'd' },
  ]);
  const outerRules = outer.kind === 'absence' ? [innerId] : rules;
  return [
    made,
    stateful(outer, { id, rules: outerRules, chained: [innerId], groupBy, timespanMs, suppressMs }),
  ];
}

export function randomSet(random: Random, names: readonly KindName[] = KIND_NAMES): RuleSet {
  const count = random.int(1, 3);
  const rules = Array.from({ length: count }, (_, n) => {
    const name = random.of(names);
    // A rule that is only suppressed shares its id with the detection rule that it is over.
    return rulesOf(random, name, name === 'suppress' ? DETECTIONS[n]! : `rule-${n}`);
  }).flat();
  return ruleSet(DETECTIONS, rules);
}

export function randomEvents(random: Random, count: number): PlainEvent[] {
  const length = random.of([30, 120, 400]);
  const start = random.of([0, -150, 1_700_000_000_000]);
  return Array.from({ length: count }, (_, n) => ({
    id: random.chance(0.5) ? `event-${n}` : uuid(n),
    time: start + random.int(0, length),
    hits: random.some(DETECTIONS, 1),
    ...(random.chance(0.8) && { rank: random.int(0, 4) }),
    fields: {
      user: random.chance(0.95) ? random.of(USERS) : null,
      target: random.of(USERS),
      place: random.of(['x', 'y']),
      value: random.chance(0.9)
        ? random.of(['1', '2', '3', 'a long value, longer than what is kept of a tuple as it is'])
        : null,
      size: random.of(['1', '2', '3', '5.5', ' 8 ', '-2', '1e1', 'NaN', '', '0x10', 'Infinity']),
      'lakeseal.source.latitude': random.of(['48.86', '40.71', '-33.87', '91', '', '90']),
      'lakeseal.source.longitude': random.of(['2.35', '-74.01', '151.21', '180']),
    },
  }));
}

function uuid(n: number): string {
  return `0000000${n % 10}-0000-4000-8000-${String(n * 7919).padStart(12, '0')}`;
}

export function randomLimits(random: Random, latenessMs: number): Limits {
  return {
    latenessMs,
    groupEntriesMax: random.of([1_000, 1_000, 12, 6]),
    groupsMax: 1_000,
    warmGroupsMax: random.of([1, 2, 1_000]),
  };
}
