/**
 * The rule of rotation over random logs of keys: by the rule written again in few words, by whoever
 * looks leaves up, and by the verifier, who streams.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { KEYS_LOG, rotationBody } from '../../schemas/evidence/key-leaf.ts';
import { leafBytes, timeOf } from '../../schemas/evidence/leaf.ts';
import { ed25519Signer } from '../../schemas/evidence/note.ts';
import { LogReader } from '../../services/evidence/log-reader.ts';
import { LogWriter } from '../../services/evidence/log-writer.ts';
import { Succession } from '../../services/evidence/succession.ts';
import { withSuccessors } from '../../services/evidence/trust.ts';
import { Bucket } from '../double/bucket.ts';
import { FaultPlan } from '../double/faults.ts';
import { doubleStore } from '../double/store.ts';
import { bucketSource } from '../verifier/bucket-source.ts';
import { verifiedIn } from '../verifier/findings-in.ts';
import { NAME, PREFIX, START_MS } from '../verifier/proof-archive.ts';

const KEYS = [0, 1, 2, 3].map((seed) => ed25519Signer(NAME, Buffer.alloc(32, 50 + seed)));

/** `by` signs the checkpoint behind it; null: nobody does. `junk`: a leaf that is no rotation. */
interface Statement {
  from: number;
  to: number;
  by: number | null;
  junk: boolean;
}

const key = fc.nat(KEYS.length - 1);
/** Mostly as it should be: each by the key of the last one, signed by it. */
const statements = fc
  .array(
    fc.record({ hand: fc.nat(5), step: fc.integer({ min: 1, max: 3 }), wrong: fc.nat(11), key }),
    { maxLength: 5 },
  )
  .map((draws) => {
    let inForce = 0;
    return draws.map(({ hand, step, wrong, key: other }): Statement => {
      const from = hand === 0 ? other : inForce;
      const to = (from + step) % KEYS.length;
      inForce = to;
      const by = wrong === 0 ? null : wrong === 1 ? other : from;
      return { from, to, by, junk: wrong === 2 };
    });
  });

async function archiveOf(log: readonly Statement[]) {
  const bucket = new Bucket({ nowMs: () => START_MS });
  const store = doubleStore(bucket, new FaultPlan());
  const writer = await LogWriter.open(store, PREFIX, KEYS_LOG);
  for (const [at, { from, to, by, junk }] of log.entries()) {
    const time = timeOf(START_MS + at * 60_000);
    const body = junk ? { time } : await rotationBody(time, KEYS[from]!.verifier, KEYS[to]!);
    await writer.append((end) => leafBytes(end, body));
    if (by !== null) await writer.sign(KEYS[by]!);
  }
  return { bucket, store };
}

/** Who is trusted when all is read, and when reading ends with the first that does not count. */
function expected(given: readonly number[], log: readonly Statement[]) {
  const trusted = [...given];
  const gone = new Set<number>();
  let untilBad: number[] | null = null;
  for (const { from, to, by, junk } of log) {
    if (!junk && !trusted.includes(from)) continue;
    if (junk || gone.has(from) || by !== from) {
      untilBad ??= [...trusted];
      continue;
    }
    gone.add(from);
    if (!trusted.includes(to)) trusted.push(to);
  }
  return { whole: trusted, untilBad: untilBad ?? trusted };
}

const vkeysOf = (keys: readonly number[]) => keys.map((at) => KEYS[at]!.verifier.vkey);

describe('succession', () => {
  test('is one rule, whoever reads', async () => {
    const seen = { followed: 0, ended: 0, strangers: 0 };
    const given = fc.uniqueArray(key, { minLength: 1, maxLength: 2 });
    const runs = fc.asyncProperty(given, statements, async (first, log) => {
      const { bucket, store } = await archiveOf(log);
      const verifiers = first.map((at) => KEYS[at]!.verifier);
      const { whole, untilBad } = expected(first, log);
      seen.followed += untilBad.length > first.length + 1 ? 1 : 0;
      seen.ended += untilBad.length < whole.length ? 1 : 0;
      seen.strangers += log.some(({ from }) => !whole.includes(from)) ? 1 : 0;
      const looked = await withSuccessors(store, PREFIX, verifiers);
      assert.deepEqual(
        looked.map(({ vkey }) => vkey),
        vkeysOf(untilBad),
      );
      const { found, verification } = await verifiedIn(bucketSource(bucket), { verifiers });
      assert.deepEqual(
        verification.trusted.map(({ vkey }) => vkey),
        vkeysOf(whole),
      );
      const refused = found.some(({ code }) => code === 'key_rotation');
      if (untilBad.length < whole.length) assert.ok(refused, 'what ended the search is found');
    });
    await fc.assert(runs, { numRuns: 400 });
    for (const [what, count] of Object.entries(seen)) assert.ok(count > 5, `${what}: ${count}`);
  });

  test('each statement is judged by itself, and waits for the checkpoint of its own size', async () => {
    const { store } = await archiveOf([
      { from: 0, to: 1, by: null, junk: false },
      { from: 0, to: 1, by: null, junk: true },
      { from: 0, to: 1, by: null, junk: false },
      { from: 0, to: 3, by: null, junk: false },
      { from: 2, to: 3, by: null, junk: false },
    ]);
    const log = new LogReader(store, PREFIX, KEYS_LOG);
    const [first, second] = [KEYS[0]!.verifier, KEYS[1]!.verifier];
    const succession = new Succession([first]);
    const whys = async (sequence: number) =>
      succession.statement(await log.leaf(sequence), sequence).map(({ why }) => why);
    assert.deepEqual(await whys(0), []);
    assert.deepEqual(await whys(1), ['unconsented', 'unreadable']);
    assert.deepEqual(await whys(2), []);
    succession.signed(2, first);
    succession.signed(3, second);
    assert.deepEqual(succession.trusted, [first]);
    succession.signed(3, first);
    assert.deepEqual(
      succession.trusted.map(({ vkey }) => vkey),
      vkeysOf([0, 1]),
    );
    assert.deepEqual(await whys(3), ['replaced'], 'whoever was rotated away is not in force');
    assert.deepEqual(await whys(4), ['stranger']);
    assert.equal(succession.awaited, null);
  });
});
