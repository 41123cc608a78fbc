/**
 * Findings of a verification (`schemas/evidence.md` has the table): each one fact, about one object.
 * The class decides the exit code: `tampered` 1, `incomplete` 2.
 */

export const CODES = {
  delete_marker: ['tampered', 'a delete marker hides an object: somebody deleted it'],
  extra_version: ['tampered', 'a key has a second version: somebody wrote over it'],
  planted_object: ['tampered', 'an object that lakeseal did not write lies among the evidence'],
  segment_missing: ['tampered', 'a sealed segment is not there'],
  segment_altered: ['tampered', 'the bytes of a segment are not those that were sealed'],
  segment_invalid: ['tampered', 'what was sealed is no valid segment'],
  segment_differs: ['tampered', 'a segment does not hold what its manifest says'],
  segment_unsealed: ['incomplete', 'segments that no manifest speaks of yet'],
  leaf_missing: ['tampered', 'a leaf in the middle of a log is not there'],
  leaf_invalid: ['tampered', 'a leaf is not as lakeseal writes it'],
  leaf_misplaced: ['tampered', 'a leaf of another place was put here'],
  leaf_chain: ['tampered', 'a leaf does not continue the one before it'],
  leaf_tree: ['tampered', 'a leaf tells of another tree than the leaves before it make'],
  tiling: ['tampered', 'offsets are missing or doubled between two segments'],
  anomaly: ['tampered', 'the archiver itself found something that it could not mend'],
  checkpoint_invalid: ['tampered', 'a checkpoint is none, or is of another log or size'],
  checkpoint_signature: ['tampered', 'no trusted key signed the checkpoint'],
  checkpoint_root: ['tampered', 'a signed checkpoint is of another history than the leaves'],
  checkpoint_missing: ['incomplete', 'the newest leaves are not signed yet'],
  truncated: ['tampered', 'the end of a log was cut off'],
  fork: ['tampered', 'two histories were shown: one was signed that is not this one'],
  root_order: ['tampered', 'a root tells of less than one before it, or of an earlier time'],
  root_stale: ['incomplete', 'the newest root is too old'],
  root_behind: ['incomplete', 'leaves that no root covers'],
  stamp_invalid: ['tampered', 'a time stamp does not verify'],
  stamp_time: ['tampered', 'a time stamp is of another time than its root'],
  stamp_missing: ['incomplete', 'a root has no time stamp'],
  witness_invalid: ['tampered', 'the signature of a witness does not verify'],
  key_rotation: ['tampered', 'a key took over without the consent of the one before it'],
  signed_after_rotation: ['tampered', 'a key signed after it had been rotated away'],
  retention_missing: ['tampered', 'an object has lost its retention'],
  retention_mode: ['tampered', 'retention is in a weaker mode than it was sealed with'],
  retention_short: ['tampered', 'retention ends before the date it was sealed with'],
  retention_differs: ['tampered', 'evidence is protected less than the segment it speaks of'],
  encryption_differs: ['tampered', 'an object is encrypted otherwise than it was sealed'],
  nothing: ['incomplete', 'there is no evidence here'],
} as const satisfies Record<string, readonly ['tampered' | 'incomplete', string]>;

export type FindingCode = keyof typeof CODES;
export type FindingClass = 'tampered' | 'incomplete';

export interface Finding {
  code: FindingCode;
  key: string;
  /** Empty where it is not about one version. */
  versionId: string;
  expected: string;
  found: string;
}

export function classOf(code: FindingCode): FindingClass {
  return CODES[code][0];
}

/** What the code means, in words. */
export function meaningOf(code: FindingCode): string {
  return CODES[code][1];
}

export type Report = (finding: Finding) => void;

export const EXIT_VERIFIED = 0;
export const EXIT_TAMPERED = 1;
export const EXIT_INCOMPLETE = 2;

export function exitCodeOf(findings: Iterable<Pick<Finding, 'code'>>): number {
  let code = EXIT_VERIFIED;
  for (const finding of findings) {
    if (classOf(finding.code) === 'tampered') return EXIT_TAMPERED;
    code = EXIT_INCOMPLETE;
  }
  return code;
}

/** One finding for each fact: what is said twice of one version of one key is passed over. */
export function onlyOnce(report: Report): Report {
  const told = new Set<string>();
  return (finding) => {
    const { code, key, versionId, found } = finding;
    const fact = JSON.stringify([code, key, versionId, found]);
    if (told.has(fact)) return;
    told.add(fact);
    report(finding);
  };
}
