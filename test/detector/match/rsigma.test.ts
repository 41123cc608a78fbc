/**
 * The matcher against rsigma 0.23.0, another engine in another language: the same generated rules
 * over the same events. Where the two differ, the plain evaluator must side with us, and one of the
 * differences below must be why.
 *
 * | rule | rsigma | here, and why |
 * | --- | --- | --- |
 * | `neq` on a field that is absent | does not hold | holds. Sigma 2.1, modifiers: `neq` is the negation of the item, and an item on an absent field does not hold |
 * | `startswith: '*b'`, `endswith: 'A*'` | the wildcard is taken for itself | the wildcard stays one. Sigma 2.1, wildcards: they are special in every string value, and the modifiers only add one more at an end |
 * | `fieldref` with `cased` to a number | does not hold | compares text: `7` and `"7"` are one value, as they are for every other test |
 *
 * Runs where LAKESEAL_RSIGMA names the program (`cargo install rsigma@0.23.0 --locked`).
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Matcher } from '../../../services/detector/match/match.ts';
import { decodeJson } from '../../../services/ingest/decode.ts';
import { detection, documentOf, event, parsed } from './generators.ts';
import {
  type PlainDetection,
  type PlainEvent,
  type PlainItems,
  type PlainSelection,
  plainVerdict,
} from './plain-evaluator.ts';
import { rsigmaVerdicts } from './rsigma.ts';

const RULES = 500;
const EVENTS = 10_000;
/** Rules of one run of rsigma: what it prints has to fit in memory. */
const BATCH = 50;
/** A rule that fires on more than this share of a sample only makes the output longer. */
const SHARE_MAX = 0.25;
const SAMPLE = 200;

const program = process.env.LAKESEAL_RSIGMA;

/** One event as a line of log delivery; its requestId is its number, in signs no pattern has. */
function lineOf(plain: PlainEvent, n: number): string {
  const status = plain['response.statusCode'];
  return JSON.stringify({
    timestamp: 1_795_512_600_000,
    sourceIPAddress: plain.sourceIPAddress,
    userAgent: plain.userAgent,
    userIdentity: { email: plain['userIdentity.email'] },
    serviceName: plain.serviceName,
    actionName: plain.actionName,
    requestId: `~${n}~`,
    requestParams: { p: plain['requestParams.p'], q: plain['requestParams.q'] },
    ...(status === undefined ? {} : { response: { statusCode: Number(status) } }),
  });
}

type Items = Array<[key: string, value: PlainItems[string]]>;

/** Every map of items of a detection changed in the same way. */
function mapItems(detection: PlainDetection, change: (items: Items) => Items): PlainDetection {
  const one = (items: PlainItems): PlainItems => Object.fromEntries(change(Object.entries(items)));
  const selection = (what: PlainSelection): PlainSelection =>
    Array.isArray(what)
      ? what.map((part) => (typeof part === 'string' ? part : one(part)))
      : one(what);
  return Object.fromEntries(
    Object.entries(detection).map(([name, what]) => [
      name,
      typeof what === 'string' ? what : selection(what),
    ]),
  );
}

/** rsigma refuses `all` on a single value, as the specification advises. */
function loadable(detection: PlainDetection): PlainDetection {
  return mapItems(detection, (items) =>
    items.map(([key, value]) => {
      const isOne = !Array.isArray(value) || value.length < 2;
      return [isOne ? key.replace('|all', '') : key, value];
    }),
  );
}

function withItems(detection: PlainDetection, test: (key: string, value: unknown) => boolean) {
  let found = false;
  mapItems(detection, (items) => {
    found ||= items.some(([key, value]) => test(key, value));
    return items;
  });
  return found;
}

/** Why rsigma says otherwise than the plain reading, or null. */
function explanation(detection: PlainDetection, plain: PlainEvent, theirs: boolean) {
  const wildcard = (value: unknown): boolean => typeof value === 'string' && /[*?]/.test(value);
  const neqNeedsField = mapItems(detection, (items) =>
    items.flatMap(([key, value]): Items => {
      if (!key.includes('|neq')) return [[key, value]];
      return [
        [key, value],
        [`${key.split('|')[0]}|exists`, true],
      ];
    }),
  );
  if (plainVerdict(neqNeedsField, plain) === theirs) return 'neq on an absent field';
  const anchored = withItems(
    detection,
    (key, value) =>
      /\|(startswith|endswith)/.test(key) &&
      (Array.isArray(value) ? value.some(wildcard) : wildcard(value)),
  );
  if (anchored) return 'wildcard with startswith or endswith';
  const cased = withItems(
    detection,
    (key, value) =>
      /\|fieldref.*\|cased/.test(key) &&
      (key.startsWith('response.statusCode|') || value === 'response.statusCode'),
  );
  return cased ? 'cased reference to a number' : null;
}

describe('rsigma', () => {
  const skip = program === undefined && 'LAKESEAL_RSIGMA is not set: NOT compared with rsigma';
  it(`finds what we find, ${RULES} rules by ${EVENTS} events`, { skip }, (t) => {
    const events = fc.sample(event, { numRuns: EVENTS, seed: 20_261_128 });
    const detections = fc
      .sample(detection, { numRuns: RULES * 4, seed: 20_261_128 })
      .map(loadable)
      .filter((one) => {
        const hits = events.slice(0, SAMPLE).filter((plain) => plainVerdict(one, plain)).length;
        return hits <= SAMPLE * SHARE_MAX;
      })
      .slice(0, RULES);
    assert.equal(detections.length, RULES);
    const lines = events.map(lineOf);
    const matcher = new Matcher(parsed(detections));
    const ours = lines.map((line) => {
      const decoded = decodeJson(line);
      assert.ok(decoded.ok);
      return new Set(matcher.match(decoded.events[0]!).map(({ id }) => id));
    });
    const counts = { pairs: 0, hits: 0, differences: 0, reasons: new Map<string, number>() };
    const documents = detections.map((one, n) => documentOf(one, n));
    for (let from = 0; from < RULES; from += BATCH) {
      const { fired } = rsigmaVerdicts(program!, documents.slice(from, from + BATCH), lines);
      for (const [n, plain] of events.entries()) {
        const theirs = new Set(fired.get(`~${n}~`));
        for (let rule = from; rule < from + BATCH; rule += 1) {
          const id = documents[rule]!.id as string;
          counts.pairs += 1;
          if (ours[n]!.has(id)) counts.hits += 1;
          if (ours[n]!.has(id) === theirs.has(id)) continue;
          const what = JSON.stringify([detections[rule], plain]);
          assert.equal(ours[n]!.has(id), plainVerdict(detections[rule]!, plain), what);
          const reason = explanation(detections[rule]!, plain, theirs.has(id));
          assert.ok(reason !== null, `not explained: ${what}`);
          counts.differences += 1;
          counts.reasons.set(reason, (counts.reasons.get(reason) ?? 0) + 1);
        }
      }
    }
    t.diagnostic(JSON.stringify({ ...counts, reasons: Object.fromEntries(counts.reasons) }));
    assert.ok(counts.hits > counts.pairs / 100, JSON.stringify(counts));
  });

  it('differs where the table says, and there only', { skip }, () => {
    const plain: PlainEvent = {
      serviceName: 'accounts',
      actionName: 'getTable',
      userAgent: '7',
      'response.statusCode': '7',
    };
    const detections: PlainDetection[] = [
      { s: { 'requestParams.p|neq': 'a' }, condition: 's' },
      { s: { 'actionName|endswith': 'A*' }, condition: 's' },
      { s: { 'actionName|startswith': '*T' }, condition: 's' },
      { s: { 'userAgent|fieldref|cased': 'response.statusCode' }, condition: 's' },
      // Not in the table: what both find.
      { s: { 'userAgent|neq': 'a' }, condition: 's' },
      { s: { 'actionName|endswith': 'TABLE' }, condition: 's' },
      { s: { 'userAgent|fieldref': 'response.statusCode' }, condition: 's' },
    ];
    const documents = detections.map((one, n) => documentOf(one, n));
    const { fired } = rsigmaVerdicts(program!, documents, [lineOf(plain, 0)]);
    assert.deepEqual(
      detections.map((one) => plainVerdict(one, plain)),
      detections.map(() => true),
    );
    assert.deepEqual(
      documents.map(({ id }) => (fired.get('~0~') ?? []).includes(id as string)),
      [false, false, false, false, true, true, true],
    );
  });
});
