/** The alert's schema, its index template and what is made agree, field for field. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import {
  alertJson,
  alertOf,
  contextOf,
  statefulAlertOf,
} from '../../services/detector/alert/alert.ts';
import type { StatefulAlert } from '../../services/detector/correlate/types.ts';
import { loadRules, SHIPPED_LISTS, SHIPPED_RULES } from '../../services/detector/sigma/rules.ts';
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

const STATEFUL: StatefulAlert = {
  id: 'x'.repeat(43),
  ruleId: '',
  group: [['actor.name', 'alice@example.com']],
  periodMs: 1_795_510_800_000,
  first: 1_795_512_600_000,
  last: 1_795_512_700_000,
  count: 7,
  countIsLowerBound: true,
  evidence: [{ topic: 'events', partition: 0, offset: 12n, eventId: 'event-1' }],
  reason: '7 events within 1 h, the limit is 5',
  context: '',
  revision: 3,
};

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
    const loaded = loadRules({ layers: [SHIPPED_RULES], lists: [SHIPPED_LISTS], nowMs: 0 });
    assert.ok(loaded.ok);
    let alerts = 0;
    const holds = (json: string): void => {
      const alert: Record<string, unknown> = JSON.parse(json);
      assert.ok(validate(alert), JSON.stringify(validate.errors));
      assert.equal(validate({ ...alert, more: 1 }), false);
      alerts += 1;
    };
    for (const rule of [...loaded.set.rules, ...loaded.set.stateful]) {
      for (const test of rule.tests.filter(({ hit }) => hit)) {
        const decoded = decodeJson(JSON.stringify(test.events[0]!.event));
        assert.ok(decoded.ok);
        const [event] = decoded.events;
        const address = { topic: 'events', partition: 0, offset: 12n };
        if ('stateful' in rule) {
          const about = { ...STATEFUL, ruleId: rule.id, context: contextOf(event!) };
          holds(alertJson(statefulAlertOf(rule, about)));
        } else {
          holds(alertJson(alertOf(rule, event!, address)));
        }
      }
    }
    assert.ok(alerts > 60, String(alerts));
  });
});
