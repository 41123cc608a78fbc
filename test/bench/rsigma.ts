/**
 * rsigma's `engine eval` and lakeseal's matcher on the same file of events and the same rules:
 * `npm run bench -- rsigma --rsigma PROGRAM [EVENTS]`. Lines of log delivery in, verdicts out; 50,
 * 500 and 5,000 stateless rules, the most telling field of each first.
 *
 * Both are asked for all processor time of the process, its helpers included. Reading the rules is
 * taken off: of rsigma a run without events, of ours what happens before the first event. Rounds
 * take turns, and of each the fastest counts.
 */
import { strict as assert } from 'node:assert';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Matcher } from '../../services/detector/match/match.ts';
import { parseRuleFile } from '../../services/detector/sigma/rule-file.ts';
import { decodeJson } from '../../services/ingest/decode.ts';
import { LineSplitter } from '../../services/ingest/lines.ts';
import { RecordViewer } from '../../services/ingest/record-view.ts';
import { companyDay } from '../company/day.ts';
import { rsigmaFiles } from '../detector/match/rsigma.ts';
import { madeRules } from './made-rules.ts';
import { ratio } from './rounds.ts';

const SIZES = [50, 500, 5_000] as const;
const ROUNDS = 5;
const CHUNK_BYTES = 256 * 1024;
const LIMITS = { lineBytesMax: 8 * 1024 * 1024, firstPartBytes: 0 };

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rsigma: { type: 'string' } },
});
const program = values.rsigma;
if (program === undefined) throw new Error('--rsigma takes the path of the rsigma program');
const count = Number(positionals[0] ?? 60_000);

const day = companyDay({ seed: 1, events: count, days: 1, workspaces: 5, benign: false });
const lines = [...day.lines()].map(({ line }) => line);
const file = Buffer.from(lines.map((line) => `${line}\n`).join(''));
const viewer = new RecordViewer();

/** Which rules fire, as `scan` finds it out. */
function hitsOf(matcher: Matcher): number {
  const splitter = new LineSplitter(LIMITS);
  let hits = 0;
  for (let at = 0; at < file.length; at += CHUNK_BYTES) {
    for (const { bytes } of splitter.push(file.subarray(at, at + CHUNK_BYTES))) {
      const view = viewer.json(bytes);
      if (view !== null) {
        const fired = matcher.match(view);
        if (!view.isDoubtful) {
          hits += fired.length;
          continue;
        }
      }
      const decoded = decodeJson(bytes);
      if (!decoded.ok) continue;
      for (const event of decoded.events) hits += matcher.match(event).length;
    }
  }
  return hits;
}

function ourSeconds(matcher: Matcher): { seconds: number; hits: number } {
  const before = process.cpuUsage();
  const hits = hitsOf(matcher);
  const { user, system } = process.cpuUsage(before);
  return { seconds: (user + system) / 1e6, hits };
}

/** `0m1.234s` as POSIX `times` prints it, for children. */
const CHILDREN = /(\d+)m([\d.]+)s (\d+)m([\d.]+)s\s*$/;

/** Processor time of rsigma, and how many lines it printed. */
function theirSeconds(rules: string, events: string): { seconds: number; hits: number } {
  const script =
    '"$0" engine eval -r "$1" -e "@$2" --output-format ndjson --no-stats -q | wc -l; times';
  const { stdout, stderr } = spawnSync('bash', ['-c', script, program!, rules, events], {
    encoding: 'utf8',
  });
  const times = CHILDREN.exec(stdout);
  assert(times !== null, `rsigma: ${stderr}`);
  const [, userM, userS, systemM, systemS] = times.map(Number);
  return {
    seconds: (userM! + systemM!) * 60 + userS! + systemS!,
    hits: Number(stdout.slice(0, stdout.indexOf('\n'))),
  };
}

const results = SIZES.map((size) => {
  const documents = madeRules(size);
  const files = rsigmaFiles(documents, lines);
  const none = `${files.events}.none`;
  writeFileSync(none, '');
  const rules = documents.flatMap((one) => parseRuleFile('made-up.yml', JSON.stringify(one)).rules);
  const matcher = new Matcher(rules);
  const ours: number[] = [];
  const theirs: number[] = [];
  const idle: number[] = [];
  let hits: [ours: number, theirs: number] = [0, 0];
  try {
    ourSeconds(matcher);
    for (let round = 0; round < ROUNDS; round += 1) {
      idle.push(theirSeconds(files.rules, none).seconds);
      const busy = theirSeconds(files.rules, files.events);
      theirs.push(busy.seconds);
      const run = ourSeconds(matcher);
      ours.push(run.seconds);
      hits = [run.hits, busy.hits];
    }
  } finally {
    files.done();
  }
  assert.equal(hits[0], hits[1], 'both find the same');
  const own = Math.min(...ours);
  const other = Math.min(...theirs) - Math.min(...idle);
  const perSecond = (seconds: number): number => Math.round(lines.length / seconds);
  return {
    rules: size,
    hits,
    eventsPerCpuSecond: { lakeseal: perSecond(own), rsigma: perSecond(other) },
    ratio: ratio(other / own),
  };
});
process.stdout.write(
  `${JSON.stringify({ bench: 'rsigma', node: process.version, events: lines.length, lineBytes: Math.round(file.length / lines.length), results }, null, 2)}\n`,
);
