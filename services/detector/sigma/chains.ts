/**
 * Stateful rules with their references resolved: what each refers to, whether that means events of
 * a detection or alerts of another stateful rule (a chain), and who raises alerts.
 */
import { fieldDoubt } from '../fields/fields.ts';
import type { Alias } from './correlation.ts';
import type { RuleDocument } from './documents.ts';
import type { Findings } from './findings.ts';
import { References } from './references.ts';
import type { GroupField, StatefulKind, StatefulRule } from './rule.ts';
import type { CorrelationRuleDraft, DetectionDraft, RuleDraft } from './rule-document.ts';
import { resolveExpression } from './temporal-expression.ts';
import type { ScalarTree } from './tree.ts';

export interface ResolvedChains {
  stateful: StatefulRule[];
  /** Ids of rules that raise no alerts because another uses them and does not `generate`. */
  silenced: ReadonlySet<string>;
  /** Ids of detection rules whose events a stateful rule in force needs. */
  needed: ReadonlySet<string>;
}

/** Correlations of correlations, deepest. */
const CHAIN_DEPTH_MAX = 8;

interface Target {
  id: string;
  name: string | null;
  draft: RuleDraft;
}

export type Targets = References<Target>;

export function resolveCorrelations(
  drafts: readonly RuleDraft[],
  unread: readonly RuleDocument[],
  disabled: ReadonlySet<string>,
  findings: Findings,
): ResolvedChains {
  const targets = new References(
    drafts.map((draft): Target => ({ id: draft.header.id, name: draft.header.name, draft })),
    unread,
  );
  const all = drafts
    .map((draft) =>
      draft.kind === 'correlation'
        ? resolveCorrelation(draft, targets, findings)
        : resolveOwnKind(draft, targets, findings),
    )
    .filter((rule) => rule !== null);
  const byId = new Map(all.map((rule) => [rule.id, rule]));
  for (const draft of drafts) {
    if (draft.kind === 'correlation') checkChain(draft, byId, findings);
  }
  const { stateful, needed } = neededBy(all, byId, disabled);
  const silenced = silencedBy(drafts, stateful, targets, findings);
  const told = stateful.map((rule) => ({
    ...rule,
    alerts: !disabled.has(rule.id) && !silenced.has(rule.id),
  }));
  return { stateful: told, silenced, needed };
}

/** A reference to a rule with a kind means what the kind finds; suppression finds nothing new. */
function isStateful(draft: RuleDraft): boolean {
  return draft.kind === 'correlation' || (draft.own !== null && draft.own.name !== 'suppress');
}

function resolveOwnKind(
  draft: DetectionDraft,
  targets: Targets,
  findings: Findings,
): StatefulRule | null {
  const { own, header } = draft;
  if (own === null) return null;
  let { stateful } = own;
  if (own.follower !== null) {
    const target = targets.find(own.follower.rule, findings);
    if (target === null) return null;
    if (target.draft.kind === 'correlation') {
      findings.error(
        own.follower.rule,
        'an event is followed by an event, and this names a correlation',
        'name a detection rule',
      );
      return null;
    }
    stateful = { kind: 'absence', followedBy: target.id };
  }
  return {
    ...header,
    stateful,
    rules: [header.id],
    chained: [],
    groupBy: own.groupBy.map((name) => ({ name, perRule: new Map() })),
    timespanMs: own.timespanMs,
    suppressMs: own.suppressMs,
    alerts: true,
  };
}

function resolveCorrelation(
  draft: CorrelationRuleDraft,
  targets: Targets,
  findings: Findings,
): StatefulRule | null {
  const before = findings.errors;
  const { correlation, header } = draft;
  const named = namedTargets(correlation.rules, targets, findings);
  let stateful: StatefulKind;
  let used = named;
  if (correlation.stateful.kind === 'temporal_expression') {
    const { ordered, text } = correlation.stateful;
    const resolved = resolveExpression(text, correlation.rules, named, targets, findings);
    if (resolved === null) return null;
    stateful = { kind: 'temporal_expression', ordered, expression: resolved.expression };
    used = resolved.used;
  } else {
    stateful = correlation.stateful;
  }
  const groupBy = groupFields(draft, used, targets, findings);
  if (findings.errors > before) return null;
  return {
    ...header,
    stateful,
    rules: used.map(({ id }) => id),
    chained: used.filter((target) => isStateful(target.draft)).map(({ id }) => id),
    groupBy,
    timespanMs: correlation.timespanMs,
    suppressMs: draft.suppressMs,
    alerts: true,
  };
}

function namedTargets(
  names: readonly ScalarTree[],
  targets: Targets,
  findings: Findings,
): Target[] {
  const found = new Set<Target>();
  for (const name of names) {
    const target = targets.find(name, findings);
    if (target === null) continue;
    if (found.has(target)) findings.error(name, `"${name.text}" is named twice`, 'remove one');
    found.add(target);
  }
  return [...found];
}

function groupFields(
  draft: CorrelationRuleDraft,
  used: readonly Target[],
  targets: Targets,
  findings: Findings,
): GroupField[] {
  const perAlias = new Map(
    draft.correlation.aliases.map((alias) => [
      alias.name.text,
      aliasFields(alias, used, targets, findings),
    ]),
  );
  return draft.correlation.groupBy.map((name) => ({
    name,
    perRule: perAlias.get(name) ?? new Map<string, string>(),
  }));
}

function aliasFields(
  alias: Alias,
  used: readonly Target[],
  targets: Targets,
  findings: Findings,
): Map<string, string> {
  const fields = new Map<string, string>();
  for (const { rule, field } of alias.fields) {
    const target = targets.find(rule, findings);
    if (target === null) continue;
    if (!used.some(({ id }) => id === target.id)) {
      findings.error(rule, `"${rule.text}" is none of the rules of the correlation`, 'remove it');
    }
    const doubt = fieldDoubt(field.text);
    if (doubt !== null) findings.warning(field, doubt.message, doubt.hint);
    fields.set(target.id, field.text);
  }
  for (const { id, name } of used) {
    if (fields.has(id) || fieldDoubt(alias.name.text) === null) continue;
    findings.error(
      alias.name,
      `the alias "${alias.name.text}" has no field for the rule ${name ?? id}`,
      `add "${name ?? id}: FIELD" below it`,
    );
  }
  return fields;
}

/** No circles, no endless chains, and groups that the inner rule tells apart. */
function checkChain(
  draft: CorrelationRuleDraft,
  byId: ReadonlyMap<string, StatefulRule>,
  findings: Findings,
): void {
  const rule = byId.get(draft.header.id);
  if (rule === undefined) return;
  const spot = draft.correlation.rules[0] ?? draft.spot;
  const depth = depthOf(rule, byId, new Set());
  if (depth === null) {
    findings.error(
      spot,
      'the correlation refers to itself, directly or through others',
      'break the circle',
    );
    return;
  }
  if (depth > CHAIN_DEPTH_MAX) {
    findings.error(spot, `a chain of ${depth} correlations`, `the limit is ${CHAIN_DEPTH_MAX}`);
  }
  for (const id of rule.chained) {
    const inner = byId.get(id);
    if (inner === undefined) continue;
    const known = inner.groupBy.map(({ name }) => name);
    const wanted = rule.groupBy.map(({ name, perRule }) => ({
      name,
      field: perRule.get(id) ?? name,
    }));
    const fields = rule.stateful.kind === 'aggregate' ? rule.stateful.fields : [];
    for (const { name, field } of [
      ...wanted,
      ...fields.map((one) => ({ name: one, field: one })),
    ]) {
      if (known.includes(field)) continue;
      findings.error(
        draft.correlation.groupByAt.get(name) ?? spot,
        `${JSON.stringify(inner.title)} is not grouped by "${field}", so its alerts have none`,
        known.length === 0 ? 'give it a group-by' : `its groups are by ${known.join(', ')}`,
      );
    }
  }
}

/** Stateful rules below and including this one, the longest way; null where they go in a circle. */
function depthOf(
  rule: StatefulRule,
  byId: ReadonlyMap<string, StatefulRule>,
  above: ReadonlySet<string>,
): number | null {
  if (above.has(rule.id)) return null;
  if (above.size > CHAIN_DEPTH_MAX) return above.size + 1;
  const path = new Set([...above, rule.id]);
  let deepest = 0;
  for (const id of rule.chained) {
    const inner = byId.get(id);
    const depth = inner === undefined ? 0 : depthOf(inner, byId, path);
    if (depth === null) return null;
    deepest = Math.max(deepest, depth);
  }
  return deepest + 1;
}

/** Rules that are on, and those that they build on, whether these are on or not. */
function neededBy(
  all: readonly StatefulRule[],
  byId: ReadonlyMap<string, StatefulRule>,
  disabled: ReadonlySet<string>,
): { stateful: StatefulRule[]; needed: Set<string> } {
  const kept = new Set<string>();
  const needed = new Set<string>();
  const keep = (rule: StatefulRule): void => {
    if (kept.has(rule.id)) return;
    kept.add(rule.id);
    if (rule.stateful.kind === 'absence') needed.add(rule.stateful.followedBy);
    for (const id of rule.rules) {
      const inner = rule.chained.includes(id) ? byId.get(id) : undefined;
      if (inner === undefined) needed.add(id);
      else keep(inner);
    }
  };
  for (const rule of all) if (!disabled.has(rule.id)) keep(rule);
  return { stateful: all.filter(({ id }) => kept.has(id)), needed };
}

/** Rules that only serve others. A rule of an earlier layer had alerts, so that is told. */
function silencedBy(
  drafts: readonly RuleDraft[],
  stateful: readonly StatefulRule[],
  targets: Targets,
  findings: Findings,
): Set<string> {
  const inForce = new Map(stateful.map((rule) => [rule.id, rule]));
  const silenced = new Set<string>();
  for (const draft of drafts) {
    const rule = inForce.get(draft.header.id);
    if (rule === undefined) continue;
    for (const id of servants(draft, rule, targets)) {
      const target = targets.get(id);
      if (target !== undefined && target.draft.layer < draft.layer && !silenced.has(id)) {
        findings.warning(
          draft.spot,
          `${JSON.stringify(target.draft.header.title)} raises no alerts of its own any more`,
          `write "generate: true" in the ${draft.kind === 'correlation' ? 'correlation' : 'absence'} where it should`,
        );
      }
      silenced.add(id);
    }
  }
  return silenced;
}

/** What a rule refers to and does not let alert. */
function servants(draft: RuleDraft, rule: StatefulRule, targets: Targets): readonly string[] {
  if (draft.kind === 'correlation') return draft.correlation.generate ? [] : rule.rules;
  const { stateful } = rule;
  if (stateful.kind !== 'absence' || draft.own?.follower?.generate !== false) return [];
  // An absence looks at events. What a kind finds in the same events is another matter.
  const follower = targets.get(stateful.followedBy);
  return follower === undefined || isStateful(follower.draft) ? [] : [follower.id];
}
