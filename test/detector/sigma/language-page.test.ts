/** The page of the rule language: its examples load without a warning and pass the schema. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { parseAllDocuments } from 'yaml';
import { doubtsOf } from '../../../services/detector/sigma/doubts.ts';
import { describeProblem } from '../../../services/detector/sigma/problem.ts';
import { SHIPPED_RULES } from '../../../services/detector/sigma/rules.ts';
import { layered } from './layers.ts';

const ROOT = join(import.meta.dirname, '..', '..', '..');
const page = readFileSync(join(SHIPPED_RULES, 'README.md'), 'utf8');
const examples = [...page.matchAll(/^```yaml\n(.*?)^```$/gms)].map((match) => match[1]!);

describe('the page of the rule language', () => {
  it('has examples of every kind of document', () => {
    const all = examples.join('\n');
    for (const key of [
      'detection',
      'correlation',
      'filter',
      'override',
      'first_seen',
      'baseline',
    ]) {
      assert.match(all, new RegExp(`^ *${key}:`, 'm'), key);
    }
  });

  it('has examples that load together, without a warning or a doubt', () => {
    const lists = {
      administrators: ['alice@example.com'],
      office_networks: ['192.0.2.0/24'],
    };
    const { set, problems } = layered([examples.join('---\n')], { lists });
    assert.deepEqual(problems.map(describeProblem), []);
    assert.deepEqual(doubtsOf(set).map(describeProblem), []);
    assert.ok(set.stateful.length >= 8);
  });

  it('has examples that the schema takes', () => {
    const text = readFileSync(join(ROOT, 'schemas', 'rule.schema.json'), 'utf8');
    const ajv = new Ajv2020({ strict: false });
    const validate = ajv.compile(JSON.parse(text) as object);
    for (const example of examples) {
      for (const document of parseAllDocuments(example)) {
        assert.ok(validate(document.toJS()), ajv.errorsText(validate.errors));
      }
    }
  });

  it('names every modifier and every key below lakeseal', () => {
    const schema = readFileSync(join(ROOT, 'schemas', 'rule.schema.json'), 'utf8');
    const { $defs } = JSON.parse(schema) as {
      $defs: Record<
        string,
        { properties: Record<string, unknown>; propertyNames: { pattern: string } }
      >;
    };
    const modifiers = /\(([a-z0-9|]+)\)\)\*\$$/
      .exec($defs.items!.propertyNames.pattern)![1]!
      .split('|');
    const long = modifiers.filter((one) => !['ignorecase', 'multiline', 'dotall'].includes(one));
    for (const word of [...long, ...Object.keys($defs.detectionOwn!.properties)]) {
      assert.ok(page.includes(`\`${word}`) || page.includes(`${word}:`), word);
    }
  });
});
