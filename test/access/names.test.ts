/**
 * One principal is one line of a difference, by whatever names events call it; and no two are made
 * one, also not by whoever chooses names in order to be taken for another.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { AccessEvent } from '../../services/access/change.ts';
import { diffBetween } from '../../services/access/diff.ts';
import { resolveNames } from '../../services/access/names.ts';
import { inOrder } from '../../services/access/state.ts';
import { changeOf, DAY, grant, MINUTE_MS } from './events.ts';

const APP = '8a2f0f3e-51c0-4d2b-9a6e-0c1d2e3f4a5b';
const inAccount = { auditLevel: 'ACCOUNT_LEVEL', workspaceId: '0' };
const inOther = { workspaceId: '78' };

const group = (minute: number, action: string, name: string | null, id: string | null, more = {}) =>
  changeOf(
    minute,
    `accounts.${action}`,
    { ...(name && { targetGroupName: name }), ...(id && { targetGroupId: id }) },
    more,
  );
const joins = (minute: number, params: object, more = {}) =>
  changeOf(minute, 'accounts.addPrincipalToGroup', params, more);
const user = (minute: number, action: string, name: string, id: string, more = {}) =>
  changeOf(minute, `accounts.${action}`, { targetUserName: name, targetUserId: id }, more);
const acl = (minute: number, id: string) =>
  changeOf(minute, 'jobs.changeJobAcl', {
    resourceId: '1',
    targetUserId: id,
    aclPermissionSet: 'Manage Run',
  });

/** `minute subject on object`, after resolving. */
function said(events: readonly AccessEvent[]): string[] {
  return resolveNames(inOrder(events)).events.flatMap(({ timeMs, effects }) =>
    effects.map(({ subject, object }) =>
      `${(timeMs - DAY) / MINUTE_MS} ${subject} on ${object}`.replace(/ on $/, ''),
    ),
  );
}

const lines = (events: readonly AccessEvent[]): string[] =>
  [...diffBetween(resolveNames(inOrder(events)).events, 0, Infinity).values()].map(
    ({ fact, steps }) => `${fact.subject} ${fact.privilege} ${fact.object} x${steps.length}`,
  );

describe('names of principals', () => {
  test('a user by id and by address is one, before and after an event tells so', () => {
    const events = [
      acl(1, '7'),
      user(2, 'setAdmin', 'Bob@example.com', '7'),
      changeOf(3, 'jobs.changeJobAcl', {
        resourceId: '1',
        targetUserName: 'bob@example.com',
        aclPermissionSet: '',
      }),
    ];
    assert.deepEqual(lines(events), [
      'bob@example.com MANAGE_RUN job 1 x2',
      'bob@example.com ADMIN workspace x1',
    ]);
    assert.deepEqual(lines([acl(1, '7')]), ['7 MANAGE_RUN job 1 x1'], 'nothing tells who 7 is');
  });

  test('an event that only tells names is no change, and is kept for snapshots', () => {
    const made = group(1, 'createGroup', 'g', '5');
    assert.deepEqual(
      made.effects.map(({ op, subject, object }) => [op, subject, object]),
      [['name', 'g', 'id 5']],
    );
    assert.deepEqual(resolveNames([made]).events, []);
  });

  test('a group keeps its lines when it is renamed, and its old name is free', () => {
    const events = [
      group(1, 'createGroup', 'analysts', '5', inAccount),
      grant(2, 'analysts', 'add'),
      group(3, 'updateGroup', 'data', '5', inAccount),
      grant(4, 'data', 'remove'),
      grant(5, 'analysts', 'add'),
      joins(6, { targetGroupId: '5', targetUserName: 'bob@example.com' }, inAccount),
    ];
    assert.deepEqual(said(events), [
      '2 data on TABLE main.s.t',
      '3  on group data',
      '4 data on TABLE main.s.t',
      '5 analysts on TABLE main.s.t',
      '6 bob@example.com on group data',
    ]);
    const [principal] = resolveNames(inOrder(events)).principals;
    assert.deepEqual(principal, { label: 'data', ids: ['5'], names: ['data', 'analysts'] });
  });

  test('a group that was made anew is another', () => {
    const events = [
      group(1, 'createGroup', 'g', '5'),
      joins(2, { targetGroupName: 'g', targetUserName: 'a' }),
      group(3, 'removeGroup', 'g', null),
      joins(4, { targetGroupName: 'g', targetUserName: 'a' }),
      group(5, 'createGroup', 'g', '6'),
      joins(6, { targetGroupName: 'g', targetUserName: 'a' }),
    ];
    assert.deepEqual(said(events), [
      '2 a on group g (id 5)',
      '3  on group g (id 5)',
      '3 g (id 5)',
      '4 a on group g',
      '6 a on group g (id 6)',
    ]);
    const byId = events.map((one) =>
      one.action.endsWith('removeGroup') ? group(3, 'removeGroup', null, '5') : one,
    );
    assert.ok(said(byId).includes('4 a on group g'), 'removed by its id');
    const untold = [
      joins(1, { targetGroupName: 'g', targetUserName: 'a' }),
      group(2, 'removeGroup', 'g', null),
      joins(3, { targetGroupName: 'g', targetUserName: 'b' }),
      joins(4, { targetGroupName: 'g', targetGroupId: '6', targetUserName: 'b' }),
      group(5, 'updateGroup', 'h', '6'),
    ];
    assert.deepEqual(said(untold), [
      '1 a on group g',
      '2  on group g',
      '2 g',
      '3 b on group h',
      '4 b on group h',
      '5  on group h',
    ]);
    const before = [grant(1, 'g', 'add'), group(2, 'createGroup', 'g', '6', inAccount)];
    const renamed = group(3, 'updateGroup', 'h', '6', inAccount);
    assert.equal(said([...before, renamed])[0], '1 g on TABLE main.s.t', 'before it was made');
  });

  test('groups of one name in two workspaces are two; one of the account is one in all', () => {
    const local = [
      group(1, 'createGroup', 'admins', '5'),
      group(2, 'createGroup', 'admins', '6', inOther),
      group(3, 'updateGroup', 'chiefs', '6', inOther),
      joins(4, { targetGroupName: 'admins', targetUserName: 'a' }),
      joins(5, { targetGroupName: 'chiefs', targetUserName: 'a' }),
    ];
    assert.deepEqual(said(local), [
      '3  on group chiefs',
      '4 a on group admins',
      '5 a on group chiefs',
    ]);
    const elsewhere = local.filter(({ timeMs }) => timeMs !== DAY + MINUTE_MS);
    const early = joins(2, { targetGroupName: 'admins', targetUserName: 'b' });
    assert.ok(said([...elsewhere, early]).includes('2 b on group admins'), 'not of 78');
    const shared = [
      group(1, 'createGroup', 'all', '9', inAccount),
      joins(2, { targetGroupName: 'all', targetUserName: 'a' }),
      group(3, 'updateGroup', 'everyone', '9', inAccount),
    ];
    assert.equal(said(shared)[0], '2 a on group everyone');
    const granted = [...local, grant(2, 'admins', 'add'), grant(2, 'chiefs', 'add')];
    assert.ok(said(granted).includes('2 admins on TABLE main.s.t'), 'of no workspace');
    const renamed = [...elsewhere, grant(2, 'admins', 'add')];
    assert.ok(said(renamed).includes('2 admins on TABLE main.s.t'), 'nor of the only one told');
  });

  test('a service principal is one by application id, id and name', () => {
    const events = [
      grant(1, APP, 'add'),
      changeOf(2, 'accounts.createServicePrincipal', {
        targetServicePrincipalName: 'nightly',
        targetServicePrincipalId: '31',
      }),
      joins(3, { targetGroupName: 'g', targetUserName: APP, targetUserId: '31' }),
      acl(4, '31'),
    ];
    assert.deepEqual(
      said(events).map((text) => text.split(' on ')[0]),
      ['1', '2', '3', '4'].map((minute) => `${minute} nightly (${APP})`),
    );
  });

  test('a change of address is one person, and who gets the old address is another', () => {
    const events = [
      user(1, 'setAdmin', 'amy.old@example.com', '7'),
      user(2, 'updateUser', 'amy.new@example.com', '7'),
      grant(3, 'amy.new@example.com', 'add'),
      user(4, 'add', 'amy.old@example.com', '8'),
      grant(5, 'amy.old@example.com', 'add'),
    ];
    assert.deepEqual(
      said(events).map((text) => text.split(' on ')[0]),
      ['1 amy.new@example.com', '2 amy.new@example.com', '3 amy.new@example.com'].concat([
        '4 amy.old@example.com',
        '5 amy.old@example.com',
      ]),
    );
  });

  test('one address under two ids is one person', () => {
    const events = [
      user(1, 'setAdmin', 'bob@example.com', '7'),
      user(2, 'setAdmin', 'bob@example.com', '70', inOther),
      acl(3, '70'),
      acl(4, '7'),
      grant(5, 'bob@example.com', 'add'),
    ];
    for (const text of said(events)) assert.match(text, /^\d bob@example\.com on/);
  });

  test('nobody is taken for another by the name that he chose', () => {
    const victim = user(1, 'setAdmin', 'victim@example.com', '7');
    const made = (name: string) =>
      changeOf(2, 'accounts.createServicePrincipal', {
        targetServicePrincipalName: name,
        targetServicePrincipalId: '66',
      });
    for (const name of ['victim@example.com', '7']) {
      const texts = said([victim, made(name), acl(3, '66')]);
      assert.match(texts[0]!, /^1 victim@example\.com( \(id 7\))? on workspace/, name);
      const isTaken = /^3 victim@example\.com( \(id 7\))? on/.test(texts.at(-1)!);
      assert.ok(!isTaken, texts.at(-1));
    }
    const app = joins(1, { targetGroupName: 'g', targetUserName: APP, targetUserId: '30' });
    const texts = said([app, made(APP), acl(3, '66'), acl(4, '30')]);
    assert.notEqual(texts.at(-1)!.slice(2), texts.at(-2)!.slice(2));
    const called = [victim, group(2, 'createGroup', '7', '90', inAccount), grant(3, '7', 'add')];
    assert.equal(said(called).at(-1), '3 7 on TABLE main.s.t');
    assert.equal(said([victim, grant(3, '7', 'add')]).at(-1), '3 7 on TABLE main.s.t');
    const address = [victim, group(2, 'createGroup', 'victim@example.com', '90', inAccount)];
    assert.deepEqual(resolveNames([...address, grant(3, 'victim@example.com', 'add')]).doubtful, [
      'victim@example.com',
    ]);
  });

  test('tells each effect by the names of its time, which are what approvals are about', () => {
    const events = [
      group(1, 'createGroup', 'crooks', '5', inAccount),
      grant(2, 'crooks', 'add'),
      joins(3, { targetGroupId: '5', targetUserName: 'a' }, inAccount),
      group(4, 'updateGroup', 'analysts', '5', inAccount),
    ];
    const effects = resolveNames(events).events.flatMap(({ effects }) => effects);
    assert.deepEqual(effects[0]!.subject, 'analysts');
    assert.deepEqual(effects[0]!.toldAs?.subject, ['crooks', 'crooks']);
    assert.deepEqual(effects[1]!.toldAs?.object, ['group 5', 'group crooks']);
  });

  test('whatever is told: nothing is lost, ids are one principal, and order is kept', () => {
    const id = fc.constantFrom('1', '2', '3');
    const name = fc.constantFrom('a', 'b', 'c');
    const act = fc.oneof(
      fc.record({ what: fc.constant('tell' as const), id, name }),
      fc.record({ what: fc.constant('byId' as const), id, name }),
      fc.record({ what: fc.constant('byName' as const), id, name }),
      fc.record({ what: fc.constant('remove' as const), id, name }),
    );
    const property = fc.property(fc.array(act, { maxLength: 20 }), (acts) => {
      const events = acts.map(({ what, id, name }, minute) => {
        if (what === 'tell') return group(minute, 'updateGroup', name, id);
        if (what === 'remove') return group(minute, 'removeGroup', name, null);
        const target = what === 'byId' ? { targetGroupId: id } : { targetGroupName: name };
        return joins(minute, { ...target, targetUserName: 'u@example.com' });
      });
      const { events: found, principals } = resolveNames(events);
      assert.deepEqual(
        found.map(({ eventId }) => eventId),
        events.map(({ eventId }) => eventId),
      );
      const labelOf = new Map(
        principals.flatMap(({ ids, label }) => ids.map((one) => [one, label])),
      );
      assert.equal(new Set(labelOf.values()).size, labelOf.size, 'one label, one principal');
      // By the rule in few words: whom the name meant last, unless that one was renamed or removed.
      const means = new Map<string, string>();
      acts.forEach(({ what, id, name }, at) => {
        const last = found[at]!.effects.at(-1)!.object;
        if (what === 'byId') {
          if (labelOf.has(id)) assert.equal(last, `group ${labelOf.get(id)}`);
        } else if (what === 'byName' && means.has(name)) {
          assert.equal(last, `group ${labelOf.get(means.get(name)!)}`);
        } else if (what === 'tell') {
          for (const [other, meant] of means) if (meant === id) means.delete(other);
          means.set(name, id);
        } else if (what === 'remove') {
          const meant = means.get(name);
          for (const [other, one] of means) if (one === meant) means.delete(other);
        }
      });
    });
    fc.assert(property, { numRuns: 500 });
  });
});
