/** One rule of a set with all that it refers to, as a rule set of its own. Pure. */
import type { Rule, RuleSet, StatefulRule } from '../sigma/rule.ts';

export interface Selected {
  /** Only this rule raises alerts in it. */
  set: RuleSet;
  /** The rule itself: one of the two. */
  rule: Rule | null;
  stateful: StatefulRule | null;
}

/** null where the set has no rule of that id. A detection with a kind of its own is the kind. */
export function selectedOf({ rules, stateful }: RuleSet, id: string): Selected | null {
  const root = stateful.find((rule) => rule.id === id);
  if (root === undefined) {
    const found = rules.find((rule) => rule.id === id);
    if (found === undefined) return null;
    const rule = { ...found, alerts: true };
    return { set: setOf([rule], []), rule, stateful: null };
  }
  const leaves = new Map<string, Rule>();
  const chain = new Map<string, StatefulRule>();
  const leaf = (one: string): void => {
    const rule = rules.find((other) => other.id === one);
    if (rule !== undefined) leaves.set(one, { ...rule, alerts: false });
  };
  const add = (one: StatefulRule): void => {
    if (chain.has(one.id)) return;
    chain.set(one.id, { ...one, alerts: one.id === id });
    if (one.stateful.kind === 'absence') leaf(one.stateful.followedBy);
    for (const other of one.rules) {
      const isChained = one.chained.includes(other);
      const inner = isChained ? stateful.find((rule) => rule.id === other) : undefined;
      if (inner === undefined) leaf(other);
      else add(inner);
    }
  };
  add(root);
  const set = setOf([...leaves.values()], [...chain.values()]);
  return { set, rule: null, stateful: chain.get(id)! };
}

function setOf(rules: Rule[], stateful: StatefulRule[]): RuleSet {
  return { rules, stateful, exceptions: [], disabled: [] };
}
