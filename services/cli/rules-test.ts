/** `lakeseal rules test`: the tests inside rule files, as a table, and why those that failed did. */
import { type RuleTestResults, TestBench } from '../detector/workbench/tests.ts';
import type { Config } from '../runtime/config.ts';
import { counted } from '../runtime/wording.ts';
import { isUnder, type LayerFlags, layersOf, loadOrTell } from './rules-load.ts';
import { type Cell, formatTable, paint, printable, type Terminal, toJson } from './terminal.ts';

const TITLE_CHARS_SHOWN = 64;

export function testRules(
  terminal: Terminal,
  paths: readonly string[],
  flags: LayerFlags & { filter?: string; json?: true },
  config: () => Config,
  nowMs: number,
): number {
  const set = loadOrTell(terminal, layersOf(paths, flags, config), nowMs);
  if (set === null) return 1;
  const start = performance.now();
  const bench = new TestBench(set, () => performance.now());
  const chosen = bench
    .headers()
    .filter(({ file }) => paths.length === 0 || paths.some((path) => isUnder(file, path)))
    .filter((rule) => flags.filter === undefined || mentions(rule, flags.filter));
  const all = chosen.map(({ id }) => bench.run(id));
  // Rules that only serve others are tested through them.
  const results = all.filter((one) => one.alerts || one.results.length > 0);
  const ms = performance.now() - start;
  if (flags.json === true) terminal.out(toJson(asJson(results, ms)));
  else tellResults(terminal, results, ms);
  return results.some((one) => one.results.some(({ ok }) => !ok)) ? 1 : 0;
}

function mentions(rule: RuleTestResults['rule'], text: string): boolean {
  const wanted = text.toLowerCase();
  const where = [rule.title, rule.id, rule.name ?? '', rule.file];
  return where.some((one) => one.toLowerCase().includes(wanted));
}

function asJson(results: readonly RuleTestResults[], ms: number): unknown {
  const failed = results.flatMap((one) => one.results).filter(({ ok }) => !ok).length;
  return {
    ok: failed === 0,
    tests: results.reduce((sum, one) => sum + one.results.length, 0),
    failed,
    ms: Math.round(ms),
    rules: results.map((one) => ({
      id: one.rule.id,
      title: one.rule.title,
      kind: one.kind,
      file: one.rule.file,
      line: one.rule.line,
      ms: Number(one.ms.toFixed(2)),
      tests: one.results.map(({ test, ok, alerts, why }) => ({
        name: test.name,
        line: test.line,
        hit: test.hit,
        ok,
        alerts,
        why,
      })),
    })),
  };
}

function tellResults(terminal: Terminal, all: readonly RuleTestResults[], ms: number): void {
  const tested = all.filter(({ results }) => results.length > 0);
  if (tested.length > 0) {
    const head = ['', 'RULE', 'KIND', 'HITS', 'MISSES', 'TIME'];
    terminal.out(formatTable(terminal, head, tested.map(rowOf)));
  }
  for (const { rule, results } of tested) {
    for (const { test, ok, why } of results) {
      if (ok) continue;
      const place = `${rule.file}:${test.line}`;
      const kind = test.hit ? 'hit' : 'miss';
      terminal.out(
        `\n${paint(terminal, 'bad', '✘')} ${printable(`${place}: ${kind}: ${test.name}`)}`,
      );
      terminal.out(why.map((line) => `    ${printable(line)}`).join('\n'));
    }
  }
  terminal.out(`${tested.length > 0 ? '\n' : ''}${summary(all, ms)}`);
}

function rowOf({ rule, kind, results, ms }: RuleTestResults): Cell[] {
  const { title } = rule;
  const failed = results.some(({ ok }) => !ok);
  const short =
    title.length > TITLE_CHARS_SHOWN ? `${title.slice(0, TITLE_CHARS_SHOWN - 1)}…` : title;
  return [
    failed ? ['bad', '✘'] : ['good', '✔'],
    short,
    kind,
    passed(results, true),
    passed(results, false),
    `${ms.toFixed(1)} ms`,
  ];
}

/** `3`, or `2 of 3` where one failed. */
function passed(results: RuleTestResults['results'], hit: boolean): string {
  const of = results.filter(({ test }) => test.hit === hit);
  const good = of.filter(({ ok }) => ok).length;
  return good === of.length ? `${good}` : `${good} of ${of.length}`;
}

function summary(all: readonly RuleTestResults[], ms: number): string {
  const results = all.flatMap((one) => one.results);
  const failed = results.filter(({ ok }) => !ok).length;
  const untested = all.filter((one) => one.results.length === 0 && one.alerts).length;
  const seconds = ms / 1_000;
  return [
    `${counted(all.filter((one) => one.results.length > 0).length, 'rule')}, ${counted(results.length, 'test')}, ` +
      `${failed === 0 ? 'all passed' : `${failed} failed`}, ${seconds.toFixed(2)} s`,
    ...(untested === 0 ? [] : [`${counted(untested, 'rule')} without a test`]),
  ].join('; ');
}
