/**
 * Cosignatures of witnesses over the newest root (C2SP tlog-witness, c2sp.org/tlog-witness): each is
 * shown that its last view of the log is the beginning of this one, and signs that it is. Lines that
 * verify are stored, once.
 */
import { NoteError, parseNote, type Verifier } from '../../../schemas/evidence/note.ts';
import { ROOT_LOG } from '../../../schemas/evidence/root-leaf.ts';
import { type Cosigned, cosignaturesIn } from '../../../schemas/evidence/witness.ts';
import { LogReader } from '../../evidence/log-reader.ts';
import type { Clock } from '../../runtime/clock.ts';
import { Failure } from '../../runtime/errors.ts';
import type { Log } from '../../runtime/log.ts';
import type { ObjectStore } from '../../store/store.ts';
import type { Http } from './http.ts';
import { type Anchor, rootKey, type SignedRoot } from './root.ts';

export interface Witness {
  /** The submission prefix. */
  url: string;
  key: Verifier;
}

export interface WitnessOptions {
  prefix: string;
  store: Pick<ObjectStore, 'get' | 'putIfAbsent' | 'list' | 'versions'>;
  witnesses: readonly Witness[];
  http: Http;
  clock: Clock;
  log: Log;
}

/** How long those that answer wait for those that do not, before the file is written without them. */
const TOGETHER_MS = 600_000;
/** A witness may be told of its own size and of one race. */
const ATTEMPTS = 3;
const CONFLICT = 409;
const SIZE_TYPE = 'text/x.tlog.size';
const SIZE = /^(0|[1-9]\d{0,15})\n$/;

export function witnessAnchor(options: WitnessOptions): Anchor {
  const round = new WitnessRound(options);
  return { name: 'witnesses', run: (root) => round.run(root) };
}

class WitnessRound {
  readonly #options: WitnessOptions;
  /** Size that a witness cosigned last, as it told. */
  readonly #sizes = new Map<Witness, number>();
  /** Of the root at hand: who signed it, and since when it is tried. */
  #round: { size: number; sinceMs: number; lines: Map<Witness, string> } | null = null;

  constructor(options: WitnessOptions) {
    this.#options = options;
  }

  async run(root: SignedRoot): Promise<void> {
    const { store, prefix, witnesses, clock, log } = this.#options;
    const key = rootKey(prefix, 'witness', root.size);
    if ((await store.get(key)) !== null) return;
    if (this.#round?.size !== root.size) {
      this.#round = { size: root.size, sinceMs: clock.now(), lines: new Map() };
    }
    const { lines, sinceMs } = this.#round;
    const reader = new LogReader(store, prefix, ROOT_LOG);
    const refused: string[] = [];
    for (const witness of witnesses.filter((one) => !lines.has(one))) {
      try {
        lines.set(witness, await this.#ask(witness, root, reader));
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        refused.push(`${witness.key.name}: ${error.message}`);
      }
    }
    const reason = refused.join('; ');
    if (refused.length > 0 && (lines.size === 0 || clock.now() < sinceMs + TOGETHER_MS)) {
      throw new Failure(reason, {
        code: 'WITNESS_REFUSED',
        hint: 'Does the witness know the key and the origin NAME/root of this log?',
        retryable: true,
      });
    }
    await store.putIfAbsent(key, Buffer.from([...lines.values()].join('')));
    if (refused.length > 0) log.warn({ roots: root.size, reason }, 'not every witness cosigned');
  }

  /** Its lines. @throws Failure */
  async #ask(witness: Witness, root: SignedRoot, reader: LogReader): Promise<string> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const old = this.#sizes.get(witness) ?? 0;
      const proof = old === 0 || old === root.size ? [] : await reader.consistency(old, root.size);
      const reply = await submit(root.note, old, proof, witness, this.#options.http);
      if (reply.kind === 'cosigned') {
        this.#sizes.set(witness, root.size);
        return reply.lines;
      }
      if (reply.kind === 'refused' || reply.size === old) {
        const status = reply.kind === 'refused' ? reply.status : CONFLICT;
        throw new Failure(meaningOf(status), { code: 'WITNESS' });
      }
      const told = reply.size;
      if (told > root.size) {
        throw new Failure(`it cosigned ${told} roots, and here are ${root.size}: run verify`, {
          code: 'WITNESS',
        });
      }
      this.#sizes.set(witness, told);
    }
    throw new Failure('it tells another size each time', { code: 'WITNESS' });
  }
}

export type WitnessReply =
  | { kind: 'cosigned'; lines: string }
  /** It cosigned that many leaves last, and wants the proof from there. */
  | { kind: 'size'; size: number }
  | { kind: 'refused'; status: number };

/**
 * One add-checkpoint: the signed note, and the consistency proof from the `old` leaves that the witness is said
 * to have seen last. @throws Failure where there is no answer, or one that is no signature of its key.
 */
export async function submit(
  note: Buffer,
  old: number,
  proof: readonly Buffer[],
  { url, key }: Witness,
  http: Http,
): Promise<WitnessReply> {
  const hashes = proof.map((hash) => `${hash.toString('base64')}\n`).join('');
  const answer = await http({
    method: 'POST',
    url: `${url.replace(/\/+$/, '')}/add-checkpoint`,
    body: Buffer.concat([Buffer.from(`old ${old}\n${hashes}\n`), note]),
  });
  const { status, contentType, body } = answer;
  if (status === 200) return { kind: 'cosigned', lines: linesIn(note, body, key) };
  const size = status === CONFLICT && contentType === SIZE_TYPE ? sizeOf(body) : null;
  return size === null ? { kind: 'refused', status } : { kind: 'size', size };
}

function sizeOf(body: Buffer): number | null {
  const size = SIZE.exec(body.toString('latin1'))?.[1];
  return size === undefined ? null : Number(size);
}

function linesIn(note: Buffer, lines: Buffer, key: Verifier): string {
  let signed: Cosigned[];
  try {
    signed = cosignaturesIn(parseNote(note), lines, [key]);
  } catch (error) {
    if (!(error instanceof NoteError)) throw error;
    throw new Failure(`its answer: ${error.message}`, { code: 'WITNESS' });
  }
  if (signed.length === 0) throw new Failure('it did not sign with its key', { code: 'WITNESS' });
  return signed.map(({ line }) => line).join('');
}

const MEANINGS: Record<number, string> = {
  403: 'it does not trust the key that signed the root',
  404: 'it does not know this log',
  409: 'it has seen another root of this size',
  422: 'it has seen another history of this log',
};

/** Of an HTTP status, for people. */
export function meaningOf(status: number): string {
  return `HTTP ${status}${MEANINGS[status] === undefined ? '' : `: ${MEANINGS[status]}`}`;
}
