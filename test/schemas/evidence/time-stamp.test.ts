/**
 * Judging time stamps: those of `openssl ts`, which accepts them too, and every way in which one can
 * be wrong, each refused for its own reason and (where openssl looks at it) by openssl as well.
 */
import assert from 'node:assert/strict';
import { randomBytes, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, describe, mock, test } from 'node:test';
import fc from 'fast-check';
import { parsePemCertificates } from '../../../schemas/evidence/certificate.ts';
import { der, readDer, TAG } from '../../../schemas/evidence/der.ts';
import { judgeStamp, stampRequest } from '../../../schemas/evidence/time-stamp.ts';
import { type Forgery, hasOpenssl, type Made, RSA, type SHAPES, TestTsa } from '../../tsa/tsa.ts';

const skip = hasOpenssl ? false : 'openssl is not here: time stamps were NOT tested';
if (!hasOpenssl) console.error(`\n*** ${skip} ***\n`);

const NOTE = Buffer.from('audit.example.com/root\n7\nroot\n\n— audit.example.com signature\n');
const OTHER = Buffer.from('audit.example.com/root\n8\nroot\n\n— audit.example.com signature\n');
const NONCE = Buffer.from('8123456789abcdef0123456789abcdef', 'hex');
/** More than a bounded search for one chain looks at; an endless one passes it at once. */
const ISSUERS_MAX = 5_000;
const NOON = Date.UTC(2026, 10, 24, 12) / 1000;

describe('a time stamp', { skip }, () => {
  const tsa = new TestTsa();
  after(() => tsa.close());
  const { root, signer } = tsa.usual();
  const trusted = certificates(root);
  const detail = (answer: Buffer, rules = {}): string => {
    const verdict = judgeStamp(NOTE, answer, { trusted, ...rules });
    return verdict.ok ? 'ok' : verdict.detail;
  };

  test('of openssl is one, with RSA and ECDSA, old binding and new, and a chain', () => {
    const rsa = tsa.usual(RSA);
    const middle = tsa.make('middle', { shape: 'middle', by: root });
    const below = tsa.make('below', { shape: 'stamps', by: middle });
    for (const [by, top, chain, digest] of [
      [signer, root, [], 'sha256'],
      [signer, root, [], 'sha1'],
      [signer, root, [], 'sha384'],
      [rsa.signer, rsa.root, [], 'sha256'],
      [below, root, [middle], 'sha256'],
    ] as const) {
      const nonce = randomBytes(16);
      const answer = tsa.reply(stampRequest(NOTE, nonce), by, chain, digest);
      const verdict = judgeStamp(NOTE, answer, { trusted: certificates(top), nonce });
      assert.ok(verdict.ok, JSON.stringify(verdict));
      assert.ok(Math.abs(verdict.time - Date.now() / 1000) < 60);
      assert.ok(tsa.accepts(NOTE, answer, top));
      assert.ok(judgeStamp(NOTE, answer, { trusted: null }).ok);
    }
  });

  test('made by hand is one too, so that what follows differs in one thing only', () => {
    const answer = tsa.forge(NOTE, signer, { time: NOON, nonce: NONCE });
    const verdict = judgeStamp(NOTE, answer, { trusted, nonce: NONCE });
    assert.deepEqual(verdict, { ok: true, time: NOON });
    assert.ok(tsa.accepts(NOTE, answer, root, NOON));
  });

  test('is none over another note, nor with another nonce', () => {
    const answer = tsa.forge(NOTE, signer, { nonce: NONCE });
    assert.deepEqual(judgeStamp(OTHER, answer, { trusted }), {
      ok: false,
      detail: 'it is not over this checkpoint',
    });
    assert.equal(tsa.accepts(OTHER, answer, root), false);
    const other = Buffer.from(NONCE);
    other[15]! ^= 1;
    for (const nonce of [other, NONCE.subarray(1)]) {
      assert.match(detail(answer, { nonce }), /nonce/);
    }
    assert.match(detail(tsa.forge(NOTE, signer), { nonce: NONCE }), /nonce/);
  });

  const wrong: Array<[what: string, shape: keyof typeof SHAPES, reason: RegExp, lenient?: true]> = [
    ['whose certificate has no purpose', 'noPurpose', /not one for time stamps/],
    ['whose purpose is not critical', 'notCritical', /critically/],
    ['whose purpose is another', 'otherPurpose', /alone/],
    ['whose purpose is not the only one', 'twoPurposes', /alone/],
    ['whose purpose has an unknown one beside it', 'unknownPurpose', /alone/, true],
    ['whose key may encipher', 'encipherment', /signatures alone/],
    ['with a critical extension that nobody knows', 'criticalStranger', /critical extension/],
  ];
  for (const [what, shape, reason, lenient] of wrong) {
    test(`${what} is none`, () => {
      const answer = tsa.forge(NOTE, tsa.make('authority', { shape, by: root }));
      assert.match(detail(answer), reason);
      assert.equal(tsa.accepts(NOTE, answer, root), lenient === true);
    });
  }

  test('outside the validity of a certificate is none, whatever the time is now', () => {
    const short = tsa.make('short', {
      shape: 'stamps',
      by: root,
      from: '20260101000000Z',
      to: '20260201000000Z',
    });
    const at = (time: number) => ({ time, answer: tsa.forge(NOTE, short, { time }) });
    const [from, to] = [Date.UTC(2026, 0, 1) / 1000, Date.UTC(2026, 1, 1) / 1000];
    for (const [when, reason] of [
      [from - 1, /not valid yet/],
      [from, /^ok$/],
      [to, /^ok$/],
      [to + 1, /expired/],
    ] as const) {
      const { time, answer } = at(when);
      assert.match(detail(answer), reason);
      if (when !== to)
        assert.equal(tsa.accepts(NOTE, answer, root, time), reason.source === '^ok$');
    }
    const oldRoot = tsa.make('old', { shape: 'root', to: '20260101000000Z' });
    const young = tsa.make('young', { shape: 'stamps', by: oldRoot });
    const late = tsa.forge(NOTE, young, { time: NOON });
    assert.match(detail(late, { trusted: certificates(oldRoot) }), /old: .*expired/);
  });

  test('of a chain that does not hold is none', () => {
    const stranger = tsa.usual();
    const self = tsa.make('root', { shape: 'stamps' });
    const cannotSign = tsa.make('mute', { shape: 'cannotSign', by: root });
    const noAuthority = tsa.make('none', { shape: 'noAuthority', by: root });
    const narrow = tsa.make('narrow', { shape: 'narrow', by: root });
    const middle = tsa.make('middle', { shape: 'middle', by: narrow });
    const namesake = tsa.make('authority', { shape: 'stamps', by: stranger.root });
    const weak = tsa.make('weak', { shape: 'stamps', by: root, key: ['rsa:1024'] });
    for (const [by, chain] of [
      [stranger.signer, [stranger.root]],
      [self, []],
      [namesake, [root]],
      [tsa.make('below', { shape: 'stamps', by: noAuthority }), [noAuthority]],
      [tsa.make('below', { shape: 'stamps', by: cannotSign }), [cannotSign]],
      [tsa.make('below', { shape: 'stamps', by: middle }), [middle, narrow]],
    ] as const) {
      const answer = tsa.forge(NOTE, by, { chain });
      assert.match(detail(answer), /no chain/);
      assert.equal(tsa.accepts(NOTE, answer, root), false);
    }
    assert.match(detail(tsa.forge(NOTE, weak)), /1024|2048/);
    assert.match(detail(tsa.forge(NOTE, signer), { trusted: [] }), /no chain/);
  });

  const forged: Array<[string, Forgery, RegExp]> = [
    ['rejected', { status: 2 }, /did not grant it \(rejected\)/],
    ['of an unknown status', { status: 9 }, /did not grant it \(9\)/],
    [
      'over something else than a stamp',
      { contentType: '1.2.840.113549.1.7.1' },
      /not a time stamp/,
    ],
    ['without its certificate', { withoutCertificate: true }, /not in it/],
    ['that names no certificate', { bound: false }, /names no certificate/],
    ['with another digest', { digest: '2.16.840.1.101.3.4.2.3' }, /not over this/],
    ['of another name', { authority: der(0xa4, der(TAG.sequence)) }, /name of its authority/],
  ];
  for (const [what, changes, reason] of forged) {
    test(`${what} is none`, () => {
      const answer = tsa.forge(NOTE, signer, changes);
      assert.match(detail(answer), reason);
      assert.equal(tsa.accepts(NOTE, answer, root), false);
    });
  }

  test('with modifications is one', () => {
    const answer = tsa.forge(NOTE, signer, { status: 1 });
    assert.equal(detail(answer), 'ok');
    assert.ok(tsa.accepts(NOTE, answer, root));
  });

  test('that was refused says why', () => {
    const question = stampRequest(NOTE, NONCE);
    const sha512 = Buffer.from(question.toString('hex').replace('0304020105', '0304020305'), 'hex');
    assert.match(detail(tsa.reply(sha512, signer)), /not grant it \(rejected\)/);
  });

  test('whose certificate was replaced is none', () => {
    const twin = tsa.make('authority', { shape: 'stamps', by: root });
    const answer = tsa.forge(NOTE, signer);
    const swapped = replaced(answer, certificates(signer)[0]!.bytes, certificates(twin)[0]!.bytes);
    assert.notEqual(detail(swapped), 'ok');
    assert.equal(tsa.accepts(NOTE, swapped, root), false);
  });

  test('with any byte changed, cut off or added is none', () => {
    const answer = tsa.reply(stampRequest(NOTE, NONCE), signer);
    for (const bytes of [
      Buffer.concat([answer, Buffer.of(0)]),
      Buffer.concat([answer, answer]),
      answer.subarray(0, -1),
      Buffer.alloc(0),
      Buffer.from('not found'),
      Buffer.alloc(300 * 1024, 0x30),
    ]) {
      assert.notEqual(detail(bytes), 'ok');
    }
    let same = 0;
    for (let at = 0; at < answer.length; at++) {
      const changed = Buffer.from(answer);
      changed[at]! ^= 1 << (at % 8);
      if (detail(changed) === 'ok') same += 1;
    }
    // What no signature covers and no rule speaks of: versions and lists of algorithms.
    assert.ok(same < 40, `${same} of ${answer.length} changes went unnoticed`);
  });

  test('that is junk is refused and never thrown over', () => {
    const answer = tsa.reply(stampRequest(NOTE, NONCE), signer);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(answer.length - 1), (junk, at) => {
        const bytes = Buffer.concat([answer.subarray(0, at), junk]);
        // A last byte is hit upon now and then.
        fc.pre(!bytes.equals(answer));
        assert.equal(judgeStamp(NOTE, bytes, { trusted }).ok, false);
      }),
      { numRuns: 2000 },
    );
  });

  test('with certificates that all issued each other is given up after a bounded search', () => {
    const key = tsa.make('ring', { shape: 'ring' });
    const ring = Array.from({ length: 12 }, () =>
      tsa.make('ring', { shape: 'ring', by: key, sameKey: key }),
    );
    const by = tsa.make('below', { shape: 'stamps', by: key });
    const answer = tsa.forge(NOTE, by, { chain: [...ring, key] });
    const { checkIssued } = X509Certificate.prototype;
    const tried = mock.method(
      X509Certificate.prototype,
      'checkIssued',
      function (this: X509Certificate, issuer: X509Certificate): boolean {
        // Past the limit nothing is issued by anybody, so that an endless search ends and is told.
        return tried.mock.callCount() < ISSUERS_MAX && checkIssued.call(this, issuer);
      },
    );
    try {
      assert.match(detail(answer), /no chain/);
      const count = tried.mock.callCount();
      assert.ok(count > ring.length && count < ISSUERS_MAX, `${count} issuers were looked at`);
    } finally {
      tried.mock.restore();
    }
  });
});

function certificates(made: Made) {
  return parsePemCertificates(readFileSync(made.certificate, 'utf8'));
}

/** Rebuilds every length above it, so that only the certificate is another. */
function replaced(bytes: Buffer, from: Buffer, to: Buffer): Buffer {
  if (bytes.equals(from)) return to;
  if (!bytes.includes(from)) return bytes;
  const { tag, content } = readDer(bytes);
  const parts: Buffer[] = [];
  for (let at = 0; at < content.length; ) {
    const child = childAt(content, at);
    parts.push(replaced(child, from, to));
    at += child.length;
  }
  return der(tag, ...parts);
}

function childAt(bytes: Buffer, at: number): Buffer {
  const first = bytes[at + 1]!;
  const count = first < 0x80 ? 0 : first & 0x7f;
  const length = count === 0 ? first : bytes.readUIntBE(at + 2, count);
  return bytes.subarray(at, at + 2 + count + length);
}
