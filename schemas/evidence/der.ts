/**
 * A strict reader of DER (ITU-T X.690), as much of it as time stamps and certificates need. Pure.
 * Definite lengths in their shortest form only, tags of one byte, nothing behind the end: whatever
 * could be read in two ways is refused.
 */
export class DerError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'DerError';
  }
}

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octets: 0x04,
  oid: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** Context-specific tag number, `[0]` and so on, around other elements. */
export const context = (number: number): number => 0xa0 + number;

export interface DerNode {
  tag: number;
  /** The whole element, header and all. */
  bytes: Buffer;
  /** What is inside. */
  content: Buffer;
}

const LENGTH_BYTES_MAX = 4;

/** The one element that the bytes are. @throws DerError */
export function readDer(bytes: Buffer): DerNode {
  const node = elementAt(bytes, 0);
  if (node.bytes.length !== bytes.length) throw new DerError('bytes behind the end');
  return node;
}

/** Elements inside one whose tag must be this. @throws DerError */
export function childrenOf(node: DerNode, tag: number): DerNode[] {
  if (node.tag !== tag) throw new DerError(`tag ${node.tag} where ${tag} should be`);
  const children: DerNode[] = [];
  for (let at = 0; at < node.content.length; ) {
    const child = elementAt(node.content, at);
    children.push(child);
    at += child.bytes.length;
  }
  return children;
}

function elementAt(bytes: Buffer, at: number): DerNode {
  const tag = bytes[at];
  const first = bytes[at + 1];
  if (tag === undefined || first === undefined) throw new DerError('it is cut');
  if ((tag & 0x1f) === 0x1f) throw new DerError('a tag of several bytes');
  let length = first;
  let start = at + 2;
  if (first >= 0x80) {
    const count = first & 0x7f;
    if (count === 0 || count > LENGTH_BYTES_MAX) throw new DerError('not a definite length');
    if (start + count > bytes.length) throw new DerError('it is cut');
    length = bytes.readUIntBE(start, count);
    start += count;
    if (length < 0x80 || length < 256 ** (count - 1)) throw new DerError('not the shortest length');
  }
  const end = start + length;
  if (end > bytes.length) throw new DerError('it is cut');
  return { tag, bytes: bytes.subarray(at, end), content: bytes.subarray(start, end) };
}

/** `1.2.840.113549.1.7.2` @throws DerError */
export function oidOf(node: DerNode | undefined): string {
  const { content } = expected(node, TAG.oid);
  const parts: number[] = [];
  let value = 0;
  content.forEach((byte, at) => {
    if (value === 0 && byte === 0x80) throw new DerError('not the shortest object identifier');
    value = value * 128 + (byte & 0x7f);
    if (!Number.isSafeInteger(value)) throw new DerError('an object identifier that is too large');
    if (byte < 0x80) {
      parts.push(value);
      value = 0;
    } else if (at === content.length - 1) throw new DerError('it is cut');
  });
  const [first, ...rest] = parts;
  if (first === undefined) throw new DerError('an empty object identifier');
  const top = Math.min(2, Math.floor(first / 40));
  return [top, first - top * 40, ...rest].join('.');
}

/** Of an INTEGER that fits. @throws DerError */
export function smallInteger(node: DerNode | undefined): number {
  const { content } = expected(node, TAG.integer);
  if (content.length === 0 || content.length > 6) throw new DerError('not a small number');
  return content.readIntBE(0, content.length);
}

/** The content of a node that must be there with this tag. @throws DerError */
export function expected(node: DerNode | undefined, tag: number): DerNode {
  if (node === undefined) throw new DerError('an element is missing');
  if (node.tag !== tag) throw new DerError(`tag ${node.tag} where ${tag} should be`);
  return node;
}

const GENERALIZED = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\.\d{1,9})?Z$/;
const UTC = /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/;

/** Seconds since the epoch, fractions cut off, of a UTCTime or GeneralizedTime. @throws DerError */
export function timeOfNode(node: DerNode | undefined): number {
  const text = node?.content.toString('latin1') ?? '';
  const match =
    node?.tag === TAG.generalizedTime
      ? GENERALIZED.exec(text)
      : node?.tag === TAG.utcTime
        ? UTC.exec(text)
        : null;
  if (match === null) throw new DerError('not a time');
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as number[];
  // RFC 5280, section 4.1.2.5.1.
  const full = node!.tag === TAG.utcTime ? year! + (year! >= 50 ? 1900 : 2000) : year!;
  const time = Date.UTC(full, month! - 1, day, hour, minute, second);
  const back = new Date(time).toISOString().replaceAll(/[-:T]|\..*/g, '');
  if (back.slice(-12) !== text.replace(/\..*|Z/, '').slice(-12)) throw new DerError('not a time');
  return time / 1000;
}

// --- writing -------------------------------------------------------------------------------------

/** One element. */
export function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  if (content.length < 0x80) return Buffer.concat([Buffer.of(tag, content.length), content]);
  const length = Buffer.from(content.length.toString(16).padStart(8, '0'), 'hex');
  const shortest = length.subarray(length.findIndex((byte) => byte !== 0));
  return Buffer.concat([Buffer.of(tag, 0x80 + shortest.length), shortest, content]);
}

/** A positive INTEGER of these bytes. */
export function derInteger(bytes: Buffer): Buffer {
  const from = bytes.findIndex((byte) => byte !== 0);
  const shortest = from < 0 ? Buffer.of(0) : bytes.subarray(from);
  return der(TAG.integer, shortest[0]! >= 0x80 ? Buffer.of(0) : Buffer.alloc(0), shortest);
}

export function derOid(oid: string): Buffer {
  const [top, second, ...rest] = oid.split('.').map(Number);
  const bytes = [top! * 40 + second!, ...rest].flatMap((part) => {
    const digits = [part % 128];
    for (let left = Math.floor(part / 128); left > 0; left = Math.floor(left / 128)) {
      digits.unshift(0x80 + (left % 128));
    }
    return digits;
  });
  return der(TAG.oid, Buffer.from(bytes));
}
