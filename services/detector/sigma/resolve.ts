/**
 * All documents of all layers into one rule set: later layers replace and override earlier ones,
 * filters are joined to the rules they are for, and every reference becomes an id. Pure; every
 * problem of every document is found before anything is said.
 */
import { resolveCorrelations } from './chains.ts';
import type { RuleDocument } from './documents.ts';
import { Drafts, type ReadOptions } from './drafts.ts';
import { applyFilters, withFilters } from './exceptions.ts';
import { type FilterDraft, readFilter } from './filter.ts';
import { Findings } from './findings.ts';
import { type Override, overridden, readOverride } from './override.ts';
import { type Problem, sortProblems } from './problem.ts';
import { References } from './references.ts';
import type { Rule, RuleSet } from './rule.ts';
import type { DetectionDraft, RuleDraft } from './rule-document.ts';
import { lineOf } from './tree.ts';

export interface ResolveOptions extends ReadOptions {
  /** Epoch ms; filters that expired before are not applied. */
  nowMs: number;
}

export interface Resolved {
  /** What could be read: without errors among `problems`, the whole rule set. */
  set: RuleSet;
  /** In order of file, line and column. */
  problems: Problem[];
}

/**
 * Documents in order of their layers; within a layer in order of file and place. `known`: what was read
 * of them before.
 */
export function resolveRules(
  documents: readonly RuleDocument[],
  { nowMs, ...options }: ResolveOptions,
  known = new Drafts(),
): Resolved {
  const findings = new Findings('');
  const effective = effectiveOf(documents, findings);
  const overrides = effective
    .filter(({ kind }) => kind === 'override')
    .map((document) => readOverride(document, findings))
    .filter((override) => override !== null);
  const { rules, disabled } = applyOverrides(effective, overrides, findings);
  const read = rules.map((document) => known.of(document, options, findings));
  const drafts = read.filter((draft) => draft !== null);
  const unread = rules.filter((_, index) => read[index] === null);
  const filters = effective
    .filter(({ kind }) => kind === 'filter')
    .map((document) => readFilter(document, findings, options.lists))
    .filter((filter) => filter !== null);
  const set = assembled({ drafts, unread, filters, disabled, nowMs }, findings);
  return { set, problems: sortProblems(distinct(findings.problems)) };
}

/** Without the documents that one of a later layer replaces by its id; ids and names are unique. */
function effectiveOf(documents: readonly RuleDocument[], findings: Findings): RuleDocument[] {
  const byId = new Map<string, RuleDocument>();
  const replaced = new Set<RuleDocument>();
  for (const document of documents) {
    if (document.id === null || document.kind === 'override') continue;
    const key = `${classOf(document)} ${document.id}`;
    const before = byId.get(key);
    if (before !== undefined && before.layer === document.layer) {
      tellDuplicate('id', document.id, document, before, findings);
    } else {
      if (before !== undefined) replaced.add(before);
      byId.set(key, document);
    }
  }
  const effective = documents.filter((document) => !replaced.has(document));
  const byName = new Map<string, RuleDocument>();
  for (const document of effective) {
    if (document.name === null || document.kind === 'override') continue;
    const key = `${classOf(document)} ${document.name}`;
    const before = byName.get(key);
    if (before === undefined) byName.set(key, document);
    else tellDuplicate('name', document.name, document, before, findings);
  }
  return effective;
}

/** Rules of both kinds share ids and names; nothing refers to a filter or an override. */
function classOf({ kind }: RuleDocument): string {
  return kind === 'filter' ? 'filter' : 'rule';
}

function tellDuplicate(
  what: 'id' | 'name',
  value: string,
  document: RuleDocument,
  before: RuleDocument,
  findings: Findings,
): void {
  findings.error(
    document.tree,
    `the ${what} ${value} is already used at ${before.file}:${lineOf(before.tree)}`,
    what === 'id' ? 'give each rule its own; make one with: uuidgen' : 'rename one',
  );
}

/** The rule documents with what overrides put into them, and the ids of those switched off. */
function applyOverrides(
  documents: readonly RuleDocument[],
  overrides: readonly Override[],
  findings: Findings,
): { rules: RuleDocument[]; disabled: Set<string> } {
  const rules = documents.filter(({ kind }) => kind === 'detection' || kind === 'correlation');
  const named = rules.flatMap((rule, at) =>
    rule.id === null ? [] : [{ id: rule.id, name: rule.name, at }],
  );
  const references = new References(
    named,
    rules.filter(({ id }) => id === null),
  );
  const disabled = new Set<string>();
  for (const override of overrides) {
    const found = references.find(override.rule, findings);
    if (found === null) continue;
    if (override.enabled === true) disabled.delete(found.id);
    if (override.enabled === false) disabled.add(found.id);
    const rule = rules[found.at]!;
    rules[found.at] = { ...rule, tree: overridden(rule.tree, override, findings) };
  }
  return { rules, disabled };
}

/** What stands in a global document is read once for each document that it is part of. */
function distinct(problems: readonly Problem[]): Problem[] {
  return [...new Map(problems.map((problem) => [JSON.stringify(problem), problem])).values()];
}

interface Parts {
  drafts: readonly RuleDraft[];
  /** Rule documents with errors. */
  unread: readonly RuleDocument[];
  filters: readonly FilterDraft[];
  disabled: ReadonlySet<string>;
  nowMs: number;
}

function assembled(parts: Parts, findings: Findings): RuleSet {
  const { drafts, unread, filters, disabled, nowMs } = parts;
  const { stateful, silenced, needed } = resolveCorrelations(drafts, unread, disabled, findings);
  const { exceptions, added } = applyFilters(drafts, unread, filters, nowMs, findings);
  const inForce = new Set(stateful.map(({ id }) => id));
  const rules = drafts.flatMap((draft): Rule[] => {
    if (draft.kind !== 'detection') return [];
    const { id } = draft.header;
    const isOff = disabled.has(id);
    if (isOff && !needed.has(id) && !inForce.has(id)) return [];
    const alerts = draft.own === null && !isOff && !silenced.has(id);
    return [ruleOf(draft, added.get(id) ?? [], alerts)];
  });
  return { rules, stateful, exceptions, disabled: [...disabled] };
}

function ruleOf(draft: DetectionDraft, filters: readonly FilterDraft[], alerts: boolean): Rule {
  const { header, own, detection, logsource, levels } = draft;
  return {
    ...header,
    // The tests of a rule with a kind are about the kind, so its stateful rule has them.
    tests: own === null ? header.tests : [],
    service: logsource.service,
    ...withFilters(detection, filters),
    levels,
    filters: filters.map(({ title }) => title),
    alerts,
  };
}
