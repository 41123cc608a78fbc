/**
 * An audit event read where it lies: its fields are found in the bytes and made into values only
 * when they are asked for. What a view gives is what decoding the same bytes gives.
 *
 * A view is valid until the next one is read into it. Where a field cannot be told without
 * decoding, the view says so: what was read since is to be thrown away and the bytes decoded.
 */
import { type WideWord, WORD_UNITS_MIN, wideWord } from '../../schemas/byte-words.ts';
import type { AuditEvent } from './event.ts';

export interface EventView extends AuditEvent {
  /** True once something was asked that only decoding can tell. */
  readonly isDoubtful: boolean;
  /**
   * A number that two views have in common only where service, action, user agent, source address,
   * e-mail, status code and outcome are the same and without doubt; -1 where there is none.
   */
  readonly recurringId: number;
  /** The value of a request parameter, without looking at the others. */
  param(key: ParamKey): string | undefined;
  /**
   * False only where the parameter is absent, or its text, lower-cased, has none of the runs of
   * three characters that the filter is of: letters, digits and what JSON writes as it is.
   */
  paramMayHave(key: ParamKey, filter: Uint8Array): boolean;
  /**
   * False only where the parameter is absent, or its text, lower-cased, is none of those that have
   * such a length and such a first character.
   */
  paramMayEqual(key: ParamKey, shapes: TextShapes): boolean;
}

/** Of some texts, each a set of bits modulo 32: a bit for each length and each first character. */
export interface TextShapes {
  lengths: number;
  firsts: number;
}

/** The name of a request parameter, made ready to be found in bytes. */
export interface ParamKey {
  readonly name: string;
  /** Null where it is not ASCII, or too short: then it is looked for among all parameters. */
  readonly word: WideWord | null;
  /** Where a view found it last: the same events have it at the same place. */
  place: number;
}

export function paramKey(name: string): ParamKey {
  const isPlain = name.length >= WORD_UNITS_MIN && /^[\x20-\x7e]*$/.test(name);
  return { name, word: isPlain ? wideWord(name) : null, place: 0 };
}

/** A request parameter of an event or a view of one. */
export function paramOf(event: AuditEvent | EventView, key: ParamKey): string | undefined {
  if ('param' in event) return event.param(key);
  const value: unknown = event.requestParams[key.name];
  return typeof value === 'string' ? value : undefined;
}
