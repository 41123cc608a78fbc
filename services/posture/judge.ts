/**
 * The posture of an archive: its bucket as it is, against the newest baseline that a trusted key
 * signed. Whatever reads the store is given; nothing here can write.
 */
import {
  BASELINE_LOG,
  type Posture,
  type TriedRights,
} from '../../schemas/evidence/baseline-leaf.ts';
import { evidenceKey } from '../../schemas/evidence/log-layout.ts';
import type { Verifier } from '../../schemas/evidence/note.ts';
import type { ObjectStore } from '../store/store.ts';
import { type FoundBaseline, type ReadBaseline, readBaseline } from './baseline.ts';
import { comparePosture, compareRights } from './compare.ts';
import { type Comparison, type PostureFinding, postureExitCode } from './findings.ts';
import { readPolicy } from './policy-document.ts';
import { type ArchiveTarget, type ToldPower, toldPowers } from './policy-judge.ts';

export interface JudgePostureOptions {
  /** Where the evidence lies. */
  store: Pick<ObjectStore, 'get' | 'list' | 'versions'>;
  target: ArchiveTarget;
  /** Obtained by another way than the archive. */
  verifiers: readonly Verifier[];
  /** Reads the bucket's configuration (`readPosture`). */
  read: () => Promise<Posture>;
  /** Tries the archiver's rights (`tryRights`), given a sealed key; null: they are not judged. */
  rights: ((sealed: string) => Promise<TriedRights>) | null;
}

export interface PostureVerdict extends Comparison {
  /** Null where there is none that is signed. */
  baseline: FoundBaseline | null;
  /** The bucket as it is. */
  posture: Posture;
  /** Who may do what by its policy; null where that cannot be told. */
  powers: ToldPower[] | null;
  /** 0 as recorded, 1 widened, 2 cannot be checked. */
  exitCode: number;
}

/** @throws Failure where the store does not answer, or the baseline there is not what was signed. */
export async function judgePosture(options: JudgePostureOptions): Promise<PostureVerdict> {
  const { store, target, verifiers, read, rights } = options;
  const found = await readBaseline(store, target.prefix, verifiers);
  const posture = await read();
  const { baseline } = found;
  const record = judgeRecord(found, target);
  const parts: Comparison[] = [{ findings: record, notes: [] }];
  if (baseline !== null && baseline.bucket === target.bucket) {
    parts.push(comparePosture(baseline.posture, posture, target));
    const number = baseline.sequence;
    const sealed = evidenceKey(target.prefix, { log: BASELINE_LOG, kind: 'leaf', number });
    parts.push(compareRights(baseline.rights, rights === null ? null : await rights(sealed)));
  }
  const findings = parts.flatMap((part) => part.findings);
  const notes = parts.flatMap((part) => part.notes);
  const powers = powersOf(posture, target);
  return { baseline, posture, powers, findings, notes, exitCode: postureExitCode(findings) };
}

function powersOf({ policy }: Posture, target: ArchiveTarget): ToldPower[] | null {
  if (policy.state === 'unknown') return null;
  const read = readPolicy(policy.state === 'set' ? policy.value : null);
  return 'problem' in read ? null : toldPowers(read.statements, target);
}

/** Whether there is a baseline to compare with, and the newest one. */
function judgeRecord(
  { baseline, leaves, told }: ReadBaseline,
  { bucket }: ArchiveTarget,
): PostureFinding[] {
  const item = 'baseline';
  const findings: PostureFinding[] = [];
  if (told > leaves) {
    const [expected, there] = [`${told} baselines, as a signed root tells`, `${leaves}`];
    findings.push({ code: 'baseline_cut', item, expected, found: there });
  }
  const signed = baseline === null ? 0 : baseline.sequence + 1;
  if (leaves === 0) {
    findings.push({ code: 'baseline_missing', item, expected: 'a signed baseline', found: 'none' });
  } else if (signed < leaves) {
    const there = signed === 0 ? 'none' : `one of ${signed}`;
    const expected = `a checkpoint of ${leaves} baselines`;
    findings.push({ code: 'baseline_unsigned', item, expected, found: there });
  }
  if (baseline !== null && baseline.bucket !== bucket) {
    findings.push({ code: 'other_bucket', item, expected: bucket, found: baseline.bucket });
  }
  return findings;
}
