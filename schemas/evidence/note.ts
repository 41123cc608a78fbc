/**
 * Signed notes and the keys that sign them (C2SP signed-note, c2sp.org/signed-note). Pure: a signer
 * is given, and what signs may be elsewhere.
 *
 *   TEXT lines
 *   (empty line)
 *   — NAME base64(key id ‖ signature)
 *
 * Signature types: 0x01 Ed25519, 0x02 ECDSA (P-256, SHA-256, DER); of witnesses 0x04, see
 * `cosignature`. Signatures of unknown keys are passed over, as the specification demands; a known
 * key whose signature is wrong spoils the whole note.
 */
import {
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  sign as signBytes,
  verify as verifyBytes,
} from 'node:crypto';
import { sha256 } from './merkle.ts';

export const ED25519 = 1;
export const ECDSA = 2;
export const COSIGNATURE = 4;
export type SignatureType = typeof ED25519 | typeof ECDSA | typeof COSIGNATURE;

/** A note is small; what is larger is none of ours. */
export const NOTE_BYTES_MAX = 1024 * 1024;
const SIGNATURES_MAX = 100;
const KEY_ID_BYTES = 4;
const ED25519_KEY_BYTES = 32;
const TIMESTAMP_BYTES = 8;
/** What stands before the 32 bytes in a SubjectPublicKeyInfo of Ed25519 (RFC 8410, section 4). */
const ED25519_SPKI = Buffer.from('302a300506032b6570032100', 'hex');
/** … and in a PKCS #8 private key (RFC 8410, section 7). */
const ED25519_PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex');

/** What checks signatures of one key. */
export interface Verifier {
  name: string;
  /** Four bytes. */
  keyId: Buffer;
  type: SignatureType;
  /** As it was given. */
  vkey: string;
  key: KeyObject;
}

/** What signs. The key may be in a file or in a key service. */
export interface Signer {
  readonly verifier: Verifier;
  /** Signature of exactly these bytes. */
  sign(text: Buffer): Promise<Buffer>;
}

export interface NoteSignature {
  name: string;
  keyId: Buffer;
  signature: Buffer;
}

export interface Note {
  /** What is signed: every line with its line feed, without the empty line behind it. */
  text: string;
  signatures: NoteSignature[];
}

export class NoteError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'NoteError';
  }
}

// --- keys --------------------------------------------------------------------------------------

/** @throws NoteError that says what is wrong with the text. */
export function parseVkey(vkey: string): Verifier {
  const [name, id, material, ...rest] = splitKey(vkey.trim());
  if (name === undefined || id === undefined || material === undefined || rest.length > 0) {
    throw new NoteError('a public key looks like NAME+KEYID+KEY');
  }
  checkName(name);
  const bytes = base64(material);
  if (!/^[0-9a-f]{8}$/.test(id) || bytes === null) {
    throw new NoteError('a public key has 8 hex digits and base64 behind its name');
  }
  const type = bytes[0];
  const body = bytes.subarray(1);
  let key: KeyObject;
  try {
    key = publicKey(type, body);
  } catch {
    throw new NoteError('not a public key of a type that is known (Ed25519, ECDSA on P-256)');
  }
  const keyId = keyIdOf(name, type as SignatureType, body);
  if (keyId.toString('hex') !== id) {
    throw new NoteError(`the key id ${id} is not that of this name and key: was it mistyped?`);
  }
  return { name, keyId, type: type as SignatureType, vkey: vkey.trim(), key };
}

/** base64 may hold `+` itself, so only the first two count. */
function splitKey(text: string): string[] {
  const first = text.indexOf('+');
  const second = text.indexOf('+', first + 1);
  if (first < 0 || second < 0) return [text];
  return [text.slice(0, first), text.slice(first + 1, second), text.slice(second + 1)];
}

function publicKey(type: number | undefined, body: Buffer): KeyObject {
  if (type === ED25519 || type === COSIGNATURE) {
    if (body.length !== ED25519_KEY_BYTES) throw new NoteError('not 32 bytes');
    const der = Buffer.concat([ED25519_SPKI, body]);
    return createPublicKey({ key: der, format: 'der', type: 'spki' });
  }
  if (type !== ECDSA) throw new NoteError('unknown type');
  const key = createPublicKey({ key: body, format: 'der', type: 'spki' });
  const curve = key.asymmetricKeyDetails?.namedCurve;
  if (key.asymmetricKeyType !== 'ec' || curve !== 'prime256v1') throw new NoteError('not P-256');
  return key;
}

export function keyIdOf(name: string, type: SignatureType, body: Buffer): Buffer {
  if (type === ECDSA) return sha256(body).subarray(0, KEY_ID_BYTES);
  const input = Buffer.concat([Buffer.from(`${name}\n`), Buffer.of(type), body]);
  return sha256(input).subarray(0, KEY_ID_BYTES);
}

/** The verifier of a public key object: Ed25519, or EC on P-256. */
export function verifierOf(name: string, key: KeyObject): Verifier {
  checkName(name);
  const der = key.export({ format: 'der', type: 'spki' });
  const isEd = key.asymmetricKeyType === 'ed25519';
  const body = isEd ? der.subarray(ED25519_SPKI.length) : der;
  const type = isEd ? ED25519 : ECDSA;
  const id = keyIdOf(name, type, body).toString('hex');
  const material = Buffer.concat([Buffer.of(type), body]).toString('base64');
  return parseVkey(`${name}+${id}+${material}`);
}

/** A private key as text in the form that Go's note package uses: `PRIVATE+KEY+NAME+KEYID+KEY`. */
export function formatPrivateKey(name: string, seed: Buffer): string {
  const { verifier } = ed25519Signer(name, seed);
  const material = Buffer.concat([Buffer.of(ED25519), seed]).toString('base64');
  return `PRIVATE+KEY+${name}+${verifier.keyId.toString('hex')}+${material}`;
}

/** @throws NoteError that says what is wrong, and never shows the key. */
export function parsePrivateKey(text: string): Signer {
  const prefix = 'PRIVATE+KEY+';
  const trimmed = text.trim();
  const [name, id, material] = trimmed.startsWith(prefix)
    ? splitKey(trimmed.slice(prefix.length))
    : [];
  const bytes = material === undefined ? null : base64(material);
  if (name === undefined || bytes === null) {
    throw new NoteError('a private key looks like PRIVATE+KEY+NAME+KEYID+KEY');
  }
  if (bytes[0] !== ED25519 || bytes.length !== 1 + ED25519_KEY_BYTES) {
    throw new NoteError('the private key is not one of Ed25519');
  }
  const signer = ed25519Signer(name, bytes.subarray(1));
  if (signer.verifier.keyId.toString('hex') !== id) {
    throw new NoteError('the key id is not that of this name and key: was the file changed?');
  }
  return signer;
}

/** `seed`: the 32 bytes of an Ed25519 private key (RFC 8032). */
export function ed25519Signer(name: string, seed: Buffer): Signer {
  const der = Buffer.concat([ED25519_PKCS8, seed]);
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  const verifier = verifierOf(name, createPublicKey(key));
  return { verifier, sign: (text) => Promise.resolve(signBytes(null, text, key)) };
}

function checkName(name: string): void {
  if (name === '' || /[\s+\p{Z}\p{Cc}]/u.test(name)) {
    throw new NoteError('the name of a key has no blanks and no plus, and is not empty');
  }
}

// --- notes -------------------------------------------------------------------------------------

/** @throws NoteError where the bytes are no signed note. */
export function parseNote(bytes: Buffer): Note {
  if (bytes.length > NOTE_BYTES_MAX) throw new NoteError('too large for a note');
  const whole = utf8(bytes);
  const split = whole.lastIndexOf('\n\n');
  if (split < 0) throw new NoteError('no empty line before the signatures');
  const text = whole.slice(0, split + 1);
  const rest = whole.slice(split + 2);
  if (text === '\n' || !rest.endsWith('\n')) throw new NoteError('no text, or no end of line');
  const lines = rest.slice(0, -1).split('\n');
  if (lines.length > SIGNATURES_MAX) throw new NoteError('too many signatures');
  return { text, signatures: lines.map(parseSignature) };
}

function utf8(bytes: Buffer): string {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new NoteError('not UTF-8');
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the specification forbids them.
  if (/[\x00-\x09\x0b-\x1f]/.test(text)) throw new NoteError('a control character');
  return text;
}

/** One signature line, without its line feed. */
export function parseSignature(line: string): NoteSignature {
  const parts = line.split(' ');
  const [dash, name, material] = parts;
  const bytes = parts.length === 3 && dash === '—' ? base64(material!) : null;
  if (bytes === null || bytes.length <= KEY_ID_BYTES) throw new NoteError('not a signature line');
  checkName(name!);
  const keyId = bytes.subarray(0, KEY_ID_BYTES);
  return { name: name!, keyId, signature: bytes.subarray(KEY_ID_BYTES) };
}

function base64(text: string): Buffer | null {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : null;
}

export function formatSignature({ name, keyId, signature }: NoteSignature): string {
  return `— ${name} ${Buffer.concat([keyId, signature]).toString('base64')}\n`;
}

/** The bytes of a note with one signature. @throws NoteError where the text cannot be one. */
export async function signNote(text: string, signer: Signer): Promise<Buffer> {
  const { name, keyId } = signer.verifier;
  const signature = await signer.sign(Buffer.from(text));
  const bytes = Buffer.from(`${text}\n${formatSignature({ name, keyId, signature })}`);
  if (parseNote(bytes).text !== text) throw new NoteError('the text cannot be that of a note');
  return bytes;
}

/** `signed`: the keys that signed it, validly. `forged`: known keys whose signature is wrong. */
export interface Verified {
  signed: Verifier[];
  forged: Verifier[];
}

export function verifyNote(note: Note, verifiers: readonly Verifier[]): Verified {
  const signed: Verifier[] = [];
  const forged: Verifier[] = [];
  for (const signature of note.signatures) {
    const known = verifiers.find(
      ({ name, keyId }) => name === signature.name && keyId.equals(signature.keyId),
    );
    if (known === undefined) continue;
    (isSignedBy(note.text, signature.signature, known) ? signed : forged).push(known);
  }
  return { signed, forged };
}

/** True where the signature is that key's, over the text. */
export function isSignedBy(text: string, signature: Buffer, by: Verifier): boolean {
  if (by.type === COSIGNATURE) {
    const time = cosignatureTime(signature);
    if (time === null) return false;
    const message = Buffer.from(`cosignature/v1\ntime ${time}\n${text}`);
    return verifyBytes(null, message, by.key, signature.subarray(TIMESTAMP_BYTES));
  }
  const algorithm = by.type === ED25519 ? null : 'sha256';
  return verifyBytes(algorithm, Buffer.from(text), by.key, signature);
}

/** When a witness says it saw the checkpoint, seconds since the epoch (C2SP tlog-cosignature). */
export function cosignatureTime(signature: Buffer): bigint | null {
  if (signature.length <= TIMESTAMP_BYTES) return null;
  return signature.readBigUInt64BE(0);
}
