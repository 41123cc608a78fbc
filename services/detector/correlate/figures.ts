/**
 * Numbers and texts out of values, and the statistics over them. All exact in the sense that they
 * are functions of the values in their order, computed anew each time: nothing drifts.
 */
import { createHash } from 'node:crypto';

const DECIMAL = /^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$/;

/** A finite decimal number, or NaN: no hexadecimal, no `Infinity`, no empty text. */
export function decimalOf(text: string | null | undefined): number {
  if (typeof text !== 'string') return Number.NaN;
  const trimmed = text.trim();
  if (!DECIMAL.test(trimmed)) return Number.NaN;
  const value = Number(trimmed);
  return Number.isFinite(value) ? value : Number.NaN;
}

/** Longest tuple that is kept as it is, characters; a hash stands for a longer one. */
const TUPLE_CHARS_MAX = 64;

/** One text for the values at these places, different for different values; null where one is missing. */
export function tupleKey(
  values: readonly (string | null)[] | null,
  at: readonly number[],
): string | null {
  const chosen = tupleOf(values, at);
  if (chosen === null) return null;
  const text = JSON.stringify(chosen);
  if (text.length <= TUPLE_CHARS_MAX) return text;
  return createHash('sha256').update(text).digest('base64url');
}

export function tupleOf(
  values: readonly (string | null)[] | null,
  at: readonly number[],
): string[] | null {
  const chosen: string[] = [];
  for (const place of at) {
    const value = values?.[place];
    if (typeof value !== 'string') return null;
    chosen.push(value);
  }
  return chosen;
}

export function sumOf(figures: readonly number[]): number {
  let sum = 0;
  for (const figure of figures) sum += figure;
  return sum;
}

export function meanOf(figures: readonly number[]): number {
  return sumOf(figures) / figures.length;
}

/** Standard deviation of the population: the figures are all there are, not a sample. */
export function deviationOf(figures: readonly number[]): number {
  const mean = meanOf(figures);
  return Math.sqrt(meanOf(figures.map((figure) => (figure - mean) ** 2)));
}

/**
 * The figure below which `percent` of them lie, between two neighbours by linear interpolation: rank
 * (n − 1) × percent ÷ 100, counted from 0 (what spreadsheets call PERCENTILE.INC).
 */
export function percentileOf(figures: readonly number[], percent: number): number {
  const sorted = Float64Array.from(figures).sort();
  const rank = ((sorted.length - 1) * percent) / 100;
  const below = Math.floor(rank);
  const low = sorted[below]!;
  const high = sorted[Math.min(below + 1, sorted.length - 1)]!;
  return low + (high - low) * (rank - below);
}

/** Mean radius of the earth, km. */
const EARTH_KM = 6_371.0088;

export interface Place {
  latitude: number;
  longitude: number;
}

/** null where the texts are no place on earth. */
export function placeFrom(latitudeText: string | null, longitudeText: string | null): Place | null {
  const latitude = decimalOf(latitudeText);
  const longitude = decimalOf(longitudeText);
  if (!(Math.abs(latitude) <= 90) || !(Math.abs(longitude) <= 180)) return null;
  return { latitude, longitude };
}

/** Great-circle distance on a sphere (haversine), km; within 0.6 % of the ellipsoid. */
export function distanceKm(one: Place, other: Place): number {
  const radians = Math.PI / 180;
  const north = Math.sin(((other.latitude - one.latitude) * radians) / 2) ** 2;
  const east = Math.sin(((other.longitude - one.longitude) * radians) / 2) ** 2;
  const parallels = Math.cos(one.latitude * radians) * Math.cos(other.latitude * radians);
  return 2 * EARTH_KM * Math.asin(Math.sqrt(Math.min(1, north + parallels * east)));
}

/** 53 bits of a text, for telling a few thousand identities apart. */
export function textHash(text: string): number {
  let low = 0x9e3779b9;
  let high = 0x85ebca6b;
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    low = Math.imul(low ^ unit, 0x01000193);
    high = Math.imul((high ^ unit) + at, 0xc2b2ae35);
    high = (high << 13) | (high >>> 19);
  }
  low = Math.imul(low ^ (low >>> 16) ^ high, 0x27d4eb2f);
  high = Math.imul(high ^ (high >>> 15) ^ low, 0x165667b1);
  return ((high ^ (high >>> 14)) >>> 11) * 0x1_0000_0000 + ((low ^ (low >>> 13)) >>> 0);
}
