/** Sigma timespans: a whole number and one unit, `15s 10m 1h 7d 2w`. */

const UNIT_MS: Record<string, number> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/** Longest timespan: a year and a month, more than any history that is kept. */
export const TIMESPAN_MS_MAX = 400 * 86_400_000;

export type ParsedDuration =
  | { ok: true; ms: number }
  | { ok: false; message: string; hint: string };

/** Milliseconds of a timespan, from 0 up to `TIMESPAN_MS_MAX`. */
export function parseDuration(text: string): ParsedDuration {
  const match = /^(\d{1,12})([A-Za-z]*)$/.exec(text.trim());
  const units = 's, m, h, d or w';
  const said = JSON.stringify(text);
  if (match === null) {
    return {
      ok: false,
      message: `${said} is not a timespan`,
      hint: `write a whole number and one of ${units}, as 10m`,
    };
  }
  const [, digits, unit] = match;
  const unitMs = Object.hasOwn(UNIT_MS, unit!) ? UNIT_MS[unit!]! : null;
  if (unitMs === null)
    return { ok: false, message: unitMessage(said, unit!), hint: unitHint(unit!) };
  const ms = Number(digits) * unitMs;
  if (ms > TIMESPAN_MS_MAX) {
    return {
      ok: false,
      message: `${said} is longer than ${TIMESPAN_MS_MAX / UNIT_MS.d!} days`,
      hint: 'nothing is kept that long; write less',
    };
  }
  return { ok: true, ms };
}

function unitMessage(said: string, unit: string): string {
  if (unit === '') return `${said} has no unit`;
  return unit === 'M' || unit === 'y'
    ? `${said}: months and years have no fixed length`
    : `${said} has the unit ${JSON.stringify(unit)}, which is none of s, m, h, d, w`;
}

function unitHint(unit: string): string {
  if (unit === 'M') return 'write days, as 30d; minutes are a lower-case m';
  if (unit === 'y') return 'write days, as 365d';
  const lower = unit.toLowerCase().slice(0, 1);
  return Object.hasOwn(UNIT_MS, lower)
    ? `write the one letter ${lower}, as 10${lower}`
    : 'append s, m, h, d or w, as 10m';
}
