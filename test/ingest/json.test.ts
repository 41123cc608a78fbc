/** The scanners over JSON text agree with the engine's parser. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { decodeJson } from '../../services/ingest/decode.ts';
import {
  isDeeperThan,
  itemSpans,
  JSON_DEPTH_MAX,
  JSON_VALUES_MAX,
  JsonReading,
  scanSize,
  valueStart,
} from '../../services/ingest/json.ts';

/** Texts that look like structure. */
const trap = fc.oneof(
  fc.string({ maxLength: 6 }),
  fc.constantFrom(
    '"',
    '\\',
    '\\"',
    '],[',
    '},{',
    '":',
    '[{',
    '\\\\',
    '\u2028',
    'records',
    '\\u005d',
  ),
);
const value = fc
  .jsonValue({ maxDepth: 3 })
  .chain((json) => fc.constantFrom(json, [json], { a: json }));
const anyJson = fc.oneof(value, trap, fc.dictionary(trap, trap), fc.array(trap));
const indents = fc.constantFrom(undefined, 1, '\t', ' \n\r ');

describe('spans', () => {
  it('of a list are the texts of its items', () => {
    fc.assert(
      fc.property(fc.array(anyJson, { maxLength: 6 }), indents, (items, indent) => {
        const text = JSON.stringify(items, null, indent);
        const parts = itemSpans(text, 0).map(({ from, to }) => text.slice(from, to));
        assert.deepEqual(
          parts.map((part) => JSON.parse(part)),
          JSON.parse(text),
        );
        for (const part of parts) assert.equal(part, part.trim());
      }),
      { numRuns: 1_000 },
    );
  });

  it('of a key start where its value does, the last where it comes twice', () => {
    fc.assert(
      fc.property(
        fc.dictionary(trap, anyJson),
        anyJson,
        anyJson,
        indents,
        (row, first, last, indent) => {
          const { records: _records, ...others } = row;
          const rest = JSON.stringify(others, null, indent).slice(1);
          const comma = rest.trim() === '}' ? '' : ',';
          const text = `{"records": ${JSON.stringify(first)}, "\\u0072ecords":${JSON.stringify([last])}${comma}${rest}`;
          const spans = itemSpans(text, valueStart(text, 'records'));
          assert.equal(spans.length, 1);
          assert.deepEqual(
            JSON.parse(text.slice(spans[0]!.from, spans[0]!.to)),
            JSON.parse(text).records[0],
          );
          assert.equal(valueStart(text, 'not there'), -1);
        },
      ),
      { numRuns: 1_000 },
    );
  });
});

describe('the size of a text', () => {
  it('counts brackets and commas, and none of those in strings', () => {
    assert.equal(scanSize('['.repeat(JSON_DEPTH_MAX)), null);
    assert.equal(scanSize('['.repeat(JSON_DEPTH_MAX + 1)), 'too_deep');
    assert.equal(scanSize('[]'.repeat(1_000)), null);
    assert.equal(scanSize(`"${'['.repeat(1_000)}"`), null);
    assert.equal(scanSize(`"\\"${'['.repeat(1_000)}"`), null);
    assert.equal(scanSize(','.repeat(JSON_VALUES_MAX)), null);
    assert.equal(scanSize(','.repeat(JSON_VALUES_MAX + 1)), 'too_many_values');
    assert.equal(scanSize(`"${','.repeat(JSON_VALUES_MAX + 1)}`), null);
    assert.equal(scanSize('[]'.repeat(JSON_VALUES_MAX + 1)), 'too_many_values');
  });

  it('of a value is its nesting', () => {
    assert.equal(isDeeperThan([[{}]], 3), false);
    assert.equal(isDeeperThan([[{}]], 2), true);
    assert.equal(isDeeperThan({ a: 1, b: { c: [] } }, 2), true);
    assert.equal(isDeeperThan('text', 0), false);
    assert.equal(isDeeperThan(null, 0), false);
  });
});

describe('a reading', () => {
  it('gives undefined and a problem for what is no JSON, and never throws', () => {
    fc.assert(
      fc.property(fc.oneof(trap, fc.string()), fc.boolean(), (text, isExact) => {
        const reading = new JsonReading(isExact);
        let expected: unknown;
        try {
          expected = JSON.parse(text);
        } catch {
          assert.equal(reading.parse(text), undefined);
          assert.equal(reading.problem, 'not_json');
          return;
        }
        assert.equal(JSON.stringify(reading.parse(text)), JSON.stringify(expected));
      }),
    );
  });
});

describe('half a surrogate pair', () => {
  const line = (text: string): string =>
    `{"serviceName":"a","actionName":"b","timestamp":1767225600123,"requestParams":{"k":"${text}"}}`;

  it('becomes U+FFFD, whether it was escaped or came in the text', () => {
    for (const half of ['\\ud800', '\\uDC00', '\ud800', '\udc00']) {
      const decoded = decodeJson(line(`x${half}y`));
      assert.ok(decoded.ok);
      assert.equal(decoded.events[0]?.requestParams.k, 'x\ufffdy');
      assert.equal(decoded.events[0]?.raw, line(`x${half.length > 1 ? half : '\ufffd'}y`));
    }
  });

  it('becomes U+FFFD in keys and in the text of fields', () => {
    const nested = JSON.stringify('{"\\ud800":"\\udfff"}').slice(1, -1);
    const decoded = decodeJson(
      `{"serviceName":"a","actionName":"b","timestamp":1767225600123,"requestParams":"${nested}"}`,
    );
    assert.ok(decoded.ok);
    assert.deepEqual(Object.entries(decoded.events[0]!.requestParams), [['\ufffd', '\ufffd']]);
  });

  it('is none where the pair is whole', () => {
    const decoded = decodeJson(line('\\ud83d\\ude00'));
    assert.ok(decoded.ok);
    assert.equal(decoded.events[0]?.requestParams.k, '\u{1f600}');
  });
});
