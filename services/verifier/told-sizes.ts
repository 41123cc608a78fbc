/** What roots, kept checkpoints and an earlier run tell of the sizes of logs; all of it must hold. */
import { openCheckpoint } from '../../schemas/evidence/checkpoint.ts';
import { NoteError, type Verifier } from '../../schemas/evidence/note.ts';
import { Failure } from '../runtime/errors.ts';
import { frontierOf, type KeptLog } from './kept-state.ts';
import type { ToldSize } from './log-check.ts';

const EARLIER_RUN = 'an earlier run';

export class ToldSizes {
  readonly #byLog = new Map<string, ToldSize[]>();

  /** In the order in which they were told. */
  of(log: string): readonly ToldSize[] {
    return this.#byLog.get(log) ?? [];
  }

  /** The largest size that was told of each log. */
  largest(): Array<[log: string, told: ToldSize]> {
    return [...this.#byLog].map(([log, told]) => [
      log,
      told.reduce((one, other) => (other.size > one.size ? other : one)),
    ]);
  }

  tell(log: string, told: ToldSize): void {
    const known = this.#byLog.get(log);
    if (known === undefined) {
      this.#byLog.set(log, [told]);
      return;
    }
    const last = known.at(-1)!;
    const isSame = last.size === told.size && last.root.equals(told.root);
    // What a root tells is told in its own name, too: `root_behind` asks for it.
    if (!isSame || last.by === EARLIER_RUN) known.push(told);
  }

  /** Where an earlier run left a log. */
  resume(log: string, kept: KeptLog): void {
    const root = frontierOf(kept).root();
    this.tell(log, { size: kept.size, root, by: EARLIER_RUN, known: true });
  }

  /** @throws Failure `KEPT_NOTE` where it is no checkpoint that a trusted key signed. */
  keep(bytes: Buffer, trusted: readonly Verifier[]): void {
    try {
      const { log, size, root } = openCheckpoint(bytes, trusted);
      this.tell(log, { size, root, by: 'a checkpoint that was kept' });
    } catch (error) {
      if (!(error instanceof NoteError)) throw error;
      throw new Failure(`a checkpoint that was given cannot be used: ${error.message}`, {
        code: 'KEPT_NOTE',
        hint: 'Is it the .note file itself, and is --key the key that signed it?',
      });
    }
  }
}
