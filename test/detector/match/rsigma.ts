/**
 * rsigma as another judge: its program, run on files of rules and events. For the differential test
 * and the benchmark; where it is, whoever runs them says.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const OUTPUT_BYTES_MAX = 1024 * 1024 * 1024;

export interface RsigmaRun {
  /** Ids of the rules that fired, by the event's requestId. */
  fired: Map<string, string[]>;
}

/** A folder of rule files and a file of events; `done` removes both. */
export function rsigmaFiles(
  documents: readonly object[],
  lines: readonly string[],
): { rules: string; events: string; done: () => void } {
  const folder = mkdtempSync(join(tmpdir(), 'lakeseal-rsigma-'));
  const rules = join(folder, 'rules.yml');
  const events = join(folder, 'events.ndjson');
  writeFileSync(rules, documents.map((one) => `${JSON.stringify(one)}\n`).join('---\n'));
  writeFileSync(events, lines.map((line) => `${line}\n`).join(''));
  return { rules, events, done: () => rmSync(folder, { recursive: true, force: true }) };
}

/** What rsigma finds. Throws where it cannot be run or does not load the rules. */
export function rsigmaVerdicts(
  program: string,
  documents: readonly object[],
  lines: readonly string[],
): RsigmaRun {
  const { rules, events, done } = rsigmaFiles(documents, lines);
  try {
    const args = ['engine', 'eval', '-r', rules, '-e', `@${events}`, '--include-event'];
    const { status, stdout, stderr } = spawnSync(
      program,
      [...args, '--output-format', 'ndjson', '--no-stats'],
      { maxBuffer: OUTPUT_BYTES_MAX, encoding: 'utf8' },
    );
    if (stdout === null || (status !== 0 && stdout === '')) throw new Error(`rsigma: ${stderr}`);
    const fired = new Map<string, string[]>();
    for (const line of stdout.split('\n')) {
      if (line === '') continue;
      const { rule_id: rule, event } = JSON.parse(line) as {
        rule_id: string;
        event: { requestId: string };
      };
      const known = fired.get(event.requestId);
      if (known === undefined) fired.set(event.requestId, [rule]);
      else known.push(rule);
    }
    return { fired };
  } finally {
    done();
  }
}
