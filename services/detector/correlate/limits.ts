/**
 * How much correlation may hold, and which rules ask for more than that.
 */
import type { Plan, PlanNode } from './plan.ts';
import { countWanted, isMonotone } from './thresholds.ts';

export interface Limits {
  /** How far event time may run ahead of an event that still counts, ms. */
  latenessMs: number;
  /**
   * Entries of a group up to which everything is kept and counts are exact. Beyond it what cannot
   * matter to any id is let go, and counts become lower bounds.
   */
  groupEntriesMax: number;
  /** Groups of one correlator, over all rules. */
  groupsMax: number;
  /** Groups that are kept unpacked because they were in use last. */
  warmGroupsMax: number;
}

export const DEFAULT_LIMITS: Limits = {
  latenessMs: 30 * 60_000,
  groupEntriesMax: 1_000,
  groupsMax: 1_000_000,
  warmGroupsMax: 10_000,
};

/** Where nothing more can be let go, a group may grow to so many budgets; then it refuses. */
export const GROUP_ENTRIES_HARD_FACTOR = 16;
/** Rules that one expression may want in order: every subset of them is tried. */
export const ORDERED_POSITIVES_MAX = 8;
/** Rules of one temporal correlation. */
export const TEMPORAL_RULES_MAX = 64;
/** Contexts of waiting events that one group keeps; the alert shows another's where it has none. */
export const CONTEXTS_MAX = 64;

export interface PlanProblem {
  message: string;
  hint: string;
}

/** What a rule asks for that is not given, for its author; empty where there is nothing. */
export function checkPlan(plan: Plan, limits: Limits): PlanProblem[] {
  const problems: PlanProblem[] = [];
  const visit = (node: PlanNode): void => {
    problems.push(...checkNode(node, limits));
    for (const child of node.children) if (child.node !== null) visit(child.node);
  };
  visit(plan.root);
  return problems;
}

function checkNode(node: PlanNode, limits: Limits): PlanProblem[] {
  const { stateful } = node;
  if (stateful.kind === 'aggregate') {
    const counted = stateful.aggregate === 'event_count' || stateful.aggregate === 'value_count';
    if (!counted) return [];
    const wanted = isMonotone(stateful.thresholds)
      ? countWanted(stateful.thresholds)
      : Math.max(...stateful.thresholds.map(({ operand }) => Math.abs(operand)));
    if (wanted <= limits.groupEntriesMax) return [];
    return [
      {
        message: `the threshold ${wanted} is above what a group holds, ${limits.groupEntriesMax}`,
        hint: 'make the threshold and the timespan smaller, or raise detect.groupEntriesMax',
      },
    ];
  }
  if (stateful.kind === 'temporal' || stateful.kind === 'temporal_expression') {
    return checkTemporal(node);
  }
  return [];
}

function checkTemporal(node: PlanNode): PlanProblem[] {
  const problems: PlanProblem[] = [];
  if (node.children.length > TEMPORAL_RULES_MAX) {
    problems.push({
      message: `the correlation is over ${node.children.length} rules`,
      hint: `name ${TEMPORAL_RULES_MAX} at most`,
    });
  }
  const { stateful } = node;
  if (stateful.kind === 'temporal' && isMonotone(stateful.thresholds)) {
    const wanted = countWanted(stateful.thresholds);
    if (wanted > node.children.length) {
      problems.push({
        message: `the condition wants ${wanted} rules, and there are ${node.children.length}`,
        hint: 'name more rules, or want fewer',
      });
    }
  }
  if (stateful.kind !== 'temporal_expression') return problems;
  if (!node.positive.some((wanted) => wanted)) {
    problems.push({
      message: 'the condition waits for nothing: every rule in it is negated',
      hint: 'name a rule without "not"; for what never comes there is "silence"',
    });
  }
  const positives = node.positive.filter((wanted) => wanted).length;
  if (stateful.ordered && positives > ORDERED_POSITIVES_MAX) {
    problems.push({
      message: `the condition puts ${positives} rules in order`,
      hint: `name ${ORDERED_POSITIVES_MAX} at most without "not"`,
    });
  }
  return problems;
}
