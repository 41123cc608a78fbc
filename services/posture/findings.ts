/**
 * What a comparison of a bucket with its baseline finds: each one fact with what was expected and
 * what is there. Pure data. `widened` makes the exit code 1, `incomplete` 2.
 */
import type { PostureItem } from '../../schemas/evidence/baseline-leaf.ts';

export const POSTURE_CODES = {
  object_lock: [
    'widened',
    'Object Lock is not as recorded: what is in the bucket could be deleted',
  ],
  default_retention: ['widened', 'new objects are locked for less, or less strictly'],
  versioning: ['widened', 'versions are not kept, or are deleted more easily'],
  policy_public: ['widened', 'the bucket policy is open to everybody'],
  policy_grant: ['widened', 'the bucket policy allows more'],
  policy_denial: ['widened', 'the bucket policy denies less'],
  policy_unreadable: ['incomplete', 'the bucket policy cannot be judged'],
  acl: ['widened', 'the ACL of the bucket gives more, or the bucket is another’s'],
  public_access_block: ['widened', 'public access is blocked less'],
  ownership: ['widened', 'writers own more of what they write, or ACLs count again'],
  lifecycle: ['widened', 'a rule deletes or moves objects by itself'],
  replication: ['widened', 'objects are copied elsewhere, or no longer copied'],
  encryption: ['widened', 'new objects are encrypted with another key, more weakly or not at all'],
  logging: ['widened', 'accesses are logged elsewhere or not at all'],
  notification: ['widened', 'somebody who was told of changes is not told any more'],
  right: ['widened', 'the archiver’s credential may do more'],
  unreadable: ['incomplete', 'it cannot be checked here'],
  unrecorded: ['incomplete', 'the baseline does not tell of it'],
  other_bucket: ['incomplete', 'the baseline is of another bucket'],
  baseline_missing: ['incomplete', 'no baseline was recorded'],
  baseline_unsigned: ['incomplete', 'no checkpoint signs the newest baseline'],
  baseline_cut: ['widened', 'a signed root tells of more baselines than there are'],
} as const satisfies Record<string, readonly [PostureClass, string]>;

export type PostureClass = 'widened' | 'incomplete';
export type PostureCode = keyof typeof POSTURE_CODES;
/** A part of the bucket's configuration, the archiver's rights, or the record of it all. */
export type PostureSubject = PostureItem | 'rights' | 'baseline';

export interface PostureFinding {
  code: PostureCode;
  item: PostureSubject;
  expected: string;
  found: string;
}

/** Worth telling, and neither worse nor unknown. */
export interface PostureNote {
  item: PostureSubject;
  text: string;
}

export interface Comparison {
  findings: PostureFinding[];
  notes: PostureNote[];
}

export function classOfPosture(code: PostureCode): PostureClass {
  return POSTURE_CODES[code][0];
}

export function meaningOfPosture(code: PostureCode): string {
  return POSTURE_CODES[code][1];
}

export const EXIT_AS_RECORDED = 0;
export const EXIT_WIDENED = 1;
export const EXIT_UNCHECKED = 2;

export function postureExitCode(findings: readonly Pick<PostureFinding, 'code'>[]): number {
  const classes = findings.map(({ code }) => classOfPosture(code));
  if (classes.includes('widened')) return EXIT_WIDENED;
  return classes.length > 0 ? EXIT_UNCHECKED : EXIT_AS_RECORDED;
}
