/**
 * Comparisons that begin at a snapshot say what those say that read everything, whatever came late,
 * twice, with a wrong clock or broken; and they read less.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import fc from 'fast-check';
import { encodeAuditEvent, frame } from '../../schemas/audit-event.ts';
import { ACCESS_LOG, DAY_MS, dayOf } from '../../schemas/evidence/access-leaf.ts';
import { evidenceKey } from '../../schemas/evidence/log-layout.ts';
import type { ManifestBody } from '../../schemas/evidence/manifest.ts';
import type { AccessEvent } from '../../services/access/change.ts';
import { diffBetween, listed } from '../../services/access/diff.ts';
import { resolveNames } from '../../services/access/names.ts';
import { earliestIn, latestIn, startBefore } from '../../services/access/start.ts';
import { inOrder } from '../../services/access/state.ts';
import { checkSnapshots, readSnapshots, signedSnapshots } from '../../services/access/take.ts';
import { type Material, type Range, readFrom } from '../../services/cli/access-material.ts';
import { takeSnapshots } from '../../services/cli/access-snapshot.ts';
import { runCommandLine } from '../../services/cli/program.ts';
import { decodeJson } from '../../services/ingest/decode.ts';
import { loadConfig } from '../../services/runtime/config.ts';
import { createScreen } from '../cli/screen.ts';
import {
  PREFIX,
  SCHEMA_ID,
  type SmallArchive,
  signer,
  smallArchive,
} from '../verifier/proof-archive.ts';
import { stranger } from '../verifier/tamperings.ts';
import { writeFolder } from '../verifier/write-folder.ts';
import { DAY, line, MINUTE_MS } from './events.ts';

const env = { LAKESEAL_STORAGE_PREFIX: PREFIX };
const config = loadConfig(undefined, env);
const root = mkdtempSync(join(tmpdir(), 'lakeseal-start-'));
after(() => rmSync(root, { recursive: true }));

const HOUR_MS = 60 * MINUTE_MS;
const HOURS = 24 * 8;
const EVERYTHING: Range = { fromMs: 0, toMs: Number.POSITIVE_INFINITY };
const location = ({ store }: SmallArchive) => ({ store, prefix: PREFIX, withoutTopics: [] });

function joins(hour: number, who: number, group: number, op: 'add' | 'remove'): string {
  const pair = op === 'add' ? 'accounts.addPrincipalToGroup' : 'accounts.removePrincipalFromGroup';
  // Some events tell which id a name has, some have the id alone; groups swap names over time.
  const params = [
    { targetGroupName: `g${(group + (hour > 90 ? 1 : 0)) % 2}`, targetGroupId: `5${group}` },
    { targetGroupName: `g${group}` },
    { targetGroupId: `5${group}` },
  ][Math.abs(hour) % 3];
  return line(hour * 60, pair, { ...params, targetUserName: `u${who}` });
}

function framed(text: string): Buffer {
  const decoded = decodeJson(text);
  assert.ok(decoded.ok);
  return frame(SCHEMA_ID, encodeAuditEvent(decoded.events[0]!));
}

async function take(archive: SmallArchive, nowMs: number): Promise<void> {
  const flags = { lastDay: dayOf(nowMs - DAY_MS) };
  await takeSnapshots(archive.store, signer, flags, config, createScreen());
}

// --- random archives -----------------------------------------------------------------------------

/** Hours before now; a wrong clock is ahead. Most events come at once, some are days late. */
const lateness = fc.oneof(
  { weight: 6, arbitrary: fc.constant(0) },
  { weight: 2, arbitrary: fc.integer({ min: 1, max: 100 }) },
  { weight: 1, arbitrary: fc.constant(-60) },
);
const record = fc.record({
  late: lateness,
  who: fc.nat(2),
  group: fc.nat(1),
  op: fc.constantFrom('add' as const, 'remove' as const),
  what: fc.constantFrom('event', 'event', 'event', 'again', 'junk'),
  /** Hours by which the record's own time is behind, as a producer may give it. */
  behind: fc.constantFrom(0, 0, 0, 5, 30),
});
const step = fc.record({
  wait: fc.integer({ min: 1, max: 30 }),
  partition: fc.nat(1),
  records: fc.array(record, { minLength: 1, maxLength: 4 }),
  isFramed: fc.boolean(),
  snapshot: fc.boolean(),
});
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

async function archiveOf(steps: readonly Step[]) {
  const archive = smallArchive();
  const texts: string[] = [];
  let hour = 0;
  let junk = 0;
  for (const { wait, partition, records, isFramed, snapshot } of steps) {
    hour += wait;
    const values = records.map(
      ({ late, who, group, op, what, behind }): [number, string | Buffer] => {
        const timeMs = DAY + (hour - behind) * HOUR_MS;
        if (what === 'junk') {
          junk += 1;
          return [timeMs, 'not an event'];
        }
        const text =
          what === 'again' && texts.length > 0
            ? texts[who % texts.length]!
            : joins(hour - late, who, group, op);
        texts.push(text);
        return [timeMs, isFramed ? framed(text) : text];
      },
    );
    await archive.sealValues(partition, values);
    if (snapshot) await take(archive, DAY + hour * HOUR_MS);
  }
  return { archive, junk };
}

/** As the command does it. */
const namedBefore = ({ changes }: Material, toMs: number): AccessEvent[] =>
  resolveNames(inOrder(changes.filter(({ timeMs }) => timeMs < toMs))).events;

const told = (material: Material, { fromMs, toMs }: Range): string =>
  JSON.stringify(listed(diffBetween(namedBefore(material, toMs), fromMs, toMs)), (_, value) =>
    typeof value === 'bigint' ? String(value) : (value as unknown),
  );

describe('a comparison from a snapshot', () => {
  test('says the same as one of everything', async () => {
    const seen = { begun: 0, lessRead: 0, late: 0, different: 0 };
    const hour = fc.integer({ min: -24, max: HOURS });
    const runs = fc.asyncProperty(
      fc.array(step, { minLength: 1, maxLength: 12 }),
      fc.tuple(hour, hour),
      async (steps, [one, other]) => {
        const { archive, junk } = await archiveOf(steps);
        const range = {
          fromMs: DAY + Math.min(one, other) * HOUR_MS,
          toMs: DAY + (Math.max(one, other) + 1) * HOUR_MS,
        };
        const place = location(archive);
        const screen = createScreen();
        const whole = await readFrom(null, EVERYTHING, place, '', screen);
        const { start } = startBefore(
          range.fromMs,
          await signedSnapshots(place, [signer.verifier]),
        );
        const short = await readFrom(start, range, place, '', screen);
        assert.equal(told(short, range), told(whole, range));
        assert.equal(whole.undecodable, junk);
        assert.ok(short.undecodable <= junk);
        if (steps.every(({ isFramed }) => !isFramed)) assert.equal(short.undecodable, junk);
        const bodies = await readSnapshots(place);
        assert.deepEqual(await checkSnapshots(place, bodies, () => {}), []);
        seen.begun += start === null ? 0 : 1;
        seen.lessRead += short.segments!.read < whole.segments!.read ? 1 : 0;
        seen.different += told(whole, range) === '[]' ? 0 : 1;
        const atDay =
          start === null ? [] : whole.changes.filter(({ timeMs }) => timeMs < start.endMs);
        seen.late += start !== null && atDay.length > start.changes.length ? 1 : 0;
      },
    );
    await fc.assert(runs, { numRuns: 100 });
    for (const [what, count] of Object.entries(seen)) assert.ok(count > 8, `${what}: ${count}`);
  });

  test('reads the segments of the end only, and what is behind the snapshot', async () => {
    const archive = smallArchive();
    for (let day = 0; day < 10; day++) {
      await archive.sealValues(0, [[DAY + day * DAY_MS, joins(day * 24, day, 0, 'add')]]);
      await take(archive, DAY + (day + 1) * DAY_MS);
    }
    // By its own time it is of the first day, as its producer may say.
    await archive.sealValues(1, [[DAY + 5 * HOUR_MS, joins(5, 99, 0, 'add')]]);
    // All of its records tell their times, which are behind the second time.
    await archive.sealValues(0, [[DAY + 10 * DAY_MS, framed(joins(240, 10, 0, 'add'))]]);
    const place = location(archive);
    const snapshots = await signedSnapshots(place, [signer.verifier]);
    const range = { fromMs: DAY + 8 * DAY_MS, toMs: DAY + 9 * DAY_MS };
    const { start } = startBefore(range.fromMs, snapshots);
    assert.equal(start!.day, '2026-12-01');
    const { segments, changes } = await readFrom(start, range, place, '', createScreen());
    assert.deepEqual(segments, { read: 4, all: 12 }, 'days 7, 8 and 9, and the late one');
    const subjects = inOrder(changes).map(({ effects }) => effects.at(-1)!.subject);
    assert.ok(subjects.includes('u99'), 'what came late is not lost');
  });

  test('needs a snapshot that closes before FROM, lists all, and is signed by a trusted key', async () => {
    const archive = smallArchive();
    await archive.sealValues(0, [[DAY + HOUR_MS, joins(1, 1, 0, 'add')]]);
    const place = location(archive);
    const keys = [signer.verifier];
    const why = (found: ReturnType<typeof startBefore>) => (found.start === null ? found.why : '');
    assert.match(why(startBefore(DAY, await signedSnapshots(place, keys))), /none that is signed/);
    await take(archive, DAY + DAY_MS);
    await take(archive, DAY + 2 * DAY_MS);
    const [first, second] = await signedSnapshots(place, keys);
    assert.match(why(startBefore(DAY + DAY_MS - 1, [first!, second!])), /not over at FROM/);
    assert.equal(startBefore(DAY + DAY_MS, [first!, second!]).start?.sequence, 0);
    assert.equal(startBefore(DAY + 9 * DAY_MS, [first!, second!]).start?.sequence, 1);
    const cut = { ...first!, omitted: 1 };
    assert.match(why(startBefore(DAY + 9 * DAY_MS, [cut, second!])), /no room/);
    await assert.rejects(signedSnapshots(place, [stranger.verifier]), { code: 'DOES_NOT_VERIFY' });
    archive.bucket.remove(evidenceKey(PREFIX, { log: ACCESS_LOG, kind: 'note', number: 2 }));
    assert.equal((await signedSnapshots(place, keys)).length, 1, 'the second is not signed');
    const lost = startBefore(DAY + DAY_MS, [{ ...first!, read: [[first!.read[0]![0], 7]] }]);
    const range = { fromMs: DAY + DAY_MS, toMs: DAY + 2 * DAY_MS };
    await assert.rejects(
      readFrom(lost.start, range, place, '', createScreen()),
      /read 7 manifests/,
    );
  });

  test('bounds of a segment hold whatever its records tell', () => {
    const body = (more: Partial<ManifestBody>) => more as ManifestBody;
    const records = { records: 2, timestampMin: '5', timestampMax: '9' };
    assert.equal(latestIn(body(records)), 9 + DAY_MS);
    assert.equal(latestIn(body({ ...records, timestampMin: '-1' })), Infinity);
    assert.equal(latestIn(body({ ...records, timestampMin: null, timestampMax: null })), Infinity);
    const times = { ...records, eventTimes: 2, eventTimeMin: '7' };
    assert.equal(earliestIn(body(times)), 7);
    assert.equal(earliestIn(body({ ...times, eventTimeMin: '900000000' })), 5 + DAY_MS);
    assert.equal(earliestIn(body({ ...times, eventTimes: 1 })), -Infinity);
    assert.equal(earliestIn(body({ ...times, timestampMin: '0' })), -Infinity);
  });

  test('the command says from where it began, or why it could not', async () => {
    const archive = smallArchive();
    for (let day = 0; day < 4; day++) {
      await archive.sealValues(0, [[DAY + day * DAY_MS, joins(day * 24, day, 0, 'add')]]);
    }
    await take(archive, DAY + 2 * DAY_MS);
    const folder = join(root, 'copy');
    await writeFolder(archive.bucket, folder);
    const run = async (...more: string[]) => {
      const screen = createScreen(env);
      const days = ['2026-11-27', '2026-11-28'];
      const argv = ['access', 'diff', ...days, '--archive', folder, ...more];
      return {
        code: await runCommandLine(argv, screen),
        out: screen.output(),
        err: screen.errors(),
      };
    };
    const key = ['--key', signer.verifier.vkey];
    const short = await run(...key);
    assert.equal(short.code, 0, short.err);
    assert.match(short.out, /What held before: the snapshot of 2026-11-25 \(leaf 0\)\./);
    assert.match(short.out, /Read: 3 of 4 segments\./);
    assert.doesNotMatch(short.err, /no snapshot/);
    const without = await run();
    assert.match(without.err, /no snapshot helps: no public key was given \(Pass --key/);
    const whole = await run('--whole', ...key);
    assert.doesNotMatch(whole.err, /no snapshot/);
    for (const { out } of [without, whole]) assert.match(out, /Read: 4 of 4 segments\./);
    const rows = ({ out }: { out: string }) => out.slice(out.indexOf('WIDER'), out.indexOf('; '));
    assert.ok(rows(short).includes('u3'));
    assert.equal(rows(short), rows(without));
    const wrong = await run('--key', stranger.verifier.vkey);
    assert.equal(wrong.code, 3);
    assert.match(wrong.err, /DOES_NOT_VERIFY|no trusted key|not as it was sealed/);
    const json = JSON.parse((await run('--json', ...key)).out) as { snapshot: object };
    assert.deepEqual(json.snapshot, { day: '2026-11-25', sequence: 0 });
  });
});
