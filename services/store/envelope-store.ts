/**
 * A store whose segments are encrypted before they leave this process, and opened when they come
 * back; evidence is stored as it is. Who seals, adopts and reads back sees segments only, and a
 * manifest is told of the stored bytes. Segments from before there was a key are read as they are.
 *
 * Without the key that a segment takes nothing is guessed: the call fails until it is given.
 */
import {
  encrypt,
  isEncrypted,
  MissingKeyError,
  openEnvelope,
  readEnvelopeHeader,
  storedPrefix,
  type Unwrap,
  unwrapWith,
} from '../../schemas/envelope.ts';
import type { Encryption, Protection } from '../../schemas/evidence/manifest.ts';
import { parseSlotKey } from '../../schemas/layout.ts';
import { EnvelopeError, type WrappingKey } from '../../schemas/wrapping-key.ts';
import { Failure } from '../runtime/errors.ts';
import type { ObjectStore } from './store.ts';

export interface EnvelopeOptions {
  prefix: string;
  /** The first encrypts; all of them open. Not empty. */
  keys: readonly WrappingKey[];
  sha256: (bytes: Buffer) => Promise<Buffer>;
  breathe: () => Promise<void>;
}

/** What a manifest says of an encrypted segment. */
interface Sealed {
  encryption: Encryption;
  stored: NonNullable<Protection['stored']>;
}

/** Sealed segments remembered until their manifests are written; others are read again. */
const SEALED_MAX = 1_024;

export function envelopeStore<Store extends ObjectStore>(
  store: Store,
  options: EnvelopeOptions,
): Store {
  const { prefix, keys, sha256, breathe } = options;
  const unwrap = unwrapWith(keys);
  const sealed = new Map<string, Sealed | null>();
  const remember = async (key: string, stored: Buffer, hash?: Buffer): Promise<Sealed | null> => {
    const what = sealedOf(stored, isEncrypted(stored) ? (hash ?? (await sha256(stored))) : null);
    sealed.delete(key);
    sealed.set(key, what);
    if (sealed.size > SEALED_MAX) sealed.delete(sealed.keys().next().value!);
    return what;
  };
  const slotOf = (key: string): string | null =>
    parseSlotKey(prefix, key) === null ? null : key.slice(prefix.length);
  return {
    ...store,
    async putIfAbsent(key, bytes, digest) {
      const slot = slotOf(key);
      if (slot === null) return store.putIfAbsent(key, bytes, digest);
      const plainSha256 = digest ?? (await sha256(bytes));
      const stored = await encrypt(bytes, plainSha256, slot, keys[0]!, breathe);
      const hash = await sha256(stored);
      const outcome = await store.putIfAbsent(key, stored, hash);
      if (outcome.outcome === 'created') await remember(key, stored, hash);
      return outcome;
    },
    async get(key, range) {
      const slot = slotOf(key);
      if (slot === null) return store.get(key, range);
      const isStart = range !== undefined && range.from === 0;
      const ask = isStart ? { from: 0, to: storedPrefix(range.to) } : undefined;
      const object = await store.get(key, ask);
      if (object === null) return null;
      const isAll = object.bytes.length === object.size;
      if (isAll) await remember(key, object.bytes);
      const max = isStart ? range.to : undefined;
      const { bytes, size } = await open(object.bytes, object.size, slot, unwrap, breathe, max);
      const part = range === undefined ? bytes : bytes.subarray(range.from, range.to);
      return { ...object, bytes: part, size };
    },
    async protection(key) {
      const told = await store.protection(key);
      if (told === null || slotOf(key) === null) return told;
      let what = sealed.get(key);
      if (what === undefined) {
        const object = await store.get(key);
        if (object === null) return null;
        what = await remember(key, object.bytes);
      }
      return what === null ? told : { ...told, ...what };
    },
  };
}

/** Null where the bytes are not encrypted. */
function sealedOf(stored: Buffer, hash: Buffer | null): Sealed | null {
  if (hash === null) return null;
  try {
    const { format: _, slot: __, ...said } = readEnvelopeHeader(stored).header;
    return {
      encryption: { kind: 'envelope', ...said },
      stored: { bytes: stored.length, sha256: hash },
    };
  } catch (error) {
    if (error instanceof EnvelopeError) return null;
    throw error;
  }
}

/** What is stored as it is, and what is not what was encrypted, comes back as it is stored. */
async function open(
  stored: Buffer,
  size: number,
  slot: string,
  unwrap: Unwrap,
  breathe: () => Promise<void>,
  max?: number,
): Promise<{ bytes: Buffer; size: number }> {
  if (!isEncrypted(stored)) return { bytes: stored, size };
  try {
    const { header } = readEnvelopeHeader(stored);
    const bytes = await openEnvelope(stored, slot, unwrap, breathe, max);
    return { bytes, size: header.plainBytes };
  } catch (error) {
    if (error instanceof MissingKeyError) {
      throw new Failure(error.message, {
        code: 'ENVELOPE_KEY',
        hint: 'Name the file of that key in archive.envelopeKeys, behind the one that encrypts now.',
      });
    }
    if (!(error instanceof EnvelopeError)) throw error;
    // Nobody takes it for a segment.
    return { bytes: stored, size };
  }
}
