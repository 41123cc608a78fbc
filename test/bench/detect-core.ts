/**
 * The detector without its servers: bytes to verdict on one core, with all shipped rules, beside
 * `JSON.parse` of the same events. `node test/bench/detect-core.ts [EVENTS] [ROUNDS]`. Each way has a
 * process of its own, and its own `JSON.parse` beside it: a service knows one way too, and code that
 * has to serve several at once is slower.
 *
 * The events are a company day's. `verdict` is which rules fire, found as `detector.ts` finds it:
 * in the bytes where they are plain, by decoding where they are not. `verdict and event` also
 * decodes each event that a rule fired on, for its alert or match. `decoded` is the way without
 * views. Nanoseconds for each event; ratios are to `JSON.parse` of the lines, so
 * more is better, and 1 is as fast as merely parsing.
 */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { auditEventType, encodeAuditEvent, frame } from '../../schemas/audit-event.ts';
import { Matcher } from '../../services/detector/match/match.ts';
import { loadRules, SHIPPED_LISTS, SHIPPED_RULES } from '../../services/detector/sigma/rules.ts';
import { type Decoded, decodeJson, decodeRecord } from '../../services/ingest/decode.ts';
import type { EventView } from '../../services/ingest/event-view.ts';
import { RecordViewer } from '../../services/ingest/record-view.ts';
import { companyDay } from '../company/day.ts';
import { packed, ratio, takeTurns, type Work } from './rounds.ts';

const EVENTS = Number(process.argv[2] ?? 20_000);
const ROUNDS = Number(process.argv[3] ?? 15);
const WAYS = ['json', 'avro', 'json-decoded', 'avro-decoded'] as const;
type Way = (typeof WAYS)[number];
const way = process.argv[4] as Way | undefined;

const loaded = loadRules({ layers: [SHIPPED_RULES], lists: [SHIPPED_LISTS], nowMs: Date.now() });
if (!loaded.ok) throw new Error('the shipped rules do not load');
const { rules } = loaded.set;

const lines = packed(
  [...companyDay({ seed: 1, events: EVENTS, days: 1, workspaces: 5, benign: false }).lines()].map(
    ({ line }) => Buffer.from(line),
  ),
);
const records = packed(
  lines.map((line) => {
    const decoded = decodeJson(line);
    if (!decoded.ok) throw new Error(decoded.detail);
    return frame(1, encodeAuditEvent(decoded.events[0]!));
  }),
);
const lookUp = (): typeof auditEventType => auditEventType;
const viewer = new RecordViewer();
const matcher = new Matcher(rules);
let sink = 0;

interface Route {
  bytes: readonly Buffer[];
  view: (bytes: Buffer) => EventView | null;
  decode: (bytes: Buffer) => Decoded;
}

const routes: Record<'json' | 'avro', Route> = {
  json: { bytes: lines, view: (line) => viewer.json(line), decode: (line) => decodeJson(line) },
  avro: {
    bytes: records,
    view: (value) => viewer.record(value, lookUp),
    decode: (value) => decodeRecord(value, lookUp),
  },
};

function verdict({ view, decode }: Route, bytes: Buffer, withEvent: boolean): number {
  const found = view(bytes);
  if (found !== null) {
    const hits = matcher.match(found).length;
    if (!found.isDoubtful) {
      if (hits > 0 && withEvent) decode(bytes);
      return hits;
    }
  }
  const decoded = decode(bytes);
  if (!decoded.ok) throw new Error(decoded.detail);
  return decoded.events.reduce((sum, event) => sum + matcher.match(event).length, 0);
}

function worksOf(way: Way): Record<string, Work> {
  const isJson = way.startsWith('json');
  const route = isJson ? routes.json : routes.avro;
  const each =
    (work: (bytes: Buffer) => number): Work =>
    (from, to) => {
      for (let at = from; at < to; at += 1) sink += work(route.bytes[at]!);
    };
  if (way.endsWith('-decoded')) {
    return {
      decoded: each((bytes) => {
        const decoded = route.decode(bytes);
        return decoded.ok ? matcher.match(decoded.events[0]!).length : 0;
      }),
    };
  }
  return {
    view: each((bytes) => (route.view(bytes) === null ? 0 : 1)),
    verdict: each((bytes) => verdict(route, bytes, false)),
    'verdict and event': each((bytes) => verdict(route, bytes, true)),
  };
}

/** What the views leave to decoding, and what fires: the same for both routes. */
function shares(route: Route): { viewed: number; doubtful: number; fired: number } {
  const counts = { viewed: 0, doubtful: 0, fired: 0 };
  for (const bytes of route.bytes) {
    const found = route.view(bytes);
    if (found === null) continue;
    counts.viewed += 1;
    const hits = matcher.match(found).length;
    if (found.isDoubtful) counts.doubtful += 1;
    else if (hits > 0) counts.fired += 1;
  }
  const share = (count: number): number => Number((count / route.bytes.length).toFixed(3));
  return {
    viewed: share(counts.viewed),
    doubtful: share(counts.doubtful),
    fired: share(counts.fired),
  };
}

const parse: Work = (from, to) => {
  for (let at = from; at < to; at += 1) {
    if (JSON.parse(lines[at]!.toString()) !== null) sink += 1;
  }
};

interface Times {
  parse: number;
  [work: string]: number;
}

/** Of one way, in this process: nanoseconds for each event. */
function timesOf(way: Way): Times {
  const times = takeTurns({ parse, ...worksOf(way) }, lines.length, ROUNDS) as Times;
  if (sink === 0) throw new Error('nothing was done');
  return times;
}

function inItsOwnProcess(way: Way): Times {
  const file = fileURLToPath(import.meta.url);
  const answer = execFileSync(process.execPath, [file, String(EVENTS), String(ROUNDS), way], {
    encoding: 'utf8',
    maxBuffer: 1024 * 1024,
  });
  return JSON.parse(answer) as Times;
}

function report(): void {
  const times = Object.fromEntries(WAYS.map((one) => [one, inItsOwnProcess(one)]));
  const toJsonParse = Object.fromEntries(
    Object.entries(times).map(([one, { parse: base, ...others }]) => [
      one,
      Object.fromEntries(Object.entries(others).map(([work, ns]) => [work, ratio(base / ns)])),
    ]),
  );
  const bytesOf = (buffers: readonly Buffer[]): number =>
    Math.round(buffers.reduce((sum, { length }) => sum + length, 0) / buffers.length);
  process.stdout.write(
    `${JSON.stringify(
      {
        bench: 'detect-core',
        node: process.version,
        events: lines.length,
        rules: rules.length,
        bytes: { line: bytesOf(lines), record: bytesOf(records) },
        nsPerEvent: times,
        toJsonParse,
        shares: { json: shares(routes.json), avro: shares(routes.avro) },
      },
      null,
      2,
    )}\n`,
  );
}

if (way === undefined) report();
else process.stdout.write(JSON.stringify(timesOf(way)));
