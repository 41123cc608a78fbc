/**
 * Works that take turns over the same items, slice by slice, so that a noisy neighbour troubles all
 * alike. Of each slice the fastest round counts: what the machine does when it is left alone.
 */

/** Items of one slice: some hundreds of microseconds, so that some rounds are undisturbed. */
const SLICE = 250;

/** Does the work on the items from `from` to before `to`. */
export type Work = (from: number, to: number) => void;

/** Nanoseconds for each item. */
export function takeTurns<Name extends string>(
  works: Record<Name, Work>,
  items: number,
  rounds: number,
): Record<Name, number> {
  const names = Object.keys(works) as Name[];
  const sums = new Map(names.map((name) => [name, 0]));
  // The first rounds warm up: the engine compiles, indexes learn.
  for (let round = 0; round < 2; round += 1) for (const name of names) works[name](0, items);
  for (let from = 0; from < items; from += SLICE) {
    const to = Math.min(items, from + SLICE);
    const fastest = new Map(names.map((name) => [name, Number.POSITIVE_INFINITY]));
    for (let round = 0; round < rounds; round += 1) {
      for (const name of names) {
        const before = process.hrtime.bigint();
        works[name](from, to);
        const took = Number(process.hrtime.bigint() - before);
        if (took < fastest.get(name)!) fastest.set(name, took);
      }
    }
    for (const name of names) sums.set(name, sums.get(name)! + fastest.get(name)!);
  }
  return Object.fromEntries(
    names.map((name) => [name, Math.round(sums.get(name)! / items)]),
  ) as Record<Name, number>;
}

export function ratio(value: number): number {
  return Number(value.toFixed(2));
}

/** Of an even number of values, half way between the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other);
  const half = sorted.length / 2;
  return (sorted[Math.ceil(half) - 1]! + sorted[Math.floor(half)]!) / 2;
}

/** The buffers one behind the other in one memory, as records of one fetch are. */
export function packed(buffers: readonly Buffer[]): Buffer[] {
  const memory = Buffer.allocUnsafeSlow(buffers.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  return buffers.map((buffer) => {
    const from = at;
    at += buffer.copy(memory, from);
    return memory.subarray(from, at);
  });
}
