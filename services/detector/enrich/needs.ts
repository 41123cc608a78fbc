/**
 * What rules need beside the event: fields that only a GeoIP or ASN database gives, and lists; and
 * which rules are without a database now. `status`, `rules list` and `rules check` tell it: a rule
 * that cannot fire must not look as if it watched. A list that is missing is an error when rules are
 * loaded, so none is missing here. Pure.
 */
import type { Expression, Rule, RuleSet, StatefulRule } from '../sigma/rule.ts';
import type { DatabaseKind, EnrichmentState } from './enrichment.ts';

/** Fields that only enrichment gives, and the databases of which any one gives them. */
const GIVEN_BY: Readonly<Record<string, readonly DatabaseKind[]>> = {
  'lakeseal.source.country': ['city', 'country'],
  'lakeseal.source.city': ['city'],
  'lakeseal.source.latitude': ['city'],
  'lakeseal.source.longitude': ['city'],
  'lakeseal.source.asn': ['asn'],
  'lakeseal.source.asOrganisation': ['asn'],
};

/** What the travel kind compares, without naming it. */
const TRAVEL_FIELDS = ['lakeseal.source.latitude', 'lakeseal.source.longitude'];

export interface RuleNeeds {
  ruleId: string;
  title: string;
  file: string;
  /** Enrichment fields it reads, in alphabetical order, each with the files of which one gives it. */
  fields: ReadonlyArray<{ field: string; anyOf: readonly DatabaseKind[] }>;
  /** Names of the lists whose values it compares with, in alphabetical order. */
  lists: readonly string[];
}

/** Needs that no good database meets at present. */
export interface UnmetNeeds extends RuleNeeds {
  /** Those of the fields that are absent from all events. */
  missing: RuleNeeds['fields'];
}

/**
 * The rules that need something. Fields are those in conditions, levels, group-by, counted values, and
 * travel; exceptions count as part of their rules. A stateful rule also needs what the rules need that
 * it counts. Only rules that alert are told.
 */
export function needsOf(set: Pick<RuleSet, 'rules' | 'stateful'>): RuleNeeds[] {
  const fieldsOf = new Map<string, Set<string>>();
  const add = (id: string, fields: Iterable<string>): void => {
    const all = fieldsOf.get(id) ?? new Set();
    for (const written of fields) {
      const field = camelCase(written);
      if (GIVEN_BY[field] !== undefined) all.add(field);
    }
    fieldsOf.set(id, all);
  };
  for (const rule of set.rules) add(rule.id, fieldsOfRule(rule));
  for (const rule of set.stateful) add(rule.id, fieldsOfStateful(rule));
  const listsOf = new Map(set.rules.map(({ id, lists }) => [id, lists]));

  const below = new Map(set.stateful.map((rule) => [rule.id, countedBy(rule)]));
  const reached = (id: string, seen: Set<string>): Set<string> => {
    if (seen.has(id)) return seen;
    seen.add(id);
    for (const next of below.get(id) ?? []) reached(next, seen);
    return seen;
  };
  return [...set.rules, ...set.stateful].flatMap(({ id, title, file, alerts }): RuleNeeds[] => {
    if (!alerts) return [];
    const ids = [...reached(id, new Set())];
    const fields = inOrder(ids.flatMap((one) => [...(fieldsOf.get(one) ?? [])]));
    const lists = inOrder(ids.flatMap((one) => [...(listsOf.get(one) ?? [])]));
    if (fields.length + lists.length === 0) return [];
    const given = fields.map((field) => ({ field, anyOf: GIVEN_BY[field]! }));
    return [{ ruleId: id, title, file, fields: given, lists }];
  });
}

function inOrder(names: readonly string[]): string[] {
  return [...new Set(names)].sort();
}

/** The needs that the files, as they are now, leave open. A bad file that still answers will do. */
export function unmetNeeds(
  needs: readonly RuleNeeds[],
  states: readonly EnrichmentState[],
): UnmetNeeds[] {
  const answering = new Set(states.filter(({ answers }) => answers).map(({ what }) => what));
  return needs.flatMap((need): UnmetNeeds[] => {
    const missing = need.fields.filter(({ anyOf }) => !anyOf.some((kind) => answering.has(kind)));
    return missing.length === 0 ? [] : [{ ...need, missing }];
  });
}

/** Ids of the rules whose matches a stateful rule judges; its own is among them for the own kinds. */
function countedBy({ rules, stateful }: StatefulRule): readonly string[] {
  return stateful.kind === 'absence' ? [...rules, stateful.followedBy] : rules;
}

/** Fields may be written either way. */
function camelCase(field: string): string {
  return field.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

function fieldsOfRule(rule: Rule): Set<string> {
  const fields = new Set<string>();
  const walk = (expression: Expression): void => {
    switch (expression.kind) {
      case 'and':
      case 'or':
        for (const term of expression.terms) walk(term);
        return;
      case 'not':
        walk(expression.term);
        return;
      case 'selection': {
        const named = rule.selections.get(expression.name);
        if (named !== undefined) walk(named);
        return;
      }
      case 'item':
        fields.add(expression.field);
        for (const value of expression.values) {
          if (value.kind === 'reference') fields.add(value.field);
        }
        return;
      case 'keyword':
        return;
    }
  };
  walk(rule.condition);
  for (const { when } of rule.levels) walk(when);
  return fields;
}

function fieldsOfStateful({ stateful, groupBy }: StatefulRule): Set<string> {
  const fields = new Set<string>();
  for (const { name, perRule } of groupBy) {
    fields.add(name);
    for (const field of perRule.values()) fields.add(field);
  }
  if ('fields' in stateful) for (const field of stateful.fields) fields.add(field);
  if (stateful.kind === 'travel') for (const field of TRAVEL_FIELDS) fields.add(field);
  return fields;
}
