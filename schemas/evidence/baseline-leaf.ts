/**
 * Leaves of the log `baseline` (`schemas/evidence.md`): what protected the archive when somebody
 * said that it was right so. Pure.
 */
import { z } from 'zod';
import { type Leaf, leafSchema, parseLeaf, timeText } from './leaf.ts';

export const BASELINE_LOG = 'baseline';

/**
 * What the store told of one item. `absent`: the store said that there is none. `unknown`: it cannot
 * be told, which is never the same as fine.
 */
export type Told<Value> =
  | { state: 'set'; value: Value }
  | { state: 'absent' }
  | { state: 'unknown'; why: UnknownReason; detail: string };

/** `denied`: the credential may not see it. `not_offered`: this store has no such thing. */
export const UNKNOWN_REASONS = ['denied', 'not_offered', 'failed'] as const;
export type UnknownReason = (typeof UNKNOWN_REASONS)[number];

function told<Value extends z.ZodType>(value: Value) {
  return z.discriminatedUnion('state', [
    z.strictObject({ state: z.literal('set'), value }),
    z.strictObject({ state: z.literal('absent') }),
    z.strictObject({
      state: z.literal('unknown'),
      why: z.enum(UNKNOWN_REASONS),
      detail: z.string(),
    }),
  ]);
}

const postureSchema = z.strictObject({
  objectLock: told(z.string()),
  defaultRetention: told(z.strictObject({ mode: z.string(), days: z.int().nonnegative() })),
  versioning: told(z.strictObject({ status: z.string(), mfaDelete: z.string() })),
  policy: told(z.string()),
  acl: told(
    z.strictObject({
      owner: z.string(),
      grants: z.array(z.tuple([z.string(), z.string()])),
    }),
  ),
  publicAccessBlock: told(
    z.strictObject({
      blockPublicAcls: z.boolean(),
      ignorePublicAcls: z.boolean(),
      blockPublicPolicy: z.boolean(),
      restrictPublicBuckets: z.boolean(),
    }),
  ),
  ownership: told(z.string()),
  lifecycle: told(z.array(z.string())),
  replication: told(z.array(z.string())),
  encryption: told(z.strictObject({ algorithm: z.string(), key: z.string().nullable() })),
  logging: told(z.strictObject({ bucket: z.string(), prefix: z.string() })),
  notification: told(z.array(z.string())),
});

/** Everything in the bucket's configuration that protects the archive. */
export type Posture = z.output<typeof postureSchema>;
export type PostureItem = keyof Posture;

/** In the order in which they are written and told. */
export const POSTURE_ITEMS = Object.keys(postureSchema.shape) as PostureItem[];

/** `denied`: the store refused it for want of the right. `held`: it did not. */
export const RIGHT_STATES = ['denied', 'held', 'unknown'] as const;
export type RightState = (typeof RIGHT_STATES)[number];

/** Rights of the archiver's credential as they were tried, ascending by name. */
export type TriedRights = Array<[right: string, state: RightState]>;

const schema = leafSchema({
  time: timeText,
  bucket: z.string(),
  approvedBy: z.string(),
  reason: z.string(),
  posture: postureSchema,
  rights: z
    .array(z.tuple([z.string(), z.enum(RIGHT_STATES)]))
    .refine((all) => all.every(([name], at) => at === 0 || all[at - 1]![0] < name), 'not sorted'),
});

export interface BaselineBody {
  time: string;
  bucket: string;
  /** Who answers for it, as they called themselves. */
  approvedBy: string;
  reason: string;
  posture: Posture;
  rights: TriedRights;
}

/** The body with its keys in the order in which a leaf has them. */
export function baselineBody(body: BaselineBody): BaselineBody {
  const { time, bucket, approvedBy, reason, posture, rights } = body;
  const items = POSTURE_ITEMS.map((item) => [item, posture[item]]);
  const sorted = rights.toSorted(([one], [other]) => (one < other ? -1 : 1));
  return {
    time,
    bucket,
    approvedBy,
    reason,
    posture: Object.fromEntries(items) as Posture,
    rights: sorted,
  };
}

/** @throws LeafError where the bytes are no baseline. */
export function parseBaseline(bytes: Buffer): Leaf<BaselineBody> {
  return parseLeaf<BaselineBody>(bytes, schema);
}
