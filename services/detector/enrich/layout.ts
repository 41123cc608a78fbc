/**
 * A record of an MMDB database as what is known of an address. MaxMind, DB-IP, IPinfo and the
 * ip-location-db files name the same things differently, and some write numbers as text; the common
 * spellings are all read here. What a record does not say, or says badly, is null: never guessed.
 * Pure.
 */
import type { Place } from '../fields/place.ts';

export const NOWHERE: Place = {
  country: null,
  city: null,
  latitude: null,
  longitude: null,
  asn: null,
  asOrganisation: null,
};

/**
 * Databases that know only the country give its middle, with a radius of this or more. A place so
 * vague must not be measured against another: somebody at home would seem to have crossed the land.
 */
const ACCURACY_KM_MAX = 500;
/** Names are shown on alerts; no city and no organisation needs more characters. */
const NAME_CHARACTERS_MAX = 200;
/** Autonomous system numbers have 32 bits (RFC 6793). */
const ASN_MAX = 0xffff_ffff;

type Fields = Readonly<Record<string, unknown>>;

/** What a record says of its addresses; null where that is nothing. */
export function placeOf(record: unknown): Place | null {
  if (!isFields(record)) return null;
  const place: Place = {
    country: countryOf(record),
    city: cityOf(record),
    ...positionOf(record),
    asn: asnOf(record),
    asOrganisation: organisationOf(record),
  };
  return Object.values(place).every((value) => value === null) ? null : place;
}

function countryOf(record: Fields): string | null {
  const { country } = record;
  // `country` is a map (MaxMind, DB-IP), a code (IPinfo) or a name beside `country_code`.
  const spellings = isFields(country)
    ? [country.iso_code, country.iso, country.code]
    : [record.country_code, record.countryCode, record.country_iso_code, record.iso_code, country];
  for (const value of spellings) {
    if (typeof value === 'string' && /^[A-Za-z]{2}$/.test(value)) return value.toUpperCase();
  }
  return null;
}

function cityOf({ city, city_name: cityName }: Fields): string | null {
  if (!isFields(city)) return name(city) ?? name(cityName);
  const names = isFields(city.names) ? city.names : {};
  // One language for all addresses: a rule compares names.
  return name(names.en) ?? name(city.name);
}

function positionOf(record: Fields): Pick<Place, 'latitude' | 'longitude'> {
  const where = isFields(record.location) ? record.location : record;
  const latitude = number(where.latitude ?? where.lat, 90);
  const longitude = number(where.longitude ?? where.lon ?? where.lng, 180);
  const radiusKm = number(where.accuracy_radius ?? where.radius, Number.MAX_VALUE) ?? 0;
  const known = latitude !== null && longitude !== null && radiusKm < ACCURACY_KM_MAX;
  // Nobody is at 0° 0′: it is how some databases write that they do not know.
  if (!known || (latitude === 0 && longitude === 0)) return { latitude: null, longitude: null };
  return { latitude, longitude };
}

function asnOf(record: Fields): number | null {
  const nested = [record.traits, record.as, record.asn].filter(isFields);
  for (const fields of [record, ...nested]) {
    const { autonomous_system_number: long, as_number: short, asn, number: bare } = fields;
    for (const value of fields === record ? [long, short, asn] : [long, short, asn, bare]) {
      const text = typeof value === 'string' ? value.replace(/^AS/i, '') : value;
      const found = number(text, ASN_MAX);
      if (found !== null && found > 0 && Number.isInteger(found)) return found;
    }
  }
  return null;
}

function organisationOf(record: Fields): string | null {
  const nested = [record.traits, record.as, record.asn].filter(isFields);
  for (const fields of [record, ...nested]) {
    const found =
      name(fields.autonomous_system_organization) ??
      name(fields.as_organization) ??
      name(fields.as_name) ??
      (fields === record ? null : name(fields.name));
    if (found !== null) return found;
  }
  return null;
}

function name(value: unknown): string | null {
  if (typeof value !== 'string') return null;
  return value.trim().slice(0, NAME_CHARACTERS_MAX) || null;
}

/** A number, or a text that is one and no more, of at most this size either way. */
function number(value: unknown, sizeMax: number): number | null {
  const wellWritten =
    typeof value === 'number' ||
    (typeof value === 'string' && /^-?\d{1,15}(?:\.\d{1,20})?$/.test(value));
  if (!wellWritten) return null;
  const found = Number(value);
  return Number.isFinite(found) && Math.abs(found) <= sizeMax ? found : null;
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
