/** Numbers reach an event as they were written, compared with a slow reader of our own. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { decodeJson } from '../../services/ingest/decode.ts';
import type { AuditEvent } from '../../services/ingest/event.ts';

/** A value whose numbers are kept as text. */
type Slow = { number: string } | string | boolean | null | Slow[] | Map<string, Slow>;

/** Reads JSON character by character. Only for valid JSON. */
class SlowReader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  read(): Slow {
    this.#space();
    const rest = this.#text.slice(this.#at);
    const word = /^(?:true|false|null)/.exec(rest);
    if (word !== null) {
      this.#at += word[0].length;
      return word[0] === 'null' ? null : word[0] === 'true';
    }
    if (rest.startsWith('"')) return this.#string();
    if (rest.startsWith('[')) return this.#list();
    if (rest.startsWith('{')) return this.#object();
    const [number] = /^-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/.exec(rest)!;
    this.#at += number.length;
    return { number };
  }

  #space(): void {
    while (/\s/.test(this.#text[this.#at] ?? '')) this.#at++;
  }

  #string(): string {
    const [text] = /^"(?:[^"\\]|\\.)*"/s.exec(this.#text.slice(this.#at))!;
    this.#at += text.length;
    return JSON.parse(text);
  }

  /** Reads over the mark where it comes next. */
  #take(mark: string): boolean {
    this.#space();
    if (this.#text[this.#at] !== mark) return false;
    this.#at++;
    return true;
  }

  #list(): Slow[] {
    const list: Slow[] = [];
    this.#take('[');
    while (!this.#take(']')) {
      list.push(this.read());
      this.#take(',');
    }
    return list;
  }

  #object(): Map<string, Slow> {
    const map = new Map<string, Slow>();
    this.#take('{');
    while (!this.#take('}')) {
      this.#space();
      const key = this.#string();
      this.#take(':');
      map.set(key, this.read());
      this.#take(',');
    }
    return map;
  }
}

function compact(value: Slow): string {
  if (value instanceof Map) {
    return `{${[...value].map(([key, part]) => `${JSON.stringify(key)}:${compact(part)}`).join()}}`;
  }
  if (Array.isArray(value)) return `[${value.map(compact).join()}]`;
  if (typeof value === 'object' && value !== null) return value.number;
  return JSON.stringify(value);
}

/** What a parameter's value is as text; undefined where it is left out. */
function expectedText(value: Slow): string | undefined {
  if (value === null) return undefined;
  return typeof value === 'string' ? value : compact(value);
}

const digits = (min: number, max: number): fc.Arbitrary<string> =>
  fc
    .array(fc.constantFrom(...'0123456789'), { minLength: min, maxLength: max })
    .map((list) => list.join(''));

/** Spellings of all kinds, most of which a double changes. */
const numberText: fc.Arbitrary<string> = fc
  .tuple(
    fc.constantFrom('', '', '-'),
    fc.oneof(
      fc.constantFrom('0', '1', '9007199254740991', '9007199254740993', '8999999999999999'),
      fc.integer({ min: 1, max: 1e9 }).map(String),
      digits(0, 24).map((rest) => `7${rest}`),
      digits(15, 15).map((rest) => `9${rest}`),
    ),
    fc.oneof(
      fc.constant(''),
      fc.constant(''),
      digits(1, 20).map((part) => `.${part}`),
    ),
    fc.oneof(
      fc.constant(''),
      fc.constant(''),
      fc.tuple(fc.constantFrom('e', 'E', 'e+', 'E-'), digits(1, 3)).map((pair) => pair.join('')),
    ),
  )
  .map((parts) => parts.join(''));

const space = fc.constantFrom('', '', '', ' ', '\n', ' \t');
// Objects put keys that are numbers first; these are none.
const keyText = fc.stringMatching(/^[a-z_][a-z0-9_]{0,5}$/);

const { json } = fc.letrec<{ json: string; list: string; object: string }>((tie) => ({
  json: fc.oneof(
    { maxDepth: 3 },
    numberText,
    fc.constantFrom('true', 'false', 'null'),
    fc.string({ maxLength: 8 }).map((text) => JSON.stringify(text)),
    numberText.map((text) => JSON.stringify(`:${text},`)),
    tie('list'),
    tie('object'),
  ),
  list: fc
    .tuple(fc.array(tie('json'), { maxLength: 4 }), space)
    .map(([items, gap]) => `[${gap}${items.join(`${gap},`)}${gap}]`),
  object: fc
    .tuple(
      fc.uniqueArray(keyText, { maxLength: 4 }),
      fc.array(tie('json'), { minLength: 4, maxLength: 4 }),
      space,
    )
    .map(
      ([keys, values, gap]) =>
        `{${gap}${keys.map((key, at) => `"${key}"${gap}:${gap}${values[at]}`).join(`${gap},`)}${gap}}`,
    ),
}));

const paramsText = fc
  .tuple(fc.uniqueArray(keyText, { maxLength: 5 }), fc.array(json, { minLength: 5, maxLength: 5 }))
  .map(([keys, values]) => `{${keys.map((key, at) => `"${key}":${values[at]}`).join(', ')}}`);

function decodeOne(text: string): AuditEvent {
  const decoded = decodeJson(text);
  assert.ok(decoded.ok, text);
  assert.equal(decoded.events.length, 1);
  return decoded.events[0]!;
}

describe('numbers', () => {
  it('in parameters are the text that was written, in objects, lists and JSON text too', () => {
    fc.assert(
      fc.property(paramsText, fc.boolean(), (params, isText) => {
        const value = isText ? JSON.stringify(params) : params;
        const event = decodeOne(
          `{"serviceName":"a","actionName":"b","timestamp":1767225600123,"requestParams":${value}}`,
        );
        const slow = new SlowReader(params).read() as Map<string, Slow>;
        const expected = [...slow]
          .map(([key, part]) => [key, expectedText(part)])
          .filter(([, text]) => text !== undefined);
        assert.deepEqual(Object.entries(event.requestParams), expected);
      }),
      { numRuns: 3_000 },
    );
  });

  it('in unknown fields are the text that was written', () => {
    fc.assert(
      fc.property(json, (value) => {
        const event = decodeOne(
          `{"serviceName":"a","actionName":"b","timestamp":1767225600123,"field":${value}}`,
        );
        const expected = value === 'null' ? undefined : compact(new SlowReader(value).read());
        assert.equal(event.extra.field, expected);
      }),
      { numRuns: 1_000 },
    );
  });

  it('that are ids are never rounded, in whichever company', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 0n, max: 10n ** 24n }),
        fc.bigInt({ min: 0n, max: 10n ** 17n }),
        json,
        (orgId, workspaceId, other) => {
          const event = decodeOne(
            `{"serviceName":"a","actionName":"b","timestamp":1767225600123,"orgId":${orgId},"workspaceId":${workspaceId},"requestParams":{"other":${other}}}`,
          );
          assert.equal(event.orgId, String(orgId));
          assert.equal(event.workspaceId, String(workspaceId));
        },
      ),
      { numRuns: 1_000 },
    );
  });

  it('that are ids are spelled one way', () => {
    for (const other of ['1', '1.50']) {
      const event = decodeOne(
        `{"serviceName":"a","actionName":"b","timestamp":1767225600123.0,"orgId":77.0,"workspaceId":7.7e1,"requestParams":{"other":${other}}}`,
      );
      assert.deepEqual([event.orgId, event.workspaceId], ['77', '77']);
      assert.equal(event.eventTime, 1767225600123);
      assert.equal(event.requestParams.other, other);
    }
  });
});
