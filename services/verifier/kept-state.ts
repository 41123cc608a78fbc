/**
 * What a verification keeps for the next one, so that this needs only what is new: of each log where
 * its newest good checkpoint stood. Pure; `state-file.ts` reads and writes it.
 *
 * The state is believed as much as the keys are: it lies with whoever verifies, never in the archive.
 * Whole runs remain necessary, for what lies before it is not read again.
 */
import { z } from 'zod';
import { hashText } from '../../schemas/evidence/leaf.ts';
import {
  evidenceKey,
  isLog,
  logPrefix,
  NUMBER_DIGITS,
  parsePartitionLog,
} from '../../schemas/evidence/log-layout.ts';
import { Frontier, sha256 } from '../../schemas/evidence/merkle.ts';
import type { Verifier } from '../../schemas/evidence/note.ts';
import { ROOT_LOG } from '../../schemas/evidence/root-leaf.ts';
import { slotKey } from '../../schemas/layout.ts';
import { Failure } from '../runtime/errors.ts';
import { compareText } from '../runtime/order.ts';
import { classOf, type Finding } from './findings.ts';

export const STATE_KIND = 'lakeseal-verifier-state';

const count = z.int().nonnegative();
const offset = z.string().regex(/^\d+$/);
const sha256Hex = z.string().regex(/^[0-9a-f]{64}$/);

const partitionCounts = z.strictObject({
  segments: count,
  records: count,
  bytes: count,
  firstOffset: offset.nullable(),
  nextOffset: offset.nullable(),
  gaps: z.array(z.strictObject({ from: z.string(), to: z.string(), reason: z.string() })),
  anomalies: count,
  /** Encrypted with a key that was not given: only their stored bytes were judged. */
  unopened: count,
  newest: z.string().nullable(),
});

const keptLog = z
  .strictObject({
    /** Leaves under the checkpoint. */
    size: z.int().positive(),
    /** Roots of the perfect subtrees, as in a leaf. */
    tree: z.array(hashText),
    /** SHA-256 of the last of these leaves. */
    previous: sha256Hex,
    /** Of a partition: what its leaves up to there told. */
    partition: partitionCounts.optional(),
    /** Of the roots: time stamps met before that checkpoint. */
    stamps: count.optional(),
  })
  .refine(({ size, tree }) => fits(size, tree), 'as many hashes as the size has one bits');

const schema = z.strictObject({
  kind: z.literal(STATE_KIND),
  format: z.literal(1),
  /** The place that was verified. */
  archive: z.string(),
  /** SHA-256 over the trusted keys and their rotations: with others everything is judged anew. */
  trust: sha256Hex,
  /** What each key that was rotated away may have signed: leaves of each log. */
  limits: z.array(z.tuple([z.string(), z.array(z.tuple([z.string(), count]))])),
  logs: z.record(z.string().refine(isLog, 'no log'), keptLog),
});

export type VerifierState = z.output<typeof schema>;
export type KeptLog = z.output<typeof keptLog>;
export type PartitionCounts = z.output<typeof partitionCounts>;
export type Limits = ReadonlyMap<string, ReadonlyMap<string, number>>;

function fits(size: number, tree: readonly string[]): boolean {
  try {
    return new Frontier(size, tree.map(decoded)).size === size;
  } catch {
    return false;
  }
}

const decoded = (text: string): Buffer => Buffer.from(text, 'base64');

export function frontierOf({ size, tree }: KeptLog): Frontier {
  return new Frontier(size, tree.map(decoded));
}

export function keptOf(frontier: Frontier, previous: string): KeptLog {
  const tree = frontier.hashes.map((hash) => hash.toString('base64'));
  return { size: frontier.size, tree, previous };
}

/** @throws Failure `STATE_INVALID`, `STATE_OTHER` */
export function parseState(text: string, path: string, archive: string): VerifierState {
  const hint = 'Make it anew with --whole, or name another file.';
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Failure(`${path} is no state of a verification`, { code: 'STATE_INVALID', hint });
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const what = `${issue!.path.join('.')}: ${issue!.message}`;
    throw new Failure(`${path} is no state of a verification: ${what}`, {
      code: 'STATE_INVALID',
      hint,
    });
  }
  if (parsed.data.archive !== archive) {
    const told = `${path} is of ${parsed.data.archive}, not of ${archive}`;
    throw new Failure(told, { code: 'STATE_OTHER', hint });
  }
  return parsed.data;
}

export function stateText(state: VerifierState): string {
  return `${JSON.stringify(state, null, 1)}\n`;
}

/** `rotated`: seconds since the epoch at which a key was rotated away, by vkey. */
export function trustOf(
  trusted: readonly Verifier[],
  rotated: ReadonlyMap<string, number>,
): string {
  const keys = trusted.map(({ vkey }) => vkey).sort();
  const rotations = [...rotated].sort(([one], [other]) => compareText(one, other));
  return sha256(Buffer.from(JSON.stringify([keys, rotations]))).toString('hex');
}

/**
 * The state after a run. A log that something tampered with touches stays where it was; and the roots
 * stay with whatever was tampered with, for what they told must be held against it again.
 *
 * @param reached where each log stood at its newest good checkpoint, in this run
 */
export function nextState(
  before: VerifierState | null,
  reached: ReadonlyMap<string, KeptLog>,
  findings: readonly Finding[],
  run: { archive: string; prefix: string; trust: string; limits: Limits },
): VerifierState {
  const { archive, prefix, trust, limits } = run;
  const tampered = findings.filter(({ code }) => classOf(code) === 'tampered');
  const stays = (log: string): boolean =>
    tampered.some(
      ({ key }) =>
        log === ROOT_LOG || foldersOf(prefix, log).some((folder) => key.startsWith(folder)),
    );
  const logs: VerifierState['logs'] = {};
  for (const log of new Set([...Object.keys(before?.logs ?? {}), ...reached.keys()])) {
    const kept = stays(log) ? before?.logs[log] : (reached.get(log) ?? before?.logs[log]);
    if (kept !== undefined) logs[log] = kept;
  }
  const told = [...limits].map(([vkey, sizes]): [string, Array<[string, number]>] => [
    vkey,
    [...sizes],
  ]);
  return { kind: STATE_KIND, format: 1, archive, trust, limits: told, logs };
}

/** Where what belongs to a log lies. */
function foldersOf(prefix: string, log: string): string[] {
  const folder = logPrefix(prefix, log);
  return parsePartitionLog(log) === null ? [folder] : [folder, dataFolder(prefix, log)];
}

/** Where the segments of a partition lie. */
export function dataFolder(prefix: string, log: string): string {
  return `${prefix}data/${log.slice('partition/'.length)}/`;
}

/** Keys behind `from` up to and with `to`, which a listing need not ask for. */
export interface Skip {
  from: string;
  to: string;
}

/** The listing of a log goes on with the last leaf that is known: it must still be there. */
export function evidenceSkip(prefix: string, log: string, { size }: KeptLog): Skip {
  const from = logPrefix(prefix, log);
  const last = evidenceKey(prefix, { log, kind: 'leaf', number: size - 1 });
  return { from, to: last.slice(0, from.length + NUMBER_DIGITS) };
}

/** Null where no segment is known. */
export function segmentSkip(prefix: string, log: string, { partition }: KeptLog): Skip | null {
  const next = BigInt(partition?.nextOffset ?? 0n);
  if (next === 0n) return null;
  const firstOffset = next - 1n;
  const to = slotKey(prefix, { ...parsePartitionLog(log)!, firstOffset });
  return { from: dataFolder(prefix, log), to };
}
