/**
 * Certificates of time stamp authorities: what is read from one, and whether a chain leads from it
 * to one that is trusted (RFC 5280, section 6, without policies, name constraints and revocation:
 * a critical extension that is not understood here is refused). Pure.
 */
import { type KeyObject, X509Certificate } from 'node:crypto';
import {
  childrenOf,
  context,
  DerError,
  type DerNode,
  expected,
  oidOf,
  readDer,
  smallInteger,
  TAG,
  timeOfNode,
} from './der.ts';

export const EXTENSION = {
  subjectAltName: '2.5.29.17',
  keyUsage: '2.5.29.15',
  basicConstraints: '2.5.29.19',
  certificatePolicies: '2.5.29.32',
  extendedKeyUsage: '2.5.29.37',
} as const;

const UNDERSTOOD: ReadonlySet<string> = new Set(Object.values(EXTENSION));

/** RSA, ECDSA and Ed25519, with SHA-256 and its longer siblings: what a certificate may be signed with. */
const SIGNATURES: ReadonlySet<string> = new Set([
  '1.2.840.113549.1.1.11',
  '1.2.840.113549.1.1.12',
  '1.2.840.113549.1.1.13',
  '1.2.840.10045.4.3.2',
  '1.2.840.10045.4.3.3',
  '1.2.840.10045.4.3.4',
  '1.3.101.112',
]);

const RSA_BITS_MIN = 2048;
/** Certificates of one chain, the trusted one counted. */
const CHAIN_MAX = 8;
/** Certificates that a stamp may bring along. */
export const CERTIFICATES_MAX = 20;
/** Issuers tried for one chain: certificates that all issued each other make endlessly many. */
const TRIES_MAX = 100;

export interface Certificate {
  x509: X509Certificate;
  /** DER, whole. */
  bytes: Buffer;
  /** Content of the INTEGER. */
  serial: Buffer;
  /** DER of the names. */
  issuer: Buffer;
  subject: Buffer;
  /** Seconds since the epoch, both included. */
  notBefore: number;
  notAfter: number;
  signedWith: string;
  key: KeyObject;
  extensions: ReadonlyMap<string, { critical: boolean; value: Buffer }>;
}

export class CertificateError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'CertificateError';
  }
}

/** @throws DerError, CertificateError */
export function parseCertificate(bytes: Buffer): Certificate {
  const [tbs, algorithm] = childrenOf(readDer(bytes), TAG.sequence);
  const fields = childrenOf(expected(tbs, TAG.sequence), TAG.sequence);
  if (fields[0]?.tag === context(0)) fields.shift();
  const [serial, , issuer, validity, subject, , ...rest] = fields;
  const [from, to] = childrenOf(expected(validity, TAG.sequence), TAG.sequence);
  const wrapped = rest.find(({ tag }) => tag === context(3));
  let x509: X509Certificate;
  let key: KeyObject;
  try {
    x509 = new X509Certificate(bytes);
    key = x509.publicKey;
  } catch {
    throw new CertificateError('a certificate that cannot be read');
  }
  return {
    x509,
    bytes,
    serial: expected(serial, TAG.integer).content,
    issuer: expected(issuer, TAG.sequence).bytes,
    subject: expected(subject, TAG.sequence).bytes,
    notBefore: timeOfNode(from),
    notAfter: timeOfNode(to),
    signedWith: oidOf(childrenOf(expected(algorithm, TAG.sequence), TAG.sequence)[0]),
    key,
    extensions: wrapped === undefined ? new Map() : extensionsOf(wrapped),
  };
}

function extensionsOf(wrapped: DerNode): Certificate['extensions'] {
  const [list] = childrenOf(wrapped, context(3));
  const extensions = new Map<string, { critical: boolean; value: Buffer }>();
  for (const node of childrenOf(expected(list, TAG.sequence), TAG.sequence)) {
    const parts = childrenOf(node, TAG.sequence);
    const oid = oidOf(parts[0]);
    const critical = parts[1]?.tag === TAG.boolean && parts[1].content[0] !== 0;
    if (extensions.has(oid)) throw new CertificateError(`the extension ${oid} twice`);
    extensions.set(oid, { critical, value: expected(parts.at(-1), TAG.octets).content });
  }
  return extensions;
}

/** Every certificate of a PEM file. @throws CertificateError where there is none or one is wrong. */
export function parsePemCertificates(text: string): Certificate[] {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) throw new CertificateError('no certificate in PEM form');
  return blocks.map((block) => {
    try {
      return parseCertificate(Buffer.from(block.replaceAll(/-----[^-]+-----|\s/g, ''), 'base64'));
    } catch (error) {
      if (!(error instanceof DerError)) throw error;
      throw new CertificateError(`a certificate that cannot be read: ${error.message}`);
    }
  });
}

/**
 * A chain from the first to a trusted certificate, both included, every one of which was valid at
 * that time; or what stands against the one that came furthest.
 * @param others may stand between.
 */
export function chainTo(
  trusted: readonly Certificate[],
  first: Certificate,
  others: readonly Certificate[],
  time: number,
): Certificate[] | string {
  let problem = 'no chain leads to a trusted certificate';
  let tries = 0;
  const problems = (one: Certificate): boolean => {
    const what = unfit(one, time);
    if (what !== null) problem = `${nameOf(one)}: ${what}`;
    return what !== null;
  };
  const grow = (chain: Certificate[]): Certificate[] | null => {
    const last = chain.at(-1)!;
    tries += 1;
    if (tries > TRIES_MAX || problems(last)) return null;
    if (trusted.some(({ bytes }) => bytes.equals(last.bytes))) return chain;
    if (chain.length === CHAIN_MAX) return null;
    for (const next of [...trusted, ...others]) {
      if (chain.some(({ bytes }) => bytes.equals(next.bytes))) continue;
      if (!isIssuedBy(last, next, chain.length - 1)) continue;
      const whole = grow([...chain, next]);
      if (whole !== null) return whole;
    }
    return null;
  };
  return grow([first]) ?? problem;
}

/** Of a certificate, for messages. */
export function nameOf({ x509 }: Certificate): string {
  return x509.subject.replaceAll('\n', ', ');
}

function unfit(one: Certificate, time: number): string | null {
  if (time < one.notBefore) return 'the certificate was not valid yet';
  if (time > one.notAfter) return 'the certificate had expired';
  for (const [oid, { critical }] of one.extensions) {
    if (critical && !UNDERSTOOD.has(oid)) return `a critical extension that is not known: ${oid}`;
  }
  const { asymmetricKeyType, asymmetricKeyDetails } = one.key;
  if (asymmetricKeyType === 'rsa' && (asymmetricKeyDetails?.modulusLength ?? 0) < RSA_BITS_MIN) {
    return `an RSA key of less than ${RSA_BITS_MIN} bits`;
  }
  return null;
}

/** `below`: certificates of authorities between this issuer and the first of the chain. */
function isIssuedBy(one: Certificate, issuer: Certificate, below: number): boolean {
  if (!SIGNATURES.has(one.signedWith) || !issuer.x509.ca) return false;
  const pathLength = pathLengthOf(issuer);
  if (pathLength !== null && below > pathLength) return false;
  try {
    return one.x509.checkIssued(issuer.x509) && one.x509.verify(issuer.key);
  } catch {
    // Keys and algorithms that do not fit each other.
    return false;
  }
}

function pathLengthOf({ extensions }: Certificate): number | null {
  const extension = extensions.get(EXTENSION.basicConstraints);
  if (extension === undefined) return null;
  const length = childrenOf(readDer(extension.value), TAG.sequence).find(
    ({ tag }) => tag === TAG.integer,
  );
  return length === undefined ? null : smallInteger(length);
}
