/**
 * What the verifier's service knows of itself, as a file: which facts are open, what OpenSearch was
 * not told yet, and when which run came to its end. Pure.
 */
import { z } from 'zod';
import { Failure } from '../runtime/errors.ts';
import { type OpenFact, openFact } from './facts.ts';

const LEDGER_KIND = 'lakeseal-open-findings';

/** A fact to be told: open, or recovered at that time, epoch ms. */
const notice = z.strictObject({ fact: openFact, recoveredMs: z.int().nullable() });
const time = z.int().nullable();

const schema = z.strictObject({
  kind: z.literal(LEDGER_KIND),
  format: z.literal(1),
  /** The place that is watched. */
  archive: z.string(),
  open: z.array(openFact),
  unsent: z.array(notice),
  ran: z.strictObject({ incremental: time, whole: time, posture: time }),
});

export type Ledger = z.output<typeof schema>;
export type Notice = z.output<typeof notice>;

export function emptyLedger(archive: string): Ledger {
  const ran = { incremental: null, whole: null, posture: null };
  return { kind: LEDGER_KIND, format: 1, archive, open: [], unsent: [], ran };
}

/** @throws Failure `LEDGER_INVALID`, `LEDGER_OTHER` */
export function parseLedger(text: string, path: string, archive: string): Ledger {
  let ledger: Ledger;
  try {
    ledger = schema.parse(JSON.parse(text));
  } catch (cause) {
    throw new Failure(`${path} is no list of open findings`, {
      code: 'LEDGER_INVALID',
      hint: 'Move it away: what is still so is found, and told, anew.',
      cause,
    });
  }
  if (ledger.archive === archive) return ledger;
  throw new Failure(`${path} is of ${ledger.archive}, not of ${archive}`, {
    code: 'LEDGER_OTHER',
    hint: 'Give each archive a verifier.stateFolder of its own.',
  });
}

export function ledgerText(ledger: Ledger): string {
  return `${JSON.stringify(ledger, null, 1)}\n`;
}

/** Two lines of a bulk request. The document of a fact is replaced when it has recovered. */
export function noticeLines(
  { fact, recoveredMs }: Notice,
  { index, archive }: { index: string; archive: string },
): [action: string, document: string] {
  const { id, openedMs, versionId, ...rest } = fact;
  // A fact that comes back is another occurrence, with a document of its own.
  const action = { index: { _index: index, _id: `${id}-${openedMs}` } };
  const document = {
    '@timestamp': iso(openedMs),
    id,
    status: recoveredMs === null ? 'open' : 'recovered',
    recovered: recoveredMs === null ? null : iso(recoveredMs),
    archive,
    version_id: versionId,
    ...rest,
  };
  return [JSON.stringify(action), JSON.stringify(document)];
}

export function noticesOf(
  opened: readonly OpenFact[],
  recovered: readonly OpenFact[],
  atMs: number,
): Notice[] {
  return [
    ...opened.map((fact) => ({ fact, recoveredMs: null })),
    ...recovered.map((fact) => ({ fact, recoveredMs: atMs })),
  ];
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
