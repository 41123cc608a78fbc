/**
 * Matches that wait for the end of a run, given back in order of event time. A day of audit events
 * makes many, each with some hundred characters of what an alert would show, so they are kept sorted
 * in compressed blocks. Input that comes about in order, as files do, is given back with a block or
 * two open at a time; input in no order at all opens them all.
 */
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import type { Match } from '../correlate/types.ts';

/** Matches of one block. */
const BLOCK_MATCHES = 4_096;
const FASTEST = { level: 1 };

interface Block {
  firstMs: number;
  bytes: Buffer;
}

interface Cursor {
  matches: readonly Match[];
  next: number;
}

export class WaitingMatches {
  #blocks: Block[] = [];
  #open: Match[] = [];

  add(match: Match): void {
    this.#open.push(match);
    if (this.#open.length >= BLOCK_MATCHES) this.#close();
  }

  #close(): void {
    const matches = this.#open.sort(byTime);
    this.#open = [];
    const text = JSON.stringify(matches, (_, value: unknown) =>
      typeof value === 'bigint' ? String(value) : value,
    );
    const bytes = deflateRawSync(text, FASTEST);
    this.#blocks.push({ firstMs: matches[0]!.eventTime, bytes });
  }

  /** All of them, the oldest first; nothing waits any more when it is through. */
  *inOrder(): Generator<Match> {
    const rest = this.#open.sort(byTime);
    this.#open = [];
    const blocks = this.#blocks.sort((a, b) => b.firstMs - a.firstMs);
    this.#blocks = [];
    let cursors: Cursor[] = rest.length === 0 ? [] : [{ matches: rest, next: 0 }];
    for (;;) {
      const first = oldest(cursors);
      const block = blocks.at(-1);
      if (block !== undefined && (first === null || block.firstMs <= timeOf(first))) {
        blocks.pop();
        cursors.push({ matches: opened(block), next: 0 });
        continue;
      }
      if (first === null) return;
      yield first.matches[first.next]!;
      first.next += 1;
      if (first.next >= first.matches.length) cursors = cursors.filter((one) => one !== first);
    }
  }
}

type MatchInJson = Omit<Match, 'offset'> & { offset: string };

function opened({ bytes }: Block): Match[] {
  const read = JSON.parse(inflateRawSync(bytes).toString('utf8')) as MatchInJson[];
  return read.map((match) => ({ ...match, offset: BigInt(match.offset) }));
}

function oldest(cursors: readonly Cursor[]): Cursor | null {
  let found: Cursor | null = null;
  for (const cursor of cursors) {
    if (found === null || timeOf(cursor) < timeOf(found)) found = cursor;
  }
  return found;
}

function timeOf({ matches, next }: Cursor): number {
  return matches[next]!.eventTime;
}

function byTime(a: Match, b: Match): number {
  return a.eventTime - b.eventTime;
}
