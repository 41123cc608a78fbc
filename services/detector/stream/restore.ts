/**
 * State of one partition out of the state topic. The log is read twice: once to learn which entry of
 * each key counts (the one that is folded furthest, wherever it stands), once to take those. So each
 * group is built once, and what is held meanwhile is a key and two numbers for each group, however
 * often the log repeats it.
 */
import type { KafkaRecord } from '../../ingest/record.ts';
import type { LogBounds } from './log-reader.ts';
import { decodeStateEntry } from './state-entries.ts';
import type { WatermarkState } from './watermark.ts';

export interface Checkpoint {
  /** Every group is folded up to this offset of the matches topic, or further. */
  folded: bigint;
  watermark: WatermarkState;
}

export interface Restored {
  /** null where nothing was ever folded. */
  checkpoint: Checkpoint | null;
  /** Groups that are folded further than the checkpoint, and how far. */
  ahead: Map<string, bigint>;
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
  const restored: Restored = { checkpoint: null, ahead: new Map(), orphans: [], entries: 0 };
  await parts.read((records) => {
    for (const record of records) {
      const entry = decodeStateEntry(record);
      if (entry === null) continue;
      restored.entries += 1;
      if (entry.group === null) noteCheckpoint(restored, entry.folded, entry.state);
      else winners.offer(entry.group, Number(record.offset), Number(entry.folded));
    }
  });
  const upTo = restored.checkpoint?.folded ?? 0n;
  await parts.read((records) => {
    for (const record of records) {
      const entry = decodeStateEntry(record);
      if (entry === null || entry.group === null) continue;
      if (!winners.isWinner(entry.group, Number(record.offset))) continue;
      if (entry.folded > upTo) restored.ahead.set(entry.group, entry.folded);
      if (entry.state === null || parts.group(entry.group, entry.state)) continue;
      if (Number(record.timestamp) < parts.orphanBeforeMs) restored.orphans.push(entry.group);
    }
  });
  return restored;
}

function noteCheckpoint(restored: Restored, folded: bigint, state: Buffer | null): void {
  if (state === null) return;
  if (restored.checkpoint !== null && restored.checkpoint.folded > folded) return;
  try {
    const watermark = JSON.parse(state.toString('utf8')) as WatermarkState;
    if (!Array.isArray(watermark.sources) || !Array.isArray(watermark.retired)) return;
    restored.checkpoint = { folded, watermark };
  } catch {
    // Not of this version; an earlier one counts, and everything from there on is judged again.
  }
}

/** What the state topic is asked. */
export interface StateLog {
  bounds(partition: number): Promise<LogBounds>;
  read(partition: number, bounds: LogBounds, take: (records: KafkaRecord[]) => void): Promise<void>;
}
