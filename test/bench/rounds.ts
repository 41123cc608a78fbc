/**
 * Works that take turns, so that a noisy neighbour troubles all alike: each gives the processor time
 * of this thread for one pass over the same items, and the median of its rounds counts.
 */

/** Nanoseconds of processor time for each item. */
export function takeTurns<Name extends string>(
  works: Record<Name, () => void>,
  items: number,
  rounds: number,
): Record<Name, number> {
  const times = new Map<Name, number[]>();
  const names = Object.keys(works) as Name[];
  // The first round warms up: the engine compiles, indexes learn.
  for (let round = 0; round <= rounds; round += 1) {
    for (const name of names) {
      const before = process.threadCpuUsage();
      works[name]();
      const { user, system } = process.threadCpuUsage(before);
      if (round === 0) times.set(name, []);
      else times.get(name)!.push(((user + system) * 1_000) / items);
    }
  }
  return Object.fromEntries(
    names.map((name) => [name, Math.round(median(times.get(name)!))]),
  ) as Record<Name, number>;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.floor(sorted.length / 2)]!;
}

export function ratio(value: number): number {
  return Number(value.toFixed(2));
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
