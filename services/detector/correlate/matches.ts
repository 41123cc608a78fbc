/**
 * From an event that detection rules matched to the matches that stateful rules get of it. The
 * reading of fields is the caller's, who knows events; nothing here looks into one.
 */
import type { Plan, PlanLeaf } from './plan.ts';
import type { Match } from './types.ts';

export interface Address {
  topic: string;
  partition: number;
  offset: bigint;
}

export interface EventHead {
  eventId: string;
  /** Epoch ms. */
  eventTime: number;
}

/** The field's text, or null where the event has none. Of several values the first. */
export type Read<E> = (field: string, event: E) => string | null;

/** Matches that were not made, because the event lacks what the rule groups or counts by. */
export interface Dropped {
  groupMissing: number;
  valueMissing: number;
}

/** Which plans an event matched by a detection rule is for. */
export class PlanIndex {
  readonly plans: readonly Plan[];
  readonly dropped: Dropped = { groupMissing: 0, valueMissing: 0 };
  readonly #byLeaf = new Map<string, Array<{ plan: Plan; leaf: PlanLeaf }>>();

  constructor(plans: readonly Plan[]) {
    this.plans = plans;
    for (const plan of plans) {
      for (const leaf of plan.leaves) {
        const list = this.#byLeaf.get(leaf.ruleId);
        if (list === undefined) this.#byLeaf.set(leaf.ruleId, [{ plan, leaf }]);
        else list.push({ plan, leaf });
      }
    }
  }

  /** Whether anything stateful asks for the rule's events. */
  wants(ruleId: string): boolean {
    return this.#byLeaf.has(ruleId);
  }

  /**
   * The matches of one event, one for each plan and hit.
   *
   * @param hits ids of the detection rules that matched the event
   * @param context called at most once, and only where a match is made
   */
  matchesFor<E extends EventHead>(
    hits: readonly string[],
    event: E,
    { topic, partition, offset }: Address,
    context: () => string,
    read: Read<E>,
  ): Match[] {
    const matches: Match[] = [];
    let shown: string | null = null;
    for (const leafId of hits) {
      for (const { plan, leaf } of this.#byLeaf.get(leafId) ?? []) {
        const group = leaf.group.map(
          (field) => read(field, event) ?? (plan.keepsUngrouped ? '' : null),
        );
        if (group.some((value) => value === null)) {
          this.dropped.groupMissing += 1;
          continue;
        }
        const values = leaf.values.map((field) => read(field, event));
        if (plan.needsEveryField && values.some((value) => value === null)) {
          this.dropped.valueMissing += 1;
          continue;
        }
        shown ??= context();
        matches.push({
          ruleId: plan.ruleId,
          leafId,
          group: group as string[],
          values,
          eventTime: event.eventTime,
          eventId: event.eventId,
          topic,
          partition,
          offset,
          context: shown,
        });
      }
    }
    return matches;
  }
}
