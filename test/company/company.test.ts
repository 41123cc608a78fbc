/** The generated company day: deterministic, realistic in its proportions, and told truthfully. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { after, before, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { expandInputs } from '../../services/collector/files.ts';
import { openEnrichment } from '../../services/detector/enrich/enrichment.ts';
import { type ScanAlert, scan } from '../../services/detector/scan.ts';
import { SHIPPED_RULES } from '../../services/detector/sigma/rules.ts';
import { decodeJson } from '../../services/ingest/decode.ts';
import type { AuditEvent } from '../../services/ingest/event.ts';
import { configSchema } from '../../services/runtime/config.ts';
import { BEHAVIOURS } from './attacks.ts';
import { companyDay, type DayLine, type DayOptions } from './day.ts';
import { Random } from './random.ts';
import { TRUNCATION_MARK } from './traffic.ts';
import { writeGeography } from './week/geography.ts';
import { writeDelivery } from './write.ts';

const EVENTS = 40_000;

let root: string;
let day: DayLine[];
let events: AuditEvent[];

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'lakeseal-company-'));
  day = [...companyDay({ seed: 5, events: EVENTS }).lines()];
  events = day.filter(({ repeat }) => repeat !== true).map(({ line }) => decode(line));
});
after(() => rm(root, { recursive: true, force: true }));

function decode(line: string): AuditEvent {
  const decoded = decodeJson(line);
  assert.ok(decoded.ok, `${decoded.ok ? '' : decoded.detail}: ${line.slice(0, 200)}`);
  assert.equal(decoded.events.length, 1);
  return decoded.events[0]!;
}

const digest = (options: DayOptions): string => {
  const hash = createHash('sha256');
  for (const line of companyDay(options).lines()) hash.update(JSON.stringify(line));
  return hash.digest('hex');
};

test('the same options give the same bytes, another seed gives others', () => {
  const options = { seed: 3, events: 3_000, days: 2, workspaces: 7 };
  assert.equal(digest(options), digest({ ...options }));
  assert.notEqual(digest(options), digest({ ...options, seed: 4 }));
});

test('the random numbers are the same on every machine', () => {
  const random = new Random(1);
  assert.deepEqual(
    [random.uint32(), random.uint32(), random.fork('x').uint32()],
    [245_408_668, 291_682_961, 1_494_431_676],
  );
});

test('exactly so many distinct events as asked for, each decodes, each with an id of its own', () => {
  assert.equal(events.length, EVENTS);
  assert.equal(new Set(events.map(({ eventId }) => eventId)).size, EVENTS);
  assert.ok(events.every(({ decodeErrors }) => decodeErrors.length === 0));
  for (const [seed, count, days] of [
    [1, 1_000, 1],
    [2, 4_321, 3],
  ] as const) {
    const lines = [...companyDay({ seed, events: count, days }).lines()];
    assert.equal(lines.filter(({ repeat }) => repeat !== true).length, count);
  }
});

test('repeats are the same bytes again, after the first, a few in a thousand', () => {
  const seen = new Set<string>();
  let repeats = 0;
  for (const { line, repeat } of day) {
    assert.equal(seen.has(line), repeat === true);
    seen.add(line);
    if (repeat === true) repeats += 1;
  }
  assert.ok(repeats > 0 && repeats < EVENTS / 50, `${repeats} repeats`);
});

test('every event is within its days and delivered under its workspace and date', () => {
  const startMs = Date.parse('2026-11-23T00:00:00Z');
  const lines = [...companyDay({ seed: 1, events: 5_000, days: 2 }).lines()];
  const late = lines.filter(({ atMs }) => atMs >= startMs + 2 * 86_400_000);
  assert.ok(late.length < 20, 'only answers to the last questions come after midnight');
  for (const { atMs, line, workspaceId, date } of lines) {
    assert.ok(atMs >= startMs && atMs < startMs + 2 * 86_400_000 + 3_600_000);
    const event = decode(line);
    assert.equal(event.eventTime, atMs);
    assert.equal(event.workspaceId, workspaceId);
    assert.equal(date, new Date(atMs).toISOString().slice(0, 10));
    assert.equal(event.auditLevel === 'ACCOUNT_LEVEL', workspaceId === '0');
  }
});

function share(test: (event: AuditEvent) => boolean): number {
  return events.filter(test).length / events.length;
}
const is =
  (service: string, action: string) =>
  (event: AuditEvent): boolean =>
    event.serviceName === service && event.actionName === action;

test('the proportions are those of real accounts', () => {
  const within = (name: string, value: number, from: number, to: number): void => {
    assert.ok(value >= from && value <= to, `${name}: ${value}, expected ${from} to ${to}`);
  };
  const authentication = share(({ serviceName }) => serviceName === 'accounts');
  within('authentication chatter', authentication, 0.55, 0.75);
  within('token authorizations', share(is('accounts', 'oidcTokenAuthorization')), 0.3, 0.45);
  within('token logins', share(is('accounts', 'tokenLogin')), 0.15, 0.28);
  const saml = share(is('accounts', 'samlLogin'));
  within('SAML logins', saml, 1e-5, 1e-3);
  const jobs = share(is('jobs', 'runCommand'));
  const notebooks = share(is('notebook', 'runCommand'));
  within('job commands for one of a notebook', jobs / notebooks, 150, 1_500);
  within('filesGet', share(is('filesystem', 'filesGet')), 0.008, 0.03);
  within('getSecret', share(is('secrets', 'getSecret')), 0.008, 0.03);
  within(
    'account level',
    share((event) => event.workspaceId === '0'),
    0.08,
    0.3,
  );
  within(
    'service principals',
    share(({ actor }) => actor.type === 'service_principal'),
    0.6,
    0.95,
  );
  within(
    'the system',
    share(({ actor }) => actor.type === 'system'),
    0.005,
    0.1,
  );
  within(
    'no address',
    share(({ sourceIp }) => sourceIp === null),
    0.1,
    0.6,
  );
  within(
    '0.0.0.0',
    share(({ sourceIp }) => sourceIp === '0.0.0.0'),
    0.02,
    0.3,
  );
  within(
    'with a port',
    share(({ sourcePort }) => sourcePort !== null),
    0.02,
    0.4,
  );
  within(
    'without a response',
    share(({ response }) => response === null),
    0.001,
    0.05,
  );
  within(
    'failures',
    share(({ outcome }) => outcome === 'failure'),
    0.0005,
    0.03,
  );
});

test('the oddities of real deliveries are in it', () => {
  const truncated = events.filter((event) => event.requestParamsTruncated);
  assert.ok(truncated.length > 0, 'cut parameters');
  assert.ok(truncated.every(({ raw }) => raw.includes(TRUNCATION_MARK)));
  assert.ok(
    events.some(({ raw }) => raw.length > 10_000),
    'large parameters',
  );
  assert.ok(events.some(({ orgId, raw }) => orgId?.length === 22 && !raw.includes('workspaceId')));
  assert.ok(
    events.some(({ sourceIp }) => sourceIp?.startsWith('2001:db8:')),
    'IPv6',
  );
  const byRequest = new Map<string, string[]>();
  for (const { requestId, actionName } of events) {
    byRequest.set(requestId!, [...(byRequest.get(requestId!) ?? []), actionName]);
  }
  const pairs = [...byRequest.values()].filter((actions) => actions.length > 1);
  assert.ok(pairs.length > 50, 'questions and answers under one request id');
  assert.ok(pairs.every(([first, second]) => second === `${first}Result`));
});

test('people work by day in their own time zone, machines at night too', () => {
  const [frankfurt] = companyDay({ seed: 5, events: EVENTS }).company.workspaces;
  const local = (event: AuditEvent): number => new Date(event.eventTime + 3_600_000).getUTCHours();
  const here = events.filter(({ workspaceId }) => workspaceId === frankfurt!.id);
  const human = here.filter(({ actor }) => actor.type === 'user');
  const day = human.filter((event) => local(event) >= 8 && local(event) < 19).length;
  assert.ok(day / human.length > 0.8, `${day} of ${human.length}`);
  const machine = here.filter(({ actor }) => actor.type === 'service_principal');
  const night = machine.filter((event) => local(event) < 6).length;
  assert.ok(night / machine.length > 0.2, `${night} of ${machine.length}`);
});

async function alertsOf(lines: DayLine[]): Promise<ScanAlert[]> {
  const path = join(root, `${createHash('md5').update(lines[0]!.line).digest('hex')}.json`);
  await writeFile(path, lines.map(({ line }) => line).join('\n'));
  let output = '';
  const discard = new Writable({ write: (_chunk, _encoding, done) => done() });
  const stdout = new Writable({
    write(chunk, _encoding, done) {
      output += chunk;
      done();
    },
  });
  const io = { stdin: Readable.from([]), stdout, stderr: discard, now: () => 0 };
  const options = { files: [path], rules: [SHIPPED_RULES], format: 'json' as const };
  const places = openEnrichment(writeGeography(root));
  const code = await scan({ ...options, places }, io);
  assert.equal(code, 0);
  return output
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));
}

test('each told attack raises alerts of its rule, on its own events', async () => {
  const { told } = writeDelivery({ seed: 5, events: 5_000, out: join(root, 'told') });
  const lines = [...companyDay({ seed: 5, events: 5_000 }).lines()];
  const alerts = await alertsOf(lines);
  assert.deepEqual(
    told.map(({ behaviour }) => behaviour),
    BEHAVIOURS,
  );
  const toldOf = ({ evidence }: ScanAlert): Set<string | undefined> =>
    new Set(evidence.map(({ line }) => lines[line - 1]!.told));
  for (const attack of told) {
    const raised = alerts.filter(
      (alert) => alert.rule.id === attack.ruleId && toldOf(alert).has(attack.behaviour),
    );
    assert.ok(raised.length > 0, `nothing tells of ${attack.behaviour}`);
    if (attack.kind === 'single') assert.ok(raised.length <= attack.raising, attack.behaviour);
    for (const alert of raised) {
      assert.equal(alert.rule.title, attack.ruleTitle);
      assert.deepEqual([...toldOf(alert)], [attack.behaviour]);
      assert.ok(alert.first >= attack.first && alert.first <= attack.last, attack.behaviour);
    }
  }
  const untold = alerts.filter((alert) => [...toldOf(alert)].every((name) => name === undefined));
  assert.deepEqual(
    untold.filter(({ rule }) => rule.level === 'high' || rule.level === 'critical'),
    [],
  );
});

test('ordinary traffic raises nothing high, and little at all', async () => {
  const lines = [...companyDay({ seed: 9, events: 40_000, benign: true }).lines()];
  assert.ok(lines.every(({ told }) => told === undefined));
  const alerts = (await alertsOf(lines)).filter(({ rule }) => rule.level !== 'informational');
  const high = alerts.filter(({ rule }) => ['high', 'critical'].includes(rule.level));
  assert.deepEqual(high, []);
  const medium = alerts.filter(({ rule }) => rule.level === 'medium');
  assert.ok(medium.length <= 4, `${medium.length} alerts on 40,000 ordinary events`);
});

test('the delivery folder holds every line, as Databricks lays it out', async () => {
  const out = join(root, 'delivery');
  const options = { seed: 2, events: 3_000 };
  const summary = writeDelivery({ ...options, out, linesPerFile: 500 });
  const lines: string[] = [];
  let files = 0;
  for (const entry of await readdir(out, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || entry.name === 'told.json') continue;
    files += 1;
    const path = join(entry.parentPath, entry.name);
    const match = /workspaceId=(\d+)\/date=\d{4}-\d\d-\d\d\/auditlogs_(\d+)_\d{5}\.json\.gz$/.exec(
      path,
    );
    assert.equal(match?.[1], match?.[2], path);
    const text = gunzipSync(await readFile(path)).toString();
    for (const line of text.trimEnd().split('\n')) {
      lines.push(line);
      assert.equal(decode(line).workspaceId, match![1]);
    }
  }
  const expected = [...companyDay(options).lines()].map(({ line }) => line);
  assert.equal(summary.lines, expected.length);
  assert.equal(summary.events, 3_000);
  assert.equal(summary.files, files);
  lines.sort();
  expected.sort();
  assert.ok(lines.every((line, at) => line === expected[at]));
  const told = JSON.parse(await readFile(join(out, 'told.json'), 'utf8'));
  assert.equal(told.attacks.length, BEHAVIOURS.length);
});

test('collected as it was delivered, event time hardly goes back', async () => {
  const out = join(root, 'in-order');
  writeDelivery({ seed: 3, events: 5_000, out });
  const { sources } = await expandInputs(
    [join(out, 'workspaceId=*', '**', '*.gz')],
    Readable.from([]),
  );
  assert.ok(sources.length > 100);
  const seen = new Set<string>();
  let newest = 0;
  let latest = 0;
  for (const { name } of sources) {
    for (const line of gunzipSync(await readFile(name))
      .toString()
      .trimEnd()
      .split('\n')) {
      const { eventId, eventTime } = decode(line);
      // A line that comes again is the same event, whenever it comes.
      if (seen.has(eventId)) continue;
      seen.add(eventId);
      newest = Math.max(newest, eventTime);
      latest = Math.max(latest, newest - eventTime);
    }
  }
  const { detect } = configSchema.parse({});
  assert.ok(latest <= detect.latenessMs, `${latest} ms late`);
});

test('a day of too few events is refused, not quietly made larger', () => {
  assert.throws(() => companyDay({ seed: 1, events: 10 }), RangeError);
  assert.throws(() => companyDay({ seed: 1, events: 1_000, firstDay: 'soon' }), RangeError);
});
