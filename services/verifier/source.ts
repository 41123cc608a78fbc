/**
 * What a verifier asks of an archive, wherever it lies: every version of every object, its bytes, and
 * how it is protected. Nothing here can write.
 */
import type { Protection } from '../../schemas/evidence/manifest.ts';

export interface SourceVersion {
  key: string;
  /** Empty where the source knows no versions. */
  versionId: string;
  isLatest: boolean;
  isDeleteMarker: boolean;
  /** Stored bytes; 0 for a delete marker. */
  size: number;
}

export interface ArchiveSource {
  /** What the report calls it. */
  readonly name: string;
  /** False where neither versions and markers nor protection can be told: they are not judged. */
  readonly tellsVersions: boolean;
  /**
   * Every version and delete marker below the prefix, by the bytes of the key, newest first; only of
   * keys behind `after`, where that is given.
   */
  versions(prefix: string, after?: string): AsyncIterable<SourceVersion>;
  /** The bytes of one version, or null where they are not there. @throws Failure */
  read(version: SourceVersion): Promise<Buffer | null>;
  /** Null where this source cannot tell: nothing of it is then judged. @throws Failure */
  protection(version: SourceVersion): Promise<Protection | null>;
}

/** All versions of one key. */
export interface KeyVersions {
  key: string;
  versions: readonly SourceVersion[];
}

/** The same, key by key. */
export async function* byKey(versions: AsyncIterable<SourceVersion>): AsyncGenerator<KeyVersions> {
  let open: SourceVersion[] = [];
  for await (const version of versions) {
    const [first] = open;
    if (first !== undefined && first.key !== version.key) {
      yield { key: first.key, versions: open };
      open = [];
    }
    open.push(version);
  }
  const [first] = open;
  if (first !== undefined) yield { key: first.key, versions: open };
}

/** A listing that leaves out what is known. `skips` in the order of their keys, apart from each other. */
export async function* listed(
  source: Pick<ArchiveSource, 'versions'>,
  prefix: string,
  skips: ReadonlyArray<{ from: string; to: string }>,
): AsyncGenerator<SourceVersion> {
  let after: string | undefined;
  for (const { from, to } of skips) {
    for await (const version of source.versions(prefix, after)) {
      if (version.key > from) break;
      yield version;
    }
    after = to;
  }
  yield* source.versions(prefix, after);
}

/** A stream of which the next item can be looked at before it is taken. */
export class Peekable<Item> {
  readonly #items: AsyncIterator<Item>;
  #next: Promise<IteratorResult<Item>> | null = null;

  constructor(items: AsyncIterable<Item>) {
    this.#items = items[Symbol.asyncIterator]();
  }

  async peek(): Promise<Item | null> {
    this.#next ??= this.#items.next();
    const next = await this.#next;
    return next.done === true ? null : next.value;
  }

  async take(): Promise<Item | null> {
    const item = await this.peek();
    if (item !== null) this.#next = null;
    return item;
  }
}
