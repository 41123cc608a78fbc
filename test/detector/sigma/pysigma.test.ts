/**
 * The reference implementation reads what we ship: every rule, correlation and filter parses in
 * pySigma, and sigma-cli's own checks find no fault. Needs Python and its package index once; where
 * there is neither, the tests say aloud what was not tested.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { parseAllDocuments } from 'yaml';
import { SHIPPED_RULES } from '../../../services/detector/sigma/rules.ts';
import { pythonWith } from '../../readers/python.ts';

const run = promisify(execFile);
const PACKAGES = ['pysigma==1.5.1', 'sigma-cli==3.1.0'];
const SCRIPT = join(import.meta.dirname, 'pysigma_check.py');
const VECTORS = join(import.meta.dirname, 'portable.yml');
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;

/** Levels name selections beside the condition, which sigma-cli takes for forgotten ones. */
const NOT_OURS = ['dangling_detection'];
/** Checks that fetch lists of tags from elsewhere before they can say anything. */
const NEED_THE_WORLD = ['attacktag', 'd3_fendtag'];

let python: string | null = null;
let whyNot = '';

before(async () => {
  try {
    python = await pythonWith(PACKAGES);
  } catch (error) {
    whyNot = (error as Error).message.split('\n')[0]!;
  }
});

/** Files that are Sigma: overrides are ours alone, and no other tool reads them. */
function sigmaFiles(): string[] {
  return globSync(`${SHIPPED_RULES}/**/*.yml`).filter((file) =>
    parseAllDocuments(readFileSync(file, 'utf8')).every((document) =>
      ['detection', 'correlation', 'filter', 'action'].some((key) => document.has(key)),
    ),
  );
}

interface Parsed {
  rules: number;
  correlations: number;
  filters: number;
  errors: string[];
}

async function parsed(files: string[]): Promise<Parsed> {
  const { stdout } = await run(python!, [SCRIPT, ...files], { maxBuffer: OUTPUT_BYTES_MAX });
  return JSON.parse(stdout) as Parsed;
}

describe('pySigma', { timeout: 240_000 }, () => {
  it('parses every shipped rule, correlation and filter', async (t) => {
    if (python === null) return t.skip(`NOT TESTED against pySigma: ${whyNot}`);
    const files = sigmaFiles();
    const { errors, rules, correlations, filters } = await parsed(files);
    assert.deepEqual(errors, []);
    const documents = files.flatMap((file) => parseAllDocuments(readFileSync(file, 'utf8')));
    const some = (key: string) => documents.filter((document) => document.has(key)).length;
    assert.equal(rules, some('detection'));
    assert.equal(correlations, some('correlation'));
    assert.equal(filters, some('filter'));
  });

  it('parses the constructs that the language page calls portable', async (t) => {
    if (python === null) return t.skip(`NOT TESTED against pySigma: ${whyNot}`);
    const { errors, rules, correlations, filters } = await parsed([VECTORS]);
    assert.deepEqual(errors, []);
    assert.ok(rules >= 2 && correlations >= 5 && filters >= 1, 'all kinds of documents');
  });

  it('is asked in a way that would show an error', async (t) => {
    if (python === null) return t.skip(`NOT TESTED against pySigma: ${whyNot}`);
    const broken = join(import.meta.dirname, 'broken.yml');
    assert.notDeepEqual((await parsed([broken])).errors, []);
  });
});

describe('sigma-cli', { timeout: 240_000 }, () => {
  it('finds no fault in the shipped rules', async (t) => {
    if (python === null) return t.skip(`NOT TESTED against sigma-cli: ${whyNot}`);
    const without = (names: string[]) => [...NOT_OURS, ...names].flatMap((name) => ['-x', name]);
    const check = async (names: string[]) => {
      const args = ['check', '-e', '-i', ...without(names), ...sigmaFiles()];
      const program = join(dirname(python!), 'sigma');
      try {
        return {
          ok: true,
          text: (await run(program, args, { maxBuffer: OUTPUT_BYTES_MAX })).stdout,
        };
      } catch (error) {
        const { stdout, stderr } = error as { stdout: string; stderr: string };
        return { ok: false, text: `${stdout}\n${stderr}` };
      }
    };
    let result = await check([]);
    if (!result.ok && /Failed to load MITRE/.test(result.text)) {
      t.diagnostic(
        `NOT TESTED by sigma-cli: ${NEED_THE_WORLD.join(', ')} (their lists are remote)`,
      );
      result = await check(NEED_THE_WORLD);
    }
    assert.ok(result.ok, result.text);
  });
});
