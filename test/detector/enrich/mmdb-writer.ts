/**
 * Writes MMDB databases for tests and the demo, from the public description of the MaxMind DB file
 * format 2.0 and nothing else: search tree, 16 zero bytes, data, metadata.
 *
 *   tree      nodes of two records (one per next bit of the address), 24, 28 or 32 bits each.
 *             A record below the node count is the next node; equal to it: nothing is known;
 *             above it: the value less the node count less 16 is an offset into the data.
 *   data      values, each a control byte (type in the upper three bits, size in the lower five),
 *             more of the size where five bits do not hold it, then the value, big-endian.
 *   metadata  a mark and one more map.
 *
 * Networks may nest: the longest prefix that holds an address decides. IPv4 networks are in the
 * IPv6 tree under 96 zero bits. Every record is written once however many networks share it.
 */
import ipaddr from 'ipaddr.js';

export type MmdbValue =
  | string
  | number
  | boolean
  | bigint
  | readonly MmdbValue[]
  | { readonly [key: string]: MmdbValue };

export interface MmdbOptions {
  /** `database_type` of the metadata. */
  type: string;
  /** Networks and what is known of them, as `203.0.113.0/24` or `2001:db8::/32`. */
  networks: ReadonlyArray<readonly [network: string, record: MmdbValue]>;
  /** Default 6. A version 4 tree takes IPv4 networks only. */
  ipVersion?: 4 | 6;
  /** Bits of a record of the tree. Default 28, the awkward one. */
  recordBits?: 24 | 28 | 32;
  /** Epoch seconds. */
  builtAt?: number;
}

const METADATA_MARK = Buffer.from('\xab\xcd\xefMaxMind.com', 'latin1');
const SEPARATOR = Buffer.alloc(16);
const BUILT_AT = Date.UTC(2026, 10, 1) / 1000;

/** A node, a record of the data, or null where nothing is known. */
type Branch = Node | Leaf | null;
interface Node {
  children: [Branch, Branch];
  number: number;
}
interface Leaf {
  record: MmdbValue;
}

export function writeMmdb(options: MmdbOptions): Buffer {
  const { networks, ipVersion = 6, recordBits = 28 } = options;
  const root: Node = { children: [null, null], number: 0 };
  // Short prefixes first, so that a longer one goes below it.
  const prefixes = networks
    .map(([network, record]) => ({ ...bitsOf(network, ipVersion), record }))
    .sort((left, right) => left.length - right.length);
  for (const { bits, length, record } of prefixes) insert(root, bits, length, { record });

  const nodes = numbered(root);
  const data = new DataSection();
  const tree = Buffer.concat(
    nodes.map(({ children }) => {
      const [left, right] = children.map((child) => {
        if (child === null) return nodes.length;
        if ('children' in child) return child.number;
        return nodes.length + SEPARATOR.length + data.offsetOf(child.record);
      });
      return treeNode(left!, right!, recordBits);
    }),
  );
  const metadata: MmdbValue = {
    binary_format_major_version: 2,
    binary_format_minor_version: 0,
    build_epoch: BigInt(options.builtAt ?? BUILT_AT),
    database_type: options.type,
    description: { en: 'made for a test' },
    ip_version: ipVersion,
    languages: ['en'],
    node_count: nodes.length,
    record_size: recordBits,
  };
  return Buffer.concat([tree, SEPARATOR, data.bytes(), METADATA_MARK, encode(metadata)]);
}

/** The first bits of the network's addresses, in the tree of this version. */
function bitsOf(network: string, ipVersion: 4 | 6): { bits: number[]; length: number } {
  const [address, length] = ipaddr.parseCIDR(network);
  const bytes = address.toByteArray();
  if (bytes.length === 4 && ipVersion === 6) bytes.unshift(...Array<number>(12).fill(0));
  if (bytes.length === 16 && ipVersion === 4) throw new RangeError(`not IPv4: ${network}`);
  const bits = bytes.flatMap((byte) =>
    Array.from({ length: 8 }, (_, at) => (byte >> (7 - at)) & 1),
  );
  return { bits, length: bits.length - (address.kind() === 'ipv4' ? 32 : 128) + length };
}

function insert(root: Node, bits: number[], length: number, leaf: Leaf): void {
  if (length < 1) throw new RangeError('a network of all addresses is not supported');
  let node = root;
  for (let at = 0; at < length - 1; at += 1) {
    const bit = bits[at] as 0 | 1;
    const child = node.children[bit] ?? null;
    if (child !== null && 'children' in child) {
      node = child;
      continue;
    }
    // What was known of all of it is known of both halves.
    const next: Node = { children: [child, child], number: 0 };
    node.children[bit] = next;
    node = next;
  }
  node.children[bits[length - 1] as 0 | 1] = leaf;
}

function numbered(root: Node): Node[] {
  const nodes = [root];
  for (let at = 0; at < nodes.length; at += 1) {
    const node = nodes[at]!;
    node.number = at;
    for (const child of node.children) {
      if (child !== null && 'children' in child) nodes.push(child);
    }
  }
  return nodes;
}

function treeNode(left: number, right: number, recordBits: 24 | 28 | 32): Buffer {
  const node = Buffer.alloc(recordBits / 4);
  if (recordBits === 32) {
    node.writeUInt32BE(left, 0);
    node.writeUInt32BE(right, 4);
    return node;
  }
  node.writeUIntBE(left & 0xff_ffff, 0, 3);
  // With 28 bits the middle byte has the highest four of each.
  if (recordBits === 28) node[3] = ((left >>> 24) << 4) | (right >>> 24);
  node.writeUIntBE(right & 0xff_ffff, recordBits === 28 ? 4 : 3, 3);
  return node;
}

class DataSection {
  readonly #parts: Buffer[] = [];
  readonly #offsets = new Map<string, number>();
  #length = 0;

  offsetOf(record: MmdbValue): number {
    const key = JSON.stringify(record, (_, value) =>
      typeof value === 'bigint' ? `${value}n` : value,
    );
    const known = this.#offsets.get(key);
    if (known !== undefined) return known;
    const offset = this.#length;
    const bytes = encode(record);
    this.#parts.push(bytes);
    this.#length += bytes.length;
    this.#offsets.set(key, offset);
    return offset;
  }

  bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

const TYPE = { text: 2, double: 3, uint32: 6, map: 7, int32: 8, uint64: 9, array: 11, boolean: 14 };

function encode(value: MmdbValue): Buffer {
  switch (typeof value) {
    case 'string': {
      const text = Buffer.from(value, 'utf8');
      return Buffer.concat([control(TYPE.text, text.length), text]);
    }
    case 'boolean':
      return control(TYPE.boolean, value ? 1 : 0);
    case 'bigint':
      return Buffer.concat([control(TYPE.uint64, 8), bytes(8, (to) => to.writeBigUInt64BE(value))]);
    case 'number':
      return encodeNumber(value);
    default:
      break;
  }
  if (isList(value))
    return Buffer.concat([control(TYPE.array, value.length), ...value.map(encode)]);
  const entries = Object.entries(value);
  const parts = entries.flatMap(([key, one]) => [encode(key), encode(one)]);
  return Buffer.concat([control(TYPE.map, entries.length), ...parts]);
}

function encodeNumber(value: number): Buffer {
  if (!Number.isInteger(value) || value > 0xffff_ffff || value < -0x8000_0000) {
    return Buffer.concat([control(TYPE.double, 8), bytes(8, (to) => to.writeDoubleBE(value))]);
  }
  if (value < 0) {
    return Buffer.concat([control(TYPE.int32, 4), bytes(4, (to) => to.writeInt32BE(value))]);
  }
  // As few bytes as hold it, none for zero.
  let size = 0;
  while (2 ** (8 * size) <= value) size += 1;
  const number = bytes(size, (to) => (size > 0 ? to.writeUIntBE(value, 0, size) : 0));
  return Buffer.concat([control(TYPE.uint32, size), number]);
}

/** Type and size. Types from 8 on stand in a byte of their own, less 7. */
function control(type: number, size: number): Buffer {
  const extended = type > 7;
  const upper = (extended ? 0 : type) << 5;
  const typeByte = extended ? [type - 7] : [];
  if (size < 29) return Buffer.from([upper | size, ...typeByte]);
  if (size < 285) return Buffer.from([upper | 29, ...typeByte, size - 29]);
  if (size < 65_821) {
    const more = size - 285;
    return Buffer.from([upper | 30, ...typeByte, more >> 8, more & 0xff]);
  }
  const more = size - 65_821;
  return Buffer.from([upper | 31, ...typeByte, more >> 16, (more >> 8) & 0xff, more & 0xff]);
}

function bytes(size: number, write: (to: Buffer) => unknown): Buffer {
  const to = Buffer.alloc(size);
  write(to);
  return to;
}

function isList(value: MmdbValue): value is readonly MmdbValue[] {
  return Array.isArray(value);
}
