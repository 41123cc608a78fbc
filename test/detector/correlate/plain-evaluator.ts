/**
 * Stateful rules judged over a whole set of events at once, as plainly as can be: every window is
 * looked at from scratch, nothing is remembered, nothing is fast. It shares no code with the
 * correlator but the id of an alert, and is the judge of its tests.
 */
import { statefulAlertId } from '../../../services/detector/correlate/alert-id.ts';
import type {
  RuleExpression,
  RuleSet,
  StatefulRule,
  Threshold,
} from '../../../services/detector/sigma/rule.ts';

export interface PlainEvent {
  id: string;
  time: number;
  /** Detection rules that match it. */
  hits: string[];
  fields: Record<string, string | null>;
  /** How grave it is; absent where it does not say. */
  rank?: number;
}

/** An event, or the firing of an inner rule, of one of the rule's rules. */
interface Item {
  rule: string;
  id: string;
  time: number;
  fields: Record<string, string | null>;
  group: Record<string, string | null>;
  rank: number;
}

interface Firing {
  decidedAt: number;
  item: Item;
  value: string | null;
  /** The highest of all that is counted. */
  rank: number;
}

/** Ids of the alerts of all rules, judged up to `until`, and the rank of each; -1 for none. */
export function plainAlerts(
  set: RuleSet,
  events: readonly PlainEvent[],
  until: number,
): Map<string, number> {
  const ids = new Map<string, number>();
  for (const rule of set.stateful.filter(({ alerts }) => alerts)) {
    for (const { key, firings } of fired(rule, set, events, until)) {
      for (const { item, value, rank } of firings) {
        const id = statefulAlertId(rule.id, key, floor(item.time, rule.suppressMs), value);
        ids.set(id, Math.max(rank, ids.get(id) ?? -1));
      }
    }
  }
  return ids;
}

const floor = (time: number, length: number): number => Math.floor(time / length) * length;

function fired(rule: StatefulRule, set: RuleSet, events: readonly PlainEvent[], until: number) {
  const { stateful } = rule;
  const children = stateful.kind === 'absence' ? [rule.rules[0]!, stateful.followedBy] : rule.rules;
  const groups = new Map<string, Item[]>();
  for (const [n, child] of children.entries()) {
    const inner = rule.chained.includes(child)
      ? set.stateful.find(({ id }) => id === child)
      : undefined;
    const items =
      inner === undefined ? leafItems(child, events) : innerItems(inner, set, events, until);
    for (const item of items) {
      const names = rule.groupBy.map(({ name, perRule }) => perRule.get(child) ?? name);
      // A rule that is only suppressed is one of its own events, of whatever group.
      const none = stateful.kind === 'aggregate' && child === rule.id ? '' : null;
      const values = names.map((name) => (inner ? item.group[name] : item.fields[name]) ?? none);
      if (values.includes(null)) continue;
      const key = JSON.stringify(values);
      const group = Object.fromEntries(rule.groupBy.map(({ name }, at) => [name, values[at]!]));
      const named = stateful.kind === 'absence' ? (n === 0 ? 'first' : 'follower') : child;
      groups.set(key, [...(groups.get(key) ?? []), { ...item, rule: named, group }]);
    }
  }
  return [...groups].map(([key, items]) => ({ key, firings: judge(rule, unique(items), until) }));
}

function leafItems(rule: string, events: readonly PlainEvent[]): Item[] {
  return events
    .filter(({ hits }) => hits.includes(rule))
    .map((event) => ({ ...event, rank: event.rank ?? -1, rule, group: {} }));
}

function innerItems(
  inner: StatefulRule,
  set: RuleSet,
  events: readonly PlainEvent[],
  until: number,
): Item[] {
  return fired(inner, set, events, until).flatMap(({ key, firings }) =>
    firings.map(({ decidedAt, item, value, rank }) => ({
      ...item,
      rank,
      rule: inner.id,
      id: `${inner.id} ${key} ${floor(item.time, inner.suppressMs)} ${value}`,
      time: decidedAt,
    })),
  );
}

function unique(items: readonly Item[]): Item[] {
  const seen = new Map(
    items.map((item) => [JSON.stringify([item.rule, item.id, item.time, item.fields]), item]),
  );
  return [...seen.values()].sort(
    (a, b) => a.time - b.time || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0),
  );
}

const compare = ({ operator, operand }: Threshold, figure: number): boolean =>
  ({
    gt: figure > operand,
    gte: figure >= operand,
    lt: figure < operand,
    lte: figure <= operand,
    eq: figure === operand,
    neq: figure !== operand,
  })[operator];

const COUNTS: readonly string[] = ['event_count', 'value_count'];
const distinct = (values: readonly unknown[]): number => new Set(values).size;
const tuple = (item: Item, fields: readonly string[]): string | null =>
  fields.some((field) => item.fields[field] == null)
    ? null
    : JSON.stringify(fields.map((field) => item.fields[field]));
const number = (text: string | null | undefined): number =>
  text != null && /^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$/i.test(text)
    ? Number(text)
    : Number.NaN;

function quantile(figures: number[], percent: number): number {
  const sorted = [...figures].sort((a, b) => a - b);
  const rank = ((sorted.length - 1) * percent) / 100;
  const [low, high] = [sorted[Math.floor(rank)]!, sorted[Math.ceil(rank)]!];
  return low + (high - low) * (rank - Math.floor(rank));
}

/** Items that the rule can use at all. */
function usable({ stateful }: StatefulRule, items: Item[]): Item[] {
  if (stateful.kind === 'first_seen') return items.filter((item) => tuple(item, stateful.fields));
  if (stateful.kind === 'baseline' && stateful.measure === 'value_count') {
    return items.filter((item) => tuple(item, stateful.fields));
  }
  if (stateful.kind !== 'aggregate' || stateful.aggregate === 'event_count') return items;
  if (stateful.aggregate === 'value_count')
    return items.filter((item) => tuple(item, stateful.fields));
  return items.filter((item) => Number.isFinite(number(item.fields[stateful.fields[0]!])));
}

function judge(rule: StatefulRule, all: Item[], until: number): Firing[] {
  const { stateful, timespanMs: span } = rule;
  const items = usable(rule, all).filter(({ time }) => time <= until);
  const instants = [...new Set(items.map(({ time }) => time))];
  const between = (from: number, to: number) =>
    items.filter(({ time }) => time >= from && time <= to);
  const at = (
    time: number,
    item: Item,
    counted: Item[] = [item],
    value: string | null = null,
  ): Firing => ({
    decidedAt: time,
    item,
    value,
    rank: Math.max(...counted.map(({ rank }) => rank)),
  });
  /** What a rule counts that is judged at once: the window, and all that comes in the period. */
  const counted = (time: number, single: boolean) =>
    between(single ? time : time - span, floor(time, rule.suppressMs) + rule.suppressMs - 1);
  const last = (time: number) => items.findLast((item) => item.time === time)!;
  switch (stateful.kind) {
    case 'aggregate':
    case 'temporal': {
      const asked =
        stateful.kind === 'temporal' && stateful.thresholds.length === 0
          ? [{ operator: 'gte' as const, operand: rule.rules.length }]
          : stateful.thresholds;
      const isComputed = stateful.kind === 'aggregate' && !COUNTS.includes(stateful.aggregate);
      const isSingle = asked.every((one) => compare(one, 1));
      const holds = (window: Item[]) => asked.every((one) => compare(one, figure(rule, window)));
      if (asked.every(({ operator }) => operator === 'gt' || operator === 'gte')) {
        return instants
          .filter((t) => {
            const window = between(t - span, t);
            if (stateful.kind !== 'temporal' || !stateful.ordered) return holds(window);
            return longest(rule, window).some(
              ({ item, length }) => item.time === t && asked.every((one) => compare(one, length)),
            );
          })
          .map((t) => at(t, last(t), isComputed ? between(t - span, t) : counted(t, isSingle)));
      }
      const windowOf = (start: number) => between(start, start + span - 1);
      return [...new Set(instants.map((t) => floor(t, span)))]
        .filter((start) => start + span - 1 <= until && holds(windowOf(start)))
        .map((start) => at(start + span - 1, windowOf(start).at(-1)!, windowOf(start)));
    }
    case 'temporal_expression': {
      const positive = positives(stateful.expression);
      if (!stateful.ordered && !negates(stateful.expression)) {
        return instants
          .filter((t) =>
            truth(stateful.expression, new Set(between(t - span, t).map((item) => item.rule))),
          )
          .map((t) => at(t, last(t), counted(t, false)));
      }
      return instants.flatMap((t) => {
        const opener = items.find((item) => item.time === t && positive.has(item.rule));
        if (opener === undefined || t + span > until) return [];
        const window = between(t, t + span);
        const there = new Set(window.map((item) => item.rule));
        const order = rule.rules.filter((one) => positive.has(one));
        const holds = stateful.ordered
          ? subsets(order).some((chosen) => {
              const negative = [...there].filter((one) => !positive.has(one));
              return (
                truth(stateful.expression, new Set([...chosen, ...negative])) &&
                follows(window, chosen, t)
              );
            })
          : truth(stateful.expression, there);
        return holds ? [at(t + span, opener, window)] : [];
      });
    }
    case 'first_seen': {
      const values = (item: Item) => tuple(item, stateful.fields)!;
      const isLearnt = (item: Item, n: number) => {
        const before = items.slice(0, n);
        const gap = before.findLastIndex((one, k) => items[k + 1]!.time - one.time > span);
        return item.time - items[gap + 1]!.time >= stateful.learnMs;
      };
      const learnt = items.filter(isLearnt);
      return learnt.flatMap((item) => {
        const known = items
          .slice(0, items.indexOf(item))
          .some((one) => one.time >= item.time - span && values(one) === values(item));
        const again = learnt
          .slice(learnt.indexOf(item))
          .filter((one) => values(one) === values(item))
          .filter((one) => floor(one.time, rule.suppressMs) === floor(item.time, rule.suppressMs));
        return known ? [] : [at(item.time, item, again, values(item))];
      });
    }
    case 'baseline':
      return instants.flatMap((t) => {
        const start = floor(t, stateful.periodMs);
        const size = (list: Item[]): number =>
          stateful.measure === 'event_count'
            ? distinct(list.map(({ id }) => id))
            : distinct(list.map((one) => tuple(one, stateful.fields)));
        const history = [...new Set(instants.map((one) => floor(one, stateful.periodMs)))]
          .filter((one) => one >= start - stateful.historyMs && one < start - stateful.excludeMs)
          .map((one) => size(between(one, one + stateful.periodMs - 1)));
        return size(between(start, t)) >= stateful.floor &&
          stands(stateful, size(between(start, t)), history)
          ? [at(t, last(t), between(start, t))]
          : [];
      });
    case 'travel': {
      const located = items.filter((item) => place(item) !== null);
      return located.flatMap((item, n) => {
        const before = located[n - 1];
        if (before === undefined || item.time - before.time > span) return [];
        const km = kilometres(place(before)!, place(item)!);
        const possible = (stateful.speedKmh * (item.time - before.time)) / 3_600_000;
        return km >= Math.max(stateful.distanceKmMin, 0.001) && km > possible
          ? [at(item.time, item, [before, item])]
          : [];
      });
    }
    case 'absence':
      return items
        .filter((item) => item.rule === 'first' && item.time + span <= until)
        .filter(
          (item) =>
            !between(item.time, item.time + span).some(
              (one) => one.rule === 'follower' && one.id !== item.id,
            ),
        )
        .map((item) => at(item.time + span, item));
    case 'silence':
      return instants
        .filter((t) => t + span <= until && between(t + 1, t + span).length === 0)
        .map((t) => at(t + span, last(t)));
  }
}

function figure({ stateful, rules }: StatefulRule, window: Item[]): number {
  if (stateful.kind === 'temporal') {
    return stateful.ordered
      ? Math.max(
          0,
          ...longest({ stateful, rules } as StatefulRule, window).map(({ length }) => length),
        )
      : distinct(window.map(({ rule }) => rule));
  }
  if (stateful.kind !== 'aggregate') return 0;
  if (stateful.aggregate === 'event_count') return distinct(window.map(({ id }) => id));
  if (stateful.aggregate === 'value_count')
    return distinct(window.map((item) => tuple(item, stateful.fields)));
  // The firings of one inner alert are one, at its latest.
  const newest = window.filter((item, n) => !window.slice(n + 1).some(({ id }) => id === item.id));
  const figures = newest.map((item) => number(item.fields[stateful.fields[0]!]));
  const sum = figures.reduce((total, one) => total + one, 0);
  if (stateful.aggregate === 'value_sum') return sum;
  return stateful.aggregate === 'value_avg'
    ? sum / figures.length
    : quantile(figures, stateful.percentile!);
}

/** For each item the longest sequence of rules in order, each later, that ends with it. */
function longest({ rules }: StatefulRule, window: Item[]): Array<{ item: Item; length: number }> {
  const found: Array<{ item: Item; length: number }> = [];
  for (const item of window) {
    const before = found.filter(
      (one) => one.item.time < item.time && rules.indexOf(one.item.rule) < rules.indexOf(item.rule),
    );
    found.push({ item, length: 1 + Math.max(0, ...before.map(({ length }) => length)) });
  }
  return found;
}

function truth(expression: RuleExpression, there: ReadonlySet<string>): boolean {
  if (expression.kind === 'rule') return there.has(expression.rule);
  if (expression.kind === 'not') return !truth(expression.term, there);
  return expression.kind === 'and'
    ? expression.terms.every((term) => truth(term, there))
    : expression.terms.some((term) => truth(term, there));
}

function negates(expression: RuleExpression): boolean {
  return expression.kind === 'not' || ('terms' in expression && expression.terms.some(negates));
}

function positives(expression: RuleExpression, negated = false): Set<string> {
  if (expression.kind === 'rule') return new Set(negated ? [] : [expression.rule]);
  if (expression.kind === 'not') return positives(expression.term, !negated);
  return new Set(expression.terms.flatMap((term) => [...positives(term, negated)]));
}

function subsets(rules: readonly string[]): string[][] {
  let all: string[][] = [[]];
  for (const rule of rules) all = all.concat(all.map((one) => [...one, rule]));
  return all.filter((one) => one.length > 0);
}

/** Whether the rules occur one later than the other, the first at the window's opening. */
function follows(window: Item[], [first, ...rest]: string[], opened: number): boolean {
  const starts = window.some((item) => item.rule === first && item.time === opened);
  const later = (rules: string[], after: number): boolean =>
    rules.length === 0 ||
    window.some(
      (item) => item.rule === rules[0] && item.time > after && later(rules.slice(1), item.time),
    );
  return starts && later(rest, opened);
}

type Baseline = Extract<StatefulRule['stateful'], { kind: 'baseline' }>;

function stands(
  { method, factor, spreadMin, periodsMin, coldStart }: Baseline,
  figure: number,
  history: number[],
): boolean {
  if (history.length < Math.max(1, periodsMin)) return coldStart !== null && figure >= coldStart;
  if (method === 'tukey') {
    const [low, high] = [quantile(history, 25), quantile(history, 75)];
    return figure > high + factor * Math.max(high - low, spreadMin);
  }
  const mean = history.reduce((sum, one) => sum + one, 0) / history.length;
  const variance = history.reduce((sum, one) => sum + (one - mean) ** 2, 0) / history.length;
  return figure > mean + factor * Math.sqrt(variance);
}

function place({ fields }: Item): [number, number] | null {
  const [latitude, longitude] = [
    number(fields['lakeseal.source.latitude']),
    number(fields['lakeseal.source.longitude']),
  ];
  return Math.abs(latitude) <= 90 && Math.abs(longitude) <= 180 ? [latitude, longitude] : null;
}

/** By the angle between two vectors: not the formula that the correlator uses. */
function kilometres([lat1, lon1]: [number, number], [lat2, lon2]: [number, number]): number {
  const [a, b, c] = [
    (lat1 * Math.PI) / 180,
    (lat2 * Math.PI) / 180,
    ((lon2 - lon1) * Math.PI) / 180,
  ];
  const cosine = Math.sin(a) * Math.sin(b) + Math.cos(a) * Math.cos(b) * Math.cos(c);
  return 6_371.0088 * Math.acos(Math.min(1, Math.max(-1, cosine)));
}
