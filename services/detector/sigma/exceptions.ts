/** Filters in force: which rules each is for, and rules with the filters' conditions in them. */
import type { Detection } from './detection.ts';
import type { RuleDocument } from './documents.ts';
import type { FilterDraft } from './filter.ts';
import type { Findings } from './findings.ts';
import { contains } from './logsource.ts';
import { References } from './references.ts';
import type { Exception, Expression } from './rule.ts';
import type { DetectionDraft, RuleDraft } from './rule-document.ts';

export interface AppliedFilters {
  exceptions: Exception[];
  /** Filters to join, by id of the detection rule. */
  added: ReadonlyMap<string, readonly FilterDraft[]>;
}

/** `nowMs`: filters that have expired by then are told and not applied. */
export function applyFilters(
  drafts: readonly RuleDraft[],
  unread: readonly RuleDocument[],
  filters: readonly FilterDraft[],
  nowMs: number,
  findings: Findings,
): AppliedFilters {
  const references = new References(
    drafts.map((draft): Target => ({ id: draft.header.id, name: draft.header.name, draft })),
    unread,
  );
  const added = new Map<string, FilterDraft[]>();
  const exceptions = filters.map((filter): Exception => {
    const { title, id, owner, reason, expiresMs, file, line } = filter;
    const expired = expiresMs !== null && expiresMs <= nowMs;
    const rules = targetsOf(filter, drafts, references, findings).map(({ header }) => header.id);
    if (expired) tellExpired(filter, findings);
    for (const rule of expired ? [] : rules) added.set(rule, [...(added.get(rule) ?? []), filter]);
    return { title, id, rules, owner, reason, expiresMs, expired, file, line };
  });
  return { exceptions, added };
}

function tellExpired(filter: FilterDraft, findings: Findings): void {
  const day = new Date(filter.expiresMs!).toISOString().slice(0, 10);
  const owner = filter.owner === null ? '' : `; ask ${filter.owner}`;
  findings.warning(
    filter.spot,
    `the exception ${JSON.stringify(filter.title)} expired on ${day} and is not applied`,
    `remove it, or give it a later "expires"${owner}`,
  );
}

interface Target {
  id: string;
  name: string | null;
  draft: RuleDraft;
}

function targetsOf(
  filter: FilterDraft,
  drafts: readonly RuleDraft[],
  references: References<Target>,
  findings: Findings,
): DetectionDraft[] {
  if (filter.rules === null) {
    const targets = drafts.filter(
      (draft): draft is DetectionDraft =>
        draft.kind === 'detection' && contains(filter.logsource, draft.logsource),
    );
    if (targets.length === 0) {
      findings.warning(
        filter.spot,
        'the filter is for no rule: none has its log source',
        'correct its logsource, or remove it',
      );
    }
    return targets;
  }
  return namedTargets(filter, filter.rules, references, findings);
}

function namedTargets(
  filter: FilterDraft,
  names: NonNullable<FilterDraft['rules']>,
  references: References<Target>,
  findings: Findings,
): DetectionDraft[] {
  const targets = new Set<DetectionDraft>();
  for (const name of names) {
    const draft = references.find(name, findings)?.draft;
    if (draft === undefined) continue;
    if (draft.kind === 'correlation') {
      const inner = draft.correlation.rules.map(({ text }) => text).join(', ');
      findings.error(
        name,
        `${JSON.stringify(name.text)} is a correlation, and a filter is a test of one event`,
        `name the rules that it counts: ${inner}`,
      );
    } else if (!contains(filter.logsource, draft.logsource)) {
      findings.warning(
        name,
        `the log source of the filter leaves out that of ${JSON.stringify(draft.header.title)}`,
        'it is not applied there; correct its logsource',
      );
    } else {
      targets.add(draft);
    }
  }
  return [...targets];
}

/** The detection with the filters' selections and conditions in it. */
export function withFilters(own: Detection, filters: readonly FilterDraft[]): Detection {
  if (filters.length === 0) return own;
  const { selections, condition } = own;
  const lists = new Set(
    [own, ...filters.map(({ detection }) => detection)].flatMap((one) => [...one.lists]),
  );
  const all = new Map(selections);
  const terms = [condition];
  for (const [index, { title, detection }] of filters.entries()) {
    // A filter's names are its own: a rule that has one of them means something else by it.
    const isAgain = filters.findIndex((other) => other.title === title) !== index;
    const prefix = isAgain ? `${title} (${index + 1}): ` : `${title}: `;
    for (const [name, selection] of detection.selections) all.set(prefix + name, selection);
    terms.push(renamed(detection.condition, prefix));
  }
  return { selections: all, condition: { kind: 'and', terms }, lists };
}

function renamed(expression: Expression, prefix: string): Expression {
  switch (expression.kind) {
    case 'and':
    case 'or':
      return { ...expression, terms: expression.terms.map((term) => renamed(term, prefix)) };
    case 'not':
      return { kind: 'not', term: renamed(expression.term, prefix) };
    case 'selection':
      return { kind: 'selection', name: prefix + expression.name };
    default:
      return expression;
  }
}
