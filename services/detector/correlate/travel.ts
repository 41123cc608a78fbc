/**
 * `travel`: two places one after the other that cannot be reached at the speed. Each located event of
 * the group against the located one before it (in order of time, then id), where at most a timespan
 * lies between them. Events without a place are passed over.
 */
import type { Reader, Writer } from './bytes.ts';
import { type Entry, readEntries, writeEntries } from './entry.ts';
import { distanceKm, type Place, placeFrom } from './figures.ts';
import { bare, type Fire, firing, type NodeKind, type NodeState } from './node-state.ts';
import type { PlanNode } from './plan.ts';

const HOUR_MS = 3_600_000;
/** Nearer than a metre is the same place: rounding must not be travel. */
const SAME_PLACE_KM = 0.001;

export function travel(node: PlanNode): NodeKind {
  return {
    open: () => new LastPlace(node, null),
    read: (reader: Reader) => {
      const last = readEntries(reader, node.children.length)[0] ?? null;
      if (last !== null && placeOf(node, last) === null) reader.refuse();
      return new LastPlace(node, last);
    },
  };
}

function placeOf({ fieldsAt }: PlanNode, { values }: Entry): Place | null {
  const [latitude, longitude] = fieldsAt;
  return placeFrom(values?.[latitude!] ?? null, values?.[longitude!] ?? null);
}

class LastPlace implements NodeState {
  readonly #node: PlanNode;
  /** With its values. */
  #last: Entry | null;

  constructor(node: PlanNode, last: Entry | null) {
    this.#node = node;
    this.#last = last;
  }

  step(_at: number, events: readonly Entry[], fire: Fire): void {
    for (const event of events) {
      const place = placeOf(this.#node, event);
      if (place === null) continue;
      const before = this.#last;
      this.#last = { ...event, context: '' };
      if (before !== null) this.#judge(before, event, place, fire);
    }
  }

  #judge(before: Entry, event: Entry, place: Place, fire: Fire): void {
    const { stateful, timespanMs } = this.#node;
    const elapsedMs = event.time - before.time;
    if (stateful.kind !== 'travel' || elapsedMs > timespanMs) return;
    const distance = distanceKm(placeOf(this.#node, before)!, place);
    if (distance < Math.max(stateful.distanceKmMin, SAME_PLACE_KM)) return;
    const hours = elapsedMs / HOUR_MS;
    if (!(distance > stateful.speedKmh * hours)) return;
    const speed = hours === 0 ? 'at once' : `${Math.round(distance / hours)} km/h`;
    const reason = `${Math.round(distance)} km in ${Math.round(elapsedMs / 60_000)} minutes: ${speed}, possible are ${stateful.speedKmh} km/h`;
    fire(firing(event, [bare(before), bare(event)], reason));
  }

  deadline(): number {
    return Number.POSITIVE_INFINITY;
  }

  forgetAfter(): number {
    return (this.#last?.time ?? Number.NEGATIVE_INFINITY) + this.#node.timespanMs;
  }

  size(): number {
    return this.#last === null ? 0 : 1;
  }

  write(writer: Writer): void {
    writeEntries(writer, this.#last === null ? [] : [this.#last]);
  }
}
