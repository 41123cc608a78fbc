/**
 * State of one partition out of the state topic. The log is read twice: once to learn which entry of
 * each key counts (the one that is folded furthest, wherever it stands), once to take those; before
 * that a look at its end, for the owners that the checkpoint names. So each
 * group is built once, and what is held meanwhile is a key and two numbers for each group, however
 * often the log repeats it.
 *
 * Of a group's entries that of an owner counts before that of a process that did not own the partition
 * when it wrote. Compaction removes nothing behind an entry that it leaves, so one of an owner that is
 * there is the last of them; but a later one of a stranger may be all that is left. Then, unless it is
 * folded as far as the checkpoint, the group is behind, and the matches have to be folded in again
 * (`catch-up.ts`).
 */
import type { KafkaRecord } from '../../ingest/record.ts';
import {
  type Checkpoint,
  decodeCheckpoint,
  isForeign,
  type Owner,
  sameOwners,
} from './checkpoint.ts';
import type { LogBounds } from './log-reader.ts';
import { decodeHistory, type RuleHistory } from './rule-history.ts';
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
  /** The sets that have judged the partition, as far as that is known. */
  history: RuleHistory;
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
  /** Reads the same records every time. */
  read: (take: (records: KafkaRecord[]) => void) => Promise<void>;
  /** Reads the last of them only, where a checkpoint mostly is. */
  readNewest: (take: (records: KafkaRecord[]) => void) => Promise<void>;
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
  readonly #isForeign: boolean[] = [];

  offer(key: string, at: number, folded: number, foreign: boolean): void {
    const index = this.#index.get(key) ?? this.#at.length;
    if (index === this.#at.length) this.#index.set(key, index);
    else if (foreign && !this.#isForeign[index]) return;
    else if (foreign === this.#isForeign[index] && folded < this.#folded[index]!) return;
    this.#at[index] = at;
    this.#folded[index] = folded;
    this.#isForeign[index] = foreign;
  }

  isWinner(key: string, at: number): boolean {
    const index = this.#index.get(key);
    return index !== undefined && this.#at[index] === at;
  }
}

export async function restoreState(parts: RestoreParts): Promise<Restored> {
  let checkpoint = (await survey(parts.readNewest, [])).checkpoint;
  for (;;) {
    const owners = checkpoint?.owners ?? [];
    const found = await survey(parts.read, owners);
    checkpoint = found.checkpoint;
    // Another one further back is folded further: of an owner whom the last writer did not know.
    if (sameOwners(checkpoint?.owners ?? [], owners)) return takeOver(parts, found, owners);
  }
}

interface Survey {
  winners: Winners;
  /** The furthest. */
  checkpoint: Checkpoint | null;
  history: RuleHistory;
  entries: number;
}

async function survey(read: RestoreParts['read'], owners: readonly Owner[]): Promise<Survey> {
  const found: Survey = { winners: new Winners(), checkpoint: null, history: [], entries: 0 };
  await read((records) => {
    for (const record of records) {
      const entry = decodeStateEntry(record);
      if (entry === null) continue;
      found.entries += 1;
      const { what, group, folded, state, writer } = entry;
      if (what === 'rules') {
        found.history = decodeHistory(state);
      } else if (what === 'group') {
        const foreign = isForeign(owners, record.offset, writer);
        found.winners.offer(group, Number(record.offset), Number(folded), foreign);
      } else if (state !== null && folded >= (found.checkpoint?.folded ?? 0n)) {
        // Of another version it is none; an earlier one counts, and all from there on is judged again.
        found.checkpoint = decodeCheckpoint(folded, state) ?? found.checkpoint;
      }
    }
  });
  return found;
}

async function takeOver(
  parts: RestoreParts,
  { winners, checkpoint, history, entries }: Survey,
  owners: readonly Owner[],
): Promise<Restored> {
  const restored: Restored = {
    ...{ checkpoint, history, entries },
    ...{ ahead: new Map(), behind: [], orphans: [] },
  };
  const upTo = checkpoint?.folded ?? 0n;
  await parts.read((records) => {
    for (const record of records) {
      const entry = decodeStateEntry(record);
      if (entry?.what !== 'group') continue;
      const { group, folded, state, writer } = entry;
      if (!winners.isWinner(group, Number(record.offset))) continue;
      if (folded < upTo && isForeign(owners, record.offset, writer)) {
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

/** What a topic that is read without a group is asked. */
export interface PartitionLog {
  bounds(partition: number): Promise<LogBounds>;
  read(partition: number, bounds: LogBounds, take: (records: KafkaRecord[]) => void): Promise<void>;
}
