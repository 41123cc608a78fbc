/**
 * Cuts a byte stream into lines, in bounded memory whatever the input. Pure.
 *
 * A line ends at LF; one CR before it is not part of it; the last line needs no LF. A UTF-8 byte
 * order mark at the very start is dropped. A line longer than the limit is counted to its end but
 * only its first part is kept.
 */

export interface Line {
  /** Counted from 1 in the decompressed input. */
  number: number;
  /** Without its end. May be a slice of a chunk: copy what is kept. */
  bytes: Buffer;
  /** The line's whole length where it passed the limit and `bytes` is its first part, else null. */
  oversizedBytes: number | null;
}

export interface SplitLimits {
  /** Longest line that is given whole. */
  lineBytesMax: number;
  /** How much of a longer one is kept. At most `lineBytesMax`. */
  firstPartBytes: number;
}

/** 16 MiB: Databricks cuts parameters at 100 KB, so a longer line is damage or an attack. */
export const LINE_BYTES_MAX = 16 * 1024 * 1024;
/** 64 KiB of an oversized line are enough to see what it was. */
export const FIRST_PART_BYTES = 64 * 1024;

const LF = 0x0a;
const CR = 0x0d;
const TAB = 0x09;
const SPACE = 0x20;
const BOM = Buffer.from([0xef, 0xbb, 0xbf]);

export class LineSplitter {
  readonly #limits: SplitLimits;
  /** The last line begun. */
  #number: number;
  /** Parts of the line that has not ended yet. */
  #parts: Buffer[] = [];
  /** Bytes of that line so far, kept or not. */
  #length = 0;
  #kept = 0;

  /** `linesBefore`: lines of the same input that were split elsewhere already. */
  constructor(limits: SplitLimits, linesBefore = 0) {
    this.#limits = {
      lineBytesMax: limits.lineBytesMax,
      firstPartBytes: Math.min(limits.firstPartBytes, limits.lineBytesMax),
    };
    this.#number = linesBefore;
  }

  /** Lines that have ended, those split elsewhere included. */
  get linesEnded(): number {
    return this.#number;
  }

  /** The lines that end in this chunk. */
  *push(chunk: Buffer): Generator<Line> {
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(LF, start);
      if (end < 0) break;
      yield this.#finish(chunk.subarray(start, end));
      start = end + 1;
    }
    if (start < chunk.length) this.#keep(chunk.subarray(start));
  }

  /** The last line, where it had no LF. */
  *end(): Generator<Line> {
    if (this.#length > 0) yield this.#finish(Buffer.alloc(0));
  }

  #finish(rest: Buffer): Line {
    this.#number += 1;
    let bytes = rest;
    let length = rest.length;
    if (this.#length > 0) {
      this.#keep(rest);
      length = this.#length;
      bytes = this.#parts.length === 1 ? this.#parts[0]! : Buffer.concat(this.#parts);
      this.#parts = [];
      this.#length = 0;
      this.#kept = 0;
    }
    if (length > this.#limits.lineBytesMax) {
      const part = bytes.subarray(0, this.#limits.firstPartBytes);
      return {
        number: this.#number,
        bytes: withoutBom(part, this.#number),
        oversizedBytes: length,
      };
    }
    const end = bytes.at(-1) === CR ? bytes.length - 1 : bytes.length;
    const line = withoutBom(bytes.subarray(0, end), this.#number);
    return { number: this.#number, bytes: line, oversizedBytes: null };
  }

  /** Copies, so that a short tail does not pin its whole chunk. */
  #keep(part: Buffer): void {
    this.#length += part.length;
    if (this.#length > this.#limits.lineBytesMax) {
      const room = this.#limits.firstPartBytes - this.#kept;
      if (room > 0) this.#append(part.subarray(0, room));
      this.#shrink();
    } else {
      this.#append(part);
    }
  }

  #append(part: Buffer): void {
    this.#parts.push(Buffer.from(part));
    this.#kept += part.length;
  }

  /** The line has turned out oversized: what is beyond its first part is let go. */
  #shrink(): void {
    if (this.#kept <= this.#limits.firstPartBytes) return;
    const first = Buffer.concat(this.#parts).subarray(0, this.#limits.firstPartBytes);
    this.#parts = [Buffer.from(first)];
    this.#kept = first.length;
  }
}

/** Nothing but white space: no event, and no error either. */
export function isBlank(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === SPACE || byte === TAB || byte === CR);
}

function withoutBom(bytes: Buffer, lineNumber: number): Buffer {
  return lineNumber === 1 && bytes.subarray(0, 3).equals(BOM) ? bytes.subarray(3) : bytes;
}
