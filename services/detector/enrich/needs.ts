/**
 * Which rules can say nothing without a GeoIP or ASN database, by the fields they read, and which of
 * them are without one now. `status` and `rules check` tell it: a rule that cannot fire must not look
 * as if it watched. Pure.
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

export interface EnrichmentNeed {
  ruleId: string;
  title: string;
  file: string;
  /** Enrichment fields it reads, in alphabetical order. */
  fields: readonly string[];
}

/** A need that no good database meets at present. */
export interface UnmetNeed extends EnrichmentNeed {
  /** For each field that is absent from all events: the kinds of file of which one would do. */
  missing: ReadonlyArray<{ field: string; anyOf: readonly DatabaseKind[] }>;
}

/**
 * The rules that read enrichment fields: in conditions, levels, group-by, counted values, and travel.
 * A stateful rule also needs what the rules need that it counts. Only rules that alert are told.
 */
export function enrichmentNeeds(set: Pick<RuleSet, 'rules' | 'stateful'>): EnrichmentNeed[] {
  const direct = new Map<string, Set<string>>();
  const add = (id: string, fields: Iterable<string>): void => {
    const all = direct.get(id) ?? new Set();
    for (const written of fields) {
      const field = camelCase(written);
      if (GIVEN_BY[field] !== undefined) all.add(field);
    }
    direct.set(id, all);
  };
  for (const rule of set.rules) add(rule.id, fieldsOfRule(rule));
  for (const rule of set.stateful) add(rule.id, fieldsOfStateful(rule));

  const below = new Map(set.stateful.map((rule) => [rule.id, countedBy(rule)]));
  const reached = (id: string, seen: Set<string>): Set<string> => {
    if (seen.has(id)) return seen;
    seen.add(id);
    for (const next of below.get(id) ?? []) reached(next, seen);
    return seen;
  };
  const needs: EnrichmentNeed[] = [];
  for (const { id, title, file, alerts } of [...set.rules, ...set.stateful]) {
    if (!alerts) continue;
    const fields = new Set<string>();
    for (const one of reached(id, new Set())) {
      for (const field of direct.get(one) ?? []) fields.add(field);
    }
    if (fields.size > 0) needs.push({ ruleId: id, title, file, fields: [...fields].sort() });
  }
  return needs;
}

/** The needs that the files, as they are now, leave open. A bad file that still answers will do. */
export function unmetNeeds(
  needs: readonly EnrichmentNeed[],
  states: readonly EnrichmentState[],
): UnmetNeed[] {
  const answering = new Set(states.filter(({ answers }) => answers).map(({ what }) => what));
  const unmet: UnmetNeed[] = [];
  for (const need of needs) {
    const missing = need.fields
      .map((field) => ({ field, anyOf: GIVEN_BY[field] ?? [] }))
      .filter(({ anyOf }) => !anyOf.some((kind) => answering.has(kind)));
    if (missing.length > 0) unmet.push({ ...need, missing });
  }
  return unmet;
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
