/**
 * What becomes of a root once it is signed: a time stamp, cosignatures, copies elsewhere. Each by
 * itself and for as long as it takes; nothing waits for any of them.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { parseEvidenceKey } from '../../../schemas/evidence/log-layout.ts';
import { parseRootLeaf } from '../../../schemas/evidence/root-leaf.ts';
import { namedAuthorities, namedWitnesses } from '../../evidence/trust.ts';
import type { Config } from '../../runtime/config.ts';
import { Failure, reasonOf } from '../../runtime/errors.ts';
import type { ObjectStore } from '../../store/store.ts';
import type { OnRoot } from '../root-writer.ts';
import { copyAnchor } from './copies.ts';
import { exchange, type Http } from './http.ts';
import { Persistence, type PersistenceOptions } from './persistence.ts';
import { placeOf } from './places.ts';
import { type Anchor, rootKey, type SignedRoot } from './root.ts';
import { type Authority, stampAnchor } from './stamps.ts';
import { type Witness, witnessAnchor } from './witnesses.ts';

export interface AnchorsOptions extends PersistenceOptions {
  prefix: string;
  store: ObjectStore;
}

export class Anchors {
  readonly #options: AnchorsOptions;
  readonly #all: Persistence[] = [];

  /** What `stampers` put beside a checkpoint, `copiers` take along. */
  constructor(options: AnchorsOptions, stampers: readonly Anchor[], copiers: readonly Anchor[]) {
    this.#options = options;
    const copying = copiers.map((anchor) => new Persistence(anchor, options));
    const again = (root: SignedRoot): void => {
      for (const one of copying) one.wake(root);
    };
    const stamping = stampers.map((anchor) => new Persistence(anchor, options, again));
    this.#all = [...stamping, ...copying];
  }

  /** Every anchor at work, until the signal aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#all.map((one) => one.run(signal)));
  }

  readonly onRoot: OnRoot = async (key, note) => {
    if (this.#all.length === 0) return;
    const { store, prefix } = this.#options;
    const size = parseEvidenceKey(prefix, key)!.number;
    const leafKey = rootKey(prefix, 'leaf', size - 1);
    const leaf = await store.get(leafKey);
    if (leaf === null) throw new Failure(`${leafKey} is not there`, { code: 'ROOT_LEAF' });
    const root = { size, note, timeMs: Date.parse(parseRootLeaf(leaf.bytes).body.time) };
    for (const one of this.#all) one.wake(root);
  };
}

/**
 * As the configuration says. Files are read when they are needed, and again after a failure: none keeps
 * the archiver from sealing. `close` ends connections.
 */
export function configuredAnchors(
  { anchors }: Pick<Config, 'anchors'>,
  options: AnchorsOptions,
  http: Http = exchange,
): { anchors: Anchors; close(): void } {
  const stampers: Anchor[] = [];
  if (anchors.timestamps.length > 0) {
    const authorities = anchors.timestamps.map(authorityOf);
    stampers.push(stampAnchor({ ...options, authorities, http, randomBytes }));
  }
  if (anchors.witnesses.length > 0) {
    const witnesses = anchors.witnesses.map(witnessOf);
    stampers.push(witnessAnchor({ ...options, witnesses, http }));
  }
  /** The newest of each copy. */
  const places = new Map<number, { close(): void }>();
  const copiers = anchors.copies.map((copy, at) => {
    const open = () => {
      places.get(at)?.close();
      const place = placeOf(copy, http, secretIn);
      places.set(at, place);
      return place;
    };
    return copyAnchor({ ...options, open, name: `copies.${at}` });
  });
  return {
    anchors: new Anchors(options, stampers, copiers),
    close: () => {
      for (const place of places.values()) place.close();
    },
  };
}

export function authorityOf({
  url,
  caFile,
  authorizationFile,
}: Config['anchors']['timestamps'][number]): Authority {
  return {
    url,
    trusted: () => (caFile === undefined ? null : namedAuthorities([caFile])),
    authorization: () => (authorizationFile === undefined ? null : secretIn(authorizationFile)),
  };
}

export function witnessOf({ url, key }: Config['anchors']['witnesses'][number]): Witness {
  return { url, key: namedWitnesses([key])[0]! };
}

/** What a file of a credential holds, without the line feed behind it. @throws Failure `ANCHOR_FILE` */
export function secretIn(path: string): string {
  try {
    return readFileSync(path, 'utf8').replace(/\r?\n$/, '');
  } catch (cause) {
    throw new Failure(`cannot read ${path}: ${reasonOf(cause)}`, {
      code: 'ANCHOR_FILE',
      hint: 'Is the file there, and may this user read it?',
      cause,
    });
  }
}
