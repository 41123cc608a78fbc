/**
 * Randomness that can be had again: a seed, printed by the test that uses it, gives the same
 * sequence. What servers and processes do at those moments is not repeated by it.
 */

export interface Random {
  readonly seed: number;
  /** Uniform in [0, 1). */
  next(): number;
  /** Uniform integer in [from, to]. */
  integer(from: number, to: number): number;
  pick<Item>(items: readonly Item[]): Item;
}

/** Mulberry32, a public-domain 32-bit generator. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const integer = (from: number, to: number): number => from + Math.floor(next() * (to - from + 1));
  return { seed, next, integer, pick: (items) => items[integer(0, items.length - 1)]! };
}

/** LAKESEAL_TEST_SEED where it is set, else a new one. */
export function chosenSeed(): number {
  const given = process.env.LAKESEAL_TEST_SEED;
  return given ? Number(given) >>> 0 : Math.floor(Math.random() * 2 ** 32);
}
