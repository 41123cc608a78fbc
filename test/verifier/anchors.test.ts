/**
 * Time stamps and witnesses of roots: whole ones give no finding, and each way to spoil one is found
 * by lakeseal and by `verify.py` alike. Proofs carry both.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { parsePemCertificates } from '../../schemas/evidence/certificate.ts';
import { timeOf } from '../../schemas/evidence/leaf.ts';
import {
  checkAnchors,
  checkProof,
  ProofError,
  type RecordProof,
} from '../../schemas/evidence/proof.ts';
import { HOUR_MS } from '../../schemas/evidence/root-leaf.ts';
import { judgeStamp } from '../../schemas/evidence/time-stamp.ts';
import { judgeWitness } from '../../schemas/evidence/witness.ts';
import { rootKey } from '../../services/archiver/anchors/root.ts';
import { prove } from '../../services/verifier/prove.ts';
import type { StampsSince } from '../../services/verifier/root-check.ts';
import { type Forgery, hasOpenssl, type Made, TestTsa } from '../tsa/tsa.ts';
import { TestWitness } from '../tsa/witness.ts';
import { PREFIX, type SmallArchive, START_MS, signer, smallArchive } from './proof-archive.ts';
import { both, hasPython, KEY, python } from './readings.ts';
import { LOG, noteKey, replace } from './tamperings.ts';

const skip = hasOpenssl && hasPython ? false : 'openssl or python3 is not here: NOT tested';
if (skip !== false) console.error(`\n*** ${skip} ***\n`);

/** Roots of a scene; the last one is stamped. */
const HOURS = 2;
const START_S = START_MS / 1000;

describe('stamps and witnesses', { skip }, () => {
  const tsa = new TestTsa();
  after(() => tsa.close());
  const folder = mkdtempSync(join(tmpdir(), 'lakeseal-anchors-'));
  after(() => rmSync(folder, { recursive: true }));
  const { root: ca, signer: by } = tsa.usual();
  const trusted = parsePemCertificates(readFileSync(ca.certificate, 'utf8'));
  const witness = new TestWitness('witness.example.com/w1', 1);
  const stranger = new TestWitness('witness.example.com/w2', 2);

  const tsr = (size: number): string => rootKey(PREFIX, 'tsr', size);
  const lines = (size: number): string => rootKey(PREFIX, 'witness', size);

  class Scene {
    readonly archive: SmallArchive = smallArchive();

    note(size: number): Buffer {
      return this.archive.bucket.current(rootKey(PREFIX, 'note', size))!.bytes!;
    }

    /** Of the root of hour `size - 1`, so many seconds after it struck. */
    stamp(size: number, seconds: number, changes: Forgery = {}, signedBy: Made = by): Buffer {
      const time = START_S + (size - 1) * 3600 + seconds;
      return tsa.forge(this.note(size), signedBy, { time, ...changes });
    }

    put(key: string, bytes: Buffer): void {
      replace(this.archive.bucket, key, bytes);
    }
  }

  /** Every root is cosigned. */
  async function anchored(): Promise<Scene> {
    const scene = new Scene();
    await scene.archive.seal(6);
    for (let hour = 0; hour < HOURS; hour++) {
      await scene.archive.root(hour);
      scene.put(lines(hour + 1), Buffer.from(await witness.line(scene.note(hour + 1))));
    }
    scene.put(tsr(HOURS), scene.stamp(HOURS, 60));
    return scene;
  }

  const judges = {
    judgeStamp: (note: Buffer, stamp: Buffer) => judgeStamp(note, stamp, { trusted }),
    judgeWitness: (note: Buffer, text: Buffer) => judgeWitness(note, text, [witness.key]),
    stampsSince: 0,
  };
  const args = ['--tsa-ca', ca.certificate, '--expect-stamps', '--witness', witness.key.vkey];

  /** Findings that both must give, without the prefix. */
  async function agreed({ archive }: Scene): Promise<string[]> {
    const [ours, theirs] = await both(archive, judges, args);
    assert.deepEqual(theirs, ours);
    return ours.map((fact) => fact.replace(`${PREFIX}evidence/`, ''));
  }

  test('that are whole give no finding; a stamp stands for the roots of the day before it', async () => {
    assert.deepEqual(await agreed(await anchored()), []);
  });

  const spoilt: Array<
    [what: string, codes: string[], act: (scene: Scene) => void | Promise<void>]
  > = [
    ['a stamp of another root', ['stamp_invalid'], (s) => s.put(tsr(HOURS), s.stamp(1, 60))],
    [
      'a stamp with a changed signature',
      ['stamp_invalid'],
      (s) => {
        const bytes = s.stamp(HOURS, 60);
        bytes[bytes.length - 5]! ^= 1;
        s.put(tsr(HOURS), bytes);
      },
    ],
    [
      'a stamp with a byte behind it',
      ['stamp_invalid'],
      (s) => s.put(tsr(HOURS), Buffer.concat([s.stamp(HOURS, 60), Buffer.of(0)])),
    ],
    ['junk for a stamp', ['stamp_invalid'], (s) => s.put(tsr(HOURS), Buffer.from('junk'))],
    ['an empty stamp', ['stamp_invalid'], (s) => s.put(tsr(HOURS), Buffer.alloc(0))],
    ['a rejection', ['stamp_invalid'], (s) => s.put(tsr(HOURS), s.stamp(HOURS, 60, { status: 2 }))],
    [
      'a stamp that names no certificate',
      ['stamp_invalid'],
      (s) => s.put(tsr(HOURS), s.stamp(HOURS, 60, { bound: false })),
    ],
    [
      'a stamp without certificate',
      ['stamp_invalid'],
      (s) => s.put(tsr(HOURS), s.stamp(HOURS, 60, { withoutCertificate: true })),
    ],
    ['a stamp before its root', ['stamp_time'], (s) => s.put(tsr(HOURS), s.stamp(HOURS, -1))],
    ['a stamp a day late', ['stamp_time'], (s) => s.put(tsr(HOURS), s.stamp(HOURS, 86_401))],
    [
      'a stamp of another authority',
      ['stamp_invalid'],
      (s) => {
        const other = tsa.usual();
        s.put(tsr(HOURS), s.stamp(HOURS, 60, { chain: [other.root] }, other.signer));
      },
    ],
    ...(
      [
        'noPurpose',
        'notCritical',
        'otherPurpose',
        'twoPurposes',
        'unknownPurpose',
        'encipherment',
      ] as const
    ).map((shape): [string, string[], (scene: Scene) => void] => [
      `a stamp of a certificate of the shape ${shape}`,
      ['stamp_invalid'],
      (s) => s.put(tsr(HOURS), s.stamp(HOURS, 60, {}, tsa.make('authority', { shape, by: ca }))),
    ]),
    [
      'a stamp of a certificate that signed itself',
      ['stamp_invalid'],
      (s) => s.put(tsr(HOURS), s.stamp(HOURS, 60, {}, tsa.make('root', { shape: 'stamps' }))),
    ],
    [
      'a stamp of a certificate that had expired',
      ['stamp_invalid'],
      (s) => {
        const old = tsa.make('authority', { shape: 'stamps', by: ca, to: '20261123000000Z' });
        s.put(tsr(HOURS), s.stamp(HOURS, 60, {}, old));
      },
    ],
    [
      'a stamp of a key that is too short',
      ['stamp_invalid'],
      (s) => {
        const weak = tsa.make('authority', { shape: 'stamps', by: ca, key: ['rsa:1024'] });
        s.put(tsr(HOURS), s.stamp(HOURS, 60, {}, weak));
      },
    ],
    [
      'a second stamp over the first',
      ['extra_version'],
      (s) => void s.archive.bucket.put(tsr(HOURS), s.stamp(HOURS, 61)),
    ],
    ['a deleted stamp', ['delete_marker'], (s) => void s.archive.bucket.remove(tsr(HOURS))],
    ['a stamp of no root', ['planted_object'], (s) => s.put(tsr(9), s.stamp(HOURS, 60))],
    [
      'a stamp of no checkpoint of a partition',
      ['planted_object'],
      (s) => s.put(noteKey(9, LOG).replace('.note', '.tsr'), s.stamp(HOURS, 60)),
    ],
    [
      'a cosignature of another root',
      ['witness_invalid'],
      (s) => s.put(lines(HOURS), s.archive.bucket.current(lines(1))!.bytes!),
    ],
    [
      'junk for a cosignature',
      ['witness_invalid'],
      (s) => s.put(lines(HOURS), Buffer.from('junk')),
    ],
    [
      'a text before a cosignature',
      ['witness_invalid'],
      (s) =>
        s.put(
          lines(HOURS),
          Buffer.concat([Buffer.of(10), s.archive.bucket.current(lines(HOURS))!.bytes!]),
        ),
    ],
    [
      'a cosignature without the checkpoint',
      ['planted_object'],
      (s) => s.put(lines(9), s.archive.bucket.current(lines(1))!.bytes!),
    ],
  ];
  for (const [what, codes, act] of spoilt) {
    test(`finds ${what}`, async () => {
      const scene = await anchored();
      await act(scene);
      const found = await agreed(scene);
      for (const code of codes)
        assert.ok(
          found.some((fact) => fact.startsWith(code)),
          `${found}`,
        );
      const others = found.filter((fact) => !/^(stamp|witness|planted|extra|delete)/.test(fact));
      assert.deepEqual(others, []);
    });
  }

  test('of which some are missing: the roots that nothing shows to be of their day', async () => {
    const scene = await anchored();
    replace(scene.archive.bucket, tsr(HOURS), null);
    const name = (size: number): string =>
      `stamp_missing root/${String(size).padStart(20, '0')}.note`;
    assert.deepEqual(await agreed(scene), [1, 2].map(name));
    // The last root comes 30 hours later: its stamp shows nothing of the day of the others.
    const late = new Scene();
    for (const hour of [0, 1, 8, 30]) await late.archive.root(hour);
    const time = START_S + 31 * 3600;
    late.put(tsr(4), tsa.forge(late.note(4), by, { time }));
    assert.deepEqual(await agreed(late), [1, 2].map(name));
  });

  test('that began later are missed from then on, or from the first that is there', async () => {
    const scene = new Scene();
    const hours = [0, 1, 30, 31, 60, 61];
    for (const hour of hours) await scene.archive.root(hour);
    // The root of hour 30 was the first to be stamped; those of hours 60 and 61 have none.
    scene.put(tsr(3), tsa.forge(scene.note(3), by, { time: START_S + 30 * 3600 }));
    scene.put(tsr(4), tsa.forge(scene.note(4), by, { time: START_S + 31 * 3600 }));
    const missed = async (stampsSince: StampsSince) => {
      const since = stampsSince === 'first' ? stampsSince : timeOf(stampsSince! * 1000);
      const args = ['--tsa-ca', ca.certificate, '--stamps-since', since];
      const [ours, theirs] = await both(scene.archive, { ...judges, stampsSince }, args);
      assert.deepEqual(theirs, ours);
      assert.ok(
        ours.every((fact) => fact.startsWith('stamp_')),
        `${ours}`,
      );
      const notes = ours.flatMap((fact) => /(\d+)\.note$/.exec(fact)?.[1] ?? []);
      return notes.map((size) => hours[Number(size) - 1]);
    };
    assert.deepEqual(await missed(0), [0, 1, 60, 61]);
    assert.deepEqual(await missed('first'), [60, 61]);
    assert.deepEqual(await missed(START_S + 30 * 3600), [60, 61]);
    assert.deepEqual(await missed(START_S + 3600), [1, 60, 61]);
    assert.deepEqual(await missed(START_S + 61 * 3600), [61]);
    // A stamp that is none is no beginning; and where there is none at all, none is excused.
    scene.put(tsr(3), scene.stamp(1, 60));
    scene.put(tsr(4), scene.stamp(1, 60));
    assert.deepEqual(await missed('first'), hours);
  });

  test('of witnesses that nobody knows are passed over', async () => {
    const scene = await anchored();
    scene.put(lines(HOURS), Buffer.from(await stranger.line(scene.note(1))));
    assert.deepEqual(await agreed(scene), []);
  });

  test('stand in a proof, and are judged with it', async () => {
    const { archive } = await anchored();
    const options = { store: archive.store, prefix: PREFIX, verifiers: [signer.verifier] };
    const address = { topic: 'databricks.audit', partition: 1, offset: 5n };
    const { proof } = await prove(address, options);
    const trust = { authorities: trusted, witnesses: [witness.key] };
    const check = (changes: Partial<RecordProof['root']>) => {
      const changed = { ...proof, root: { ...proof.root!, ...changes } };
      const file = join(folder, 'proof.json');
      writeFileSync(file, JSON.stringify(changed));
      const { status, stdout } = python(
        ...['--check-proof', file, '--key', KEY, '--tsa-ca', ca.certificate],
        ...['--witness', witness.key.vkey],
      );
      try {
        const found = checkAnchors(checkProof(changed, options.verifiers), trust);
        assert.equal(status, 0, stdout);
        return found;
      } catch (error) {
        assert.ok(error instanceof ProofError);
        assert.equal(status, 1, stdout);
        return error.message;
      }
    };
    const whole = check({});
    assert.ok(typeof whole === 'object');
    assert.equal(whole.stampedAt, START_S + (HOURS - 1) * (HOUR_MS / 1000) + 60);
    assert.deepEqual(
      whole.cosigned.map(({ by: one }) => one.name),
      [witness.key.name],
    );
    assert.deepEqual(check({ stamp: null, witness: null }), { stampedAt: null, cosigned: [] });
    const other = await anchored();
    assert.match(String(check({ stamp: other.stamp(1, 60).toString('base64') })), /not over this/);
    assert.match(
      String(check({ stamp: other.stamp(HOURS, -1).toString('base64') })),
      /stamp is of/,
    );
    assert.match(String(check({ witness: await witness.line(other.note(1)) })), /does not verify/);
  });
});
