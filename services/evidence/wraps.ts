/**
 * The log `wraps`: keys of encrypted segments under another secret than they were sealed with. What it
 * says is believed as far as the segment opens to the digest in its manifest, so a forged leaf can do
 * no more than not help.
 */
import { MissingKeyError, type RewrappedKey, unwrapWith } from '../../schemas/envelope.ts';
import { leafBytes } from '../../schemas/evidence/leaf.ts';
import { partitionLog } from '../../schemas/evidence/log-layout.ts';
import { parseManifest } from '../../schemas/evidence/manifest.ts';
import type { Signer } from '../../schemas/evidence/note.ts';
import {
  addWraps,
  parseWraps,
  WRAPS_LOG,
  type WrapBody,
} from '../../schemas/evidence/wrap-leaf.ts';
import { slotKey } from '../../schemas/layout.ts';
import { EnvelopeError, secretId, type WrappingKey } from '../../schemas/wrapping-key.ts';
import { compareText } from '../runtime/order.ts';
import type { ObjectStore } from '../store/store.ts';
import { evidenceFailure, leavesOf, partitionsOf } from './log-reader.ts';
import { LogWriter } from './log-writer.ts';

type Reader = Pick<ObjectStore, 'get' | 'list'>;

/** By slot. @throws Failure `EVIDENCE` where the log is not as it was written. */
export async function readWraps(
  store: Reader,
  prefix: string,
): Promise<Map<string, RewrappedKey[]>> {
  const known = new Map<string, RewrappedKey[]>();
  try {
    for await (const { bytes } of leavesOf(store, prefix, WRAPS_LOG)) {
      addWraps(known, parseWraps(bytes).body);
    }
  } catch (error) {
    throw evidenceFailure(error);
  }
  return known;
}

export interface RewrapPlan {
  /** Encrypted segments, by their manifests. */
  encrypted: number;
  /** Of these, those that the new secret does not open yet. */
  due: number;
  /** Of these, slots whose key none of the secrets given has wrapped. */
  lost: string[];
  /** What is to be written, a leaf each. */
  bodies: Array<Omit<WrapBody, 'time'>>;
}

/** Segments in one leaf: some 80 bytes each. */
const LEAF_SEGMENTS_MAX = 10_000;

/** Reads manifests, not segments. @throws Failure `EVIDENCE` */
export async function planRewrap(
  store: Pick<ObjectStore, 'get' | 'list' | 'versions'>,
  prefix: string,
  from: readonly WrappingKey[],
  to: WrappingKey,
): Promise<RewrapPlan> {
  const rewrapped = await readWraps(store, prefix);
  const unwrap = unwrapWith(from, rewrapped);
  const plan: RewrapPlan = { encrypted: 0, due: 0, lost: [], bodies: [] };
  const found: Array<[log: string, firstOffset: string, wrapped: string]> = [];
  const logs = (await partitionsOf(store, prefix)).map((address) => ({
    address,
    log: partitionLog(address),
  }));
  for (const { address, log } of logs.sort((one, other) => compareText(one.log, other.log))) {
    try {
      for await (const { bytes } of leavesOf(store, prefix, log)) {
        const { firstOffset, encryption } = parseManifest(bytes).body;
        if (encryption?.kind !== 'envelope') continue;
        plan.encrypted += 1;
        const slot = slotKey('', { ...address, firstOffset: BigInt(firstOffset) });
        const keys = [encryption, ...(rewrapped.get(slot) ?? [])];
        if (keys.some(({ key }) => secretId(key) === to.id)) continue;
        plan.due += 1;
        try {
          const wrapped = to.wrapKey(unwrap(slot, encryption)).toString('base64');
          found.push([log, firstOffset, wrapped]);
        } catch (error) {
          if (!(error instanceof MissingKeyError) && !(error instanceof EnvelopeError)) throw error;
          plan.lost.push(slot);
        }
      }
    } catch (error) {
      throw evidenceFailure(error);
    }
  }
  for (let at = 0; at < found.length; at += LEAF_SEGMENTS_MAX) {
    const segments = byLog(found.slice(at, at + LEAF_SEGMENTS_MAX));
    plan.bodies.push({ wrap: to.wrap, key: to.name, segments });
  }
  return plan;
}

function byLog(found: ReadonlyArray<[log: string, firstOffset: string, wrapped: string]>) {
  const segments: WrapBody['segments'] = [];
  for (const [log, firstOffset, wrapped] of found) {
    const last = segments.at(-1);
    if (last !== undefined && last[0] === log) last[1].push([firstOffset, wrapped]);
    else segments.push([log, [[firstOffset, wrapped]]]);
  }
  return segments;
}

/** Two may say the same, which harms nobody. Key of the checkpoint that covers them. @throws Failure, BrokenLog */
export async function writeWraps(
  store: ObjectStore,
  prefix: string,
  signer: Signer,
  bodies: readonly WrapBody[],
): Promise<string> {
  const log = await LogWriter.open(store, prefix, WRAPS_LOG);
  for (const body of bodies) await log.appendBehind((end) => leafBytes(end, body));
  await log.sign(signer);
  return log.checkpointKey;
}
