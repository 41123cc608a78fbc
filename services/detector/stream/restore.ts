/**
 * State of one partition out of the state topic. The log is read twice: once to learn which entry of
 * each key counts (the one that is folded furthest, wherever it stands), once to take those. So each
 * group is built once, and what is held meanwhile is a key and two numbers for each group, however
 * often the log repeats it.
 *
 * Compaction keeps the later entry of a key, not the one that is folded further. So where the entry
 * that counts is of a process that did not own the partition when it was written, what the owner wrote
 * may be gone: unless it is folded as far as the checkpoint, the group is behind, and the matches have
 * to be folded in again (`catch-up.ts`).
 */
import type { KafkaRecord } from '../../ingest/record.ts';
import { type Checkpoint, decodeCheckpoint, isForeign } from './checkpoint.ts';
import type { LogBounds } from './log-reader.ts';
import { decodeStateEntry } from './state-entries.ts';

/** A group whose newest state is gone: what is left was written by one who was not the owner. */
export interface Behind {
  group: string;
  /** Every match before this offset is in the state; of those up to the checkpoint some are not. */
  folded: bigint;
  /** null: nothing was left to keep as of then. */
  state: Buffer | null;
}

export interface Restored {
  /** null where nothing was ever folded. */
  checkpoint: Checkpoint | null;
  /** Groups that are folded further than the checkpoint, and how far. */
  ahead: Map<string, bigint>;
  /** Groups that are not taken over: they lack matches. */
  behind: Behind[];
  /** Keys of state that no rule has used for long. */
  orphans: string[];
  /** Entries that were read. */
  entries: number;
}

export interface RestoreParts {
  /** Reads the same records both times. */
  read: (take: (records: KafkaRecord[]) => void) => Promise<void>;
  /** Takes a group's state; false where no rule in force has any use for it. */
  group: (key: string, state: Buffer) => boolean;
  /** Unused state written before this is an orphan. */
  orphanBeforeMs: number;
}

/** Entries of one partition, by key: where the one that counts is, and how far it is folded. */
class Winners {
  readonly #index = new Map<string, number>();
  /** As doubles: exact up to 2^53 records of one partition. */
  readonly #at: number[] = [];
  readonly #folded: number[] = [];

  offer(key: string, at: number, folded: number): void {
    const index = this.#index.get(key);
    if (index === undefined) {
      this.#index.set(key, this.#at.length);
      this.#at.push(at);
      this.#folded.push(folded);
    } else if (folded >= this.#folded[index]!) {
      this.#at[index] = at;
      this.#folded[index] = folded;
    }
  }

  isWinner(key: string, at: number): boolean {
    const index = this.#index.get(key);
    return index !== undefined && this.#at[index] === at;
  }
}

export async function restoreState(parts: RestoreParts): Promise<Restored> {
  const winners = new Winners();
  const restored: Restored = {
    checkpoint: null,
    ahead: new Map(),
    behind: [],
    orphans: [],
    entries: 0,
  };
  await parts.read((records) => {
    for (const record of records) {
      const entry = decodeStateEntry(record);
      if (entry === null) continue;
      restored.entries += 1;
      if (entry.group === null) noteCheckpoint(restored, entry.folded, entry.state);
      else winners.offer(entry.group, Number(record.offset), Number(entry.folded));
    }
  });
  const { folded: upTo, owners } = restored.checkpoint ?? { folded: 0n, owners: [] };
  await parts.read((records) => {
    for (const record of records) {
      const entry = decodeStateEntry(record);
      if (entry === null || entry.group === null) continue;
      if (!winners.isWinner(entry.group, Number(record.offset))) continue;
      const { group, folded, state } = entry;
      if (folded < upTo && isForeign(owners, record.offset, entry.writer)) {
        restored.behind.push({ group, folded, state });
        continue;
      }
      if (folded > upTo) restored.ahead.set(group, folded);
      if (state === null || parts.group(group, state)) continue;
      if (Number(record.timestamp) < parts.orphanBeforeMs) restored.orphans.push(group);
    }
  });
  return restored;
}

function noteCheckpoint(restored: Restored, folded: bigint, state: Buffer | null): void {
  if (state === null) return;
  if (restored.checkpoint !== null && restored.checkpoint.folded > folded) return;
  // Of another version it is none; an earlier one counts, and all from there on is judged again.
  restored.checkpoint = decodeCheckpoint(folded, state) ?? restored.checkpoint;
}

/** What a topic that is read without a group is asked. */
export interface PartitionLog {
  bounds(partition: number): Promise<LogBounds>;
  read(partition: number, bounds: LogBounds, take: (records: KafkaRecord[]) => void): Promise<void>;
}
