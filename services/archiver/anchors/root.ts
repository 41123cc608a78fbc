/** The root that is to be anchored, and what all that anchor it are given. */
import { evidenceKey } from '../../../schemas/evidence/log-layout.ts';
import { ROOT_LOG } from '../../../schemas/evidence/root-leaf.ts';

export interface SignedRoot {
  /** Leaves that the checkpoint covers: the root is the last of them. */
  size: number;
  /** The checkpoint, whole. */
  note: Buffer;
  /** Its hour, ms since the epoch. */
  timeMs: number;
}

/** One way to anchor. `run` is repeated until it does not reject, or a newer root takes over. */
export interface Anchor {
  /** For logs and metrics. */
  name: string;
  run(root: SignedRoot): Promise<void>;
}

export function rootKey(
  prefix: string,
  kind: 'leaf' | 'note' | 'tsr' | 'witness',
  number: number,
): string {
  return evidenceKey(prefix, { log: ROOT_LOG, kind, number });
}
