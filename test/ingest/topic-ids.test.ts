/** The Metadata request and response of version 12, byte by byte. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeTopicsResponse, encodeTopicsRequest } from '../../services/ingest/topic-ids.ts';

test('request: header tags, topics with a zero id and a name, two flags, tags', () => {
  const zero = '00'.repeat(16);
  assert.equal(encodeTopicsRequest([]).toString('hex'), '0001000000');
  assert.equal(
    encodeTopicsRequest(['ab', 'c']).toString('hex'),
    `0003${zero}03616200${zero}026300000000`,
  );
});

test('request: a name of more than 126 bytes has a length of two bytes', () => {
  const bytes = encodeTopicsRequest(['x'.repeat(249)]);
  assert.equal(bytes.subarray(18, 20).toString('hex'), 'fa01');
  assert.equal(bytes.length, 1 + 1 + 16 + 2 + 249 + 1 + 3);
});

const ID = '00112233445566778899aabbccddeeff';

/** As a broker writes it: one broker with a rack, tagged fields here and there. */
const RESPONSE = Buffer.from(
  [
    '01 00 02 aabb', // response header: one tagged field of two bytes
    '00000005', // throttle
    '02 00000001 0a 3132372e302e302e31 00002384 03 7231 00', // broker 1 127.0.0.1:9092 rack r1
    '06 636c757374', // cluster id "clust"
    '00000001', // controller
    '03', // two topics
    `0000 03 6162 ${ID} 00 02`, // topic ab, one partition
    '0000 00000000 00000001 00000000 02 00000001 02 00000001 01 00',
    '80000000 00',
    `0003 03 6e6f ${'00'.repeat(16)} 00 01 80000000 00`, // topic no: unknown
    '00',
  ]
    .join('')
    .replaceAll(' ', ''),
  'hex',
);

test('response: ids as Kafka prints them, errors as numbers', () => {
  assert.deepEqual(decodeTopicsResponse(RESPONSE), {
    throttleMs: 5,
    clusterId: 'clust',
    topics: [
      { errorCode: 0, name: 'ab', id: 'ABEiM0RVZneImaq7zN3u_w' },
      { errorCode: 3, name: 'no', id: 'AAAAAAAAAAAAAAAAAAAAAA' },
    ],
  });
});

test('response: cut off anywhere before its last topic is a RangeError', () => {
  for (let length = 0; length < RESPONSE.length - 1; length++) {
    assert.throws(
      () => decodeTopicsResponse(RESPONSE.subarray(0, length)),
      RangeError,
      `${length}`,
    );
  }
});
