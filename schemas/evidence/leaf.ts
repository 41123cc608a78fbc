/**
 * Leaves of logs (`schemas/evidence.md`): one line of JSON each, that begins with where it stands
 * and what came before it. Reading is strict: a leaf that this writer would not have written is
 * refused, so a verifier and a person reading the file see the same. Pure.
 */
import { z } from 'zod';
import { isLog } from './log-layout.ts';
import { Frontier, HASH_BYTES, leafHash, sha256 } from './merkle.ts';

export const LEAF_FORMAT = 1;
/** A root over tens of thousands of partitions, and an access snapshot, stay below it. */
export const LEAF_BYTES_MAX = 64 * 1024 * 1024;

export interface LeafHead {
  log: string;
  sequence: number;
  /** SHA-256, hex, of the leaf before; null in the first. */
  previous: string | null;
  /** Of all leaves before. */
  tree: readonly Buffer[];
}

/** Where the next leaf of a log goes. */
export interface LogEnd extends LeafHead {
  frontier: Frontier;
}

/** Of a log without leaves. */
export function emptyLog(log: string): LogEnd {
  return { log, sequence: 0, previous: null, tree: [], frontier: new Frontier() };
}

/** Where the leaf goes that follows these bytes, which are a leaf of that head. */
export function endAfter(head: LeafHead, bytes: Buffer): LogEnd {
  const frontier = new Frontier(head.sequence, head.tree);
  frontier.append(leafHash(bytes));
  return {
    log: head.log,
    sequence: head.sequence + 1,
    previous: sha256(bytes).toString('hex'),
    tree: frontier.hashes,
    frontier,
  };
}

/** The bytes of a leaf. `body` in the order of its keys. */
export function leafBytes(head: LeafHead, body: object): Buffer {
  const { log, sequence, previous } = head;
  const tree = head.tree.map((hash) => hash.toString('base64'));
  const leaf = { format: LEAF_FORMAT, log, sequence, previous, tree, ...body };
  return Buffer.from(`${JSON.stringify(leaf)}\n`);
}

export class LeafError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'LeafError';
  }
}

/** base64 of one hash. */
export const hashText = z
  .string()
  .refine((text) => isBase64(text, HASH_BYTES), 'not the base64 of a hash');
/** SHA-256 as lower-case hex. */
export const hexText = z.string().regex(/^[0-9a-f]{64}$/, 'not SHA-256 in hex');
/** A whole number of 64 bits, as decimal text. */
export const longText = z.string().regex(/^(0|-?[1-9]\d{0,18})$/, 'not a whole number');
/** RFC 3339, UTC, whole seconds. */
export const timeText = z
  .string()
  .refine((text) => secondsOf(text) !== null, 'not a time like 2026-11-28T07:00:00Z');

const headShape = {
  format: z.literal(LEAF_FORMAT),
  log: z.string().refine(isLog, 'not a log'),
  sequence: z.int().nonnegative(),
  previous: hexText.nullable(),
  tree: z.array(hashText),
};

/** The strict schema of a leaf, from that of its body; key order is that of the two. */
export function leafSchema<Shape extends z.core.$ZodLooseShape>(body: Shape) {
  return z.strictObject({ ...headShape, ...body });
}

/** Any leaf, for those who need only its head. */
const anyLeaf = z.looseObject(headShape);
type AnyLeaf = z.infer<typeof anyLeaf>;

export interface Leaf<Body> {
  head: LeafHead;
  body: Body;
}

/**
 * @param schema of `leafSchema`
 * @throws LeafError where the bytes are not exactly what a writer writes.
 */
export function parseLeaf<Body extends object>(bytes: Buffer, schema: z.ZodType<Body>): Leaf<Body> {
  const body = parseWith(bytes, schema);
  return { head: headOf(body as AnyLeaf), body };
}

/** @throws LeafError */
export function parseHead(bytes: Buffer): LeafHead {
  return headOf(parseWith(bytes, anyLeaf));
}

function headOf({ log, sequence, previous, tree }: AnyLeaf): LeafHead {
  const hashes = tree.map((text) => Buffer.from(text, 'base64'));
  try {
    new Frontier(sequence, hashes);
  } catch (error) {
    throw new LeafError(`tree: ${(error as Error).message}`);
  }
  if ((previous === null) !== (sequence === 0)) {
    throw new LeafError('previous: only the first leaf has none');
  }
  return { log, sequence, previous, tree: hashes };
}

function parseWith<Body>(bytes: Buffer, schema: z.ZodType<Body>): Body {
  if (bytes.length > LEAF_BYTES_MAX) throw new LeafError('too large for a leaf');
  const text = bytes.toString('utf8');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new LeafError('not JSON');
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new LeafError(`${issue!.path.join('.') || 'leaf'}: ${issue!.message}`);
  }
  // Blanks, repeated keys, other escapes and, as what was parsed has the order of the schema, other
  // orders all show here.
  if (!Buffer.from(`${JSON.stringify(parsed.data)}\n`).equals(bytes)) {
    throw new LeafError('not as a writer writes it');
  }
  return parsed.data;
}

function isBase64(text: string, length: number): boolean {
  const bytes = Buffer.from(text, 'base64');
  return bytes.length === length && bytes.toString('base64') === text;
}

/** Seconds since the epoch, or null where the text is no such time. */
export function secondsOf(text: string): number | null {
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(text)) return null;
  const ms = Date.parse(text);
  return Number.isNaN(ms) || timeOf(ms) !== text ? null : ms / 1000;
}

/** RFC 3339 in whole seconds, rounded down. */
export function timeOf(ms: number): string {
  return `${new Date(Math.floor(ms / 1000) * 1000).toISOString().slice(0, 19)}Z`;
}
