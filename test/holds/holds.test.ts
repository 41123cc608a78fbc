/**
 * Holds from the command line to the store's double, over HTTP: what is kept, for how long, what the
 * log says of it, and what becomes of a run that stops half-way.
 */
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { unwrapWith } from '../../schemas/envelope.ts';
import { parseHold } from '../../schemas/evidence/hold-leaf.ts';
import { evidenceKey, partitionLog } from '../../schemas/evidence/log-layout.ts';
import { formatPrivateKey } from '../../schemas/evidence/note.ts';
import { slotKey } from '../../schemas/layout.ts';
import { runCommandLine } from '../../services/cli/program.ts';
import { add, planAddition, release, type WriteOptions } from '../../services/holds/holds.ts';
import { list } from '../../services/holds/list.ts';
import type { HoldStore } from '../../services/store/legal-hold.ts';
import { createScreen } from '../cli/screen.ts';
import { FaultPlan } from '../double/faults.ts';
import { startDouble } from '../double/server.ts';
import { bucketSource } from '../verifier/bucket-source.ts';
import { findingsIn } from '../verifier/findings-in.ts';
import {
  ADDRESSES,
  NAME,
  PREFIX,
  type SmallArchive,
  START_MS,
  signer,
  smallArchive,
} from '../verifier/proof-archive.ts';

const folder = mkdtempSync(join(tmpdir(), 'lakeseal-holds-'));
after(() => rmSync(folder, { recursive: true }));
const keyFile = join(folder, 'signing.key');
writeFileSync(keyFile, formatPrivateKey(NAME, Buffer.alloc(32, 11)));
chmodSync(keyFile, 0o600);

/** Records of each segment of both partitions: offsets 0 to 3, 4 to 6, 7 to 12; one each second. */
const SEGMENTS = [4, 3, 6];
const FIRST_OFFSETS = [0n, 4n, 7n];

interface Scene extends SmallArchive {
  faults: FaultPlan;
  /** Access keys that asked. */
  askers: Set<string>;
  run(...argv: string[]): Promise<{ code: number; out: string; err: string }>;
  close(): Promise<void>;
}

async function openScene(): Promise<Scene> {
  const small = smallArchive();
  for (const records of SEGMENTS) await small.seal(records);
  const faults = new FaultPlan();
  const askers = new Set<string>();
  const buckets = new Map([['held', small.bucket]]);
  const server = await startDouble({ buckets, faults, asked: (who) => void askers.add(who) });
  const env = {
    LAKESEAL_STORAGE_BUCKET: 'held',
    LAKESEAL_STORAGE_PREFIX: PREFIX,
    LAKESEAL_STORAGE_ENDPOINT: server.endpoint,
    LAKESEAL_STORAGE_PATH_STYLE: 'true',
    LAKESEAL_STORAGE_ACCESS_KEY_ID: 'archiver',
    LAKESEAL_STORAGE_SECRET_ACCESS_KEY: 'archiver-secret',
    LAKESEAL_HOLDS_ACCESS_KEY_ID: 'holder',
    LAKESEAL_HOLDS_SECRET_ACCESS_KEY: 'holder-secret',
    LAKESEAL_EVIDENCE_KEY_FILE: keyFile,
  };
  const run = async (...argv: string[]) => {
    const screen = createScreen(env);
    const code = await runCommandLine(['hold', ...argv], screen);
    return { code, out: screen.output(), err: screen.errors() };
  };
  return { ...small, faults, askers, run, close: server.close };
}

async function withScene(run: (scene: Scene) => Promise<void>): Promise<void> {
  const scene = await openScene();
  try {
    await run(scene);
  } finally {
    await scene.close();
  }
}

/** Of segment `index` of a partition: the keys that a hold is about. */
function keysOf(partition: number, index: number): string[] {
  const address = ADDRESSES[partition]!;
  const log = partitionLog(address);
  return [
    slotKey(PREFIX, { ...address, firstOffset: FIRST_OFFSETS[index]! }),
    evidenceKey(PREFIX, { log, kind: 'leaf', number: index }),
  ];
}

const heldKeys = ({ bucket }: Scene): string[] =>
  [
    ...new Set(bucket.versions('').flatMap(({ key, legalHold }) => (legalHold ? [key] : []))),
  ].sort();

function leafOf({ bucket }: Scene, number: number) {
  const key = evidenceKey(PREFIX, { log: 'holds', kind: 'leaf', number });
  return parseHold(bucket.current(key)!.bytes!).body;
}

const ADD = ['add', 'CASE-7', '--reason', 'leaver'];
/** The second of each offset. */
const at = (offset: number): string => `2026-11-24T00:00:${String(offset).padStart(2, '0')}Z`;

describe('hold add', () => {
  test('keeps the segments of a range and their manifests, and says so in the signed log', () =>
    withScene(async (scene) => {
      const done = await scene.run(...ADD, '--from', at(5), '--to', at(6), '--partition', '1');
      assert.equal(done.code, 0, done.err);
      assert.match(
        done.err,
        /1 segment of 3, 1 new to the case\n {2}1 segment by arrival: not all/,
      );
      assert.match(done.out, /2 objects held, 0 already, of 1 segment.*leaf 0/);
      assert.deepEqual(heldKeys(scene), keysOf(1, 1).sort());
      const body = leafOf(scene, 0);
      assert.deepEqual(body.segments, [[partitionLog(ADDRESSES[1]!), [[1, 2]]]]);
      assert.equal(body.objects, 2);
      assert.deepEqual(body.asked?.from, at(5));
      assert.deepEqual([...scene.askers], ['holder']);
      const listed = await scene.run('list');
      assert.equal(listed.code, 0, listed.out);
      assert.match(listed.out, /CASE-7 +open .* 1 +2 of 2 +leaver/);
      await scene.root(1);
      assert.deepEqual(await findingsIn(bucketSource(scene.bucket)), []);
      const note = evidenceKey(PREFIX, { log: 'holds', kind: 'note', number: 1 });
      assert.ok(scene.bucket.current(note) !== null);
    }));

  test('a dry run names the segments and writes nothing', () =>
    withScene(async (scene) => {
      const before = scene.bucket.versions('').length;
      const told = await scene.run(...ADD, '--to', at(3), '--dry-run');
      assert.equal(told.code, 0, told.err);
      assert.deepEqual(
        told.out.split('\n').slice(0, -1),
        [0, 1].map((partition) => `${keysOf(partition, 0)[0]}  arrival`),
      );
      assert.equal(scene.bucket.versions('').length, before);
      assert.deepEqual(heldKeys(scene), []);
    }));

  test('again: takes in what came since, and says nothing where nothing did', () =>
    withScene(async (scene) => {
      assert.equal((await scene.run(...ADD)).code, 0);
      const again = await scene.run(...ADD);
      assert.match(again.out, /0 objects held, 12 already, of 6 segments.*said so already/);
      await scene.seal(2, false);
      const more = await scene.run(...ADD);
      assert.match(more.out, /4 objects held, 12 already, of 8 segments.*leaf 1/);
      assert.deepEqual(
        leafOf(scene, 1).segments.map(([, ranges]) => ranges),
        [[[3, 4]], [[3, 4]]],
      );
      assert.equal((await scene.run('list')).code, 0);
    }));

  test('keeps every version of a segment: a forgery is evidence too', () =>
    withScene(async (scene) => {
      const [segment] = keysOf(0, 0);
      scene.bucket.remove(segment!);
      scene.bucket.put(segment!, Buffer.from('forged'));
      const done = await scene.run(...ADD, '--topic', 'databricks.audit', '--to', at(0));
      assert.equal(done.code, 0, done.err);
      const held = scene.bucket.versions(segment!).filter(({ legalHold }) => legalHold);
      assert.equal(held.length, 2);
      assert.equal((await scene.run('list')).code, 0);
    }));

  test('a filter reads the segments, and keeps in doubt what cannot be read', () =>
    withScene(async (scene) => {
      const only = ['--filter', 'actor.email=ada@example.com', '--filter'];
      // The fifth record of a segment: only the third is so long.
      const fifth = await scene.run(...ADD, ...only, 'requestParams.full_name_arg=main.sales.t4');
      assert.equal(fifth.code, 0, fifth.err);
      assert.deepEqual(heldKeys(scene), [...keysOf(0, 2), ...keysOf(1, 2)].sort());
      const none = await scene.run(...ADD, '--filter', 'serviceName=none', '--dry-run', '--json');
      assert.deepEqual(JSON.parse(none.out).segments, []);
      const [key] = keysOf(0, 0);
      scene.bucket.put(key!, Buffer.from('not a segment'));
      const doubt = await scene.run(...ADD, '--filter', 'serviceName=none', '--dry-run');
      assert.match(doubt.err, /1 segment in doubt/);
    }));

  test('refuses what it cannot mean', () =>
    withScene(async ({ run }) => {
      for (const [argv, expected] of [
        [['add', 'a b', '--reason', 'x'], /not the name of a case/],
        [['add', 'a', '--reason', 'x\ny'], /not one line/],
        [['add', 'a', '--reason', 'x', '--from', at(2), '--to', at(1)], /--from is later/],
        [['add', 'a', '--reason', 'x', '--filter', 'actor=x'], /write actor\.NAME/],
        [
          ['add', 'a', '--reason', 'x', '--filter', 'serviceNme=x'],
          /no field serviceNme.*serviceName/,
        ],
        [['add', 'a', '--reason', 'x', '--partition', 'x'], /not a number of a partition/],
        [['release', 'nobody', '--reason', 'x'], /there is no case nobody/],
      ] as const) {
        const { code, err } = await run(...argv);
        assert.equal(code, 1, err);
        assert.match(err, expected);
      }
    }));
});

describe('hold release', () => {
  test('lets go what no other open case keeps, and the last one the rest', () =>
    withScene(async (scene) => {
      await scene.run(...ADD, '--to', at(6));
      await scene.run('add', 'CASE-8', '--reason', 'audit', '--from', at(4));
      const first = await scene.run('release', 'CASE-7', '--reason', 'settled');
      assert.equal(first.code, 0, first.err);
      assert.match(first.err, /2 segments to let go; 2 segments stay held for other cases/);
      const kept = [0, 1].flatMap((partition) =>
        [1, 2].flatMap((index) => keysOf(partition, index)),
      );
      assert.deepEqual(heldKeys(scene), kept.sort());
      const listed = await scene.run('list');
      assert.equal(listed.code, 0, listed.out);
      assert.match(listed.out, /CASE-7 +released .*settled\nCASE-8 +open/);
      assert.equal((await scene.run('release', 'CASE-8', '--reason', 'done')).code, 0);
      assert.deepEqual(heldKeys(scene), []);
      const twice = await scene.run('release', 'CASE-8', '--reason', 'done');
      assert.match(twice.out, /said so already/);
      assert.equal((await scene.run(...ADD)).code, 0);
      assert.equal(heldKeys(scene).length, 12);
      assert.match((await scene.run('list', 'CASE-7')).out, /^.*\nCASE-7 +open/);
    }));

  test('what another case asks for while it is let go stays held', async () => {
    const { bucket, store, seal } = smallArchive();
    await seal(3);
    let meanwhile: (() => Promise<unknown>) | null = null;
    const holdStore: HoldStore = {
      ...store,
      legalHold: async (key, versionId) => bucket.version(key, versionId).legalHold,
      setLegalHold: async (key, versionId, on) => {
        const first = on ? null : meanwhile;
        if (!on) meanwhile = null;
        // The other run is over before this hold is lifted: it found it set.
        await first?.();
        bucket.setLegalHold(key, versionId, on);
      },
    };
    const options: WriteOptions = {
      store: holdStore,
      prefix: PREFIX,
      signer,
      unwrap: unwrapWith([]),
      nowMs: START_MS,
      breathe: () => setImmediate(),
      progress: () => {},
    };
    const asked = { from: null, to: null, topics: [], partitions: [], filters: [] };
    const hold = async (name: string) => {
      const request = { name, reason: 'x', asked, filters: [] };
      return add(request, await planAddition(request, options), options);
    };
    await hold('CASE-7');
    meanwhile = () => hold('CASE-8');
    await release('CASE-7', 'settled', options);
    assert.equal(meanwhile, null);
    assert.ok(bucket.versions('').some(({ legalHold }) => legalHold));
    assert.deepEqual((await list(undefined, options)).findings, []);
  });
});

describe('a run that stops half-way', () => {
  test('an object that cannot be held is told; the next run does the rest', () =>
    withScene(async (scene) => {
      // Leaf and checkpoint are written before the first hold.
      scene.faults.add({ operation: 'put', nth: 4, kind: 'conflict' });
      const partly = await scene.run(...ADD);
      assert.equal(partly.code, 2, partly.err);
      assert.match(partly.err, /not held: .*another request.*\nNot everything was done/s);
      const listed = await scene.run('list');
      assert.equal(listed.code, 2);
      assert.match(listed.out, /not_held: CASE-7 /);
      assert.match((await scene.run(...ADD)).out, /1 object held, 11 already/);
      assert.equal((await scene.run('list')).code, 0);
      assert.deepEqual(scene.faults.unreached, []);
    }));

  for (const nth of [0, 1, 2, 7, 13]) {
    test(`denied at write ${nth}: the log never says less than is held, and a second run mends it`, () =>
      withScene(async (scene) => {
        scene.faults.add({ operation: 'put', nth, kind: 'denied' });
        const broken = await scene.run(...ADD);
        assert.ok(broken.code > 0);
        assert.match(broken.err, nth === 1 ? /not signed/ : /Holds need .*GetObjectLegalHold/);
        const listed = await scene.run('list', '--json');
        const { findings } = JSON.parse(listed.out) as { findings: Array<{ code: string }> };
        const codes = new Set(findings.map(({ code }) => code));
        if (nth === 0) assert.deepEqual(heldKeys(scene), []);
        else assert.deepEqual([...codes], nth === 1 ? ['unsigned'] : ['not_held']);
        assert.equal((await scene.run(...ADD)).code, 0);
        assert.equal((await scene.run('list')).code, 0);
        assert.equal(heldKeys(scene).length, 12);
        assert.deepEqual(scene.faults.unreached, []);
      }));
  }

  test('a lost answer to the leaf is no second leaf', () =>
    withScene(async (scene) => {
      scene.faults.add({ operation: 'put', nth: 0, kind: 'reset_after' });
      assert.equal((await scene.run(...ADD)).code, 0);
      assert.equal(leafOf(scene, 0).case, 'CASE-7');
      const second = evidenceKey(PREFIX, { log: 'holds', kind: 'leaf', number: 1 });
      assert.equal(scene.bucket.current(second), null);
    }));

  test('a release that was not finished is seen and finished', () =>
    withScene(async (scene) => {
      await scene.run(...ADD);
      const puts = scene.faults.calls('put');
      scene.faults.add({ operation: 'put', nth: puts + 5, kind: 'denied' });
      assert.equal((await scene.run('release', 'CASE-7', '--reason', 'settled')).code, 1);
      assert.match((await scene.run('list')).out, /still_held: CASE-7 /);
      assert.equal((await scene.run('release', 'CASE-7', '--reason', 'settled')).code, 0);
      assert.equal((await scene.run('list')).code, 0);
      assert.deepEqual(heldKeys(scene), []);
    }));
});

describe('hold list', () => {
  test('finds what an administrator lifted, added or removed', () =>
    withScene(async (scene) => {
      const { bucket } = scene;
      await scene.run(...ADD, '--partition', '0');
      const [lifted] = keysOf(0, 0);
      bucket.setLegalHold(lifted!, bucket.current(lifted!)!.versionId, false);
      const [doubled] = keysOf(0, 1);
      bucket.put(doubled!, Buffer.from('forged'));
      const listed = await scene.run('list');
      assert.equal(listed.code, 2);
      assert.match(listed.out, new RegExp(`not_held: CASE-7 {2}${lifted} `));
      assert.match(listed.out, new RegExp(`not_held: CASE-7 {2}${doubled} `));
      assert.match(listed.out, /versions_differ: CASE-7 .*7 versions, not the 6 of leaf 0/);
    }));

  test('a log that was changed is not believed', () =>
    withScene(async (scene) => {
      await scene.run(...ADD);
      await scene.run('add', 'CASE-8', '--reason', 'x');
      const key = evidenceKey(PREFIX, { log: 'holds', kind: 'leaf', number: 0 });
      const text = scene.bucket.current(key)!.bytes!.toString().replace('leaver', 'friend');
      scene.bucket.put(key, Buffer.from(text));
      const { code, err } = await scene.run('list');
      assert.equal(code, 1);
      assert.match(err, /does not follow the leaf before it.*\(EVIDENCE\)/);
    }));
});
