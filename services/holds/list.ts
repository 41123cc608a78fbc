/** What the log says against what the store holds. Reads only. */
import {
  HOLDS_LOG,
  type HoldBody,
  type HoldBook,
  type HoldCase,
  objectsDigest,
} from '../../schemas/evidence/hold-leaf.ts';
import { LogReader } from '../evidence/log-reader.ts';
import { allOf, caseOf, flat } from './holds.ts';
import { heldAs, type KeepOptions, objectsOf, unneeded } from './keeper.ts';
import { readBook } from './ledger.ts';

export type HoldFindingCode =
  /** The log says that it is kept, and the store does not hold it. */
  | 'not_held'
  /** It is not there any more. */
  | 'missing'
  /** There are other versions than when it was added. */
  | 'versions_differ'
  /** No open case keeps it, and the store holds it: a release that was not finished. */
  | 'still_held'
  /** The newest leaves of the log are not signed. */
  | 'unsigned';

export interface HoldFinding {
  code: HoldFindingCode;
  case: string;
  key: string;
  versionId: string;
  detail: string;
}

export interface ListedCase {
  name: string;
  open: boolean;
  /** Of the first addition, or of the release. */
  since: string;
  reason: string;
  segments: number;
  /** Versions of objects that are there, and how many of them the store holds. */
  objects: number;
  held: number;
  additions: Array<{ leaf: number; body: HoldBody }>;
}

/** @param only one case; else all. @throws Failure `NO_CASE` */
export async function list(
  only: string | undefined,
  options: KeepOptions,
): Promise<{ cases: ListedCase[]; findings: HoldFinding[] }> {
  const { store, prefix } = options;
  const { book, size } = await readBook(store, prefix);
  const findings: HoldFinding[] = [];
  const signed = await new LogReader(store, prefix, HOLDS_LOG).newestCheckpoint();
  if (signed < size) {
    const detail = `${size - signed} of ${size} leaves of the log are not signed`;
    findings.push({ code: 'unsigned', case: '', key: HOLDS_LOG, versionId: '', detail });
  }
  const cases: ListedCase[] = [];
  const asked = only === undefined ? [...book.cases.values()] : [caseOf(book, only)];
  for (const one of asked) {
    cases.push(
      one.released === null
        ? await listOpen(one, findings, options)
        : await listReleased(one, book, findings, options),
    );
  }
  return { cases, findings };
}

async function listOpen(
  { name, additions }: HoldCase,
  findings: HoldFinding[],
  options: KeepOptions,
): Promise<ListedCase> {
  const { time, reason } = additions[0]!.body;
  const listed = { name, open: true, since: time, reason, segments: 0, objects: 0, held: 0 };
  for (const { sequence, body, segments } of additions) {
    const found = await objectsOf(segments, options);
    const objects = flat(found);
    listed.segments += found.length;
    listed.objects += objects.length;
    for (const key of found.flatMap((one) => one.missing)) {
      findings.push({ code: 'missing', case: name, key, versionId: '', detail: 'not there' });
    }
    if (objectsDigest(objects) !== body.objectsSha256) {
      const detail = `${objects.length} versions, not the ${body.objects} of leaf ${sequence}`;
      findings.push({ code: 'versions_differ', case: name, key: '', versionId: '', detail });
    }
    const unheld = await heldAs(objects, false, options);
    listed.held += objects.length - unheld.length;
    for (const { key, versionId } of unheld) {
      findings.push({ code: 'not_held', case: name, key, versionId, detail: 'no legal hold' });
    }
  }
  const told = additions.map(({ sequence, body }) => ({ leaf: sequence, body }));
  return { ...listed, additions: told };
}

async function listReleased(
  { name, let: released, released: body }: HoldCase,
  book: HoldBook,
  findings: HoldFinding[],
  options: KeepOptions,
): Promise<ListedCase> {
  const found = await objectsOf(allOf(released), options);
  const free = flat(unneeded(book, found));
  const held = await heldAs(free, true, options);
  for (const { key, versionId } of held) {
    const detail = 'a legal hold, after the release';
    findings.push({ code: 'still_held', case: name, key, versionId, detail });
  }
  return {
    name,
    open: false,
    since: body!.time,
    reason: body!.reason,
    segments: found.length,
    objects: free.length,
    held: held.length,
    additions: [],
  };
}
