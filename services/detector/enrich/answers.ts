/** Answers for addresses, the ones not asked for in a while forgotten. Pure. */
import type { Place } from '../fields/place.ts';

/**
 * A map of at most so many answers that forgets the least recently used half of them at once: two
 * generations, so that neither a hit nor a miss moves anything but one entry.
 */
export class Answers {
  readonly #generationMax: number;
  #young = new Map<string, Place | null>();
  #old = new Map<string, Place | null>();

  constructor(entriesMax: number) {
    this.#generationMax = Math.max(1, Math.floor(entriesMax / 2));
  }

  /** The answer kept, or that of `find`, kept from now on. */
  get(ip: string, find: (ip: string) => Place | null): Place | null {
    const young = this.#young.get(ip);
    if (young !== undefined) return young;
    const old = this.#old.get(ip);
    const answer = old === undefined ? find(ip) : old;
    if (this.#young.size >= this.#generationMax) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(ip, answer);
    return answer;
  }

  get size(): number {
    return this.#young.size + this.#old.size;
  }

  clear(): void {
    this.#young.clear();
    this.#old.clear();
  }
}
