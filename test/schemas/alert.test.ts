/** The alert's schema, its index template and what is made agree, field for field. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { alertJson, alertOf } from '../../services/detector/alert/alert.ts';
import { loadRules, SHIPPED_RULES } from '../../services/detector/sigma/rules.ts';
import { decodeJson } from '../../services/ingest/decode.ts';

const schema = JSON.parse(
  readFileSync(new URL('../../schemas/alert.schema.json', import.meta.url), 'utf8'),
);
const template = JSON.parse(
  readFileSync(new URL('../../schemas/index-templates/alerts.json', import.meta.url), 'utf8'),
);

interface Node {
  $ref?: string;
  type?: string | string[];
  properties?: Record<string, Node>;
  items?: Node;
  additionalProperties?: unknown;
}

/** Dotted names of all fields with values, through objects and lists. */
function schemaFields(node: Node, path = ''): string[] {
  const target = node.$ref === undefined ? node : schema.$defs[node.$ref.split('/').at(-1)!];
  if (target.type === 'array') return schemaFields(target.items, path);
  if (target.properties === undefined) return [path];
  return Object.entries<Node>(target.properties).flatMap(([name, inner]) =>
    schemaFields(inner, path === '' ? name : `${path}.${name}`),
  );
}

function templateFields(node: Node, path = ''): string[] {
  if (node.properties === undefined) return [path];
  return Object.entries(node.properties).flatMap(([name, inner]) =>
    templateFields(inner, path === '' ? name : `${path}.${name}`),
  );
}

function objectsOf(node: Node): Node[] {
  const inner = [...Object.values(node.properties ?? {}), ...(node.items ? [node.items] : [])];
  return [...(node.type === 'object' ? [node] : []), ...inner.flatMap(objectsOf)];
}

describe('alert schema', () => {
  it('has every field of the index template, and the template every field of it', () => {
    const fields = schemaFields(schema).toSorted();
    assert.ok(fields.length > 35);
    assert.deepEqual(templateFields(template.template.mappings).toSorted(), fields);
  });

  it('lets no unknown field in, nor does the index', () => {
    assert.equal(template.template.mappings.dynamic, 'strict');
    assert.doesNotMatch(JSON.stringify(template), /"dynamic":\s*(true|false|"true")/);
    for (const node of objectsOf(schema)) {
      assert.notEqual(node.additionalProperties, undefined);
      assert.notEqual(node.additionalProperties, true);
    }
  });

  it('takes the alert of every hit of every shipped rule', () => {
    const ajv = new Ajv2020({ strict: true, allErrors: true, allowUnionTypes: true });
    ajv.addFormat('uuid', /^[0-9a-f-]{36}$/);
    const validate = ajv.compile(schema);
    const loaded = loadRules([SHIPPED_RULES]);
    assert.ok(loaded.ok);
    let alerts = 0;
    for (const rule of loaded.rules) {
      for (const test of rule.tests.filter(({ hit }) => hit)) {
        const decoded = decodeJson(JSON.stringify(test.event));
        assert.ok(decoded.ok);
        const address = { topic: 'events', partition: 0, offset: 12n };
        const alert: Record<string, unknown> = JSON.parse(
          alertJson(alertOf(rule, decoded.events[0]!, address)),
        );
        assert.ok(validate(alert), JSON.stringify(validate.errors));
        assert.equal(validate({ ...alert, more: 1 }), false);
        alerts += 1;
      }
    }
    assert.ok(alerts > 30);
  });
});
