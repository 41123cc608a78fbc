/**
 * Log delivery: lines are gathered per workspace into files every few minutes, and a file is there
 * up to a quarter of an hour after its events. So workspaces are out of step with each other, and a
 * consumer meets time going back and forth. Now and then a file comes again. Pure and seeded.
 */
import type { DayLine } from '../day.ts';
import type { Random } from '../random.ts';

/** A file, on its way. */
interface Parcel {
  dueSlot: number;
  order: number;
  lines: DayLine[];
}

const GATHER_SLOTS_MIN = 1;
const GATHER_SLOTS_MAX = 6;
/** Gathered and sent: at most this after the event. */
const LATE_SLOTS_MAX = 15;
const REPEAT_CHANCE = 0.002;
const REPEAT_LINES_MAX = 100;

export class Delivery {
  readonly #random: Random;
  readonly #open = new Map<string, { sinceSlot: number; untilSlot: number; lines: DayLine[] }>();
  #parcels: Parcel[] = [];
  #order = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  /** Takes the lines of one minute, in order of time; gives those that arrive in it. */
  *through(slot: number, lines: readonly DayLine[]): Generator<DayLine> {
    for (const line of lines) {
      let file = this.#open.get(line.workspaceId);
      if (file === undefined) {
        const untilSlot = slot + this.#random.between(GATHER_SLOTS_MIN, GATHER_SLOTS_MAX);
        file = { sinceSlot: slot, untilSlot, lines: [] };
        this.#open.set(line.workspaceId, file);
      }
      file.lines.push(line);
    }
    for (const [workspaceId, file] of this.#open) {
      if (file.untilSlot <= slot) this.#send(workspaceId, slot);
    }
    yield* this.#arrived(slot);
  }

  /** All that is still on its way. */
  *rest(): Generator<DayLine> {
    for (const workspaceId of [...this.#open.keys()]) this.#send(workspaceId, 0);
    yield* this.#arrived(Number.POSITIVE_INFINITY);
  }

  #send(workspaceId: string, slot: number): void {
    const { lines, sinceSlot } = this.#open.get(workspaceId)!;
    this.#open.delete(workspaceId);
    const patience = Math.max(0, LATE_SLOTS_MAX - 1 - (slot - sinceSlot));
    const dueSlot = slot + this.#random.int(patience + 1);
    this.#parcel(dueSlot, lines);
    if (this.#random.chance(REPEAT_CHANCE)) {
      const again = lines.slice(-REPEAT_LINES_MAX);
      this.#parcel(
        dueSlot,
        again.map((line) => ({ ...line, repeat: true as const })),
      );
    }
  }

  #parcel(dueSlot: number, lines: DayLine[]): void {
    this.#parcels.push({ dueSlot, order: this.#order, lines });
    this.#order += 1;
  }

  *#arrived(slot: number): Generator<DayLine> {
    const due = this.#parcels.filter(({ dueSlot }) => dueSlot <= slot);
    if (due.length === 0) return;
    this.#parcels = this.#parcels.filter(({ dueSlot }) => dueSlot > slot);
    due.sort((left, right) => left.dueSlot - right.dueSlot || left.order - right.order);
    for (const { lines } of due) yield* lines;
  }
}
