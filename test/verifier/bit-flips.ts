/** Single bits changed at places that a seed chooses, over all objects of a small archive. */
import type { SmallArchive } from './proof-archive.ts';
import { replace } from './tamperings.ts';

export interface Flip {
  key: string;
  bit: number;
}

/** Every bit of every object is as likely as any other; the same for the same seed. */
export function* bitFlips({ bucket }: SmallArchive, seed: number, count: number): Generator<Flip> {
  const objects = bucket.list('', undefined, 1_000).map((key) => {
    return { key, bits: bucket.current(key)!.bytes!.length * 8 };
  });
  const all = objects.reduce((sum, { bits }) => sum + bits, 0);
  let random = seed;
  for (let made = 0; made < count; made++) {
    random = (Math.imul(random, 1_103_515_245) + 12_345) & 0x7fffffff;
    let bit = Math.floor((random / 0x80000000) * all);
    for (const { key, bits } of objects) {
      if (bit < bits) {
        yield { key, bit };
        break;
      }
      bit -= bits;
    }
  }
}

/** Runs with the bit changed, and with the archive as it was again afterwards. */
export async function withFlip(
  { bucket }: SmallArchive,
  { key, bit }: Flip,
  run: () => Promise<void>,
): Promise<void> {
  const whole = bucket.current(key)!.bytes!;
  const bytes = Buffer.from(whole);
  bytes[bit >> 3]! ^= 1 << (bit & 7);
  replace(bucket, key, bytes);
  await run();
  replace(bucket, key, whole);
}
