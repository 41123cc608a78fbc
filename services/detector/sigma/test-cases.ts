/**
 * The tests of a rule file, read into events and verdicts:
 *
 *   tests:
 *     - name: five within an hour
 *       hit: true                # or `alerts: 2`, an exact count; and `level: high`
 *       base: {…}                # merged over lakeseal.base
 *       event: {…}               # merged over the base; or `events`, with their times
 *       events: [{ at: 5m, repeat: 4, every: 1m, each: requestParams.key, event: {…} }]
 *       until: 3h                # how far event time goes
 *       places: { 203.0.113.7: { country: FR } }
 */
import { addressBytes } from '../fields/address.ts';
import type { Place } from '../fields/place.ts';
import { MapReader } from './map-reader.ts';
import { LEVELS, type RuleTest, type TestEvent } from './rule.ts';
import {
  identified,
  isPlainMap,
  mergedEvent,
  moved,
  type PlainMap,
  repeated,
  timeOf,
} from './test-event.ts';
import { lineOf, plainOf, type Tree } from './tree.ts';

const TEST_KEYS = ['name', 'hit', 'alerts', 'level', 'base', 'event', 'events', 'until', 'places'];
const STEP_KEYS = ['at', 'repeat', 'every', 'each', 'event'];
const PLACE_KEYS = ['country', 'city', 'latitude', 'longitude', 'asn', 'asOrganisation'];

/** Most events of one test, repeats written out. */
const TEST_EVENTS_MAX = 10_000;
const ALERTS_MAX = TEST_EVENTS_MAX;

/** The tests under `lakeseal`; those with a problem are left out, and the problem told. */
export function readTests(own: MapReader): RuleTest[] {
  const base = plainMap(own, 'base');
  return own
    .items('tests', 'write "- name: …" items')
    .map((item) => {
      if (item.kind === 'map') return readTest(new MapReader(item, own.findings), base);
      own.findings.error(item, 'a test is a map', 'give it "name", "hit" and "event"');
      return null;
    })
    .filter((test) => test !== null);
}

function readTest(test: MapReader, fileBase: PlainMap | null): RuleTest | null {
  const { findings, map } = test;
  const before = findings.errors;
  test.unknownKeys(TEST_KEYS, 'error');
  const name = test.text('name', true);
  const verdict = readVerdict(test);
  const testBase = plainMap(test, 'base');
  const base = testBase === null ? fileBase : mergedEvent(fileBase ?? {}, testBase);
  const events = readEvents(test, base);
  const start = (base === null ? null : timeOf(base)) ?? firstTime(events);
  const until = test.duration('until', { zero: true });
  if (until !== null && start === null) {
    findings.error(test.keyOf('until'), '"until" counts from a time that is not there', BASE_HINT);
  }
  const places = readPlaces(test);
  if (findings.errors > before || name === null || verdict === null) return null;
  const untilMs = until === null || start === null ? null : start + until;
  return { name, ...verdict, events, untilMs, places, line: lineOf(map) };
}

const BASE_HINT = 'give "base" a timestamp';

function readVerdict(test: MapReader): Pick<RuleTest, 'hit' | 'alerts' | 'level'> | null {
  const alerts = test.number('alerts', { min: 0, max: ALERTS_MAX, integer: true });
  const level = test.choice('level', LEVELS, false);
  if (test.get('hit') === null) {
    if (alerts !== null) return { hit: alerts > 0, alerts, level };
    if (level !== null) return { hit: true, alerts, level };
  }
  const said = test.get('hit');
  if (said?.kind !== 'scalar' || typeof said.value !== 'boolean') {
    test.findings.error(
      said ?? test.map,
      'the test does not say whether it is a hit',
      'add "hit: true" or "hit: false"',
    );
    return null;
  }
  if ((alerts !== null && alerts > 0 !== said.value) || (level !== null && !said.value)) {
    test.findings.error(
      test.keyOf(alerts === null ? 'level' : 'alerts'),
      `the test says "hit: ${said.value}" and the contrary`,
      'remove one of the two',
    );
  }
  return { hit: said.value, alerts, level };
}

function readEvents(test: MapReader, base: PlainMap | null): TestEvent[] {
  const { findings, map } = test;
  const single = test.get('event');
  const several = test.get('events');
  if (single !== null && several !== null) {
    findings.error(test.keyOf('events'), 'the test has "event" and "events"', 'keep one of them');
    return [];
  }
  if (several !== null) return readSequence(test, base);
  const event = single?.kind === 'map' ? plainMap(test, 'event') : null;
  if (event === null) {
    const isBad = single !== null && single.kind !== 'map';
    findings.error(
      isBad ? single : map,
      'the test has no event',
      'add "event:" with one audit event',
    );
    return [];
  }
  return [{ event: base === null ? event : mergedEvent(base, event) }];
}

function readSequence(test: MapReader, base: PlainMap | null): TestEvent[] {
  const events: TestEvent[] = [];
  const items = test.items('events', 'write "- { at: 0m, event: {…} }" items');
  for (const item of items) {
    if (item.kind !== 'map') {
      test.findings.error(item, 'an event of a test is a map', 'write { at: 0m, event: {…} }');
      continue;
    }
    const step = new MapReader(item, test.findings);
    for (const event of readStep(step, base, events.length, items.length > 1))
      events.push({ event });
    if (events.length > TEST_EVENTS_MAX) {
      test.findings.error(item, `more than ${TEST_EVENTS_MAX} events`, 'repeat less');
      return [];
    }
  }
  if (items.length === 0 && test.get('events')?.kind === 'seq') {
    test.findings.error(test.get('events'), 'the test has no event', 'add { at: 0m, event: {…} }');
  }
  return events;
}

function readStep(
  step: MapReader,
  base: PlainMap | null,
  count: number,
  several: boolean,
): PlainMap[] {
  const { findings } = step;
  step.unknownKeys(STEP_KEYS, 'error');
  const at = step.duration('at', { zero: true }) ?? 0;
  const repeat = step.number('repeat', { min: 1, max: TEST_EVENTS_MAX, integer: true }) ?? 1;
  const every = step.duration('every', { zero: true }) ?? 0;
  const each = step.text('each', false);
  const said = step.get('event') === null ? {} : plainMap(step, 'event');
  if (said === null) return [];
  const event = base === null ? said : mergedEvent(base, said);
  const result: PlainMap[] = [];
  for (let index = 0; index < repeat; index += 1) {
    const later = moved(event, at + index * every);
    if (later === null) {
      findings.error(step.map, 'the event has no time that could be moved', BASE_HINT);
      return [];
    }
    const apart = several ? identified(later, said, count + index + 1) : later;
    const one = repeat === 1 && each === null ? apart : repeated(apart, index + 1, each);
    if (one === null) {
      findings.error(
        step.get('each'),
        `the event has no text in ${JSON.stringify(each)}`,
        'name a field of the event that holds text, as requestParams.key',
      );
      return [];
    }
    result.push(one);
  }
  return result;
}

function firstTime(events: readonly TestEvent[]): number | null {
  const [first] = events;
  return first !== undefined && isPlainMap(first.event) ? timeOf(first.event) : null;
}

function readPlaces(test: MapReader): Map<string, Place> {
  const places = new Map<string, Place>();
  const all = test.inner('places', 'write addresses, each with { country: FR, … }');
  for (const { key, value } of all?.map.entries ?? []) {
    if (addressBytes(key.text) === null) {
      test.findings.error(
        key,
        `${JSON.stringify(key.text)} is not an address`,
        'write 203.0.113.7',
      );
    }
    const place = readPlace(value, test);
    if (place !== null) places.set(key.text, place);
  }
  return places;
}

function readPlace(tree: Tree, test: MapReader): Place | null {
  if (tree.kind !== 'map') {
    test.findings.error(tree, 'a place is a map', 'write { country: FR, city: Paris, … }');
    return null;
  }
  const place = new MapReader(tree, test.findings);
  place.unknownKeys(PLACE_KEYS, 'error');
  return {
    country: place.text('country', false),
    city: place.text('city', false),
    latitude: place.number('latitude', { min: -90, max: 90 }),
    longitude: place.number('longitude', { min: -180, max: 180 }),
    asn: place.number('asn', { min: 0, max: 2 ** 32 - 1, integer: true }),
    asOrganisation: place.text('asOrganisation', false),
  };
}

function plainMap(reader: MapReader, key: string): PlainMap | null {
  const inner = reader.inner(key, 'write the keys of an audit event below it');
  if (inner === null) return null;
  const value = plainOf(inner.map, reader.findings);
  return isPlainMap(value) ? value : null;
}
