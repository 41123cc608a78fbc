/**
 * `lakeseal posture`: the bucket of the configuration against its signed baseline, for people and as
 * JSON. Reads only.
 *
 * Exit codes: 0 as recorded, 1 widened, 2 cannot be checked or no baseline, 3 could not run.
 */
import { POSTURE_ITEMS, type TriedRights } from '../../schemas/evidence/baseline-leaf.ts';
import {
  classOfPosture,
  EXIT_AS_RECORDED,
  EXIT_UNCHECKED,
  EXIT_WIDENED,
  meaningOfPosture,
} from '../posture/findings.ts';
import { judgePosture, type PostureVerdict } from '../posture/judge.ts';
import { readPosture } from '../posture/read-posture.ts';
import { tryRights } from '../posture/rights.ts';
import type { Config } from '../runtime/config.ts';
import { describeFailure } from '../runtime/errors.ts';
import { createS3Store } from '../store/s3.ts';
import { type KeyFlags, trustedKeys } from './archive-place.ts';
import { configReader, storeClient } from './store-client.ts';
import { paint, printable, type Terminal, toJson } from './terminal.ts';
import { EXIT_FAILED } from './verify.ts';

export interface PostureFlags extends KeyFlags {
  /** False: what the credential of `storage.*` may do is not tried. */
  rights: boolean;
  json?: true;
}

export async function runPosture(
  flags: PostureFlags,
  config: () => Config,
  terminal: Terminal,
): Promise<number> {
  try {
    const settings = config();
    const verdict = await judge(flags, settings);
    const { bucket, prefix } = settings.storage;
    const place = `s3://${bucket}/${prefix}`;
    if (flags.json === true) terminal.out(asJson(place, verdict));
    else tellPosture(terminal, place, verdict);
    return verdict.exitCode;
  } catch (error) {
    terminal.err(describeFailure('lakeseal posture', error));
    return EXIT_FAILED;
  }
}

async function judge(flags: PostureFlags, config: Config): Promise<PostureVerdict> {
  const verifiers = await trustedKeys(flags, () => config);
  const { storage, archive } = config;
  const { bucket, prefix } = storage;
  const store = createS3Store(storage, archive);
  const reader = configReader(config);
  const archiver = storeClient(config, 'archiver');
  const place = { bucket, prefix };
  const rights = async (key: string): Promise<TriedRights> => {
    const retention = (await store.protection(key))?.retention ?? null;
    return tryRights(archiver, place, { key, retention });
  };
  try {
    return await judgePosture({
      store,
      target: place,
      verifiers,
      read: () => readPosture(reader, storage),
      rights: flags.rights ? rights : null,
    });
  } finally {
    store.close();
    reader.destroy();
    archiver.destroy();
  }
}

const VERDICTS: Record<number, string> = {
  [EXIT_AS_RECORDED]: 'AS RECORDED: nothing protects the archive less than the baseline says.',
  [EXIT_WIDENED]: 'WIDENED: what is listed above protects the archive less than was recorded.',
  [EXIT_UNCHECKED]: 'UNKNOWN: nothing was found to be worse, but not everything could be checked.',
};

const UNKNOWABLE = [
  'What this cannot know: rights that the store gives by policies of its users and roles, but for',
  'those of the archiver that were tried; and whether the keys of its encryption still exist.',
].join('\n');

const MEND =
  'If a change was intended: lakeseal preflight --record-baseline --reason "…" --approved-by …';

/** @param place what is judged, as `s3://BUCKET/PREFIX`. */
export function tellPosture(terminal: Terminal, place: string, verdict: PostureVerdict): void {
  const { baseline, posture, findings, notes, exitCode } = verdict;
  terminal.out(`${place}, what protects it against its signed baseline\n`);
  if (baseline !== null) {
    const by = baseline.approvedBy === '' ? '' : `, approved by ${baseline.approvedBy}`;
    terminal.out(
      printable(`baseline ${baseline.sequence} of ${baseline.time}: ${baseline.reason}${by}\n`),
    );
  }
  for (const { code, item, expected, found } of findings) {
    const kind = classOfPosture(code);
    const head = paint(terminal, kind === 'widened' ? 'bad' : 'attention', `${kind}: ${code}`);
    const facts = `  expected  ${expected}\n  found     ${found}`;
    terminal.out(`${head}: ${item}\n  ${meaningOfPosture(code)}\n${printable(facts)}`);
  }
  for (const { item, text } of notes) terminal.out(printable(`note: ${item}: ${text}`));
  tellPowers(terminal, verdict);
  const told = POSTURE_ITEMS.filter((item) => posture[item].state !== 'unknown').length;
  terminal.out(`\n${told} of ${POSTURE_ITEMS.length} settings could be read.`);
  terminal.out(VERDICTS[exitCode]!);
  if (exitCode !== EXIT_AS_RECORDED) terminal.out(MEND);
  terminal.out(UNKNOWABLE);
}

function tellPowers(terminal: Terminal, { powers, findings, notes }: PostureVerdict): void {
  if (powers === null) return;
  if (findings.length + notes.length > 0) terminal.out('');
  const allowed = powers.filter((one) => one.allowed.length > 0);
  const denied = powers.filter(({ deniedToAll }) => deniedToAll).map(({ power }) => power);
  terminal.out(`denied to everyone by the policy: ${denied.join(', ') || 'nothing'}`);
  terminal.out(`allowed by the policy:${allowed.length === 0 ? ' nothing' : ''}`);
  for (const { power, allowed: grants } of allowed) {
    for (const grant of grants) terminal.out(printable(`  ${power}: ${grant}`));
  }
}

/** `schemas/evidence.md` has the form of the baseline and of the posture. */
function asJson(archive: string, { findings, ...verdict }: PostureVerdict): string {
  const classed = findings.map((finding) => ({ ...finding, class: classOfPosture(finding.code) }));
  return toJson({ archive, ...verdict, findings: classed });
}
