/**
 * How a stateful rule is correlated: what its matches must carry, how they are grouped, when it is
 * judged, and the tree of rules below it. Pure data, made once per rule set.
 *
 * A rule is **eager** where more events can only make more of it true: it is judged as matches
 * arrive, in whatever order. Every other rule is **ordered**: its matches wait for the watermark and
 * are judged in order of event time. A chain is ordered as a whole, inside the group of its root.
 */
import { createHash } from 'node:crypto';
import type {
  GroupField,
  RuleExpression,
  RuleSet,
  StatefulKind,
  StatefulRule,
} from '../sigma/rule.ts';
import { isMonotone } from './thresholds.ts';

/** A detection rule below a stateful rule, and what is read from its events. */
export interface PlanLeaf {
  ruleId: string;
  /** Fields of the root's group, in its order. */
  group: readonly string[];
  /** Fields of `Plan.fields`, in its order: aliases may give this rule others. */
  values: readonly string[];
}

/** One of a node's rules: a detection rule, or another stateful rule (`node`). */
export interface PlanChild {
  ruleId: string;
  node: PlanNode | null;
}

export interface PlanNode {
  ruleId: string;
  stateful: StatefulKind;
  timespanMs: number;
  suppressMs: number;
  /** In the rule's order; for an absence what must follow is the second. */
  children: readonly PlanChild[];
  /** By child: whether its events can open a window (false: only ever negated). */
  positive: readonly boolean[];
  /** Where in a match's values the node's own group is; empty for the root. */
  groupAt: readonly number[];
  /** Where in a match's values its fields are. */
  fieldsAt: readonly number[];
}

export interface Plan {
  ruleId: string;
  mode: 'eager' | 'ordered';
  /** Names of the values that matches carry. A leaf may read them from fields of other names. */
  fields: readonly string[];
  /** Whether a match without one of `fields` is of no use at all. */
  needsEveryField: boolean;
  /**
   * Whether an event without a value to group by counts under an empty one. So it is where a rule of
   * one event is only suppressed: each of its events is a finding, and none may be lost for want of a
   * name. Everything else would mix what has nothing in common.
   */
  keepsUngrouped: boolean;
  groupNames: readonly string[];
  leaves: readonly PlanLeaf[];
  root: PlanNode;
  /** An event is forgotten this long after it, at the earliest: no judgement looks back further. */
  memoryMs: number;
  suppressMs: number;
  /**
   * Of the meaning: kind, thresholds, spans, group-by, the tree. Not of title, level, tests; nor of
   * what the detection rules select: an exception that is added or that expires must not cost a
   * baseline its thirty days.
   */
  fingerprint: string;
}

export const TRAVEL_FIELDS = ['lakeseal.source.latitude', 'lakeseal.source.longitude'] as const;
/** Changes when state of before would be read wrongly, or judged otherwise. */
const MEANING_VERSION = 1;

/** @throws Error where the set is not resolved (a rule that is not there, a chain in a circle). */
export function planOf(rule: StatefulRule, set: RuleSet): Plan {
  return new Planner(rule, set).plan();
}

/** Field of one leaf for each leaf id. */
type Reads = ReadonlyMap<string, string>;

interface Draft {
  rule: StatefulRule;
  children: ReadonlyArray<{ ruleId: string; draft: Draft | null }>;
}

class Planner {
  readonly #rule: StatefulRule;
  readonly #stateful: ReadonlyMap<string, StatefulRule>;
  readonly #detections: ReadonlySet<string>;
  readonly #leafIds: string[] = [];
  readonly #fields: Array<{ name: string; reads: Reads; identity: string }> = [];

  constructor(rule: StatefulRule, set: RuleSet) {
    this.#rule = rule;
    this.#stateful = new Map(set.stateful.map((one) => [one.id, one]));
    this.#detections = new Set(set.rules.map(({ id }) => id));
  }

  plan(): Plan {
    const draft = this.#draft(this.#rule, []);
    this.#collectLeaves(draft);
    const groups = this.#rule.groupBy.map((field) => this.#reads(draft, field));
    const root = this.#node(draft, true);
    const leaves = this.#leafIds.map((ruleId) => ({
      ruleId,
      group: groups.map((reads) => reads.get(ruleId)!),
      values: this.#fields.map(({ reads }) => reads.get(ruleId)!),
    }));
    const mode = modeOf(root);
    const groupNames = this.#rule.groupBy.map(({ name }) => name);
    const meaning = { version: MEANING_VERSION, mode, groupNames, leaves, root };
    return {
      ruleId: this.#rule.id,
      mode,
      fields: this.#fields.map(({ name }) => name),
      needsEveryField: this.#fields.length > 0 && isFlat(root) && usesFields(root.stateful),
      keepsUngrouped: isOnlySuppressed(this.#rule),
      groupNames,
      leaves,
      root,
      memoryMs: memoryOf(root),
      suppressMs: root.suppressMs,
      fingerprint: createHash('sha256').update(JSON.stringify(meaning)).digest('base64url'),
    };
  }

  #draft(rule: StatefulRule, above: readonly string[]): Draft {
    if (above.includes(rule.id)) throw new Error(`rule ${rule.id} is part of its own chain`);
    const path = [...above, rule.id];
    const { stateful } = rule;
    const ids = stateful.kind === 'absence' ? [rule.rules[0]!, stateful.followedBy] : rule.rules;
    const wanted = stateful.kind === 'absence' ? ids : [...new Set(ids)];
    const children = wanted.map((ruleId) => {
      // A rule with a kind of its own shares its id with the detection rule that it is over.
      const inner = rule.chained.includes(ruleId) ? this.#stateful.get(ruleId) : undefined;
      if (inner !== undefined) return { ruleId, draft: this.#draft(inner, path) };
      if (!this.#detections.has(ruleId)) {
        throw new Error(`rule ${rule.id} refers to ${ruleId}, which is not in the set`);
      }
      return { ruleId, draft: null };
    });
    return { rule, children };
  }

  #collectLeaves(draft: Draft): void {
    for (const { ruleId, draft: inner } of draft.children) {
      if (inner !== null) this.#collectLeaves(inner);
      else if (!this.#leafIds.includes(ruleId)) this.#leafIds.push(ruleId);
    }
  }

  /** Which field each leaf reads for a group field of the node; names pass through the chain. */
  #reads(draft: Draft, field: GroupField): Reads {
    const reads = new Map(this.#leafIds.map((id) => [id, field.name]));
    const visit = ({ children }: Draft, { name, perRule }: GroupField): void => {
      for (const { ruleId, draft: inner } of children) {
        const own = perRule.get(ruleId) ?? name;
        if (inner === null) reads.set(ruleId, own);
        else {
          const below = inner.rule.groupBy.find((one) => one.name === own);
          visit(inner, below ?? { name: own, perRule: new Map() });
        }
      }
    };
    visit(draft, field);
    return reads;
  }

  #at(name: string, reads: Reads): number {
    const identity = JSON.stringify([...reads]);
    const known = this.#fields.findIndex((one) => one.identity === identity);
    if (known >= 0) return known;
    return this.#fields.push({ name, reads, identity }) - 1;
  }

  #node(draft: Draft, isRoot: boolean): PlanNode {
    const { rule, children } = draft;
    const { id: ruleId, stateful, timespanMs, suppressMs } = rule;
    const plain = (name: string): number =>
      this.#at(name, new Map(this.#leafIds.map((id) => [id, name])));
    return {
      ruleId,
      stateful,
      timespanMs,
      suppressMs,
      children: children.map((child) => ({
        ruleId: child.ruleId,
        node: child.draft === null ? null : this.#node(child.draft, false),
      })),
      positive: children.map((child) => isPositive(stateful, child.ruleId)),
      groupAt: isRoot
        ? []
        : rule.groupBy.map((field) => this.#at(field.name, this.#reads(draft, field))),
      fieldsAt: fieldsOf(stateful).map(plain),
    };
  }
}

/** A detection rule with `suppress` and no kind: it counts its own events, from the first one on. */
function isOnlySuppressed({ id, rules, stateful }: StatefulRule): boolean {
  return stateful.kind === 'aggregate' && rules.length === 1 && rules[0] === id;
}

function fieldsOf(stateful: StatefulKind): readonly string[] {
  switch (stateful.kind) {
    case 'aggregate':
      return stateful.fields;
    case 'first_seen':
      return stateful.fields;
    case 'baseline':
      return stateful.measure === 'value_count' ? stateful.fields : [];
    case 'travel':
      return TRAVEL_FIELDS;
  }
  return [];
}

function usesFields(stateful: StatefulKind): boolean {
  return fieldsOf(stateful).length > 0;
}

function isFlat({ children }: PlanNode): boolean {
  return children.every(({ node }) => node === null);
}

/** Rules of an expression that stand under an even number of `not`. */
function isPositive(stateful: StatefulKind, ruleId: string): boolean {
  if (stateful.kind !== 'temporal_expression') return true;
  const visit = (expression: RuleExpression, negated: boolean): boolean => {
    switch (expression.kind) {
      case 'rule':
        return !negated && expression.rule === ruleId;
      case 'not':
        return visit(expression.term, !negated);
      default:
        return expression.terms.some((term) => visit(term, negated));
    }
  };
  return visit(stateful.expression, false);
}

export function hasNot(expression: RuleExpression): boolean {
  if (expression.kind === 'rule') return false;
  return expression.kind === 'not' || expression.terms.some(hasNot);
}

/** Whether a node's condition looks back over a sliding window and only grows truer. */
export function isGrowing({ stateful }: PlanNode): boolean {
  switch (stateful.kind) {
    case 'aggregate':
      return (
        (stateful.aggregate === 'event_count' || stateful.aggregate === 'value_count') &&
        isMonotone(stateful.thresholds)
      );
    case 'temporal':
      return isMonotone(stateful.thresholds);
    case 'temporal_expression':
      return !stateful.ordered && !hasNot(stateful.expression);
  }
  return false;
}

function modeOf(root: PlanNode): Plan['mode'] {
  return isFlat(root) && isGrowing(root) ? 'eager' : 'ordered';
}

function memoryOf(node: PlanNode): number {
  const { stateful, timespanMs } = node;
  const own =
    stateful.kind === 'baseline'
      ? Math.max(timespanMs, stateful.historyMs) + stateful.periodMs
      : timespanMs;
  const inner = node.children.map((child) => (child.node === null ? 0 : memoryOf(child.node)));
  return own + Math.max(0, ...inner);
}
