/**
 * Where the parts of a JSON row are, without parsing it. `scan` says yes only to bytes of which
 * `decodeJson` makes exactly one event and refuses nothing: one object, valid JSON to its last
 * byte, of log delivery or of the system table, with names and a time. Whatever is unusual gets a
 * no: repeated keys, keys with escapes, envelopes, other shapes, deep nesting, long texts, byte
 * order marks. The caller then decodes, and finds out what it is.
 *
 * The walk is WebAssembly (`assembly/row-scan.ts`): it looks at sixteen bytes at a time.
 */
import { isUtf8 } from 'node:buffer';
import { WideBytes } from '../../schemas/byte-words.ts';
import { instantiate, readModule } from '../../schemas/web-assembly.ts';
import { eventTimeMs } from './event-time.ts';
import { writeKeys } from './row-keys.ts';
import * as layout from './row-layout.ts';

export const MINUS = 0x2d;
const ZERO = 0x30;
const NO_BYTES = Buffer.alloc(0);

/** What the module gives: see there. */
interface Walk {
  memory: { buffer: ArrayBuffer };
  slotOf: (name: number, size: number) => number;
  scan: (size: number) => number;
}

const walkModule = readModule(new URL('./row-scan.wasm', import.meta.url));

export class RowScan {
  eventTime = 0;
  bytes: Buffer = NO_BYTES;
  readonly wide = new WideBytes();
  /** Of each field of `row-layout.ts`: what it is, and where. */
  readonly kind: Uint8Array;
  readonly from: Int32Array;
  readonly to: Int32Array;
  readonly paramKind: Uint8Array;
  /** Four places of each: of its key, from and to, and of its value. */
  readonly paramPlaces: Int32Array;
  readonly #head: Int32Array;
  readonly #row: Uint8Array;
  readonly #walk: Walk;

  constructor() {
    this.#walk = instantiate<Walk>(walkModule);
    const { buffer } = this.#walk.memory;
    writeKeys(buffer, this.#walk.slotOf);
    this.#head = new Int32Array(buffer, layout.HEAD, 3);
    this.kind = new Uint8Array(buffer, layout.KINDS, layout.FIELDS);
    this.from = new Int32Array(buffer, layout.FROMS, layout.FIELDS);
    this.to = new Int32Array(buffer, layout.TOS, layout.FIELDS);
    this.paramKind = new Uint8Array(buffer, layout.PARAM_KINDS, layout.PARAMS_MAX);
    this.paramPlaces = new Int32Array(buffer, layout.PARAM_PLACES, layout.PARAMS_MAX * 4);
    this.#row = new Uint8Array(buffer, layout.ROW, layout.ROW_BYTES_MAX);
  }

  get shapes(): number {
    return this.#head[0]!;
  }

  /** Whether there are keys that no shape knows. */
  get hasExtra(): boolean {
    return this.#head[1] !== 0;
  }

  get paramCount(): number {
    return this.#head[2]!;
  }

  /**
   * Starts on a row; false where the bytes have to be decoded to know what they are. The bytes, and
   * the memory they are a part of, are held until the next start.
   */
  scan(bytes: Buffer): boolean {
    const size = bytes.length;
    if (size > layout.ROW_BYTES_MAX) return false;
    this.bytes = bytes;
    this.wide.start(bytes);
    this.#row.set(bytes);
    const answer = this.#walk.scan(size);
    if (answer === layout.NO_ROW || (answer === layout.WIDE_ROW && !isUtf8(bytes))) return false;
    return this.#isEvent();
  }

  /** Whether the row has what an event must have. */
  #isEvent(): boolean {
    const { shapes } = this;
    if (shapes !== layout.DELIVERY && shapes !== layout.SYSTEM_TABLE) return false;
    if (!this.#isName(layout.SERVICE) || !this.#isName(layout.ACTION)) return false;
    const time = this.#time();
    this.eventTime = time ?? 0;
    return time !== null;
  }

  #isName(field: number): boolean {
    return this.kind[field] === layout.TEXT && this.from[field]! < this.to[field]!;
  }

  #time(): number | null {
    const { bytes } = this;
    const from = this.from[layout.TIME]!;
    const to = this.to[layout.TIME]!;
    const kind = this.kind[layout.TIME];
    if (kind === layout.TEXT) return eventTimeMs(bytes.toString('utf8', from, to));
    if (kind !== layout.INTEGER || bytes[from] === MINUS) return null;
    return eventTimeMs(this.digits(from, to));
  }

  digits(from: number, to: number): number {
    const { bytes } = this;
    let value = 0;
    for (let at = from; at < to; at += 1) value = value * 10 + (bytes[at]! - ZERO);
    return value;
  }
}
