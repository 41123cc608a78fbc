/**
 * The secret of an archive whose segments are encrypted (`schemas/segment.md`, "Encrypted"): what keys
 * come out of it, and how it is written down. It lies in a file, or AWS KMS keeps it and what is
 * written down is of no use without KMS. Pure.
 */
import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto';

export const SECRET_BYTES = 32;
const KEY_BYTES = 32;
const ID_BYTES = 8;
/** RFC 3394, section 2.2.3.1. */
const WRAP_IV = Buffer.alloc(8, 0xa6);

/** The bytes are no encrypted segment, or not what was encrypted; or a key is none. */
export class EnvelopeError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'EnvelopeError';
  }
}

/** A secret that wraps the keys of segments. */
export interface WrappingKey {
  /** Who keeps the secret: whoever has the file, or AWS KMS. */
  readonly wrap: 'local' | 'kms';
  /** 16 hex digits that tell it from others, and nothing of it. */
  readonly id: string;
  /** What a header says of it: the id, and behind it what KMS has to be asked (`schemas/segment.md`). */
  readonly name: string;
  /** The only archive that it is to encrypt for; null where any. */
  readonly archive: string | null;
  /** Of a segment with this digest, in this slot. */
  dataKey(plainSha256: Buffer, slot: string): Buffer;
  wrapKey(dataKey: Buffer): Buffer;
  /** @throws EnvelopeError where it was wrapped by another. */
  unwrap(wrapped: Buffer): Buffer;
}

/** A secret as KMS encrypted it. None of it has to be kept secret. */
export interface KmsSecret {
  id: string;
  /** ARN of the KMS key. */
  keyArn: string;
  /** BUCKET/PREFIX that it was made for: KMS decrypts it for no other (`encryptionContext`). */
  archive: string;
  ciphertext: Buffer;
}

/** `secret`: 32 random bytes; `kept`: as KMS keeps it. */
export function wrappingKey(secret: Buffer, kept?: Omit<KmsSecret, 'id'>): WrappingKey {
  if (secret.length !== SECRET_BYTES) throw new RangeError('a secret has 32 bytes');
  const derive = (salt: Buffer, info: string, bytes: number): Buffer =>
    Buffer.from(hkdfSync('sha256', secret, salt, info, bytes));
  const kek = derive(Buffer.alloc(0), 'lakeseal envelope wrap', KEY_BYTES);
  const id = derive(Buffer.alloc(0), 'lakeseal envelope id', ID_BYTES).toString('hex');
  return {
    wrap: kept === undefined ? 'local' : 'kms',
    id,
    name: kept === undefined ? id : kmsSecretName({ id, ...kept }),
    archive: kept?.archive ?? null,
    dataKey: (plainSha256, slot) =>
      derive(plainSha256, `lakeseal envelope data\n${slot}`, KEY_BYTES),
    wrapKey: (dataKey) => {
      const cipher = createCipheriv('id-aes256-wrap', kek, WRAP_IV);
      return Buffer.concat([cipher.update(dataKey), cipher.final()]);
    },
    unwrap: (wrapped) => {
      try {
        const cipher = createDecipheriv('id-aes256-wrap', kek, WRAP_IV);
        const dataKey = Buffer.concat([cipher.update(wrapped), cipher.final()]);
        if (dataKey.length === KEY_BYTES) return dataKey;
      } catch {
        // Told below.
      }
      throw new EnvelopeError('the key of the segment was wrapped by another');
    },
  };
}

// --- as text -------------------------------------------------------------------------------------

const LOCAL_TEXT = 'ENVELOPE+KEY+';
const KMS_TEXT = 'ENVELOPE+KMS+';
const LOCAL = /^ENVELOPE\+KEY\+([0-9a-f]{16})\+([A-Za-z0-9+/]{43}=)$/;
/** Neither an ARN nor a bucket nor a prefix has a plus. */
const KMS_NAME = /^([0-9a-f]{16})\+(arn:[^+\s]+)\+([^+\s]+)\+([A-Za-z0-9+/]+={0,2})$/;

/** What a header may say of a secret, by who keeps it. */
export const SECRET_NAMES = { local: /^[0-9a-f]{16}$/, kms: KMS_NAME };

/** The id in what a header says of a secret. */
export function secretId(name: string): string {
  return name.slice(0, 2 * ID_BYTES);
}

/** A secret as text: `ENVELOPE+KEY+ID+base64`. */
export function formatWrappingKey(secret: Buffer): string {
  return `${LOCAL_TEXT}${wrappingKey(secret).id}+${secret.toString('base64')}`;
}

function kmsSecretName({ id, keyArn, archive, ciphertext }: KmsSecret): string {
  const name = `${id}+${keyArn}+${archive}+${ciphertext.toString('base64')}`;
  if (KMS_NAME.test(name)) return name;
  throw new EnvelopeError(`not an ARN and an archive without blanks: ${keyArn}, ${archive}`);
}

/** A secret of KMS as text, of what a header says of it: `ENVELOPE+KMS+ID+ARN+ARCHIVE+base64`. */
export function kmsSecretText(name: string): string {
  return `${KMS_TEXT}${name}`;
}

export function isKmsSecretName(name: string): boolean {
  return KMS_NAME.test(name);
}

/** Whether the text is of a secret that KMS keeps, good or not: such a text is none itself. */
export function isKmsSecretText(text: string): boolean {
  return text.startsWith(KMS_TEXT);
}

/** @throws EnvelopeError that says what is wrong. */
export function parseKmsSecret(text: string): KmsSecret {
  const trimmed = text.trim();
  const name = isKmsSecretText(trimmed) ? trimmed.slice(KMS_TEXT.length) : '';
  const [, id, keyArn, archive, base64] = KMS_NAME.exec(name) ?? [];
  if (id === undefined) {
    throw new EnvelopeError(`a key of envelopes in KMS looks like ${KMS_TEXT}ID+ARN+ARCHIVE+BLOB`);
  }
  return { id, keyArn: keyArn!, archive: archive!, ciphertext: Buffer.from(base64!, 'base64') };
}

/** @throws EnvelopeError that says what is wrong, and never shows the secret. */
export function parseWrappingKey(text: string): WrappingKey {
  const [, id, base64] = LOCAL.exec(text.trim()) ?? [];
  if (id === undefined)
    throw new EnvelopeError(`a key of envelopes looks like ${LOCAL_TEXT}ID+KEY`);
  return knownById(wrappingKey(Buffer.from(base64!, 'base64')), id);
}

/** @throws EnvelopeError where the key has another id than it is written down with. */
export function knownById(key: WrappingKey, id: string): WrappingKey {
  if (key.id === id) return key;
  throw new EnvelopeError('the id is not that of this key: was the file changed?');
}

/** What KMS binds the secret to: it decrypts it in no other context, and policies may ask for it. */
export function encryptionContext(archive: string): Record<string, string> {
  return { 'lakeseal-archive': archive };
}
