/**
 * What a rule set holds, rule by rule, for people who look after it: kind, level, techniques, and
 * which layer each rule comes from. Pure.
 */
import { compareText } from '../../runtime/order.ts';
import { needsOf, type RuleNeeds } from '../enrich/needs.ts';
import {
  LEVELS,
  type Level,
  type RuleHeader,
  type RuleSet,
  type StatefulRule,
} from '../sigma/rule.ts';
import { tacticsOf, techniquesOf } from './attack.ts';

/**
 * `shipped` as it came; `overridden` where an operator's layer replaced it or changed its level or
 * parameters; `disabled` where one switched it off; `own` where lakeseal ships no rule of its id.
 */
export const SOURCES = ['shipped', 'own', 'overridden', 'disabled'] as const;
export type RuleSource = (typeof SOURCES)[number];

export interface ListedRule {
  id: string;
  title: string;
  name: string | null;
  /** Empty for a rule that is switched off and whose file is not among the shipped ones. */
  level: Level | '';
  /** `event`, or the kind of a stateful rule in its own words: `event_count`, `first_seen`. */
  kind: string;
  /** False where it only serves other rules. */
  alerts: boolean;
  tactics: string[];
  techniques: string[];
  source: RuleSource;
  /** Titles of the exceptions in force for it. */
  exceptions: string[];
  /** What it needs beside the event; nothing for a rule that does not alert. */
  needs: Pick<RuleNeeds, 'fields' | 'lists'>;
  file: string;
  line: number;
}

const NOTHING: ListedRule['needs'] = { fields: [], lists: [] };

export interface ListFilter {
  /** A technique, which its sub-techniques belong to, or a tactic. */
  attack?: string;
  level?: Level;
  source?: RuleSource;
}

/**
 * Every rule once, the highest level first, then by title. `shipped` is the shipped layer loaded on
 * its own, or null where it is left out.
 */
export function listRules(set: RuleSet, shipped: RuleSet | null): ListedRule[] {
  const before = new Map(shipped === null ? [] : rulesById(shipped));
  const exceptions = new Map<string, string[]>();
  for (const { title, rules, expired } of set.exceptions) {
    if (expired) continue;
    for (const id of rules) exceptions.set(id, [...(exceptions.get(id) ?? []), title]);
  }
  const needs = new Map(
    needsOf(set).map(({ ruleId, fields, lists }) => [ruleId, { fields, lists }]),
  );
  const off = new Set(set.disabled);
  const present = [...rulesById(set)].map(([id, one]): ListedRule => {
    const source = off.has(id) ? 'disabled' : sourceOf(one, before.get(id));
    return listed(one, source, exceptions.get(id) ?? [], needs.get(id) ?? NOTHING);
  });
  const known = new Set(present.map(({ id }) => id));
  const absent = set.disabled
    .filter((id) => !known.has(id))
    .map((id): ListedRule => {
      const one = before.get(id);
      return one === undefined ? unknownRule(id) : listed(one, 'disabled', [], NOTHING);
    });
  return [...present, ...absent].sort(
    (a, b) => rankOf(b.level) - rankOf(a.level) || compareText(a.title, b.title),
  );
}

export function filterRules(rules: readonly ListedRule[], filter: ListFilter): ListedRule[] {
  const { attack, level, source } = filter;
  return rules.filter(
    (rule) =>
      (level === undefined || rule.level === level) &&
      (source === undefined || rule.source === source) &&
      (attack === undefined || concerns(rule, attack)),
  );
}

/** `T1078` takes in `T1078.004`; a tactic is taken with `-` or `_`, in any case. */
function concerns(rule: ListedRule, attack: string): boolean {
  const wanted = attack.replace(/^attack\./i, '');
  const technique = wanted.toUpperCase();
  const tactic = wanted.toLowerCase().replaceAll('_', '-');
  return (
    rule.tactics.includes(tactic) ||
    rule.techniques.some((one) => one === technique || one.startsWith(`${technique}.`))
  );
}

/** The kind in the words that a rule file has for it; suppression alone leaves it a single event. */
export function kindOf({ id, rules, stateful }: StatefulRule): string {
  switch (stateful.kind) {
    case 'aggregate':
      return rules.includes(id) ? 'event' : stateful.aggregate;
    case 'temporal':
    case 'temporal_expression':
      return stateful.ordered ? 'temporal_ordered' : 'temporal';
    default:
      return stateful.kind;
  }
}

interface Seen {
  header: RuleHeader;
  kind: string;
  alerts: boolean;
  /** What an override can change, for comparison. */
  meaning: string;
}

/** A detection rule and the stateful kind it has of its own share an id and are one rule. */
function rulesById(set: RuleSet): Map<string, Seen> {
  const found = new Map<string, Seen>();
  for (const rule of set.rules) {
    const meaning = JSON.stringify([rule.level]);
    found.set(rule.id, { header: rule, kind: 'event', alerts: rule.alerts, meaning });
  }
  for (const rule of set.stateful) {
    const { level, stateful, timespanMs, suppressMs } = rule;
    const meaning = JSON.stringify([level, stateful, timespanMs, suppressMs]);
    found.set(rule.id, { header: rule, kind: kindOf(rule), alerts: rule.alerts, meaning });
  }
  return found;
}

function sourceOf(one: Seen, before: Seen | undefined): RuleSource {
  if (before === undefined) return 'own';
  const same = before.header.file === one.header.file && before.meaning === one.meaning;
  return same ? 'shipped' : 'overridden';
}

function listed(
  { header, kind, alerts }: Seen,
  source: RuleSource,
  exceptions: string[],
  needs: ListedRule['needs'],
): ListedRule {
  const { id, title, name, level, tags, file, line } = header;
  const techniques = techniquesOf(tags);
  const tactics = tacticsOf(tags);
  return {
    id,
    title,
    name,
    level,
    kind,
    alerts,
    tactics,
    techniques,
    source,
    exceptions,
    needs,
    file,
    line,
  };
}

function unknownRule(id: string): ListedRule {
  const nothing = { name: null, level: '', kind: '', alerts: false, file: '', line: 0 } as const;
  const lists = { tactics: [], techniques: [], exceptions: [], needs: NOTHING };
  return { id, title: '', ...nothing, ...lists, source: 'disabled' };
}

function rankOf(level: Level | ''): number {
  return level === '' ? -1 : LEVELS.indexOf(level);
}
