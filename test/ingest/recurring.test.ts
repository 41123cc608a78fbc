/** A number stands for one combination for good, however alike another is. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WideBytes } from '../../schemas/byte-words.ts';
import { NO_SPAN, Recurring } from '../../services/ingest/recurring.ts';

const recurring = new Recurring();
const wide = new WideBytes();

function idOf(...texts: Array<string | null>): number {
  const bytes = Buffer.from(texts.join(''));
  wide.start(bytes);
  let at = 0;
  for (const [index, text] of texts.entries()) {
    recurring.spans[index * 2] = text === null ? NO_SPAN : at;
    at += text === null ? 0 : Buffer.byteLength(text);
    recurring.spans[index * 2 + 1] = at;
  }
  return recurring.id(wide, texts.length);
}

test('the same combination has the same number; another has another', () => {
  const id = idOf('accounts', 'login', 'ada@example.com');
  assert.ok(id >= 0);
  assert.equal(idOf('accounts', 'login', 'ada@example.com'), id);
  assert.notEqual(idOf('accounts', 'login', null), id);
  assert.notEqual(idOf('accountslogin', '', 'ada@example.com'), id);
  assert.equal(idOf('accounts', 'login', 'x'.repeat(300)), -1, 'too long to be remembered');
});

test('texts that begin, end and are alike in the middle are told apart', () => {
  // More of them than have room beside each other: each is forgotten, and none is mistaken.
  const texts = Array.from(
    { length: 12 },
    (_, n) => `begin${String(n).padStart(3)}middle___then end`,
  );
  const ids = texts.map((text) => idOf('service', text));
  assert.equal(new Set(ids).size, texts.length);
  const again = texts.map((text) => idOf('service', text));
  for (const [at, id] of again.entries()) {
    assert.ok(id === ids[at] || !ids.includes(id), texts[at]);
  }
  assert.equal(idOf('service', texts[11]!), again[11]);
});
