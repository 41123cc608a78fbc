import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { splitAddress } from '../../services/ingest/address.ts';

describe('a source address', () => {
  const addresses: [string, string, number | null][] = [
    ['192.0.2.17', '192.0.2.17', null],
    ['0.0.0.0', '0.0.0.0', null],
    ['255.255.255.255', '255.255.255.255', null],
    ['198.51.100.9:0', '198.51.100.9', 0],
    ['198.51.100.9:65535', '198.51.100.9', 65_535],
    ['::1', '::1', null],
    ['::', '::', null],
    ['0:0:0:0:0:0:0:1%0', '0:0:0:0:0:0:0:1', null],
    ['fe80::1%eth0', 'fe80::1', null],
    ['2001:DB8::17', '2001:DB8::17', null],
    ['::ffff:192.0.2.1', '::ffff:192.0.2.1', null],
    ['[2001:db8::17]', '2001:db8::17', null],
    ['[2001:db8::17]:443', '2001:db8::17', 443],
    ['[fe80::1%25]:0', 'fe80::1', 0],
  ];
  for (const [text, ip, port] of addresses) {
    it(`${text} is ${ip}, port ${port}`, () => assert.deepEqual(splitAddress(text), { ip, port }));
  }

  const others = [
    '',
    ' ',
    'gateway.example.com',
    '192.0.2',
    '192.0.2.256',
    '192.0.2.017',
    '192.0.2.1.5',
    '192.0.2.1:',
    '192.0.2.1:65536',
    '192.0.2.1:123456',
    '192.0.2.1:+1',
    '192.0.2.1 ',
    '192.0.2.1, 192.0.2.2',
    '192.0.2.1/24',
    '[192.0.2.1]:80',
    '[::1',
    '[::1]x',
    '[::1]:',
    '[::1]:99999',
    ':::',
    '2001:db8::17::1',
    `::1%${'z'.repeat(200)}`,
  ];
  for (const text of others) {
    it(`${JSON.stringify(text.slice(0, 30))} is none`, () =>
      assert.equal(splitAddress(text), null));
  }

  it('with a port gives both, for every address and port', () => {
    fc.assert(
      fc.property(fc.ipV4(), fc.ipV6(), fc.nat(65_535), (v4, v6, port) => {
        assert.deepEqual(splitAddress(v4), { ip: v4, port: null });
        assert.deepEqual(splitAddress(`${v4}:${port}`), { ip: v4, port });
        assert.deepEqual(splitAddress(v6), { ip: v6, port: null });
        assert.deepEqual(splitAddress(`[${v6}]:${port}`), { ip: v6, port });
      }),
    );
  });
});
