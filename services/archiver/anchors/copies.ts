/**
 * Copies of signed roots at a place outside the archive: leaf, checkpoint, and time stamp and witness
 * lines where there are any, under the names they have in the archive. In order, so that what a place
 * holds is always the beginning of the log, and a place that was away is caught up with from there.
 * Nothing there is replaced: a place that holds something else is a finding, not to be mended.
 */
import { Failure } from '../../runtime/errors.ts';
import type { ObjectStore } from '../../store/store.ts';
import { type Anchor, rootKey, type SignedRoot } from './root.ts';

/** Where copies go. Failures are `Failure`s that name it. */
export interface CopyPlace {
  /** For people: where it is. */
  where: string;
  /** Null where it has no such file, or cannot tell. */
  get(name: string): Promise<Buffer | null>;
  putIfAbsent(name: string, bytes: Buffer): Promise<void>;
}

export interface CopyOptions {
  prefix: string;
  store: Pick<ObjectStore, 'get'>;
  /** Called at first and after every failure: what it reads may have been mended. @throws Failure */
  open: () => CopyPlace;
  name: string;
}

type Kind = 'leaf' | 'note' | 'tsr' | 'witness';
const BESIDE: readonly Kind[] = ['note', 'tsr', 'witness'];

export function copyAnchor(options: CopyOptions): Anchor {
  const copier = new Copier(options);
  return {
    name: options.name,
    run: async (root) => {
      try {
        await copier.run(root);
      } catch (error) {
        copier.reopen();
        throw error;
      }
    },
  };
}

class Copier {
  readonly #options: CopyOptions;
  #opened: CopyPlace | null = null;
  /** Leaves that are there; null before it was looked. */
  #copied: number | null = null;
  /** Of the newest two checkpoints: files that are there. */
  readonly #there = new Set<string>();

  constructor(options: CopyOptions) {
    this.#options = options;
  }

  async run({ size }: SignedRoot): Promise<void> {
    this.#copied ??= await this.#count(size);
    while (this.#copied < size) {
      const number: number = this.#copied;
      // A stamp may have come after the root before was copied.
      await this.#beside(number);
      await this.#beside(number + 1);
      await this.#copy('leaf', number);
      this.#copied = number + 1;
      for (const name of this.#there) if (sizeIn(name) < number) this.#there.delete(name);
    }
    await this.#beside(size);
  }

  /** The next run opens the place anew. */
  reopen(): void {
    this.#opened = null;
  }

  get #place(): CopyPlace {
    this.#opened ??= this.#options.open();
    return this.#opened;
  }

  async #beside(size: number): Promise<void> {
    if (size === 0) return;
    for (const kind of BESIDE) await this.#copy(kind, size);
  }

  async #copy(kind: Kind, number: number): Promise<void> {
    const { store, prefix } = this.#options;
    const name = nameOf(kind, number);
    if (this.#there.has(name)) return;
    const object = await store.get(rootKey(prefix, kind, number));
    if (object === null) return;
    const before = await this.#place.get(name);
    if (before === null) await this.#place.putIfAbsent(name, object.bytes);
    else this.#same(name, before, object.bytes);
    this.#there.add(name);
  }

  /** How many leaves the place has, of `size`: they are there in order, so halving finds the end. */
  async #count(size: number): Promise<number> {
    let missing = size;
    let present = -1;
    for (let step = 1; step <= size && present < 0; step *= 2) {
      if (await this.#has(size - step)) present = size - step;
      else missing = size - step;
    }
    while (missing - present > 1) {
      const middle = Math.floor((missing + present) / 2);
      if (await this.#has(middle)) present = middle;
      else missing = middle;
    }
    return missing;
  }

  async #has(number: number): Promise<boolean> {
    const { store, prefix } = this.#options;
    const name = nameOf('leaf', number);
    const there = await this.#place.get(name);
    if (there === null) return false;
    const object = await store.get(rootKey(prefix, 'leaf', number));
    if (object !== null) this.#same(name, there, object.bytes);
    return true;
  }

  #same(name: string, there: Buffer, ours: Buffer): void {
    if (there.equals(ours)) return;
    throw new Failure(`${this.#place.where} holds another ${name}`, {
      code: 'COPY_DIFFERS',
      hint: 'One of the two was rewritten, or the place is that of another archive: run verify --from.',
    });
  }
}

function nameOf(kind: Kind, number: number): string {
  return rootKey('', kind, number).split('/').at(-1)!;
}

function sizeIn(name: string): number {
  return Number(name.split('.')[0]);
}
