/**
 * Events that are judged where they lie, held to the full path: whenever a view is given and is
 * without doubt, decoding the same bytes gives exactly one event, refuses nothing, and the same
 * rules fire on it (promises I1 and D1). Also: that the test would notice.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { auditEventType, encodeAuditEvent, frame } from '../../../schemas/audit-event.ts';
import { Matcher } from '../../../services/detector/match/match.ts';
import { decodeJson, decodeRecord } from '../../../services/ingest/decode.ts';
import type { AuditEvent } from '../../../services/ingest/event.ts';
import { type EventView, paramKey, paramOf } from '../../../services/ingest/event-view.ts';
import { RecordViewer } from '../../../services/ingest/record-view.ts';
import { rulesOf, ruleText } from '../events.ts';
import { anyLine, Dice, damaged, linesLike } from './mutate.ts';

const LINES = 1_000_000;
const DATA = 300_000;
/** Lines made of one line. */
const LIKE = 10;
/** Events that recur, for the memory of the index to be used. */
const TURNS = 20_000;
/** Of so many views each, every field is compared and not only the verdict. */
const FIELDS_OF_ONE_IN = 8;

/** Conditions on every kind of field, so that every way to read one is used. */
const DETECTIONS = [
  's: { actionName: login }',
  's: { serviceName: accounts, actionName|startswith: token }',
  's: { userAgent|contains: truffle }',
  's: { userAgent|re: "^Moz.*X11" }',
  's: { sourceIPAddress|cidr: [203.0.113.0/24, 2001:db8::/32] }',
  's: { sourceIPAddress: null }',
  's: { response.statusCode: [401, 403] }',
  's: { response.statusCode|gte: 400 }',
  's: { outcome: failure }',
  's: { requestParams.user: alice@example.com }',
  's: { requestParams.path|exists: true }',
  's: { requestParams.commandText|contains: quoted }',
  's: { requestParams.targetUserName|startswith: a }',
  's: { requestParams.é|exists: true }',
  's: { requestParams.path.a: 1 }',
  's: { requestParamsTruncated: true }',
  's: { actor.name: alice@example.com }',
  's: { actor.type: unknown }',
  's: { userIdentity.subjectName|exists: true }',
  's: { identityMetadata.runBy: bob@example.com }',
  's: { workspaceId: "12" }',
  's: { orgId: "7", requestId: "17" }',
  's: { auditLevel: WORKSPACE_LEVEL, version: "2.0", sessionId: s }',
  's: { timestamp|gt: 1795512600000 }',
  's: { timestamp|hour: 9 }',
  's: { lakeseal.source.class: private }',
  's: { lakeseal.agent.class: scanner }',
  's: { lakeseal.tokenLifetimeHours|gt: 1 }',
  's: { someField|exists: true }',
  's: { eventId: e-1 }',
  's: { shape: system_table }',
  's: { userAgent|fieldref: requestParams.user }',
];
const KEYWORDS = ['s: [quoted, "é"]'];

function matcherOf(detections: readonly string[]): Matcher {
  return new Matcher(
    detections.flatMap((detection, n) =>
      rulesOf(ruleText(`${detection}\ncondition: s`)).map((rule) => ({
        ...rule,
        id: String(n),
        title: detection,
      })),
    ),
  );
}

const FIELDS = [
  'eventId',
  'eventIdSource',
  'eventTime',
  'eventTimeText',
  'shape',
  'version',
  'auditLevel',
  'accountId',
  'workspaceId',
  'orgId',
  'shardName',
  'resourceId',
  'category',
  'serviceName',
  'actionName',
  'requestId',
  'sessionId',
  'userAgent',
  'sourceIp',
  'sourcePort',
  'sourceAddressText',
  'requestParams',
  'requestParamsTruncated',
  'outcome',
  'extra',
] as const satisfies readonly (keyof AuditEvent)[];
const ACTOR_FIELDS = [
  'name',
  'type',
  'email',
  'subjectName',
  'runBy',
  'runAs',
  'runByDisplayName',
  'runAsDisplayName',
  'actingResource',
] as const;
const RESPONSE_FIELDS = ['statusCode', 'errorMessage', 'result'] as const;

/** Reads every field of a fresh view; a doubt of one must not hide another. */
function sameFields(fresh: () => EventView, event: AuditEvent): void {
  const same = (name: string, read: (from: AuditEvent) => unknown): void => {
    const view = fresh();
    const found = read(view);
    if (!view.isDoubtful) assert.deepEqual(found, read(event), name);
  };
  for (const name of FIELDS) same(name, (from) => from[name]);
  for (const name of ACTOR_FIELDS) same(`actor.${name}`, (from) => from.actor[name]);
  for (const name of RESPONSE_FIELDS) same(`response.${name}`, (from) => from.response?.[name]);
  for (const key of Object.keys(event.requestParams)) {
    same(key, (from) => paramOf(from, paramKey(key)));
  }
}

interface Counts {
  viewed: number;
  doubtful: number;
  passed: number;
  hit: number;
}

/** Judges both ways; throws where the short way says more than the full one allows. */
function judge(
  bytes: Buffer,
  view: () => EventView | null,
  decode: () => ReturnType<typeof decodeJson>,
  matcher: Matcher,
  counts: Counts,
): void {
  const found = view();
  if (found === null) return;
  counts.viewed += 1;
  const fired = matcher.match(found).map(({ title }) => title);
  const { isDoubtful, eventTime } = found;
  const decoded = decode();
  const what = bytes.toString('latin1');
  assert.ok(decoded.ok, `viewed, but refused: ${what}`);
  assert.equal(decoded.events.length, 1, what);
  assert.equal(decoded.refused.length, 0, what);
  const event = decoded.events[0]!;
  assert.equal(eventTime, event.eventTime, what);
  if (isDoubtful) {
    counts.doubtful += 1;
  } else {
    assert.deepEqual(
      fired,
      matcher.match(event).map(({ title }) => title),
      what,
    );
    if (fired.length === 0) counts.passed += 1;
    else counts.hit += 1;
  }
  if (counts.viewed % FIELDS_OF_ONE_IN === 0) sameFields(() => view()!, event);
}

const none = (): Counts => ({ viewed: 0, doubtful: 0, passed: 0, hit: 0 });

describe('judging a record without decoding it', () => {
  it(`agrees with the full path on ${LINES} mutated lines`, (t) => {
    const dice = new Dice(20_261_128);
    const viewer = new RecordViewer();
    // With all rules almost every line is a hit: by turns a few of them, so that most are passed.
    const matchers = Array.from({ length: 8 }, (_, turn) =>
      matcherOf([...DETECTIONS, ...KEYWORDS].filter((_detection, n) => n % 8 === turn)),
    );
    const counts = none();
    for (let n = 0; n < LINES; n += LIKE) {
      const matcher = matchers[(n / LIKE) % matchers.length]!;
      for (const line of linesLike(dice, anyLine(dice), LIKE)) {
        const view = (): EventView | null => viewer.json(line);
        judge(line, view, () => decodeJson(line), matcher, counts);
      }
    }
    t.diagnostic(JSON.stringify(counts));
    assert.ok(counts.viewed > LINES / 8, JSON.stringify(counts));
    assert.ok(counts.passed > counts.viewed / 10, JSON.stringify(counts));
    assert.ok(counts.hit > counts.viewed / 10, JSON.stringify(counts));
  });

  it(`agrees with the full path on ${DATA} mutated Avro data`, (t) => {
    const dice = new Dice(7);
    const viewer = new RecordViewer();
    const matcher = matcherOf([...DETECTIONS.filter((_, n) => n % 4 === 2), ...KEYWORDS]);
    const lookUp = () => auditEventType;
    const counts = none();
    let good: Buffer[] = [];
    for (let n = 0; n < DATA; n += 1) {
      if (n % 1_000 === 0) good = goodData(dice, 50);
      const datum = dice.one(good);
      const value = frame(1, dice.chance(3) ? datum : damaged(dice, datum));
      const view = (): EventView | null => viewer.record(value, lookUp);
      judge(value, view, () => decodeRecord(value, lookUp), matcher, counts);
    }
    t.diagnostic(JSON.stringify(counts));
    assert.ok(counts.viewed > DATA / 5, JSON.stringify(counts));
    assert.ok(counts.passed > counts.viewed / 50, JSON.stringify(counts));
    assert.equal(counts.doubtful, 0);
  });

  it('finds the same in lines and in Avro data by turns, in one matcher, again and again', () => {
    const dice = new Dice(20_261_129);
    const viewer = new RecordViewer();
    // Not the id: of a line, only decoding tells it.
    const matcher = matcherOf(DETECTIONS.filter((one) => !one.includes('eventId')));
    const lookUp = () => auditEventType;
    let compared = 0;
    for (let n = 0; n < TURNS; n += 1) {
      const line = Buffer.from(
        JSON.stringify({
          timestamp: 1_795_512_600_000,
          sourceIPAddress: dice.one(['203.0.113.7', '10.0.0.1', '198.51.100.9']),
          userAgent: dice.one(['TruffleHog/3', 'curl/8']),
          userIdentity: { email: dice.one(['alice@example.com', 'bob@example.com']) },
          serviceName: 'accounts',
          actionName: dice.one(['login', 'tokenLogin']),
          requestParams: {},
          response: { statusCode: dice.one([200, 403]) },
        }),
      );
      const decoded = decodeJson(line);
      assert.ok(decoded.ok);
      const [event] = decoded.events;
      const view = dice.chance(2)
        ? viewer.json(line)
        : viewer.record(frame(1, encodeAuditEvent(event!)), lookUp);
      assert.ok(view !== null);
      const found = matcher.match(view).map(({ title }) => title);
      if (view.isDoubtful) continue;
      compared += 1;
      assert.deepEqual(
        found,
        matcher.match(event!).map(({ title }) => title),
      );
    }
    assert.ok(compared === TURNS, String(compared));
  });

  it('finds keywords in what is written, and leaves fields that no shape knows to decoding', () => {
    const matcher = matcherOf(KEYWORDS);
    const viewer = new RecordViewer();
    const judged = (more: string): string => {
      const line = `{"timestamp":1795512600000,"serviceName":"accounts","actionName":"login",${more}}`;
      const view = viewer.json(Buffer.from(line));
      assert.ok(view !== null);
      const hits = matcher.match(view).length;
      return view.isDoubtful ? 'doubtful' : String(hits);
    };
    assert.equal(judged('"requestParams":{"a":"plain"}'), '0');
    assert.equal(judged('"requestParams":{"a":"it is QUOTED"}'), '1');
    assert.equal(judged('"userAgent":"caf\\u00c9"'), '1');
    assert.equal(judged('"other":"quoted"'), 'doubtful');
  });
});

function goodData(dice: Dice, count: number): Buffer[] {
  const data: Buffer[] = [];
  while (data.length < count) {
    const decoded = decodeJson(anyLine(dice));
    if (decoded.ok) data.push(...decoded.events.map((event) => encodeAuditEvent(event)));
  }
  return data;
}
