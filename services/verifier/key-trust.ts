/**
 * Which keys are trusted, and how far: those that were given, those they handed over to in the log
 * `keys`, and what a key that was rotated away may have signed.
 */
import { evidenceKey } from '../../schemas/evidence/log-layout.ts';
import type { Verifier } from '../../schemas/evidence/note.ts';
import { Succession } from '../evidence/succession.ts';
import type { Report } from './findings.ts';
import type { Limits } from './kept-state.ts';

const DAY_S = 86_400;

export class KeyTrust {
  readonly #report: Report;
  readonly #prefix: string;
  readonly #succession: Succession;
  readonly #limits = new Map<string, ReadonlyMap<string, number>>();

  constructor(verifiers: readonly Verifier[], prefix: string, report: Report) {
    this.#succession = new Succession(verifiers);
    this.#prefix = prefix;
    this.#report = report;
  }

  /** Grows while the log of keys is read. */
  get trusted(): readonly Verifier[] {
    return this.#succession.trusted;
  }

  /** When a key was rotated away, seconds since the epoch, by vkey. */
  get rotated(): ReadonlyMap<string, number> {
    return this.#succession.rotated;
  }

  /** Of keys that were rotated away: leaves of each log that they may have signed, by the roots. */
  get limits(): Limits {
    return this.#limits;
  }

  /** What the roots up to where an earlier run ended told. */
  resume(limits: ReadonlyArray<[vkey: string, sizes: Array<[log: string, size: number]>]>): void {
    for (const [vkey, sizes] of limits) this.#limits.set(vkey, new Map(sizes));
  }

  /** Of each root in order: its hour, seconds since the epoch, and the size of each log. */
  sizesAt(time: number, sizes: ReadonlyMap<string, number>): void {
    for (const [vkey, rotated] of this.rotated) {
      // What was signed before the rotation may be in no root before it.
      if (time <= rotated) continue;
      if (time <= rotated + DAY_S || !this.#limits.has(vkey)) this.#limits.set(vkey, sizes);
    }
  }

  /** A key that was rotated away signs nothing that a day later no root told of yet. */
  inForce(log: string, size: number, by: Verifier): void {
    const limit = this.#limits.get(by.vkey);
    if (limit === undefined || size <= (limit.get(log) ?? 0)) return;
    this.#report({
      code: 'signed_after_rotation',
      key: evidenceKey(this.#prefix, { log, kind: 'note', number: size }),
      versionId: '',
      expected: `${limit.get(log) ?? 0} leaves at most, by this key`,
      found: `${size} leaves, by ${by.vkey}`,
    });
  }

  consented(size: number, by: Verifier): void {
    this.#succession.signed(size, by);
  }

  /** A leaf of the log of keys. */
  rotation(bytes: Buffer, sequence: number, key: string, versionId: string): void {
    for (const { expected, found } of this.#succession.statement(bytes, sequence)) {
      this.#report({ code: 'key_rotation', key, versionId, expected, found });
    }
  }
}
