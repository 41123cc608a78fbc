/**
 * Whether what `anchors.*` names would do its part, tried before a root depends on it: authorities stamp,
 * places take copies, witnesses know the log. Nothing that is tried becomes part of the evidence, and
 * a witness is asked in a way that cannot move what it has seen.
 */
import { checkpointText, originOf } from '../../schemas/evidence/checkpoint.ts';
import { EMPTY_ROOT } from '../../schemas/evidence/merkle.ts';
import { ed25519Signer, signNote } from '../../schemas/evidence/note.ts';
import { ROOT_LOG } from '../../schemas/evidence/root-leaf.ts';
import { authorityOf, witnessOf } from '../archiver/anchors/anchors.ts';
import { type Http, shownUrl } from '../archiver/anchors/http.ts';
import { rootKey } from '../archiver/anchors/root.ts';
import { requestStamp } from '../archiver/anchors/stamps.ts';
import {
  meaningOf,
  submit,
  type Witness,
  type WitnessReply,
} from '../archiver/anchors/witnesses.ts';
import { LogReader } from '../evidence/log-reader.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Config } from '../runtime/config.ts';
import { Failure, reasonOf } from '../runtime/errors.ts';
import { counted } from '../runtime/wording.ts';
import { type ReadStore, trustedKeys } from './archive-place.ts';
import { type Check, check, type Finding, failed, ok, unknown } from './checks.ts';
import { tryCopy } from './copy-trial.ts';
import { judgeClock } from './preflight-store.ts';

export interface AnchorCheckOptions {
  http: Http;
  clock: Clock;
  randomBytes: (count: number) => Buffer;
  /** The archive, as the archiver sees it. */
  store: ReadStore;
  /** Names the throwaway files; unique per run. */
  random: string;
}

/** In the order of the configuration; all side by side. Never rejects. */
export async function checkAnchors(config: Config, options: AnchorCheckOptions): Promise<Check[]> {
  const { timestamps, copies, witnesses } = config.anchors;
  const { random, http } = options;
  const name = `preflight-${random}`;
  const bytes = Buffer.from(`lakeseal ${name}\n`);
  const step = (what: string, run: () => Promise<Finding>): Promise<Check> =>
    check('anchors', what, run);
  // One look at the archive for all witnesses.
  const shown = witnesses.length === 0 ? null : shownCheckpoint(config, options);
  return Promise.all([
    ...timestamps.map((one, at) =>
      step(`timestamps.${at} stamps`, () => checkAuthority(one, bytes, options)),
    ),
    ...copies.map((one, at) =>
      step(`copies.${at} takes files`, () => tryCopy(one, name, bytes, http)),
    ),
    ...witnesses.map((one, at) =>
      step(`witnesses.${at} knows this log`, async () =>
        checkWitness(witnessOf(one), await shown!, http),
      ),
    ),
  ]);
}

async function checkAuthority(
  settings: Config['anchors']['timestamps'][number],
  bytes: Buffer,
  options: AnchorCheckOptions,
): Promise<Finding> {
  const { clock } = options;
  const where = shownUrl(settings.url);
  const before = clock.now();
  const stamped = await requestStamp(bytes, authorityOf(settings), options);
  if (typeof stamped === 'string') {
    return failed(
      `${where}: ${stamped}`,
      'is the address that of an RFC 3161 authority, and caFile the root that it publishes?',
    );
  }
  const judged = judgeClock(
    where,
    before,
    clock.now(),
    new Date(stamped.time * 1000).toUTCString(),
  );
  if (judged.outcome !== 'ok' || settings.caFile !== undefined) return judged;
  const hint = 'name the root certificate of the authority as caFile';
  return unknown(`${where}: a stamp, but any stranger’s would do`, hint);
}

/** What a witness is shown. */
interface Shown {
  note: Buffer;
  size: number;
  origin: string;
  /** False: made for the purpose, and signed by nobody. */
  signed: boolean;
}

/**
 * The newest signed root; where there is none, a checkpoint of an empty log under a key that was made for
 * it, which says nothing that could be wrong. A string: why there is neither.
 */
async function shownCheckpoint(
  config: Config,
  options: AnchorCheckOptions,
): Promise<Shown | string> {
  const { store, randomBytes } = options;
  const { prefix } = config.storage;
  try {
    const [key] = await trustedKeys({}, () => config);
    const origin = originOf(key!.name, ROOT_LOG);
    const size = await new LogReader(store, prefix, ROOT_LOG).newestCheckpoint();
    if (size > 0) {
      const { bytes: note } = (await store.get(rootKey(prefix, 'note', size)))!;
      return { note, size, origin, signed: true };
    }
    const text = checkpointText({ origin, size: 0, root: EMPTY_ROOT });
    const note = await signNote(text, ed25519Signer(key!.name, randomBytes(SEED_BYTES)));
    return { note, size: 0, origin, signed: false };
  } catch (error) {
    return reasonOf(error);
  }
}

const SEED_BYTES = 32;

/**
 * Asked to go on from the size that it is shown, a witness that has seen less or more answers which size it
 * knows, and one that has seen just this signs it again: neither changes anything.
 */
async function checkWitness(witness: Witness, shown: Shown | string, http: Http): Promise<Finding> {
  const where = `${witness.key.name} at ${shownUrl(witness.url)}`;
  if (typeof shown === 'string') {
    const hint = 'set evidence.keyFile or evidence.publicKeys, and see what failed of the store';
    return unknown(`${where} was not asked: ${shown}`, hint);
  }
  let reply: WitnessReply;
  try {
    reply = await submit(shown.note, shown.size, [], witness, http);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return failed(`${where}: ${error.message}`, RIGHT_HINT);
  }
  const finding = judgeReply(reply, shown);
  return { ...finding, detail: `${where}: ${finding.detail}` };
}

const RIGHT_HINT = 'are its address and its key right?';
const LOST_HINT = 'the archive lost roots, or another has its name: run lakeseal verify';

/** Pure. */
export function judgeReply(
  reply: WitnessReply,
  { size, origin, signed }: Pick<Shown, 'size' | 'origin' | 'signed'>,
): Finding {
  switch (reply.kind) {
    case 'cosigned':
      if (signed) return ok(`it cosigned ${counted(size, 'root')}, which is all`);
      return failed('it cosigns what the key of the log did not sign', 'use a witness that looks');
    case 'size':
      if (reply.size < size)
        return ok(`it knows the log, and cosigned ${reply.size} of ${size} roots`);
      return failed(`it cosigned ${counted(reply.size, 'root')}, and here are ${size}`, LOST_HINT);
    case 'refused':
      return judgeRefusal(reply.status, origin, signed);
  }
}

function judgeRefusal(status: number, origin: string, signed: boolean): Finding {
  const detail = meaningOf(status);
  if (status === UNKNOWN_LOG || (status === UNTRUSTED && signed)) {
    return failed(detail, `tell the witness the public key and the origin ${origin}`);
  }
  if (status === UNTRUSTED) {
    const known = `it knows ${origin}; whether it knows the key, the first root will show`;
    return unknown(known, 'run preflight again once there is a root');
  }
  return failed(detail, LOST.has(status) ? LOST_HINT : RIGHT_HINT);
}

const UNTRUSTED = 403;
const UNKNOWN_LOG = 404;
/** Another root of this size, another history. */
const LOST: ReadonlySet<number> = new Set([409, 422]);
