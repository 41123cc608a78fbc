/**
 * Time stamps over checkpoints (RFC 3161, in CMS of RFC 5652): the question to an authority, and
 * whether an answer is one. Pure: bytes in, a verdict out; the hour of the answer is for the caller
 * to judge. `schemas/evidence.md`, "Time stamps", says what must hold.
 */
import { hash, verify as verifyBytes } from 'node:crypto';
import {
  CERTIFICATES_MAX,
  type Certificate,
  CertificateError,
  chainTo,
  EXTENSION,
  parseCertificate,
} from './certificate.ts';
import {
  childrenOf,
  context,
  DerError,
  type DerNode,
  der,
  derInteger,
  derOid,
  expected,
  oidOf,
  readDer,
  smallInteger,
  TAG,
  timeOfNode,
} from './der.ts';
import { sha256 } from './merkle.ts';

/** What judging a time stamp comes to; `time` in seconds since the epoch, fractions cut off. */
export type StampVerdict = { ok: true; time: number } | { ok: false; detail: string };

export interface StampRules {
  /** Obtained by another way; null: any authority will do, which proves nothing to others. */
  trusted: readonly Certificate[] | null;
  /** What the question held, where the answer comes straight from the authority. */
  nonce?: Buffer;
}

/** How far a stamp may be behind the hour of its root, seconds. */
export const STAMP_DELAY_S = 86_400;

/** Whether the time of a stamp fits the hour of its root, both in seconds since the epoch. */
export function isTimely(stamp: number, root: number): boolean {
  return stamp >= root && stamp <= root + STAMP_DELAY_S;
}

export const NONCE_BYTES = 16;
/** An answer with a long chain takes some 10 kB. */
export const STAMP_BYTES_MAX = 256 * 1024;

const OID = {
  sha256: '2.16.840.1.101.3.4.2.1',
  signedData: '1.2.840.113549.1.7.2',
  tstInfo: '1.2.840.113549.1.9.16.1.4',
  contentType: '1.2.840.113549.1.9.3',
  messageDigest: '1.2.840.113549.1.9.4',
  signingCertificate: '1.2.840.113549.1.9.16.2.12',
  signingCertificateV2: '1.2.840.113549.1.9.16.2.47',
  timeStamping: '1.3.6.1.5.5.7.3.8',
} as const;

const DIGESTS: Record<string, string> = {
  [OID.sha256]: 'sha256',
  '2.16.840.1.101.3.4.2.2': 'sha384',
  '2.16.840.1.101.3.4.2.3': 'sha512',
};

/** Type of the key, and the digest where the algorithm names it. */
const SIGNATURES: Record<string, readonly [key: string, digest: string | null]> = {
  '1.2.840.113549.1.1.1': ['rsa', null],
  '1.2.840.113549.1.1.11': ['rsa', 'sha256'],
  '1.2.840.113549.1.1.12': ['rsa', 'sha384'],
  '1.2.840.113549.1.1.13': ['rsa', 'sha512'],
  '1.2.840.10045.4.3.2': ['ec', 'sha256'],
  '1.2.840.10045.4.3.3': ['ec', 'sha384'],
  '1.2.840.10045.4.3.4': ['ec', 'sha512'],
};

class StampError extends Error {}

/** The question: SHA-256 of the whole note, with the certificate asked for. `nonce`: random. */
export function stampRequest(note: Buffer, nonce: Buffer): Buffer {
  const algorithm = der(TAG.sequence, derOid(OID.sha256), Buffer.of(5, 0));
  const imprint = der(TAG.sequence, algorithm, der(TAG.octets, sha256(note)));
  const version = derInteger(Buffer.of(1));
  return der(TAG.sequence, version, imprint, derInteger(nonce), der(TAG.boolean, Buffer.of(255)));
}

/** Whether the answer (TimeStampResp) is a stamp over this note. Never throws. */
export function judgeStamp(note: Buffer, answer: Buffer, rules: StampRules): StampVerdict {
  try {
    return { ok: true, time: judge(note, answer, rules) };
  } catch (error) {
    const known = [DerError, CertificateError, StampError].some((kind) => error instanceof kind);
    if (!known) throw error;
    return { ok: false, detail: (error as Error).message };
  }
}

function judge(note: Buffer, answer: Buffer, { trusted, nonce }: StampRules): number {
  const signed = signedDataOf(tokenOf(answer));
  const info = infoOf(signed.content);
  if (info.algorithm !== OID.sha256 || !info.imprint.equals(sha256(note))) {
    throw new StampError('it is not over this checkpoint');
  }
  if (nonce !== undefined && !info.nonce?.equals(readDer(derInteger(nonce)).content)) {
    throw new StampError('its nonce is not that of the question');
  }
  const signer = signerOf(signed);
  checkSignature(signed, signer.certificate, signer.attributes);
  checkPurpose(signer.certificate);
  checkName(info.authority, signer.certificate);
  const anchors = trusted ?? signed.certificates;
  const chain = chainTo(anchors, signer.certificate, signed.certificates, info.time);
  if (typeof chain === 'string') throw new StampError(chain);
  checkBinding(signer.attributes, chain);
  return info.time;
}

// --- the answer ----------------------------------------------------------------------------------

const STATUS = ['granted', 'granted with modifications', 'rejected', 'waiting'];

/** RFC 3161, section 2.4.2. */
function tokenOf(answer: Buffer): DerNode {
  if (answer.length > STAMP_BYTES_MAX) throw new StampError('it is too large');
  const [info, token, ...more] = childrenOf(readDer(answer), TAG.sequence);
  const [status, text] = childrenOf(expected(info, TAG.sequence), TAG.sequence);
  const code = smallInteger(status);
  if (code !== 0 && code !== 1) {
    const said = text?.tag === TAG.sequence ? `: ${textOf(text)}` : '';
    throw new StampError(`the authority did not grant it (${STATUS[code] ?? code})${said}`);
  }
  if (token === undefined || more.length > 0) throw new StampError('an answer without a stamp');
  return token;
}

/** For a log: printable, and not long. */
function textOf(node: DerNode): string {
  const texts = childrenOf(node, TAG.sequence).map(({ content }) => content.toString('utf8'));
  return texts
    .join(' ')
    .replaceAll(/[^\x20-\x7e]/g, '?')
    .slice(0, 200);
}

interface SignedData {
  /** DER of the TSTInfo. */
  content: Buffer;
  certificates: Certificate[];
  signerInfo: DerNode[];
}

/** RFC 5652, section 5.1. */
function signedDataOf(token: DerNode): SignedData {
  const [type, wrapped] = childrenOf(token, TAG.sequence);
  if (oidOf(type) !== OID.signedData) throw new StampError('it is not signed data');
  const [data] = childrenOf(expected(wrapped, context(0)), context(0));
  const [, , inner, ...rest] = childrenOf(expected(data, TAG.sequence), TAG.sequence);
  const [innerType, octets] = childrenOf(expected(inner, TAG.sequence), TAG.sequence);
  if (oidOf(innerType) !== OID.tstInfo) throw new StampError('what is signed is not a time stamp');
  const [content] = childrenOf(expected(octets, context(0)), context(0));
  const bag = rest.find(({ tag }) => tag === context(0));
  const raw = bag === undefined ? [] : childrenOf(bag, context(0));
  if (raw.length > CERTIFICATES_MAX) throw new StampError('too many certificates');
  const signers = childrenOf(expected(rest.at(-1), TAG.set), TAG.set);
  if (signers.length !== 1) throw new StampError('not exactly one signature');
  return {
    content: expected(content, TAG.octets).content,
    certificates: raw
      .filter(({ tag }) => tag === TAG.sequence)
      .map((one) => parseCertificate(one.bytes)),
    signerInfo: childrenOf(signers[0]!, TAG.sequence),
  };
}

interface StampInfo {
  algorithm: string;
  imprint: Buffer;
  time: number;
  /** Content of the INTEGER. */
  nonce: Buffer | null;
  /** DER of the GeneralName. */
  authority: Buffer | null;
}

/** TSTInfo: RFC 3161, section 2.4.2. */
function infoOf(content: Buffer): StampInfo {
  const [version, , imprint, , time, ...rest] = childrenOf(readDer(content), TAG.sequence);
  if (smallInteger(version) !== 1) throw new StampError('a version that is not known');
  const [algorithm, hashed] = childrenOf(expected(imprint, TAG.sequence), TAG.sequence);
  const nonce = rest.find(({ tag }) => tag === TAG.integer);
  const authority = rest.find(({ tag }) => tag === context(0));
  return {
    algorithm: oidOf(childrenOf(expected(algorithm, TAG.sequence), TAG.sequence)[0]),
    imprint: expected(hashed, TAG.octets).content,
    time: timeOfNode(expected(time, TAG.generalizedTime)),
    nonce: nonce?.content ?? null,
    authority: authority?.content ?? null,
  };
}

// --- the signature -------------------------------------------------------------------------------

interface SignerFacts {
  certificate: Certificate;
  /** Value by object identifier: each once, with one value. */
  attributes: ReadonlyMap<string, DerNode>;
}

/** SignerInfo: RFC 5652, section 5.3. The signer's certificate must be in the stamp. */
function signerOf({ signerInfo, certificates }: SignedData): SignerFacts {
  const [, id, , signedAttributes] = signerInfo;
  const [issuer, serial] = childrenOf(expected(id, TAG.sequence), TAG.sequence);
  const certificate = certificates.find(
    (one) =>
      one.serial.equals(expected(serial, TAG.integer).content) && one.issuer.equals(issuer!.bytes),
  );
  if (certificate === undefined) throw new StampError('the certificate of its signer is not in it');
  const attributes = new Map<string, DerNode>();
  for (const node of childrenOf(expected(signedAttributes, context(0)), context(0))) {
    const [type, values] = childrenOf(node, TAG.sequence);
    const [value, ...more] = childrenOf(expected(values, TAG.set), TAG.set);
    const oid = oidOf(type);
    if (value === undefined || more.length > 0 || attributes.has(oid)) {
      throw new StampError(`the attribute ${oid} has not exactly one value`);
    }
    attributes.set(oid, value);
  }
  return { certificate, attributes };
}

/** RFC 5652, sections 5.4 and 5.6. */
function checkSignature(
  { content, signerInfo }: SignedData,
  { key }: Certificate,
  attributes: SignerFacts['attributes'],
): void {
  const [, , digest, signedAttributes, algorithm, signature] = signerInfo;
  const digestName = DIGESTS[algorithmOf(digest)];
  const [keyType, named] = SIGNATURES[algorithmOf(algorithm)] ?? [];
  if (digestName === undefined || keyType === undefined) {
    throw new StampError('signed with an algorithm that is not known');
  }
  if (oidOf(attributes.get(OID.contentType)) !== OID.tstInfo) {
    throw new StampError('the type that is signed is not that of a time stamp');
  }
  const told = expected(attributes.get(OID.messageDigest), TAG.octets).content;
  if (!told.equals(hash(digestName, content, 'buffer'))) {
    throw new StampError('what is signed is not what it says');
  }
  // They are signed as the SET that they are, not under the tag that they are sent with.
  const text = Buffer.concat([Buffer.of(TAG.set), signedAttributes!.bytes.subarray(1)]);
  const bytes = expected(signature, TAG.octets).content;
  if (key.asymmetricKeyType !== keyType || !verifyBytes(named ?? digestName, text, key, bytes)) {
    throw new StampError('its signature does not verify');
  }
}

function algorithmOf(node: DerNode | undefined): string {
  return oidOf(childrenOf(expected(node, TAG.sequence), TAG.sequence)[0]);
}

// --- the certificate -----------------------------------------------------------------------------

/** Bits of keyUsage that a signer of stamps may have: digitalSignature and nonRepudiation. */
const SIGNING_BITS = 0b1100_0000;

/** RFC 3161, section 2.3: for time stamps only, and critically so. */
function checkPurpose({ extensions }: Certificate): void {
  const purpose = extensions.get(EXTENSION.extendedKeyUsage);
  if (purpose === undefined) throw new StampError('its certificate is not one for time stamps');
  const uses = childrenOf(readDer(purpose.value), TAG.sequence).map(oidOf);
  if (!purpose.critical || uses.length !== 1 || uses[0] !== OID.timeStamping) {
    throw new StampError('its certificate is not one for time stamps alone, critically');
  }
  const usage = extensions.get(EXTENSION.keyUsage);
  if (usage === undefined) return;
  // The first byte of a BIT STRING counts the bits that are unused.
  const [, first = 0, ...more] = expected(readDer(usage.value), TAG.bitString).content;
  if (
    (first & SIGNING_BITS) === 0 ||
    (first & ~SIGNING_BITS) !== 0 ||
    more.some((byte) => byte !== 0)
  ) {
    throw new StampError('the key of its certificate is not one for signatures alone');
  }
}

/** RFC 3161, section 2.4.2: a name of the authority must be one of its certificate. */
function checkName(authority: Buffer | null, { subject, extensions }: Certificate): void {
  if (authority === null) return;
  const names = [der(context(4), subject)];
  const alternatives = extensions.get(EXTENSION.subjectAltName);
  if (alternatives !== undefined) {
    names.push(...childrenOf(readDer(alternatives.value), TAG.sequence).map(({ bytes }) => bytes));
  }
  if (!names.some((name) => name.equals(authority))) {
    throw new StampError('the name of its authority is not that of its certificate');
  }
}

/** RFC 2634, section 5.4, and RFC 5035: the signature names the certificate it is to be verified with. */
function checkBinding(attributes: SignerFacts['attributes'], chain: readonly Certificate[]): void {
  const old = attributes.get(OID.signingCertificate);
  const present = attributes.get(OID.signingCertificateV2);
  if (old === undefined && present === undefined) {
    throw new StampError('the signature names no certificate');
  }
  for (const [attribute, digest] of [
    [old, 'sha1'],
    [present, 'sha256'],
  ] as const) {
    if (attribute === undefined) continue;
    const [list] = childrenOf(attribute, TAG.sequence);
    const ids = childrenOf(expected(list, TAG.sequence), TAG.sequence);
    if (ids.length === 0) throw new StampError('the signature names no certificate');
    ids.forEach((id, at) => {
      const named = chain.findIndex((one) => isNamed(id, one, digest));
      if (named < 0 || (at === 0 && named !== 0)) {
        throw new StampError('the signature names another certificate');
      }
    });
  }
}

function isNamed(id: DerNode, certificate: Certificate, usual: 'sha1' | 'sha256'): boolean {
  const parts = childrenOf(id, TAG.sequence);
  // ESSCertID knows SHA-1 only; ESSCertIDv2 may name another algorithm first.
  const named = usual === 'sha256' && parts[0]?.tag === TAG.sequence ? parts.shift() : undefined;
  const digest = named === undefined ? usual : DIGESTS[algorithmOf(named)];
  if (digest === undefined) return false;
  const [told, place] = parts;
  if (!expected(told, TAG.octets).content.equals(hash(digest, certificate.bytes, 'buffer'))) {
    return false;
  }
  if (place === undefined) return true;
  const [names, serial] = childrenOf(place, TAG.sequence);
  const [name] = childrenOf(expected(names, TAG.sequence), TAG.sequence);
  return (
    expected(serial, TAG.integer).content.equals(certificate.serial) &&
    name?.bytes.equals(der(context(4), certificate.issuer)) === true
  );
}
