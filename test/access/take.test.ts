/**
 * Daily snapshots of an archive: each follows from the segments up to the sizes that it names, made
 * day by day or all at once, and is a leaf like any other to both verifiers.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { encodeAuditEvent, frame } from '../../schemas/audit-event.ts';
import { unwrapWith } from '../../schemas/envelope.ts';
import {
  ACCESS_LOG,
  type AccessBody,
  parseAccessLeaf,
} from '../../schemas/evidence/access-leaf.ts';
import { emptyLog, leafBytes } from '../../schemas/evidence/leaf.ts';
import { evidenceKey } from '../../schemas/evidence/log-layout.ts';
import { SECRET_BYTES, type WrappingKey, wrappingKey } from '../../schemas/wrapping-key.ts';
import { readArchive } from '../../services/access/archive.ts';
import type { AccessEvent } from '../../services/access/change.ts';
import { effect } from '../../services/access/fields.ts';
import { eventOfRow, factLine, rowOf, snapshotOf } from '../../services/access/snapshot.ts';
import { factsAfter, inOrder } from '../../services/access/state.ts';
import { checkSnapshots, readSnapshots } from '../../services/access/take.ts';
import { takeSnapshots } from '../../services/cli/access-snapshot.ts';
import { opener } from '../../services/cli/open-segment.ts';
import { runCommandLine } from '../../services/cli/program.ts';
import { decodeJson } from '../../services/ingest/decode.ts';
import { loadConfig } from '../../services/runtime/config.ts';
import { createScreen } from '../cli/screen.ts';
import { FaultPlan } from '../double/faults.ts';
import { doubleStore } from '../double/store.ts';
import { bucketSource } from '../verifier/bucket-source.ts';
import { findingsIn } from '../verifier/findings-in.ts';
import {
  PREFIX,
  SCHEMA_ID,
  type SmallArchive,
  signer,
  smallArchive,
} from '../verifier/proof-archive.ts';
import { writeFolder } from '../verifier/write-folder.ts';
import { accessEvent, DAY, line, MINUTE_MS } from './events.ts';

const DAY_MINUTES = 1_440;
const env = { LAKESEAL_STORAGE_PREFIX: PREFIX };
const config = loadConfig(undefined, env);
const root = mkdtempSync(join(tmpdir(), 'lakeseal-access-'));
after(() => rmSync(root, { recursive: true }));

/** A member joins a group at a minute; arrives in Kafka some minutes later. */
function joins(minute: number, who: string, later = 0): [number, string] {
  const params = { targetGroupName: 'g', targetUserName: who };
  return [DAY + (minute + later) * MINUTE_MS, line(minute, 'accounts.addPrincipalToGroup', params)];
}

const noise = (minute: number): [number, string] => [
  DAY + minute * MINUTE_MS,
  line(minute, 'accounts.tokenLogin', { user: 'u' }),
];

async function take(archive: SmallArchive, lastDay: string, dryRun?: true): Promise<string> {
  const screen = createScreen();
  const flags = { lastDay, ...(dryRun && { dryRun }) };
  const code = await takeSnapshots(archive.store, signer, flags, config, screen);
  assert.equal(code, 0);
  return screen.output() + screen.errors();
}

const location = ({ store }: SmallArchive) => ({ store, prefix: PREFIX, withoutTopics: [] });
const bodiesOf = (archive: SmallArchive): Promise<AccessBody[]> => readSnapshots(location(archive));
const wrongIn = async (archive: SmallArchive) =>
  checkSnapshots(location(archive), await bodiesOf(archive), () => {});

async function allChanges(archive: SmallArchive): Promise<AccessEvent[]> {
  const events: AccessEvent[] = [];
  const heard = {
    event: () => {},
    access: (one: AccessEvent) => events.push(one),
    undecodable() {},
  };
  await readArchive(location(archive), { heard: () => heard });
  return inOrder(events);
}

describe('daily snapshots', () => {
  test('the first closes its day with all before it; later days have one each', async () => {
    const archive = smallArchive();
    await archive.sealValues(0, [joins(1, 'a'), noise(2), [DAY + 5 * MINUTE_MS, 'not an event']]);
    await archive.sealValues(1, [joins(3, 'b'), joins(DAY_MINUTES + 1, 'early')]);
    const dry = await take(archive, '2026-11-24', true);
    assert.match(
      dry,
      /^2026-11-24 {2}3 events, 1 record undecodable, 2 changes of access, 2 facts/,
    );
    assert.equal((await bodiesOf(archive)).length, 0);
    await take(archive, '2026-11-24');
    assert.match(await take(archive, '2026-11-24'), /nothing to do/);
    // Of the day before, and a duplicate of an event that is known.
    await archive.sealValues(0, [joins(4, 'late', DAY_MINUTES), joins(1, 'a', DAY_MINUTES)]);
    await archive.sealValues(1, [noise(2 * DAY_MINUTES + 5)]);
    await take(archive, '2026-11-26');
    const bodies = await bodiesOf(archive);
    assert.deepEqual(
      bodies.map(({ day, events, undecodable, changes, facts }) => [
        ...[day, events, undecodable, facts],
        changes.map(({ effects }) => effects[0]![3]).join(),
      ]),
      [
        ['2026-11-24', 3, 1, 2, 'a,b'],
        ['2026-11-25', 1, 0, 4, 'late,early'],
        ['2026-11-26', 1, 0, 4, ''],
      ],
    );
    assert.deepEqual(await wrongIn(archive), []);
  });

  test('read only what they need, and say the same as if all were read', async () => {
    const archive = smallArchive();
    for (let day = 0; day < 5; day++) {
      const start = day * DAY_MINUTES;
      await archive.sealValues(0, [noise(start), joins(start + 30, `u${day}`)]);
      await archive.sealValues(1, [joins(start + 40, `v${day}`), noise(start + 50)]);
      await take(archive, `2026-11-${24 + day}`);
    }
    assert.deepEqual(await wrongIn(archive), []);
    const listed = (await bodiesOf(archive)).flatMap(({ changes }) => changes.map(eventOfRow));
    assert.deepEqual(listed, await allChanges(archive));
    assert.equal((await bodiesOf(archive)).at(-1)!.facts, 10);
    const reads: string[] = [];
    const { get } = archive.store;
    archive.store.get = (key, range) => {
      if (key.includes('/data/')) reads.push(key);
      return get.call(archive.store, key, range);
    };
    await take(archive, '2026-11-29');
    assert.equal(reads.length, 2, 'the segments of the last day only');
  });

  test('read events of the schema and plain ones alike, and count what is neither', async () => {
    const framed = (schemaId: number, [timeMs, text]: [number, string]): [number, Buffer] => {
      const decoded = decodeJson(text);
      assert.ok(decoded.ok);
      return [timeMs, frame(schemaId, encodeAuditEvent(decoded.events[0]!))];
    };
    const events = [joins(1, 'a'), joins(2, 'b'), joins(3, 'c'), noise(4)];
    const plain = smallArchive();
    await plain.sealValues(0, events);
    const mixed = smallArchive();
    const [a, b, c, d] = events;
    await mixed.sealValues(0, [framed(SCHEMA_ID, a!), b!, framed(SCHEMA_ID, d!)]);
    // In a segment without a schema a framed event is plain bytes.
    const bytes = Buffer.concat([Buffer.from([0, 0, 0, 0, 9]), Buffer.from('none')]);
    await mixed.sealValues(1, [framed(9, c!), [DAY, bytes]]);
    for (const archive of [plain, mixed]) await take(archive, '2026-11-24');
    const [one] = await bodiesOf(plain);
    const [other] = await bodiesOf(mixed);
    assert.deepEqual([other!.events, other!.undecodable], [one!.events, 1]);
    assert.deepEqual([other!.facts, other!.factsHash], [3, one!.factsHash]);
  });

  test('are not written behind what somebody else wrote in the meantime', async () => {
    const archive = smallArchive();
    await archive.sealValues(0, [joins(1, 'a')]);
    const { get } = archive.store;
    let isFirst = true;
    const slow = Object.assign(Object.create(archive.store) as typeof archive.store, {
      async get(key: string, range?: { from: number; to: number }) {
        if (isFirst && key.includes('/data/')) {
          isFirst = false;
          await take(archive, '2026-11-24');
        }
        return get.call(archive.store, key, range);
      },
    });
    await assert.rejects(take({ ...archive, store: slow }, '2026-11-24'), /in the meantime/);
    assert.equal((await bodiesOf(archive)).length, 1);
  });

  test('an event of a wrong clock is in one of them all the same', async () => {
    const archive = smallArchive();
    const [, ahead] = joins(9 * DAY_MINUTES, 'ahead');
    await archive.sealValues(0, [[DAY + MINUTE_MS, ahead], joins(2, 'a')]);
    for (const day of ['2026-11-24', '2026-11-25', '2026-11-26']) {
      await archive.sealValues(1, [[Date.parse(day) + MINUTE_MS, noise(0)[1]]]);
      await take(archive, day);
    }
    const bodies = await bodiesOf(archive);
    assert.deepEqual(
      bodies.map(({ changed }) => changed),
      [1, 1, 0],
    );
    assert.deepEqual(await wrongIn(archive), []);
  });

  test('a copy that counts before the one that is known is listed too', () => {
    const named = {
      kind: 'admin',
      subject: 'a',
      privilege: 'ADMIN',
      object: 'w',
      scope: 's',
    } as const;
    const copy = (minute: number) => accessEvent(minute, 'same', [effect('give', named)]);
    const input = { day: '2026-11-24', read: [], count: { events: 2, undecodable: 0 } };
    const again = snapshotOf({ ...input, known: [copy(5)], found: [copy(5), copy(7), copy(3)] });
    assert.deepEqual(again.body.changes.map(eventOfRow), [copy(3)]);
    assert.deepEqual(again.known, [copy(3)]);
  });

  test('what had no room in a leaf is counted, hashed and known to later ones', () => {
    const found = ['a', 'b', 'c'].map((subject, at) => {
      const named = {
        kind: 'admin',
        subject,
        privilege: 'ADMIN',
        object: 'w',
        scope: 's',
      } as const;
      return accessEvent(at, subject, [effect('give', named)]);
    });
    const input = { day: '2026-11-24', read: [], count: { events: 3, undecodable: 0 }, known: [] };
    const whole = snapshotOf({ ...input, found }).body;
    const small = snapshotOf({ ...input, found, listedBytesMax: 400 }).body;
    assert.deepEqual([whole.omitted, small.omitted, small.changes.length], [0, 2, 1]);
    const { omitted: _, changes: __, ...rest } = small;
    assert.deepEqual({ ...whole, ...rest }, whole);
    assert.deepEqual(whole.changes.map(eventOfRow).map(rowOf), whole.changes);
    assert.equal(factsAfter(found).map(factLine)[0], '["admin","a","ADMIN","w","s","permits"]');
    const bytes = leafBytes(emptyLog(ACCESS_LOG), whole);
    assert.deepEqual(parseAccessLeaf(bytes).body.changesHash, whole.changesHash);
  });

  test('a snapshot that says other than the segments is found', async () => {
    const archive = smallArchive();
    await archive.sealValues(0, [joins(1, 'a'), joins(2, 'b')]);
    await take(archive, '2026-11-24');
    const [body] = await bodiesOf(archive);
    const forged = { ...body!, changes: body!.changes.slice(1), changed: 1 };
    assert.deepEqual(await checkSnapshots(location(archive), [forged], () => {}), [
      { sequence: 0, day: '2026-11-24', keys: ['changed', 'changes'] },
    ]);
    const [[log]] = body!.read as [[string, number]];
    const ahead = { ...body!, read: [[log, 2]] as AccessBody['read'] };
    const back = { ...body!, read: [] };
    const keys = async (...bodies: AccessBody[]): Promise<string[]> =>
      (await checkSnapshots(location(archive), bodies, () => {})).flatMap(({ keys }) => keys);
    assert.deepEqual(await keys(ahead), ['read']);
    assert.ok((await keys(body!, { ...back, day: '2026-11-25' })).includes('read'));
    assert.ok((await keys(body!, body!)).includes('day'));
  });

  test('a segment that is not its manifest gives no snapshot', async () => {
    const archive = smallArchive();
    await archive.sealValues(0, [joins(1, 'a')]);
    const [key] = archive.bucket.list(`${PREFIX}data/`, undefined, 1);
    const bytes = Buffer.from(archive.bucket.current(key!)!.bytes!);
    bytes[bytes.length - 20]! ^= 1;
    archive.bucket.put(key!, bytes);
    await assert.rejects(take(archive, '2026-11-24'), /is not what its manifest says/);
    assert.equal((await bodiesOf(archive)).length, 0);
  });

  test('both verifiers take them for what they are, and a copy is checked and compared', async (t) => {
    const archive = smallArchive();
    await archive.sealValues(0, [joins(1, 'a'), noise(2)]);
    await archive.sealValues(1, [joins(DAY_MINUTES + 1, 'b')]);
    await take(archive, '2026-11-24');
    await take(archive, '2026-11-25');
    assert.deepEqual(await findingsIn(bucketSource(archive.bucket), { deep: true }), []);
    const folder = join(root, 'copy');
    await writeFolder(archive.bucket, folder);
    const run = async (...argv: string[]) => {
      const screen = createScreen(env);
      const code = await runCommandLine(argv, screen);
      return { code, out: screen.output(), err: screen.errors() };
    };
    const checked = await run('access', 'check', folder);
    assert.deepEqual([checked.code, checked.err], [0, 'segment 1 of 2\n'], checked.out);
    assert.match(checked.out, /^2 snapshots of 2 borne out/);
    const compared = await run('access', 'diff', '2026-11-25', '2026-11-26', '--archive', folder);
    assert.equal(compared.code, 0, compared.err);
    assert.match(compared.out, /^WIDER\n.*\n2026-11-25T00:01:00Z +group +b +MEMBER/m);
    assert.match(compared.out, /databricks\.audit\/1\/0/);
    const script = join(import.meta.dirname, '..', '..', 'schemas', 'verify.py');
    const args = [script, folder, '--prefix', PREFIX, '--key', signer.verifier.vkey];
    const python = spawnSync('python3', args, { encoding: 'utf8' });
    if (python.error !== undefined) t.diagnostic('python3 is not here: verify.py was NOT asked');
    else assert.equal(python.status, 0, python.stdout + python.stderr);
    const key = evidenceKey(PREFIX, { log: ACCESS_LOG, kind: 'note', number: 2 });
    assert.ok(archive.bucket.current(key) !== null, 'signed');
    const empty = smallArchive();
    await assert.rejects(take(empty, '2026-11-24'), /no segment to read/);
  });

  test('opens segments that are encrypted, and says which key is missing', async () => {
    const key = wrappingKey(Buffer.alloc(SECRET_BYTES, 3));
    const archive = smallArchive({ key });
    await archive.sealValues(0, [joins(1, 'a'), joins(2, 'b')]);
    const store = doubleStore(archive.bucket, new FaultPlan());
    const read = async (keys: WrappingKey[]): Promise<AccessEvent[]> => {
      const events: AccessEvent[] = [];
      const access = (one: AccessEvent) => events.push(one);
      const heard = { event: () => {}, access, undecodable: () => assert.fail('undecodable') };
      const open = opener(unwrapWith(keys));
      await readArchive({ ...location(archive), store, open }, { heard: () => heard });
      return events;
    };
    assert.equal((await read([key])).length, 2);
    await assert.rejects(read([]), { code: 'ENVELOPE_KEY' });
  });
});
