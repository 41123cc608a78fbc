/**
 * Events of rule tests, made from what a rule file says: bases merged, times moved, repeats told
 * apart. Plain values in, plain values out.
 */
import { eventTimeMs } from '../../ingest/event-time.ts';

export type PlainMap = Record<string, unknown>;

/** Where the shapes of audit events have their time. */
const TIME_KEYS = ['timestamp', 'eventTime', 'event_time', 'time', 'TimeGenerated'];
const REQUEST_ID_KEYS = ['requestId', 'request_id', 'RequestId'];
/** Identities that are not unique any more when an event is written out several times. */
const EVENT_ID_KEYS = ['eventId', 'event_id', 'logId', 'LogId'];

export function isPlainMap(value: unknown): value is PlainMap {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Maps are merged, everything else is replaced, and null removes a key. */
export function mergedEvent(base: PlainMap, over: PlainMap): PlainMap {
  const result = new Map(Object.entries(base));
  for (const [key, value] of Object.entries(over)) {
    const before = result.get(key);
    if (value === null) result.delete(key);
    else if (isPlainMap(value))
      result.set(key, mergedEvent(isPlainMap(before) ? before : {}, value));
    else result.set(key, value);
  }
  return Object.fromEntries(result);
}

/** Epoch ms, or null where the event tells none. */
export function timeOf(event: PlainMap): number | null {
  const key = TIME_KEYS.find((one) => own(event, one) !== undefined);
  return key === undefined ? null : eventTimeMs(own(event, key));
}

/** The event `ms` later; null where it tells no time that could be moved. */
export function moved(event: PlainMap, ms: number): PlainMap | null {
  const time = timeOf(event);
  if (ms === 0) return event;
  if (time === null) return null;
  const key = TIME_KEYS.find((one) => own(event, one) !== undefined)!;
  const isText = typeof own(event, key) === 'string' && !/^\d+$/.test(own(event, key) as string);
  return { ...event, [key]: isText ? new Date(time + ms).toISOString() : time + ms };
}

/** Repeat number `count`, from 1: its identities, and the field that differs, get `-count`. */
export function repeated(event: PlainMap, count: number, each: string | null): PlainMap | null {
  let result = { ...event };
  for (const key of [...REQUEST_ID_KEYS, ...EVENT_ID_KEYS]) {
    const value = own(result, key);
    if (typeof value === 'string' || typeof value === 'number') result[key] = `${value}-${count}`;
  }
  if (each !== null) {
    const changed = appended(result, each.split('.'), `-${count}`);
    if (changed === null) return null;
    result = changed;
  }
  return result;
}

/**
 * Tells apart events of a sequence that inherit one identity from their base, because an identity
 * that comes twice counts once. What an event says of itself is left alone, so that a test can
 * have a duplicate.
 */
export function identified(event: PlainMap, said: PlainMap, count: number): PlainMap {
  const result = { ...event };
  for (const key of EVENT_ID_KEYS) {
    const value = own(result, key);
    if (typeof value === 'string' && own(said, key) === undefined)
      result[key] = `${value}-${count}`;
  }
  return result;
}

function appended(map: PlainMap, path: readonly string[], suffix: string): PlainMap | null {
  const [key, ...rest] = path;
  const whole = path.join('.');
  // A key with dots in it wins over the way through maps, as in rules.
  const at = own(map, whole) === undefined ? key! : whole;
  const value = own(map, at);
  if (at !== whole && rest.length > 0) {
    if (!isPlainMap(value)) return null;
    const inner = appended(value, rest, suffix);
    return inner === null ? null : { ...map, [at]: inner };
  }
  if (typeof value !== 'string' && typeof value !== 'number') return null;
  return { ...map, [at]: `${value}${suffix}` };
}

function own(map: PlainMap, key: string): unknown {
  return Object.hasOwn(map, key) ? map[key] : undefined;
}
