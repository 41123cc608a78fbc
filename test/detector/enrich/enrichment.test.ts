/** The operator's files: what they answer together, what is stated of bad ones, and changes. */
import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Answers } from '../../../services/detector/enrich/answers.ts';
import { openEnrichment } from '../../../services/detector/enrich/enrichment.ts';
import { NOWHERE } from '../../../services/detector/enrich/layout.ts';
import { type MmdbValue, writeMmdb } from './mmdb-writer.ts';

let folder: string;
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'lakeseal-enrich-'));
});
after(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
function fileOf(record: MmdbValue, network = '203.0.113.0/24', type = 'Test'): string {
  files += 1;
  const path = join(folder, `${files}.mmdb`);
  writeFileSync(path, writeMmdb({ type, networks: [[network, record]] }));
  return path;
}

/** As download tools do: the new file is there whole or not at all. */
function replace(path: string, bytes: Buffer | string): void {
  writeFileSync(`${path}.new`, bytes);
  renameSync(`${path}.new`, path);
}

const IP = '203.0.113.9';
const OSLO = { country: 'NO', city: 'Oslo', latitude: 59.9, longitude: 10.7 };
const AS = { autonomous_system_number: 64_500, autonomous_system_organization: 'Example Net' };

describe('the files together', () => {
  test('answer each field from the first that has it', () => {
    const enrichment = openEnrichment({
      city: fileOf({ city: 'Oslo', lat: 59.9, lng: 10.7 }),
      country: fileOf({ country_code: 'NO', city: 'Bergen', lat: 60.4, lng: 5.3 }),
      asn: fileOf(AS),
    });
    const expected = { ...NOWHERE, ...OSLO, asn: 64_500, asOrganisation: 'Example Net' };
    assert.deepEqual(enrichment.place(IP), expected);
    assert.equal(enrichment.place('198.51.100.1'), null);
    assert.deepEqual(
      enrichment.enrichmentStatus().map(({ what, ok }) => [what, ok]),
      [
        ['city', true],
        ['country', true],
        ['asn', true],
      ],
    );
  });

  test('never mix the latitude of one with the longitude of another', () => {
    const enrichment = openEnrichment({
      city: fileOf({ country_code: 'NO', lat: 59.9 }),
      country: fileOf({ lat: 60.4, lng: 5.3 }),
    });
    const place = enrichment.place(IP);
    assert.deepEqual([place?.latitude, place?.longitude], [60.4, 5.3]);
  });

  test('none at all: nothing is known, nothing is wrong', () => {
    const enrichment = openEnrichment({});
    assert.equal(enrichment.place(IP), null);
    assert.deepEqual(enrichment.enrichmentStatus(), []);
    assert.equal(enrichment.refresh(), false);
  });
});

describe('a bad file', () => {
  test('is stated, and the others answer', () => {
    const missing = join(folder, 'missing.mmdb');
    const broken = join(folder, 'broken.mmdb');
    writeFileSync(broken, '<html>sign in</html>');
    const enrichment = openEnrichment({ city: missing, country: broken, asn: fileOf(AS) });
    assert.equal(enrichment.place(IP)?.asn, 64_500);
    assert.equal(enrichment.place(IP)?.country, null);
    const [city, country, asn] = enrichment.enrichmentStatus();
    assert.deepEqual(city, {
      what: 'city',
      file: missing,
      ok: false,
      answers: false,
      detail: 'there is no such file',
    });
    assert.deepEqual([country?.ok, country?.answers], [false, false]);
    assert.match(country!.detail, /no MMDB database/);
    assert.equal(asn?.ok, true);
    assert.match(asn!.detail, /^Test of 2026-11-01, [\d,]+ bytes, IPv6$/);
  });

  test('that is a folder is stated', () => {
    const [state] = openEnrichment({ city: folder }).enrichmentStatus();
    assert.equal(state?.ok, false);
    assert.match(state!.detail, /cannot be read/);
  });
});

describe('a file that changes', () => {
  test('is read again, and answers given before are forgotten', () => {
    const city = fileOf({ city: 'Oslo' });
    const enrichment = openEnrichment({ city });
    assert.equal(enrichment.place(IP)?.city, 'Oslo');
    assert.equal(enrichment.refresh(), false);
    replace(city, writeMmdb({ type: 'Test', networks: [[`${IP}/32`, { city: 'Bergen' }]] }));
    assert.equal(enrichment.place(IP)?.city, 'Oslo', 'only refresh reads');
    assert.equal(enrichment.refresh(), true);
    assert.equal(enrichment.place(IP)?.city, 'Bergen');
  });

  test('into a broken one leaves the answers of before, and says so', () => {
    const city = fileOf({ city: 'Oslo' });
    const enrichment = openEnrichment({ city });
    for (const [bytes, said] of [
      ['no database', /no MMDB database.*; still answering: Test of/],
      ['', /empty; still answering/],
    ] as const) {
      replace(city, bytes);
      assert.equal(enrichment.refresh(), false);
      assert.equal(enrichment.place(IP)?.city, 'Oslo');
      const [state] = enrichment.enrichmentStatus();
      assert.deepEqual([state?.ok, state?.answers], [false, true]);
      assert.match(state!.detail, said);
    }
    rmSync(city);
    enrichment.refresh();
    assert.match(enrichment.enrichmentStatus()[0]!.detail, /no such file; still answering/);
    replace(city, writeMmdb({ type: 'Test', networks: [[`${IP}/32`, { city: 'Bergen' }]] }));
    assert.equal(enrichment.refresh(), true);
    assert.equal(enrichment.place(IP)?.city, 'Bergen');
    assert.equal(enrichment.enrichmentStatus()[0]?.ok, true);
  });

  test('that comes later is taken up', () => {
    const asn = join(folder, 'later.mmdb');
    const enrichment = openEnrichment({ asn });
    assert.equal(enrichment.place(IP), null);
    replace(asn, writeMmdb({ type: 'Test', networks: [['203.0.113.0/24', AS]] }));
    assert.equal(enrichment.refresh(), true);
    assert.equal(enrichment.place(IP)?.asn, 64_500);
  });
});

test('answers: at most so many are kept, the ones asked for lately among them', () => {
  const answers = new Answers(100);
  let asked = 0;
  const find = (ip: string) => {
    asked += 1;
    return ip === 'none' ? null : { ...NOWHERE, city: ip };
  };
  for (let at = 0; at < 1_000; at += 1) {
    assert.equal(answers.get(`ip-${at}`, find)?.city, `ip-${at}`);
    assert.equal(answers.get('often', find)?.city, 'often');
    assert.equal(answers.get('none', find), null);
    assert.ok(answers.size <= 100, String(answers.size));
  }
  assert.equal(asked, 1_002, 'what is asked for often, and what is unknown, is looked up once');
});
