/**
 * A group of an ordered rule. Its matches wait, in order, until the watermark has passed them; then
 * the tree of the rule is stepped through the instants, innermost rules first. What an inner rule
 * fires is an event of the outer one, at the instant at which it was decided.
 *
 * What was judged stays judged: a match at or before `judgedTo` is either known, and then folded in
 * already, or late. So folding old matches again changes nothing.
 */
import { compareText } from '../../runtime/order.ts';
import { periodOf } from './eager.ts';
import { compareEntries, type Entry, evidenceOf, gravest, placeOf, refsOf } from './entry.ts';
import { textHash } from './figures.ts';
import { CONTEXTS_MAX, GROUP_ENTRIES_HARD_FACTOR, type Limits } from './limits.ts';
import { isDelayed, kindOf } from './node-kinds.ts';
import type { Firing, NodeKind, NodeState } from './node-state.ts';
import { countFiring, type OrderedAlert, openAlert } from './ordered-alert.ts';
import type { Plan, PlanNode } from './plan.ts';

/** A node ready to be judged. Nodes are numbered, inner ones first. */
interface TreeNode {
  at: number;
  node: PlanNode;
  kind: NodeKind;
  children: ReadonlyArray<{ leaf: number } | { inner: TreeNode }>;
}

export interface OrderedRule {
  plan: Plan;
  root: TreeNode;
  nodes: readonly TreeNode[];
  leaves: ReadonlyMap<string, number>;
  memoryMs: number;
  suppressMs: number;
  /** How long after the deciding event a firing may come, by event time. */
  lagMs: number;
  latenessMs: number;
  entriesMax: number;
  entriesHardMax: number;
}

export class OrderedGroup {
  /** Not judged yet; `leaf` is the plan's. */
  pending: Entry[] = [];
  /** Everything up to here is judged. */
  judgedTo = Number.NEGATIVE_INFINITY;
  /** Newest event time ever folded in. */
  newest = Number.NEGATIVE_INFINITY;
  /** State of each node, by the node's own group. */
  states: Array<Map<string, NodeState>>;
  alerts: OrderedAlert[] = [];
  /** Context of the newest event that came with one. */
  context = '';
  /** Events judged within twice the lateness: time and identity, oldest first. */
  judged: Array<{ time: number; hash: number }> = [];
  /** What the states hold, and when the first of them falls due. */
  weight = 0;
  /** The watermark with which room was last looked for. */
  roomMadeAt = Number.NEGATIVE_INFINITY;
  deadline = Number.POSITIVE_INFINITY;

  constructor(nodes: number) {
    this.states = Array.from({ length: nodes }, () => new Map());
  }
}

export type OrderedOutcome = 'folded' | 'duplicate' | 'late' | 'refused';

/** Own groups of an inner node that are looked through for such as are over. */
const SWEEP_FROM = 64;

export function orderedRule(plan: Plan, limits: Limits): OrderedRule {
  const leaves = new Map(plan.leaves.map(({ ruleId }, at) => [ruleId, at]));
  const nodes: TreeNode[] = [];
  const build = (node: PlanNode): TreeNode => {
    const children = node.children.map((child) =>
      child.node === null ? { leaf: leaves.get(child.ruleId)! } : { inner: build(child.node) },
    );
    const kind = kindOf(node, limits.groupEntriesMax);
    const made = { at: nodes.length, node, kind, children };
    nodes.push(made);
    return made;
  };
  const root = build(plan.root);
  return {
    plan,
    root,
    nodes,
    leaves,
    memoryMs: plan.memoryMs,
    suppressMs: plan.suppressMs,
    lagMs: isDelayed(plan.root) ? plan.root.timespanMs : 0,
    latenessMs: limits.latenessMs,
    entriesMax: limits.groupEntriesMax,
    entriesHardMax: limits.groupEntriesMax * GROUP_ENTRIES_HARD_FACTOR,
  };
}

/** @param entry with the values and the context of the match; `leaf` of the plan. */
export function foldOrdered(
  rule: OrderedRule,
  group: OrderedGroup,
  entry: Entry,
  watermark: number,
): OrderedOutcome {
  if (entry.time <= Math.max(group.judgedTo, watermark)) {
    return isJudged(group, entry) ? 'duplicate' : 'late';
  }
  const { at, known } = placeOf(group.pending, entry);
  if (known) return preferOne(group.pending[at]!, entry) ? 'folded' : 'duplicate';
  if (!hasRoom(rule, group, watermark)) return 'refused';
  if (group.pending.length >= CONTEXTS_MAX && entry.context !== '') {
    group.context = entry.context;
    entry.context = '';
  }
  group.pending.splice(at, 0, entry);
  group.newest = Math.max(group.newest, entry.time);
  return 'folded';
}

/** Of a full group what event time has passed is let go, once for each time that it has moved on. */
function hasRoom(rule: OrderedRule, group: OrderedGroup, watermark: number): boolean {
  const isFull = (): boolean => group.pending.length + group.weight >= rule.entriesHardMax;
  if (!isFull()) return true;
  // What falls due must have been judged: stepping over it would swallow what it fires.
  if (group.roomMadeAt >= watermark || dueOf(group) <= watermark) return false;
  group.roomMadeAt = watermark;
  group.weight = 0;
  for (const states of group.states) {
    for (const [key, state] of states) {
      state.step(watermark, [], () => {});
      if (state.forgetAfter() < watermark) states.delete(key);
      else group.weight += state.size();
    }
  }
  return !isFull();
}

/** Two records of one event that differ: which one counts must not depend on which came first. */
function preferOne(known: Entry, other: Entry): boolean {
  const isGraver = other.rank > known.rank;
  if (isGraver) known.rank = other.rank;
  if (JSON.stringify(other.values) >= JSON.stringify(known.values)) return isGraver;
  known.values = other.values;
  if (known.context !== '') known.context = other.context;
  return true;
}

/** Next instant at which something of the group is to be judged; Infinity for none. */
export function dueOf({ pending, deadline }: OrderedGroup): number {
  return Math.min(pending[0]?.time ?? Number.POSITIVE_INFINITY, deadline);
}

/** Judges everything up to the watermark. @returns alerts that changed */
export function judgeOrdered(
  rule: OrderedRule,
  group: OrderedGroup,
  watermark: number,
): Set<OrderedAlert> {
  const changed = new Set<OrderedAlert>();
  let taken = 0;
  for (;;) {
    const next = group.pending[taken]?.time ?? Number.POSITIVE_INFINITY;
    const at = Math.min(next, group.deadline);
    if (at > watermark || at === Number.POSITIVE_INFINITY) break;
    const start = taken;
    while (taken < group.pending.length && group.pending[taken]!.time === at) taken += 1;
    const events = group.pending.slice(start, taken);
    const fired = stepNode(group, rule.root, at, events);
    if (fired.length > 0) tellAlerts(rule, group, fired, changed);
    for (const event of events) group.judged.push({ time: event.time, hash: identityOf(event) });
    group.deadline = deadlineOf(group);
  }
  group.pending = group.pending.slice(taken);
  group.judgedTo = Math.max(group.judgedTo, watermark);
  settle(rule, group);
  return changed;
}

/** Lets go of what is over, and counts what is left. */
export function settle(rule: OrderedRule, group: OrderedGroup): void {
  const { judgedTo } = group;
  group.alerts = group.alerts.filter(({ period }) => closesAt(rule, period) > judgedTo);
  const oldest = judgedTo - 2 * rule.latenessMs;
  const kept = group.judged.findIndex(({ time }) => time > oldest);
  const recent = kept < 0 ? [] : group.judged.slice(kept);
  group.judged = recent.slice(-rule.entriesMax);
  let weight = 0;
  for (const states of group.states) {
    const sweep = states.size >= SWEEP_FROM;
    for (const [key, state] of states) {
      if (sweep && state.forgetAfter() < judgedTo) states.delete(key);
      else weight += state.size();
    }
  }
  group.weight = weight;
}

/** No firing of the period can come after this. */
function closesAt(rule: OrderedRule, period: number): number {
  return period + rule.suppressMs + rule.lagMs;
}

export function deadlineOf({ states }: OrderedGroup): number {
  let deadline = Number.POSITIVE_INFINITY;
  for (const byKey of states) {
    for (const state of byKey.values()) deadline = Math.min(deadline, state.deadline());
  }
  return deadline;
}

interface KeyedFiring {
  key: string;
  firing: Firing;
}

function stepNode(
  group: OrderedGroup,
  tree: TreeNode,
  at: number,
  events: readonly Entry[],
): KeyedFiring[] {
  const inputs = inputsOf(group, tree, at, events);
  const states = group.states[tree.at]!;
  const keys = new Set(inputs.keys());
  for (const [key, state] of states) if (state.deadline() <= at) keys.add(key);
  const fired: KeyedFiring[] = [];
  for (const key of [...keys].sort()) {
    let state = states.get(key);
    if (state === undefined) {
      state = tree.kind.open();
      states.set(key, state);
    }
    const input = inOrder(inputs.get(key) ?? [], tree.node);
    state.step(at, input, (firing) => fired.push({ key, firing }));
  }
  return fired;
}

/** One inner alert may have fired twice in an instant: once, save where the values are counted. */
function inOrder(events: Entry[], { fieldsAt }: PlanNode): Entry[] {
  if (events.length < 2) return events;
  const sorted = events.sort(
    (a, b) =>
      compareEntries(a, b) || compareText(JSON.stringify(a.values), JSON.stringify(b.values)),
  );
  if (fieldsAt.length > 0) return sorted;
  return sorted.filter((event, n) => n === 0 || compareEntries(sorted[n - 1]!, event) !== 0);
}

/** The events of a node at the instant, by the node's own group. */
function inputsOf(
  group: OrderedGroup,
  tree: TreeNode,
  at: number,
  events: readonly Entry[],
): Map<string, Entry[]> {
  const inputs = new Map<string, Entry[]>();
  const give = (entry: Entry): void => {
    const key = ownGroup(tree.node, entry);
    if (key === null) return;
    const list = inputs.get(key);
    if (list === undefined) inputs.set(key, [entry]);
    else list.push(entry);
  };
  for (const [leaf, child] of tree.children.entries()) {
    if ('leaf' in child) {
      for (const event of events) if (event.leaf === child.leaf) give({ ...event, leaf });
      continue;
    }
    for (const { key, firing } of stepNode(group, child.inner, at, events)) {
      if (!firing.isUpdate) give(innerEvent(child.inner.node, leaf, at, key, firing));
    }
  }
  return inputs;
}

function ownGroup({ groupAt }: PlanNode, { values }: Entry): string | null {
  if (groupAt.length === 0) return '';
  const own = groupAt.map((place) => values?.[place] ?? null);
  return own.includes(null) ? null : JSON.stringify(own);
}

/**
 * A firing as an event of the outer rule. Its identity is that of the alert it belongs to: however
 * often an inner rule holds in one period, it is one event that lasts.
 */
function innerEvent(
  { ruleId, suppressMs }: PlanNode,
  leaf: number,
  at: number,
  key: string,
  { deciding, entries, value, rank }: Firing,
): Entry {
  const period = periodOf(deciding.time, suppressMs);
  return {
    ...deciding,
    id: [ruleId, key, period, value ?? ''].join('\n'),
    time: at,
    leaf,
    key: '',
    figure: Number.NaN,
    rank: Math.max(rank, gravest(entries)),
    refs: evidenceOf(refsOf(entries)),
  };
}

/** The firings of one instant: an alert may get several, and what they share counts once. */
function tellAlerts(
  rule: OrderedRule,
  group: OrderedGroup,
  fired: readonly KeyedFiring[],
  changed: Set<OrderedAlert>,
): void {
  const counted = new Map<OrderedAlert, number>();
  for (const { firing } of fired) {
    const alert = alertOf(rule, group, firing);
    if (alert === null) continue;
    const since = counted.get(alert) ?? alert.last;
    counted.set(alert, since);
    if (!countFiring(alert, firing, since)) continue;
    alert.context = firing.deciding.context || alert.context || group.context;
    changed.add(alert);
  }
}

function alertOf(rule: OrderedRule, group: OrderedGroup, firing: Firing): OrderedAlert | null {
  const period = periodOf(firing.deciding.time, rule.suppressMs);
  const known = group.alerts.find((one) => one.period === period && one.value === firing.value);
  if (known !== undefined || firing.isUpdate) return known ?? null;
  const alert = openAlert(period, firing);
  group.alerts.push(alert);
  return alert;
}

function identityOf({ id, leaf }: Entry): number {
  return textHash(`${leaf}\n${id}`);
}

function isJudged({ judged }: OrderedGroup, entry: Entry): boolean {
  const hash = identityOf(entry);
  return judged.some((one) => one.time === entry.time && one.hash === hash);
}

/** When nothing of the group can matter any more: once the watermark is beyond this. */
export function orderedForgetAfter(rule: OrderedRule, group: OrderedGroup): number {
  let after = group.newest + rule.memoryMs;
  for (const byKey of group.states) {
    for (const state of byKey.values()) after = Math.max(after, state.forgetAfter());
  }
  for (const { period } of group.alerts) after = Math.max(after, closesAt(rule, period));
  return after;
}
