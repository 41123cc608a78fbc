/** MMDB databases: every network answers with its own record, and a file that is none says so. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import ipaddr from 'ipaddr.js';
import { type Database, openDatabase } from '../../../services/detector/enrich/database.ts';
import { type MmdbOptions, type MmdbValue, writeMmdb } from './mmdb-writer.ts';

const city = (name: string, iso: string, latitude: number, longitude: number): MmdbValue => ({
  city: { geoname_id: 1, names: { en: name, fr: `${name} (fr)` } },
  country: { iso_code: iso, names: { en: 'a country' } },
  location: { accuracy_radius: 20, latitude, longitude, time_zone: 'UTC' },
});

const NETWORKS: MmdbOptions['networks'] = [
  ['203.0.113.0/24', city('Paris', 'FR', 48.8566, 2.3522)],
  ['203.0.113.64/26', city('Lyon', 'FR', 45.764, 4.8357)],
  ['203.0.113.77/32', city('Nice', 'FR', 43.7102, 7.262)],
  ['198.51.100.128/25', city('Oslo', 'NO', 59.9139, 10.7522)],
  ['2001:db8::/32', city('Tokyo', 'JP', 35.6762, 139.6503)],
  ['2001:db8:5::/48', city('Osaka', 'JP', 34.6937, 135.5023)],
  ['2001:db8:5::9/128', city('Kyoto', 'JP', 35.0116, 135.7681)],
];

function open(options: Partial<MmdbOptions> = {}): Database {
  const opened = openDatabase(writeMmdb({ type: 'Test-City', networks: NETWORKS, ...options }));
  assert.ok(opened.ok, opened.ok ? '' : opened.reason);
  return opened.database;
}

const cityOf = (database: Database, ip: string): string | null => database.place(ip)?.city ?? null;

describe('a database', () => {
  for (const recordBits of [24, 28, 32] as const) {
    test(`of ${recordBits} bits a record: the longest prefix decides, IPv4 and IPv6`, () => {
      const database = open({ recordBits });
      const expected: Array<[string, string | null]> = [
        ['203.0.113.0', 'Paris'],
        ['203.0.113.63', 'Paris'],
        ['203.0.113.64', 'Lyon'],
        ['203.0.113.76', 'Lyon'],
        ['203.0.113.77', 'Nice'],
        ['203.0.113.78', 'Lyon'],
        ['203.0.113.127', 'Lyon'],
        ['203.0.113.128', 'Paris'],
        ['203.0.114.0', null],
        ['198.51.100.127', null],
        ['198.51.100.128', 'Oslo'],
        ['2001:db8::', 'Tokyo'],
        ['2001:db8:4:ffff::1', 'Tokyo'],
        ['2001:db8:5::8', 'Osaka'],
        ['2001:db8:5::9', 'Kyoto'],
        ['2001:db8:ffff:ffff:ffff:ffff:ffff:ffff', 'Tokyo'],
        ['2001:db9::', null],
      ];
      for (const [ip, found] of expected) assert.equal(cityOf(database, ip), found, ip);
    });
  }

  test('gives the whole place', () => {
    assert.deepEqual(open().place('198.51.100.200'), {
      country: 'NO',
      city: 'Oslo',
      latitude: 59.9139,
      longitude: 10.7522,
      asn: null,
      asOrganisation: null,
    });
  });

  test('knows IPv4 addresses in the clothes of IPv6, and addresses with a zone', () => {
    assert.equal(cityOf(open(), '::ffff:203.0.113.77'), 'Nice');
    assert.equal(cityOf(open(), '::ffff:cb00:714d'), 'Nice');
    assert.equal(cityOf(open(), '2001:db8:5::9%0'), 'Kyoto');
  });

  test('does not take the first bits of an IPv6 address for an IPv4 address', () => {
    // cb00:7100 is 203.0.113.0.
    const networks = NETWORKS.filter(([network]) => !network.includes(':'));
    const database = open({ ipVersion: 4, networks });
    assert.equal(cityOf(database, 'cb00:7100::1'), null);
    assert.equal(cityOf(database, '203.0.113.1'), 'Paris');
    assert.equal(database.ipVersion, 4);
  });

  test('has nothing to say of what is no address', () => {
    const database = open();
    for (const text of [
      '',
      'unknown',
      '203.0.113',
      '203.0.113.1:443',
      '1e9',
      '0x7f.1',
      '203.0.113.256',
    ]) {
      assert.equal(database.place(text), null, text);
    }
    assert.equal(database.damaged(), 0);
  });

  test('tells its type and age', () => {
    const { type, builtMs } = open({ type: 'GeoLite2-City', builtAt: 1_700_000_000 });
    assert.deepEqual([type, builtMs], ['GeoLite2-City', 1_700_000_000_000]);
  });
});

test('any networks: each address has the record of the longest prefix that holds it', () => {
  const network = fc
    .tuple(
      fc.constantFrom('203.0.113', '198.51.100'),
      fc.nat(255),
      fc.integer({ min: 20, max: 32 }),
    )
    .map(([start, last, length]) => {
      const cidr = `${start}.${last}/${length}`;
      return `${ipaddr.IPv4.networkAddressFromCIDR(cidr).toString()}/${length}`;
    });
  const property = fc.property(
    fc.uniqueArray(network, { minLength: 1, maxLength: 20 }),
    fc.array(fc.nat(255), { minLength: 10, maxLength: 10 }),
    fc.constantFrom(24 as const, 28 as const, 32 as const),
    (cidrs, lasts, recordBits) => {
      const networks = cidrs.map((cidr) => [cidr, { city: cidr }] as const);
      const database = open({ networks, recordBits });
      for (const last of lasts) {
        const ip = `203.0.113.${last}`;
        const holding = cidrs
          .filter((cidr) => ipaddr.IPv4.parse(ip).match(ipaddr.IPv4.parseCIDR(cidr)))
          .sort((left, right) => Number(right.split('/')[1]) - Number(left.split('/')[1]));
        assert.equal(cityOf(database, ip), holding[0] ?? null);
      }
    },
  );
  fc.assert(property, { numRuns: 200 });
});

describe('a file that is no database, or is damaged', () => {
  const good = writeMmdb({ type: 'Test-City', networks: NETWORKS });
  const reason = (bytes: Buffer): string => {
    const opened = openDatabase(bytes);
    return opened.ok ? 'opened' : opened.reason;
  };

  test('is a reason', () => {
    assert.match(reason(Buffer.alloc(0)), /empty/);
    assert.match(reason(Buffer.from('country,network\nFR,203.0.113.0/24\n')), /no MMDB database/);
    assert.match(reason(Buffer.from('\x1f\x8bgzip', 'latin1')), /no MMDB database/);
    assert.match(reason(Buffer.concat([good, Buffer.alloc(200_000)])), /no MMDB database/);
  });

  test('cut off at any place is a reason', () => {
    for (let length = 0; length < good.length; length += 1) {
      assert.notEqual(reason(good.subarray(0, length)), 'opened', `${length} of ${good.length}`);
    }
  });

  test('with its beginning missing is a reason', () => {
    assert.match(reason(good.subarray(good.length - 250)), /a part is missing/);
  });

  test('of another version is a reason', () => {
    const other = Buffer.from(good);
    const at = other.indexOf('binary_format_major_version') + 'binary_format_major_version'.length;
    assert.equal(other[at], 0xc1);
    other[at + 1] = 3;
    assert.match(reason(other), /MMDB format 3/);
  });

  test('with any bytes at all never throws, on opening or on asking', () => {
    const property = fc.property(
      fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 }),
      (changes) => {
        const bytes = Buffer.from(good);
        for (const [at, byte] of changes) bytes[at] = byte;
        const opened = openDatabase(bytes);
        if (!opened.ok) return;
        for (const ip of ['203.0.113.77', '198.51.100.200', '2001:db8:5::9']) {
          opened.database.place(ip);
        }
      },
    );
    fc.assert(property, { numRuns: 2_000 });
  });
});
