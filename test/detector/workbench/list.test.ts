import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { coverageLayer } from '../../../services/detector/workbench/coverage.ts';
import { filterRules, listRules } from '../../../services/detector/workbench/list.ts';
import { madeRule, madeSet, madeStateful } from '../made.ts';

const stale = madeRule({
  title: 'stale',
  level: 'medium',
  file: '/shipped/stale.yml',
  tags: ['attack.persistence', 'attack.t1098'],
});
const raised = madeRule({ title: 'raised', level: 'low', file: '/shipped/raised.yml' });
const replaced = madeRule({ title: 'replaced', level: 'low', file: '/shipped/replaced.yml' });
const off = madeRule({ title: 'off', level: 'high', file: '/shipped/off.yml' });
const leaf = madeRule({
  title: 'leaf',
  level: 'informational',
  alerts: false,
  file: '/own/many.yml',
});
const many = madeStateful({
  title: 'many',
  level: 'critical',
  rules: [leaf.id],
  file: '/own/many.yml',
  tags: ['attack.credential_access', 'attack.t1555.006', 'attack.t1098'],
});
const loosened = madeStateful({ title: 'loosened', rules: [leaf.id], file: '/shipped/l.yml' });

const shipped = madeSet({ rules: [stale, raised, replaced, off], stateful: [loosened] });
const set = madeSet({
  rules: [stale, { ...raised, level: 'high' }, { ...replaced, file: '/own/replaced.yml' }, leaf],
  stateful: [many, { ...loosened, timespanMs: 60_000 }],
  disabled: [off.id, 'ffffffff-0000-4000-8000-000000000000'],
  exceptions: [
    {
      ...{ title: 'the robot', id: null, rules: [stale.id], owner: 'ops', reason: 'known' },
      ...{ expiresMs: null, expired: false, file: '/own/robot.yml', line: 1 },
    },
    {
      ...{ title: 'the old robot', id: null, rules: [stale.id], owner: 'ops', reason: 'known' },
      ...{ expiresMs: 1, expired: true, file: '/own/robot.yml', line: 9 },
    },
  ],
});

describe('the list of rules', () => {
  const rules = listRules(set, shipped);
  const by = (title: string) => rules.find((rule) => rule.title === title)!;

  it('has every rule once, the worst first, with where it comes from', () => {
    assert.deepEqual(
      rules.map(({ title, level, kind, source }) => [title, level, kind, source]),
      [
        ['many', 'critical', 'event_count', 'own'],
        ['off', 'high', 'event', 'disabled'],
        ['raised', 'high', 'event', 'overridden'],
        ['stale', 'medium', 'event', 'shipped'],
        ['loosened', 'low', 'event_count', 'overridden'],
        ['replaced', 'low', 'event', 'overridden'],
        ['leaf', 'informational', 'event', 'own'],
        ['', '', '', 'disabled'],
      ],
    );
    assert.deepEqual([by('leaf').alerts, by('many').alerts], [false, true]);
    assert.deepEqual(by('stale').exceptions, ['the robot']);
    assert.deepEqual(by('many').tactics, ['credential-access']);
  });

  it('without the shipped layer calls everything the operator’s own', () => {
    assert.deepEqual(
      listRules(set, null).filter(({ source }) => source !== 'own'),
      [...listRules(madeSet({ disabled: [...set.disabled] }), null)],
    );
  });

  it('shows a detection and its own stateful kind as one rule', () => {
    const both = madeRule({ title: 'new country', alerts: false });
    const stateful = madeStateful({
      ...both,
      alerts: true,
      rules: [both.id],
      stateful: { kind: 'first_seen', fields: ['sourceIPAddress'], learnMs: 0 },
    });
    const found = listRules(madeSet({ rules: [both], stateful: [stateful] }), null);
    assert.deepEqual(
      found.map(({ kind, alerts }) => [kind, alerts]),
      [['first_seen', true]],
    );
  });

  it('is filtered by technique with its sub-techniques, tactic, level and source', () => {
    const titles = (filter: Parameters<typeof filterRules>[1]): string[] =>
      filterRules(rules, filter).map(({ title }) => title);
    assert.deepEqual(titles({ attack: 'T1555' }), ['many']);
    assert.deepEqual(titles({ attack: 't1555.006' }), ['many']);
    assert.deepEqual(titles({ attack: 'T155' }), []);
    assert.deepEqual(titles({ attack: 'Credential-Access' }), ['many']);
    assert.deepEqual(titles({ attack: 'attack.t1098' }), ['many', 'stale']);
    assert.deepEqual(titles({ level: 'high' }), ['off', 'raised']);
    assert.deepEqual(titles({ source: 'shipped' }), ['stale']);
    assert.deepEqual(titles({ attack: 'T1098', source: 'own' }), ['many']);
  });

  it('as coverage counts the rules that alert, by technique, with the worst level', () => {
    const layer = coverageLayer(rules, '1.2.3');
    assert.deepEqual(layer.versions, { navigator: '4.9.0', layer: '4.5' });
    assert.equal(layer.domain, 'enterprise-attack');
    assert.deepEqual(
      layer.techniques.map(({ techniqueID, score, comment }) => [techniqueID, score, comment]),
      [
        ['T1098', 2, 'many (critical)\nstale (medium)'],
        ['T1555.006', 1, 'many (critical)'],
      ],
    );
    const colours = Object.fromEntries(layer.legendItems.map(({ label, color }) => [label, color]));
    assert.equal(layer.techniques[0]!.color, colours.critical);
    assert.deepEqual(layer.gradient, {
      colors: [colours.informational, colours.critical],
      minValue: 0,
      maxValue: 2,
    });
    assert.match(layer.description, /1\.2\.3/);
    const none = coverageLayer([], '1');
    assert.ok(none.gradient.maxValue > none.gradient.minValue);
  });
});
