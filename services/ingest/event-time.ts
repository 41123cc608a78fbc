/**
 * Event times: epoch milliseconds, epoch seconds, or ISO 8601 text with any fraction and offset.
 * Text without an offset is UTC, as in the system table. Pure.
 */
import { spelling } from './json.ts';

/** Epoch numbers below are seconds: as milliseconds they would be before March 1973. */
const SECONDS_BELOW = 1e11;
/** The last millisecond of the year 9999: what a four-digit year can say. */
export const EVENT_TIME_MS_MAX = 253_402_300_799_999;

/** No time is written longer. */
const TIME_UNITS_MAX = 64;

/** Milliseconds since the epoch, or null where the value is no time after the epoch. */
export function eventTimeMs(value: unknown): number | null {
  if (typeof value === 'number') return fromEpoch(value);
  if (typeof value !== 'string') return fromEpoch(Number(spelling(value) ?? Number.NaN));
  if (value.length > TIME_UNITS_MAX) return null;
  const text = value.trim();
  if (text.charCodeAt(4) === HYPHEN) return fromIso(text);
  return /^\d+(?:\.\d+)?$/.test(text) ? fromEpoch(Number(text)) : null;
}

function fromEpoch(value: number): number | null {
  return within(Math.floor(value < SECONDS_BELOW ? Math.round(value * 1e6) / 1e3 : value));
}

function within(ms: number): number | null {
  return ms > 0 && ms <= EVENT_TIME_MS_MAX ? ms : null;
}

const EPOCH_YEAR = 1970;
const HYPHEN = 0x2d;
const COLON = 0x3a;
const ZERO = 0x30;

/** The two digits at a place, or NaN. */
function two(text: string, at: number): number {
  const tens = text.charCodeAt(at) - ZERO;
  const ones = text.charCodeAt(at + 1) - ZERO;
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : Number.NaN;
}

/** What may follow the seconds: a fraction, then Z, UTC, an offset or nothing. */
const ZONE = /^(?:[.,](\d{1,18}))?\s*(?:([Zz]|UTC)|([+-])(\d\d):?(\d\d)?)?$/;

/** `YYYY-MM-DD`, T or a blank, `HH:MM:SS`, and what may follow. Read by place: it is hot. */
function fromIso(text: string): number | null {
  const year = two(text, 0) * 100 + two(text, 2);
  const month = two(text, 5);
  const day = two(text, 8);
  const seconds = (two(text, 11) * 60 + two(text, 14)) * 60 + two(text, 17);
  if (!(two(text, 11) <= 23 && two(text, 14) <= 59 && two(text, 17) <= 60)) return null;
  if (text.charCodeAt(4) !== HYPHEN || text.charCodeAt(7) !== HYPHEN) return null;
  if (text.charCodeAt(13) !== COLON || text.charCodeAt(16) !== COLON) return null;
  if (!'Tt '.includes(text.charAt(10))) return null;
  if (!(month >= 1 && month <= 12 && day >= 1 && day <= daysOf(year, month))) return null;
  // Date takes years below 100 for those of its own century.
  if (year < EPOCH_YEAR) return null;
  const rest = restMs(text.slice(19));
  return rest === null ? null : within(Date.UTC(year, month - 1, day) + seconds * 1000 + rest);
}

function daysOf(year: number, month: number): number {
  if (month === 2) return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}

/** Milliseconds to add for the fraction and the offset, or null where the text is neither. */
function restMs(text: string): number | null {
  if (text === 'Z' || text === '') return 0;
  const part = ZONE.exec(text);
  if (part === null) return null;
  const ms = part[1] === undefined ? 0 : Number(part[1].slice(0, 3).padEnd(3, '0'));
  if (part[3] === undefined) return ms;
  const hours = Number(part[4]);
  const minutes = Number(part[5] ?? 0);
  if (hours > 23 || minutes > 59) return null;
  return ms - (part[3] === '-' ? -1 : 1) * (hours * 60 + minutes) * 60_000;
}
