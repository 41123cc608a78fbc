/** The scanner of JSON rows: its module, and what it takes for JSON. */
import { strict as assert } from 'node:assert';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { INTEGER, PARAMS_MAX, ROW_BYTES_MAX } from '../../services/ingest/row-layout.ts';
import { RowScan } from '../../services/ingest/row-scan.ts';
import { assembled, moduleOf, ROW_SCAN } from '../assemble.ts';

const scanner = new RowScan();

/** A row whose field that no shape knows has this text as its value. */
function rowOf(value: string): Buffer {
  const row = `{"timestamp":1700000000000,"serviceName":"s","actionName":"a","z":${value}}`;
  return Buffer.from(row);
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

test('the module is what its source is compiled to', async () => {
  assert.deepEqual(readFileSync(moduleOf(ROW_SCAN)), Buffer.from(await assembled(ROW_SCAN)));
});

test('a value is taken where JSON.parse takes it', () => {
  const value = fc.json({ maxDepth: 5 });
  const piece = fc.constantFrom(
    ...[
      '"',
      '\\',
      '\\u00e9',
      '\\ud83',
      '\\x',
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '-',
      '0',
      '01',
      '1.',
      '.5',
    ],
    ...[
      'e',
      '1e+',
      '1E5',
      'null',
      'nul',
      'true',
      'tru',
      'false',
      'fals',
      ' ',
      '\t',
      '\n',
      '\f',
      '\0',
    ],
    ...[
      '\x1f',
      'é',
      '\u{1f600}',
      '\u2028',
      'a',
      'sixteen bytes are',
      '"k":',
      '{"k":1}',
      '[1,2]',
      '""',
    ],
  );
  const text = fc.oneof(
    value,
    fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join('')),
    fc.tuple(value, fc.nat(), piece).map(([json, at, other]) => {
      const cut = at % (json.length + 1);
      return json.slice(0, cut) + other + json.slice(cut);
    }),
    fc.tuple(value, fc.nat()).map(([json, at]) => json.slice(0, at % (json.length + 1))),
  );
  fc.assert(
    fc.property(text, (one) => {
      const row = rowOf(one);
      // A value may end the row and begin another field, even a repeated one: those are left to decoding.
      if (!isJson(one)) assert(!scanner.scan(row) || isJson(row.toString()));
      else assert.equal(scanner.scan(row), true, one);
    }),
    { numRuns: 20_000 },
  );
});

test('quotes are found wherever they are within and between blocks of sixteen bytes', () => {
  for (let size = 0; size < 70; size += 1) {
    for (const [end, isRow] of [
      ['"', true],
      ['\\""', true],
      ['\\\\"', true],
      ['\\"', false],
      ['\\u0041"', true],
      ['\\u004"', false],
      ['\x1f"', false],
      ['\x7f"', true],
      ['é"', true],
      ['', false],
    ] as const) {
      const text = `"${'x'.repeat(size)}${end}`;
      assert.equal(scanner.scan(rowOf(text)), isRow, text);
    }
  }
});

test('what a longer row left behind is not read', () => {
  const long = rowOf(`"${'"}'.repeat(3)}${'x'.repeat(5_000)}"`);
  for (let cut = 1; cut < 90; cut += 1) {
    scanner.scan(long);
    const whole = rowOf('"some text"');
    scanner.scan(rowOf(`"${'x'.repeat(200)}"`));
    if (cut < whole.length)
      assert.equal(scanner.scan(whole.subarray(0, whole.length - cut)), false);
    assert.equal(scanner.scan(whole), true);
  }
});

test('the longest row is taken to its last byte, and a longer one is not', () => {
  const padding = ROW_BYTES_MAX - rowOf('""').length;
  const longest = rowOf(`"${'x'.repeat(padding)}"`);
  assert.equal(longest.length, ROW_BYTES_MAX);
  assert.equal(scanner.scan(longest), true);
  assert.equal(scanner.scan(rowOf(`"${'x'.repeat(padding + 1)}"`)), false);
  assert.equal(scanner.scan(Buffer.from(longest.toString().replace(/}$/, ' '))), false);
  assert.equal(scanner.scan(Buffer.alloc(ROW_BYTES_MAX, '[')), false);
});

test('deep nesting is left to decoding, however deep it is', () => {
  const lists = (levels: number): Buffer => rowOf('['.repeat(levels) + ']'.repeat(levels));
  const objects = (levels: number): Buffer =>
    rowOf(`${'{"k":'.repeat(levels)}1${'}'.repeat(levels)}`);
  for (const nested of [lists, objects]) {
    assert.equal(scanner.scan(nested(63)), true);
    assert.equal(scanner.scan(nested(64)), false);
    assert.equal(scanner.scan(nested(10_000)), false);
  }
});

test('a whole number is one only where its digits are its spelling', () => {
  const withParam = (text: string): Buffer => rowOf(`1,"requestParams":{"n":${text}}`);
  const numeral = fc
    .tuple(fc.constantFrom('', '-'), fc.stringMatching(/^(0|[1-9][0-9]{0,18})$/))
    .map((parts) => parts.join(''));
  const edges = ['9007199254740993', '9999999999999999', '8999999999999999', '-0', '0', '-1'];
  fc.assert(
    fc.property(fc.oneof(numeral, fc.constantFrom(...edges)), (text) => {
      assert.equal(scanner.scan(withParam(text)), true);
      const isWhole = scanner.paramKind[0] === INTEGER;
      if (isWhole) assert.equal(String(JSON.parse(text)), text);
      else assert(text.length > 15 || text === '-0', text);
    }),
    { examples: edges.map((text) => [text]), numRuns: 2_000 },
  );
});

test('of more parameters than there is room for, none is lost: decoding is asked', () => {
  const withParams = (count: number): Buffer => {
    const params = Array.from({ length: count }, (_, n) => `"p${n}":${n}`);
    return rowOf(`1,"requestParams":{${params.join()}}`);
  };
  assert.equal(scanner.scan(withParams(PARAMS_MAX)), true);
  assert.equal(scanner.paramCount, PARAMS_MAX);
  assert.equal(scanner.scan(withParams(PARAMS_MAX + 1)), false);
  assert.equal(scanner.scan(withParams(5_000)), false);
  assert.equal(scanner.scan(withParams(1)), true);
});

test('scanners share no memory', () => {
  const other = new RowScan();
  assert.equal(scanner.scan(rowOf('1')), true);
  assert.equal(other.scan(Buffer.from('{"email":1}')), false);
  assert.equal(scanner.hasExtra, true);
  assert.equal(other.shapes, 3);
});
