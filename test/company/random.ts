/** Seeded randomness: the same seed gives the same numbers on every machine. Pure, not for secrets. */

export class Random {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  /** sfc32 (Doty-Humphrey, PractRand), warmed up from one 32-bit seed. */
  constructor(seed: number) {
    this.#a = 0x9e3779b9;
    this.#b = seed >>> 0;
    this.#c = (seed ^ 0x85ebca6b) >>> 0;
    for (let round = 0; round < 16; round += 1) this.uint32();
  }

  /** A stream of its own, so that one part of the day does not shift another. */
  fork(label: string): Random {
    let hash = 0x811c9dc5;
    for (let at = 0; at < label.length; at += 1) {
      hash = Math.imul(hash ^ label.charCodeAt(at), 0x01000193);
    }
    return new Random((hash ^ this.#b ^ this.#c) >>> 0);
  }

  uint32(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum;
    this.#c |= 0;
    return sum >>> 0;
  }

  /** In [0, 1). */
  float(): number {
    return this.uint32() / 0x1_0000_0000;
  }

  /** In [0, below), an integer. */
  int(below: number): number {
    return Math.floor(this.float() * below);
  }

  /** In [from, to], an integer. */
  between(from: number, to: number): number {
    return from + this.int(to - from + 1);
  }

  chance(probability: number): boolean {
    return this.float() < probability;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.int(list.length)]!;
  }

  /** Few of the first, many of none: like people, some do most of the work. */
  pickSkewed<T>(list: readonly T[]): T {
    const f = this.float();
    return list[Math.floor(f * f * list.length)]!;
  }

  /** Lower-case hexadecimal digits. */
  hex(digits: number): string {
    let text = '';
    while (text.length < digits) text += this.uint32().toString(16).padStart(8, '0');
    return text.slice(0, digits);
  }

  digits(count: number): string {
    let text = String(1 + this.int(9));
    while (text.length < count) text += String(this.int(10));
    return text;
  }

  uuid(version: 3 | 4 = 4): string {
    const hex = this.hex(32);
    const variant = '89ab'[this.int(4)];
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${version}${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20)}`;
  }
}

/** Draws items in proportion to their weights. */
export class Weighted<T> {
  readonly #items: T[];
  readonly #sums: number[];

  constructor(entries: ReadonlyArray<readonly [weight: number, item: T]>) {
    this.#items = entries.map(([, item]) => item);
    let sum = 0;
    this.#sums = entries.map(([weight]) => (sum += weight));
  }

  draw(random: Random): T {
    const point = random.float() * this.#sums.at(-1)!;
    let low = 0;
    let high = this.#sums.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#sums[middle]! > point) high = middle;
      else low = middle + 1;
    }
    return this.#items[low]!;
  }
}
