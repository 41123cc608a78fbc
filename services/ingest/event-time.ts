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
  if (/^\d+(?:\.\d+)?$/.test(text)) return fromEpoch(Number(text));
  return fromIso(text);
}

function fromEpoch(value: number): number | null {
  return within(Math.floor(value < SECONDS_BELOW ? Math.round(value * 1e6) / 1e3 : value));
}

function within(ms: number): number | null {
  return ms > 0 && ms <= EVENT_TIME_MS_MAX ? ms : null;
}

const ISO =
  /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,18}))?\s*(?:([Zz]|UTC)|([+-])(\d\d):?(\d\d)?)?$/;

function fromIso(text: string): number | null {
  const part = ISO.exec(text);
  if (part === null) return null;
  const [, year, month, day, hour, minute, second] = part.map(Number);
  const days = Date.UTC(year!, month! - 1, day!);
  // A day that the month does not have rolls over.
  if (month! < 1 || new Date(days).getUTCMonth() !== month! - 1) return null;
  if (day! < 1 || hour! > 23 || minute! > 59 || second! > 60) return null;
  const ms = Number((part[7] ?? '').slice(0, 3).padEnd(3, '0'));
  const offsetHours = Number(part[10] ?? 0);
  const offsetMinutes = Number(part[11] ?? 0);
  if (offsetHours > 23 || offsetMinutes > 59) return null;
  const offset = (offsetHours * 60 + offsetMinutes) * (part[9] === '-' ? -1 : 1);
  return within(days + ((hour! * 60 + minute! - offset) * 60 + second!) * 1000 + ms);
}
