/** The rule reader is total: whatever the text, it answers, and every problem has a place in it. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { doubtsOf } from '../../../services/detector/sigma/doubts.ts';
import { SHIPPED_RULES } from '../../../services/detector/sigma/rules.ts';
import { layered } from './layers.ts';

const RUNS = 10_000;
/** Longer texts take longer and show nothing more. */
const TEXT_CHARS_MAX = 1_200;

const page = readFileSync(join(SHIPPED_RULES, 'README.md'), 'utf8');
const examples = [...page.matchAll(/^```yaml\n(.*?)^```$/gms)].map((match) => match[1]!);
const documents = globSync(`${SHIPPED_RULES}/**/*.yml`)
  .sort()
  .flatMap((file) => readFileSync(file, 'utf8').split('---\n'))
  .map((text) => text.slice(0, TEXT_CHARS_MAX));
const texts = [...examples, ...documents];
const lines = [...new Set(texts.flatMap((text) => text.split('\n')))];

const scrap = fc.oneof(
  fc.constantFrom(
    ...[
      '{',
      '}',
      '[',
      ']',
      ': ',
      '- ',
      '&a ',
      '*a',
      '|',
      '>',
      '"',
      "'",
      '\t',
      '#',
      '%',
      '? ',
      '!!',
      '~',
    ],
    ...[
      'null',
      'true',
      '1e999',
      '-0',
      '0x7f',
      '.inf',
      '.nan',
      '\u0000',
      '\ufeff',
      '\ud800',
      '😀',
      '\r',
    ],
    ...[
      '---\n',
      '\n',
      '  ',
      '|re: (',
      '|cidr: 1',
      '|expand: "%x%"',
      ' and ',
      ' not ',
      '1 of ',
      '__proto__: {}',
    ],
    ...[
      'correlation: ',
      'filter: ',
      'lakeseal: ',
      'action: global\n',
      'constructor',
      'timespan: 5M',
      '<<: *a',
    ],
  ),
  fc.constantFrom(...lines).map((line) => `${line}\n`),
);

/** Where to cut, how much to take away, what to put there. */
const edit = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  remove: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 40 })),
  put: fc.oneof(fc.constant(''), scrap),
});

function edited(text: string, edits: ReadonlyArray<{ at: number; remove: number; put: string }>) {
  return edits.reduce((result, { at, remove, put }) => {
    const place = Math.floor(at * result.length);
    return result.slice(0, place) + put + result.slice(place + remove);
  }, text);
}

describe('the rule reader', () => {
  it(`reads ${RUNS} mutated texts without throwing, and places every problem`, {
    timeout: 240_000,
  }, () => {
    const told = { whole: 0, errors: 0 };
    fc.assert(
      fc.property(
        fc.constantFrom(...texts),
        fc.array(edit, { minLength: 1, maxLength: 4 }),
        (text, edits) => {
          const mutated = edited(text, edits);
          const { set, problems } = layered([mutated]);
          doubtsOf(set);
          const widths = mutated.split('\n').map((line) => line.length);
          for (const { file, line, column, message, hint } of problems) {
            assert.equal(file, '0.yml');
            assert.ok(line >= 1 && line <= widths.length, `line ${line} of ${widths.length}`);
            assert.ok(
              column >= 1 && column <= widths[line - 1]! + 1,
              `${line}:${column} ${message}`,
            );
            assert.ok(message !== '' && hint !== '');
            assert.doesNotMatch(message + hint, /\n|undefined|\[object/);
          }
          if (problems.some(({ severity }) => severity === 'error')) told.errors += 1;
          else told.whole += 1;
        },
      ),
      { numRuns: RUNS, seed: 20_261_124 },
    );
    assert.ok(told.errors > RUNS / 10 && told.whole > RUNS / 100, JSON.stringify(told));
  });
});
