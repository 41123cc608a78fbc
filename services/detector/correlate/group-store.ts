/**
 * Groups of one correlator. Those in use are objects; all others are their packed bytes as one-byte
 * text, which is the smallest thing that a JavaScript heap can keep a few dozen bytes in. Most groups
 * of a detector are of the second kind: it is what a million of them cost.
 */
import { eagerForgetAfter } from './eager.ts';
import { dueOf, orderedForgetAfter } from './ordered.ts';
import type { Group, Rule } from './state-codec.ts';
import { encodeState, packGroup, sealState, unpackGroup } from './state-codec.ts';

/** A group in use. */
export interface Open {
  store: RuleStore;
  /** JSON of the group's values. */
  key: string;
  group: Group;
  /** When it was last added to, by the clock that the correlator is given; epoch ms. */
  touchedMs: number;
  /** Instant for which it stands in the queue; Infinity where it does not. */
  queuedAt: number;
  /** Used since it was last looked at for packing. */
  isUsed: boolean;
  /** Where it is in `OpenGroups`; -1 where it is not. */
  place: number;
}

/** Groups in use, and which of them were not in use lately (the clock algorithm). */
export class OpenGroups {
  readonly #list: Open[] = [];
  #hand = 0;

  get size(): number {
    return this.#list.length;
  }

  add(open: Open): void {
    open.place = this.#list.length;
    this.#list.push(open);
  }

  delete(open: Open): void {
    const { place } = open;
    if (place < 0) return;
    open.place = -1;
    const last = this.#list.pop()!;
    if (last === open) return;
    this.#list[place] = last;
    last.place = place;
  }

  /** Takes one out that was not used since the hand passed it. Only where there is one. */
  takeUnused(): Open {
    for (;;) {
      if (this.#hand >= this.#list.length) this.#hand = 0;
      const open = this.#list[this.#hand]!;
      if (!open.isUsed) {
        this.delete(open);
        return open;
      }
      open.isUsed = false;
      this.#hand += 1;
    }
  }
}

/** What is known of a group without unpacking it. */
export interface Glance {
  touchedMs: number;
  queuedAt: number;
  /** Once the watermark is beyond it nothing of the group can matter. */
  forgetAfter: number;
}

/** Three doubles in front of the packed bytes. */
const GLANCE_BYTES = 24;
const glanceBytes = Buffer.alloc(GLANCE_BYTES);
let scratch = Buffer.alloc(65_536);

export class RuleStore {
  readonly rule: Rule;
  /** What the keys of its groups' states begin with: the rule, and its meaning. */
  readonly keyPrefix: string;
  readonly groups = new Map<string, Open | string>();
  /** Keys of groups that changed since they were last taken. */
  readonly changed = new Set<string>();

  constructor(rule: Rule) {
    this.rule = rule;
    this.keyPrefix = `${rule.plan.ruleId}\n${rule.mark.toString('base64url')}\n`;
  }

  pack(open: Open): void {
    const { touchedMs, queuedAt, group } = open;
    const glance = [touchedMs, queuedAt, forgetAfterOf(this.rule, group)];
    this.groups.set(open.key, packGroup(group, glance));
  }

  unpack(key: string, packed: string): Open {
    if (packed.length > scratch.length) scratch = Buffer.alloc(packed.length * 2);
    scratch.write(packed, 'latin1');
    const open: Open = {
      store: this,
      key,
      group: unpackGroup(this.rule, scratch, GLANCE_BYTES, packed.length),
      touchedMs: scratch.readDoubleLE(0),
      queuedAt: scratch.readDoubleLE(8),
      isUsed: true,
      place: -1,
    };
    this.groups.set(key, open);
    return open;
  }

  glance(slot: Open | string): Glance {
    if (typeof slot !== 'string') {
      const { touchedMs, queuedAt } = slot;
      return { touchedMs, queuedAt, forgetAfter: forgetAfterOf(this.rule, slot.group) };
    }
    glanceBytes.write(slot, 0, GLANCE_BYTES, 'latin1');
    return {
      touchedMs: glanceBytes.readDoubleLE(0),
      queuedAt: glanceBytes.readDoubleLE(8),
      forgetAfter: glanceBytes.readDoubleLE(16),
    };
  }

  /** State of the group for the state topic; null where there is none any more. */
  sealed(key: string): Buffer | null {
    const slot = this.groups.get(key);
    if (slot === undefined) return null;
    if (typeof slot !== 'string') return encodeState(this.rule, slot.group);
    return sealState(this.rule, Buffer.from(slot, 'latin1').subarray(GLANCE_BYTES));
  }
}

export function forgetAfterOf(rule: Rule, group: Group): number {
  if (rule.kind === 'eager' && group.kind === 'eager') {
    return eagerForgetAfter(rule.eager, group.eager);
  }
  if (rule.kind === 'ordered' && group.kind === 'ordered') {
    return orderedForgetAfter(rule.ordered, group.ordered);
  }
  throw new Error(`rule ${rule.plan.ruleId} has a group of another kind`);
}

export function groupDue(group: Group): number {
  return group.kind === 'ordered' ? dueOf(group.ordered) : Number.POSITIVE_INFINITY;
}
