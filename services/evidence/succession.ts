/**
 * The rule of rotation (`schemas/evidence.md`): which keys follow those that are given. One fold over
 * the log `keys`, for whoever reads it as a stream and whoever looks leaves up. Pure.
 *
 * A key that is trusted and was not rotated away hands over, and the one it names takes over when the
 * checkpoint right behind the statement is signed by the key that hands over.
 */
import { parseRotation } from '../../schemas/evidence/key-leaf.ts';
import { LeafError, secondsOf } from '../../schemas/evidence/leaf.ts';
import type { Verifier } from '../../schemas/evidence/note.ts';

/**
 * Why a rotation does not count. `stranger`: by a key that was never trusted; `replaced`: by one that
 * had been rotated away; `unconsented`: the one before got no checkpoint; `unreadable`: it is none.
 */
export interface Refusal {
  why: 'stranger' | 'replaced' | 'unconsented' | 'unreadable';
  expected: string;
  found: string;
}

/** A rotation that the checkpoint of the first `size` leaves, signed by `from`, puts into force. */
export interface Awaited {
  size: number;
  from: Verifier;
}

export class Succession {
  /** The keys given, and behind them their successors; grows with the log. */
  readonly trusted: Verifier[];
  /** When a key was rotated away, seconds since the epoch, by vkey. */
  readonly rotated = new Map<string, number>();
  #pending: (Awaited & { time: number; to: Verifier }) | null = null;

  constructor(given: readonly Verifier[]) {
    this.trusted = [...given];
  }

  get awaited(): Awaited | null {
    return this.#pending;
  }

  /** The next leaf of the log. */
  statement(bytes: Buffer, sequence: number): Refusal[] {
    const refused: Refusal[] = [];
    if (this.#pending !== null) {
      const found = 'no checkpoint of it';
      refused.push({ why: 'unconsented', expected: 'the consent of the key before', found });
      this.#pending = null;
    }
    try {
      const { time, from, to } = parseRotation(bytes).body;
      const isTrusted = this.trusted.some(({ vkey }) => vkey === from.vkey);
      if (isTrusted && !this.rotated.has(from.vkey)) {
        this.#pending = { size: sequence + 1, time: secondsOf(time)!, from, to };
      } else {
        const why = isTrusted ? 'replaced' : 'stranger';
        refused.push({ why, expected: 'the key in force', found: from.vkey });
      }
    } catch (error) {
      if (!(error instanceof LeafError)) throw error;
      refused.push({ why: 'unreadable', expected: 'a rotation', found: error.message });
    }
    return refused;
  }

  /** There is a checkpoint of the first `size` leaves, of their tree, signed by a trusted key. */
  signed(size: number, by: Verifier): void {
    const pending = this.#pending;
    if (pending === null || pending.size !== size || by.vkey !== pending.from.vkey) return;
    this.#pending = null;
    this.rotated.set(pending.from.vkey, pending.time);
    if (!this.trusted.some(({ vkey }) => vkey === pending.to.vkey)) this.trusted.push(pending.to);
  }
}
