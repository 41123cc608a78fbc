/**
 * Matches in, alerts out: the state of all groups of the rules that it is given. Pure; event time is
 * told by the watermark, and the clock is an argument.
 *
 *   const correlator = new Correlator(plans, limits);
 *   for (…) effects.push(...correlator.add(match));
 *   effects.push(...correlator.advance(watermarkMs));
 *   for (const { key, state } of correlator.takeChanges()) …      keep them
 *   other.restore(key, state);                                    and go on elsewhere
 *
 * The ids of the alerts are a function of the set of matches, as long as every match comes before
 * the watermark passes it: not of their order, repetition or batches, nor of when state was taken and
 * restored. Folding matches again that the restored state holds already changes no id.
 *
 * Nothing is let go of silently: what comes too late for what is forgotten is a `late` effect, and
 * what finds no room a `refused` one.
 */
import { statefulAlertId } from './alert-id.ts';
import { DueQueue } from './due-queue.ts';
import {
  canPrune,
  type EagerAlert,
  EagerGroup,
  eagerEvidence,
  eagerRule,
  foldEager,
  prune,
} from './eager.ts';
import { type Entry, evidenceOf, TIME_MS_MAX } from './entry.ts';
import { tupleKey } from './figures.ts';
import { groupDue, type Open, OpenGroups, RuleStore } from './group-store.ts';
import type { Limits } from './limits.ts';
import { foldOrdered, judgeOrdered, OrderedGroup, orderedRule } from './ordered.ts';
import type { OrderedAlert } from './ordered-alert.ts';
import type { Plan } from './plan.ts';
import { decodeState, type Group, markOf, type Rule } from './state-codec.ts';
import {
  type Effect,
  type Match,
  NO_RANK,
  type RefusalReason,
  type StateChange,
  type StatefulAlert,
} from './types.ts';

export interface CorrelatorStats {
  groups: number;
  /** Groups that are unpacked. */
  open: number;
  folded: number;
  duplicates: number;
  late: number;
  refused: number;
  /** Matches of rules that are not in force. */
  unknownRule: number;
  /** Groups of which nothing could matter any more. */
  forgotten: number;
  restored: number;
  /** States of rules or meanings that are not in force. */
  strangers: number;
  /** States that could not be read: their groups start afresh. */
  broken: number;
}

/** Groups looked at for being over, each time that event time moves on. */
const SWEEP_GROUPS = 512;

/** An alert that changed since effects were last taken. */
interface Unsent {
  open: Open;
  alert: EagerAlert | OrderedAlert;
  context: string;
}

export class Correlator {
  readonly #limits: Limits;
  readonly #stores: ReadonlyMap<string, RuleStore>;
  readonly #due = new DueQueue<{ store: RuleStore; key: string }>();
  readonly #open = new OpenGroups();
  readonly #unsent = new Map<string, Unsent>();
  readonly #built = new Map<string, StatefulAlert>();
  #effects: Effect[] = [];
  #watermark = Number.NEGATIVE_INFINITY;
  #nowMs = Number.NEGATIVE_INFINITY;
  #groups = 0;
  /** Of state that was kept without its meaning in the key, and goes on with it. */
  readonly #plainKeys: string[] = [];
  #sweep: Iterator<readonly [RuleStore, string]> | null = null;
  readonly #stats: Omit<CorrelatorStats, 'groups' | 'open'> = {
    folded: 0,
    duplicates: 0,
    late: 0,
    refused: 0,
    unknownRule: 0,
    forgotten: 0,
    restored: 0,
    strangers: 0,
    broken: 0,
  };

  constructor(plans: readonly Plan[], limits: Limits) {
    this.#limits = limits;
    this.#stores = new Map(plans.map((plan) => [plan.ruleId, new RuleStore(ruleOf(plan, limits))]));
  }

  /** Groups that are open. */
  get groups(): number {
    return this.#groups;
  }

  get stats(): CorrelatorStats {
    return { ...this.#stats, groups: this.#groups, open: this.#open.size };
  }

  /**
   * Key of the group that a match of a rule in force belongs to, as in `takeChanges`. The meaning of
   * the rule is part of it: while rules are rolled out, two meanings of one rule are kept by turns.
   */
  keyOf({ ruleId, group }: Pick<Match, 'ruleId' | 'group'>): string {
    const store = this.#stores.get(ruleId);
    return `${store?.keyPrefix ?? `${ruleId}\n\n`}${JSON.stringify(group)}`;
  }

  /** `fold`, and the effects so far. */
  add(match: Match, nowMs?: number): Effect[] {
    this.fold(match, nowMs);
    return this.takeEffects();
  }

  /**
   * Takes a match in. Its effects wait for `takeEffects`, where several changes of one alert are one.
   *
   * @param nowMs when the match was written, if that is known; then a group is kept until nothing
   *   came to it for its memory by this clock too
   */
  fold(match: Match, nowMs?: number): void {
    if (nowMs !== undefined && nowMs > this.#nowMs) this.#nowMs = nowMs;
    const store = this.#stores.get(match.ruleId);
    if (store === undefined) {
      this.#stats.unknownRule += 1;
      return;
    }
    const { eventTime } = match;
    if (!Number.isSafeInteger(eventTime) || Math.abs(eventTime) > TIME_MS_MAX) {
      this.#refuse(match, 'time');
      return;
    }
    const entry = entryOf(store.rule, match);
    if (entry === null) {
      this.#stats.unknownRule += 1;
      return;
    }
    const key = JSON.stringify(match.group);
    const slot = store.groups.get(key);
    const isNew = slot === undefined;
    if (isNew && this.#groups >= this.#limits.groupsMax) {
      this.#refuse(match, 'groups');
      return;
    }
    const open = isNew ? newGroup(store, key) : this.#use(store, key, slot);
    const isKept =
      open.group.kind === 'eager'
        ? this.#foldEager(open, open.group.eager, match, entry, isNew)
        : this.#foldOrdered(open, open.group.ordered, match, entry);
    if (!isKept) return;
    if (isNew) {
      store.groups.set(key, open);
      this.#groups += 1;
      this.#open.add(open);
    }
    open.touchedMs = this.#nowMs;
    store.changed.add(key);
    this.#packSome();
  }

  /** @returns whether the group changed */
  #foldEager(open: Open, group: EagerGroup, match: Match, entry: Entry, isNew: boolean): boolean {
    const { rule } = open.store;
    if (rule.kind !== 'eager') throw new Error('an eager group of an ordered rule');
    if (canPrune(rule.eager, group, this.#watermark)) {
      this.#buildAlertsOf(open);
      prune(rule.eager, group, this.#watermark);
    }
    const outcome = foldEager(rule.eager, group, entry, this.#watermark);
    if (outcome.kind !== 'folded') {
      if (outcome.kind === 'duplicate') this.#stats.duplicates += 1;
      else if (outcome.kind === 'late') this.#late(match);
      else this.#refuse(match, 'group_entries');
      return false;
    }
    this.#stats.folded += 1;
    for (const alert of outcome.changed) {
      this.#unsent.set(unsentKey(open, alert), { open, alert, context: match.context });
    }
    // What there was of a group that is not there may have been forgotten once it was over.
    const isForgotten = isNew && entry.time <= this.#watermark - this.#limits.latenessMs;
    if (outcome.late || isForgotten) this.#late(match);
    return true;
  }

  #foldOrdered(open: Open, group: OrderedGroup, match: Match, entry: Entry): boolean {
    const { rule } = open.store;
    if (rule.kind !== 'ordered') throw new Error('an ordered group of an eager rule');
    const outcome = foldOrdered(rule.ordered, group, entry, this.#watermark);
    if (outcome === 'folded') this.#stats.folded += 1;
    else if (outcome === 'duplicate') this.#stats.duplicates += 1;
    else if (outcome === 'late') this.#late(match);
    else this.#refuse(match, 'group_entries');
    if (outcome === 'folded') this.#enqueue(open);
    return outcome === 'folded';
  }

  /** Event time has come so far. Judges what waited for it, and gives the effects so far. */
  advance(watermarkMs: number, nowMs?: number): Effect[] {
    if (nowMs !== undefined && nowMs > this.#nowMs) this.#nowMs = nowMs;
    if (watermarkMs > this.#watermark) this.#watermark = watermarkMs;
    while (this.#due.next <= this.#watermark) {
      const at = this.#due.next;
      const { store, key } = this.#due.pop();
      const slot = store.groups.get(key);
      if (slot === undefined || store.glance(slot).queuedAt !== at) continue;
      this.#judge(this.#use(store, key, slot));
    }
    this.#forgetSome();
    this.#packSome();
    return this.takeEffects();
  }

  #judge(open: Open): void {
    const { group, store } = open;
    open.queuedAt = Number.POSITIVE_INFINITY;
    if (group.kind !== 'ordered' || store.rule.kind !== 'ordered') return;
    if (groupDue(group) <= this.#watermark) {
      const alerts = judgeOrdered(store.rule.ordered, group.ordered, this.#watermark);
      for (const alert of alerts) {
        this.#unsent.set(unsentKey(open, alert), { open, alert, context: alert.context });
      }
      // What was kept before gives the same again once it is judged up to here, as it is after every
      // restart. So a busy group, of which something always waits, is not written for this alone.
      if (alerts.size > 0 || group.ordered.pending.length === 0) store.changed.add(open.key);
    }
    this.#enqueue(open);
  }

  #enqueue(open: Open): void {
    const due = groupDue(open.group);
    if (due >= open.queuedAt) return;
    open.queuedAt = due;
    this.#due.push(due, { store: open.store, key: open.key });
  }

  /** What happened since the last call: of each alert its newest state. */
  takeEffects(): Effect[] {
    if (this.#effects.length === 0 && this.#unsent.size === 0 && this.#built.size === 0) return [];
    for (const [key, unsent] of this.#unsent) this.#built.set(key, this.#alertOf(unsent));
    this.#unsent.clear();
    const alerts = [...this.#built.values()].map((alert) => ({ kind: 'alert' as const, alert }));
    this.#built.clear();
    const effects = [...this.#effects, ...alerts];
    this.#effects = [];
    return effects;
  }

  /**
   * Groups that changed since the last call, as they are now; null for those that are over. One that
   * was only judged, and in vain, may be missing: whoever restores it moves event time to where it was.
   */
  takeChanges(): StateChange[] {
    const changes: StateChange[] = [];
    for (const key of this.#plainKeys.splice(0)) changes.push({ key, state: null });
    for (const store of this.#stores.values()) {
      for (const key of store.changed) {
        changes.push({ key: `${store.keyPrefix}${key}`, state: store.sealed(key) });
      }
      store.changed.clear();
    }
    return changes;
  }

  /**
   * Takes a group's state back, in place of what is known of it.
   *
   * @returns false where it is of no rule in force, or of another meaning of one, or not readable:
   *   the group then starts afresh. `stats` tells which.
   */
  restore(key: string, state: Buffer): boolean {
    const end = key.indexOf('\n') + 1;
    const store = this.#stores.get(key.slice(0, end - 1));
    // The meaning was not always part of the key: the group itself begins with a bracket.
    const isPlain = key[end] === '[';
    if (store === undefined || !(isPlain || key.startsWith(store.keyPrefix))) {
      this.#stats.strangers += 1;
      return false;
    }
    const decoded = decodeState(store.rule, state);
    if (!decoded.ok) {
      this.#stats[decoded.why === 'stranger' ? 'strangers' : 'broken'] += 1;
      return false;
    }
    const groupKey = key.slice(isPlain ? end : store.keyPrefix.length);
    if (isPlain) {
      store.changed.add(groupKey);
      this.#plainKeys.push(key);
    }
    const known = store.groups.get(groupKey);
    if (known === undefined) this.#groups += 1;
    else if (typeof known !== 'string') this.#open.delete(known);
    const open: Open = { ...newGroup(store, groupKey), group: decoded.group };
    open.touchedMs = this.#nowMs;
    this.#enqueue(open);
    store.pack(open);
    this.#stats.restored += 1;
    return true;
  }

  #use(store: RuleStore, key: string, slot: Open | string): Open {
    if (typeof slot !== 'string') {
      slot.isUsed = true;
      return slot;
    }
    const open = store.unpack(key, slot);
    this.#open.add(open);
    return open;
  }

  /** Packs groups that were not in use lately, until no more than the limit are unpacked. */
  #packSome(): void {
    while (this.#open.size > this.#limits.warmGroupsMax) {
      const open = this.#open.takeUnused();
      open.store.pack(open);
    }
  }

  /** Lets go of groups that are over: a share at a time, all of them in turn. */
  #forgetSome(): void {
    for (let n = 0; n < SWEEP_GROUPS; n += 1) {
      this.#sweep ??= slotsOf(this.#stores);
      const { value, done } = this.#sweep.next();
      if (done === true) {
        this.#sweep = null;
        return;
      }
      const [store, key] = value;
      const slot = store.groups.get(key);
      if (slot !== undefined) this.#forgetIfOver(store, key, slot);
    }
  }

  #forgetIfOver(store: RuleStore, key: string, slot: Open | string): void {
    const { touchedMs, forgetAfter } = store.glance(slot);
    const { latenessMs } = this.#limits;
    const { memoryMs } = store.rule.plan;
    if (forgetAfter + latenessMs >= this.#watermark) return;
    if (touchedMs + memoryMs + latenessMs > this.#nowMs) return;
    if (typeof slot !== 'string') {
      this.#buildAlertsOf(slot);
      this.#open.delete(slot);
    }
    store.groups.delete(key);
    store.changed.add(key);
    this.#groups -= 1;
    this.#stats.forgotten += 1;
  }

  /** Alerts of the group as they are now, because what they show is about to go. */
  #buildAlertsOf({ store, key, group }: Open): void {
    const alerts = group.kind === 'eager' ? group.eager.alerts : group.ordered.alerts;
    for (const alert of alerts) {
      const name = unsentKey({ store, key }, alert);
      const unsent = this.#unsent.get(name);
      if (unsent === undefined) continue;
      this.#built.set(name, this.#alertOf(unsent));
      this.#unsent.delete(name);
    }
  }

  #alertOf({ open, alert, context }: Unsent): StatefulAlert {
    const { rule } = open.store;
    const { plan } = rule;
    const { period, first, last, count, isLowerBound, revision } = alert;
    const value = 'value' in alert ? alert.value : null;
    const values = JSON.parse(open.key) as string[];
    const shown =
      'value' in alert
        ? { reason: alert.reason, evidence: evidenceOf([...alert.oldest, ...alert.newest]) }
        : eagerShown(rule, open.group, alert);
    return {
      id: statefulAlertId(plan.ruleId, open.key, period, value),
      ruleId: plan.ruleId,
      group: plan.groupNames.map((name, at) => [name, values[at]!] as const),
      periodMs: period,
      first,
      last,
      count,
      countIsLowerBound: isLowerBound,
      evidence: shown.evidence,
      reason: shown.reason,
      context,
      revision,
      ...(alert.rank !== NO_RANK && { rank: alert.rank }),
    };
  }

  #late(match: Match): void {
    this.#stats.late += 1;
    const behindMs = Math.max(0, this.#watermark - match.eventTime);
    this.#effects.push({ kind: 'late', match, behindMs });
  }

  #refuse(match: Match, reason: RefusalReason): void {
    this.#stats.refused += 1;
    this.#effects.push({ kind: 'refused', match, reason });
  }
}

function ruleOf(plan: Plan, limits: Limits): Rule {
  return plan.mode === 'eager'
    ? { kind: 'eager', plan, mark: markOf(plan), eager: eagerRule(plan, limits) }
    : { kind: 'ordered', plan, mark: markOf(plan), ordered: orderedRule(plan, limits) };
}

function newGroup(store: RuleStore, key: string): Open {
  const group: Group =
    store.rule.kind === 'eager'
      ? { kind: 'eager', eager: new EagerGroup() }
      : { kind: 'ordered', ordered: new OrderedGroup(store.rule.ordered.nodes.length) };
  return {
    store,
    key,
    group,
    touchedMs: Number.NEGATIVE_INFINITY,
    queuedAt: Number.POSITIVE_INFINITY,
    isUsed: true,
    place: -1,
  };
}

/** null where the match is of no rule of the plan, or lacks what is counted. */
function entryOf(rule: Rule, match: Match): Entry | null {
  const { plan } = rule;
  const leaf =
    rule.kind === 'ordered'
      ? rule.ordered.leaves.get(match.leafId)
      : plan.root.children.findIndex(({ ruleId }) => ruleId === match.leafId);
  if (leaf === undefined || leaf < 0) return null;
  const isEager = rule.kind === 'eager';
  const { fieldsAt } = plan.root;
  const key = isEager && fieldsAt.length > 0 ? tupleKey(match.values, fieldsAt) : '';
  if (key === null) return null;
  return {
    time: match.eventTime,
    id: match.eventId,
    leaf,
    key,
    figure: Number.NaN,
    topic: match.topic,
    partition: match.partition,
    offset: match.offset,
    rank: match.rank ?? NO_RANK,
    values: isEager ? null : match.values,
    context: isEager ? '' : match.context,
    refs: null,
  };
}

function eagerShown(
  rule: Rule,
  group: Group,
  alert: EagerAlert,
): Pick<StatefulAlert, 'reason' | 'evidence'> {
  if (rule.kind !== 'eager' || group.kind !== 'eager') throw new Error('not an eager group');
  return {
    reason: rule.eager.condition.reason(alert.count),
    evidence: eagerEvidence(rule.eager, group.eager, alert),
  };
}

function unsentKey(
  { store, key }: Pick<Open, 'store' | 'key'>,
  alert: EagerAlert | OrderedAlert,
): string {
  const value = 'value' in alert ? (alert.value ?? '') : '';
  return `${store.rule.plan.ruleId}\n${key}\n${alert.period}\n${value}`;
}

function* slotsOf(
  stores: ReadonlyMap<string, RuleStore>,
): Generator<readonly [RuleStore, string], undefined> {
  for (const store of stores.values()) {
    for (const key of store.groups.keys()) yield [store, key] as const;
  }
  return undefined;
}
