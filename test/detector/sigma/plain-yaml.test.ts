/** The quick reader of YAML says what the library says, or nothing. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Findings } from '../../../services/detector/sigma/findings.ts';
import { Lines } from '../../../services/detector/sigma/lines.ts';
import { readPlainYaml } from '../../../services/detector/sigma/plain-yaml.ts';
import { SHIPPED_RULES } from '../../../services/detector/sigma/rules.ts';
import { readYaml, type Tree } from '../../../services/detector/sigma/tree.ts';

const RUNS = 8_000;
const LINES_MAX = 12;

const texts = globSync('**/*.yml', { cwd: SHIPPED_RULES })
  .sort()
  .map((name) => readFileSync(join(SHIPPED_RULES, name), 'utf8'));
/** Short pieces of rule files, each a text of its own. */
const pieces = texts.flatMap((text) => {
  const lines = text.split('\n');
  const count = Math.ceil(lines.length / LINES_MAX);
  return Array.from(
    { length: count },
    (_, at) => `${dedented(lines.slice(at * LINES_MAX, (at + 1) * LINES_MAX)).join('\n')}\n`,
  );
});

function dedented(lines: string[]): string[] {
  const least = Math.min(...lines.filter((line) => line !== '').map((line) => line.search(/\S|$/)));
  return lines.map((line) => line.slice(least));
}

function quick(text: string): Tree[] | null {
  return readPlainYaml({ file: 'a.yml', lines: new Lines(text) }, text);
}

/** What the library gives; null where it finds fault. */
function whole(text: string): Tree[] | null {
  const findings = new Findings('a.yml');
  const trees = readYaml({ file: 'a.yml', lines: new Lines(text) }, text, findings);
  return findings.problems.length > 0 ? null : trees;
}

function sameOrNothing(text: string): boolean {
  const answer = quick(text);
  if (answer === null) return false;
  assert.deepEqual(answer, whole(text));
  return true;
}

const SIGNS = [
  ...['\n', ' ', '  ', ':', ': ', ' #', '#', '- ', '-', '---\n', ',', '[', ']', '{', '}', '"', "'"],
  ...[
    '|',
    '>',
    '|-',
    '&a ',
    '*a',
    '!',
    '%',
    '@',
    '?',
    '? ',
    '\\',
    '\t',
    '~',
    'null',
    'true',
    'Yes',
  ],
  ...['1', '0x1f', '1e3', '.5', '+1', '-1', '1.', '.inf', '<<: ', 'é', '\u{1F511}', '\u0085', '""'],
  ...[
    '\n\n',
    '\n  ',
    '\n    - ',
    'a: b\n',
    '&a\n',
    '|\n  x\n',
    '>\n  x\n  y\n\n  z\n',
    '{ a: *a }',
  ],
];

interface Edit {
  at: number;
  remove: number;
  insert: string;
}

const edit: fc.Arbitrary<Edit> = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  remove: fc.constantFrom(0, 0, 0, 1, 1, 2, 10, 60),
  insert: fc.constantFrom('', '', ...SIGNS),
});

function edited(text: string, edits: readonly Edit[]): string {
  return edits.reduce((now, { at, remove, insert }) => {
    const place = Math.floor(at * now.length);
    return now.slice(0, place) + insert + now.slice(place + remove);
  }, text);
}

describe('the quick reader of YAML', () => {
  it('reads every shipped rule as the library does', () => {
    for (const text of texts) assert.ok(sameOrNothing(text), text.slice(0, 80));
  });

  it('reads each form as the library does', () => {
    const forms = [
      'a: 1\n---\n# only this\n---\nb: 2',
      'a: {b: c}\n',
      "a: 'it''s'\nb: \"x\\n\\\"y\\\\\" # why\nc: [ 1, -2, 1.5, 1e3, ~, true, Null, x y, 'z' ]\n",
      'a:\n- b: 1\n  c: 2\n-\n  d: 3\ne:\n    - f\n    -  g\n',
      'a: |\n  x\n   y\n\n  z\n\nb: >-\n  x\n  y\n\n\n  z\nc: |-\n  x\n',
      'a: &n { b: 1 }\nc: *n\nd: [*n, &m x, *m]\ne: &o\n  - f: *n\ng: *o\n',
      'places: { 203.0.113.7: { country: FR } }\nb: {}\nc: []\nd: { "e f": 1 }\n',
      'a: 90071992547409931\nb: 007\nc: +1\nd: 1_000\ne: 2026-11-28\nf: a:b\ng: x#y\n',
    ];
    for (const text of forms) assert.ok(sameOrNothing(text), text);
  });

  it('leaves to the library what it does not know, and what is wrong', () => {
    const left = [
      ...['', '# nothing\n', 'text\n', '- a\n', 'a\n', 'a:\n', 'a: b\n c\n', 'a: b\n  c: d\n'],
      ...['a: 1\na: 2\n', '{ a: 1 }\n', 'a: !x 1\n', 'a: *b\n', 'a: &b 1\nc: &b 2\n', '"a": 1\n'],
      ...['a: b: c\n', 'a: [b: c]\n', 'a: [b,\n  c]\n', 'a: "b\n  c"\n', 'a: "b\n', 'a: [b\n'],
      ...['\ta: 1\n', 'a: 1\r\n', '\uFEFFa: 1\n', 'a: 0x1f\n', 'a: .inf\n', '1: a\n', 'null: a\n'],
      ...['a: |2\n   b\n', 'a: |+\n  b\n', 'a: >\n  b\n   c\n', 'a: |\n\n  b\n', 'a: |\n  b'],
      ...['%YAML 1.2\n---\na: 1\n', '--- a\n', 'a: 1\n...\n', '? a\n: b\n', 'a: @b\n', 'a: `b\n'],
    ];
    for (const text of left) assert.equal(quick(text), null, JSON.stringify(text));
  });

  it('never says anything else, whatever was done to a rule', () => {
    const known = pieces.filter((text) => quick(text) !== null);
    const mutated = fc.tuple(fc.constantFrom(...known), fc.array(edit, { maxLength: 3 }));
    let answered = 0;
    fc.assert(
      fc.property(mutated, ([text, edits]) => {
        if (sameOrNothing(edited(text, edits))) answered += 1;
      }),
      { numRuns: RUNS },
    );
    assert.ok(answered > RUNS / 5, `${answered} of ${RUNS} were answered`);
  });
});
