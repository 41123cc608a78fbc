/** Records of the common databases, each as its maker lays it out, through a real file. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { openDatabase } from '../../../services/detector/enrich/database.ts';
import { NOWHERE, placeOf } from '../../../services/detector/enrich/layout.ts';
import type { Place } from '../../../services/detector/fields/place.ts';
import { type MmdbValue, writeMmdb } from './mmdb-writer.ts';

const OSLO = { country: 'NO', city: 'Oslo', latitude: 59.9139, longitude: 10.7522 };
const EXAMPLE_AS = { asn: 64_500, asOrganisation: 'Example Net' };

const LAYOUTS: Array<[name: string, record: MmdbValue, place: Partial<Place>]> = [
  [
    'GeoLite2 and GeoIP2 City, DB-IP City',
    {
      city: { geoname_id: 3_143_244, names: { de: 'Oslo (de)', en: 'Oslo' } },
      continent: { code: 'EU' },
      country: { geoname_id: 3_144_096, iso_code: 'NO', names: { en: 'Norway' } },
      location: { accuracy_radius: 50, latitude: 59.9139, longitude: 10.7522 },
      registered_country: { iso_code: 'SE' },
      subdivisions: [{ iso_code: '03', names: { en: 'Oslo County' } }],
    },
    OSLO,
  ],
  ['GeoLite2 Country', { country: { iso_code: 'NO' } }, { country: 'NO' }],
  [
    'GeoLite2 ASN, DB-IP ASN, iptoasn',
    { autonomous_system_number: 64_500, autonomous_system_organization: 'Example Net' },
    EXAMPLE_AS,
  ],
  [
    'GeoIP2 Enterprise',
    {
      country: { iso_code: 'NO' },
      traits: {
        autonomous_system_number: 64_500,
        autonomous_system_organization: 'Example Net',
        is_anonymous_proxy: false,
      },
    },
    { country: 'NO', ...EXAMPLE_AS },
  ],
  [
    'ip-location-db, with coordinates as text',
    { city: 'Oslo', country_code: 'NO', latitude: '59.9139', longitude: '10.7522', state1: 'Oslo' },
    OSLO,
  ],
  [
    'IPinfo Lite',
    {
      as_domain: 'example.com',
      as_name: 'Example Net',
      asn: 'AS64500',
      continent: 'Europe',
      country: 'Norway',
      country_code: 'NO',
    },
    { country: 'NO', ...EXAMPLE_AS },
  ],
  [
    'IPinfo country and ASN',
    { as_name: 'Example Net', asn: 'AS64500', country: 'NO', country_name: 'Norway' },
    { country: 'NO', ...EXAMPLE_AS },
  ],
  [
    'IPinfo location, with lat and lng as text',
    { city: 'Oslo', country: 'NO', lat: '59.9139', lng: '10.7522', region: 'Oslo', radius: '20' },
    OSLO,
  ],
  [
    'short names, lower-case code',
    { country_code: 'no', lat: 59.9139, lon: 10.7522, city_name: 'Oslo' },
    OSLO,
  ],
  ['nested ASN', { asn: { number: 64_500, name: 'Example Net' } }, EXAMPLE_AS],
];

describe('records of', () => {
  for (const [name, record, place] of LAYOUTS) {
    test(name, () => {
      const bytes = writeMmdb({ type: 'Test', networks: [['203.0.113.0/24', record]] });
      const opened = openDatabase(bytes);
      assert.ok(opened.ok);
      assert.deepEqual(opened.database.place('203.0.113.9'), { ...NOWHERE, ...place });
    });
  }
});

describe('what a record does not know', () => {
  test('is not guessed', () => {
    for (const record of [
      {},
      { country: 'Norway' },
      { registered_country: { iso_code: 'NO' } },
      { country: { names: { en: 'Norway' } } },
      { country_code: 'NOR' },
      { latitude: 59.9 },
      { latitude: '59,9', longitude: '10,7' },
      { latitude: 95, longitude: 10 },
      { latitude: '', longitude: '' },
      { asn: 'unknown' },
      { asn: 0 },
      { asn: 'AS99999999999' },
      { city: '' },
      null,
      'NO',
      [],
    ]) {
      assert.equal(placeOf(record), null, JSON.stringify(record));
    }
  });

  test('a position that is the middle of a country, or nowhere, is no position', () => {
    const located = (location: MmdbValue): Place | null =>
      placeOf({ country: { iso_code: 'NO' }, location });
    const countryOnly = { ...NOWHERE, country: 'NO' };
    const vague = { accuracy_radius: 1000, latitude: 62, longitude: 10 };
    assert.deepEqual(located(vague), countryOnly);
    assert.deepEqual(located({ latitude: 0, longitude: 0 }), countryOnly);
    assert.deepEqual(located({ latitude: 0, longitude: 10 }), {
      ...countryOnly,
      latitude: 0,
      longitude: 10,
    });
  });
});
