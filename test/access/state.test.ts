/** The fold of changes and the difference between two times: laws, and what each kind of change does. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { AccessEvent, Effect } from '../../services/access/change.ts';
import { factKey } from '../../services/access/change.ts';
import { diffBetween, joined, listed, verdictOf } from '../../services/access/diff.ts';
import { effect } from '../../services/access/fields.ts';
import { factsAfter, inOrder } from '../../services/access/state.ts';
import { accessEvent, changeOf, DAY, grant, MINUTE_MS } from './events.ts';

const RUNS = { numRuns: 500 };

const effects: fc.Arbitrary<Effect> = fc
  .record({
    op: fc.constantFrom('give', 'give', 'take', 'clear', 'drop', 'touch' as const),
    kind: fc.constantFrom('grant', 'owner' as const),
    subject: fc.constantFrom('', 'u', 'v'),
    privilege: fc.constantFrom('P', 'Q'),
    object: fc.constantFrom('', 'x', 'y'),
    scope: fc.constantFrom('account a', 'workspace 1'),
    sense: fc.constantFrom('permits', 'restricts', 'either' as const),
    replaces: fc.constantFrom('none', 'subject', 'object' as const),
  })
  .map(({ op, replaces, ...named }) => effect(op, named, { replaces }));

/** Few times and ids, so that they collide. */
const history: fc.Arbitrary<AccessEvent[]> = fc
  .array(
    fc.record({
      minute: fc.integer({ min: 0, max: 9 }),
      done: fc.array(effects, { minLength: 1, maxLength: 3 }),
    }),
    { maxLength: 25 },
  )
  .map((items) => items.map(({ minute, done }, at) => accessEvent(minute, `e${at}`, done)));

const at = (minute: number): number => DAY + minute * MINUTE_MS;

describe('the fold', () => {
  test('does not depend on the order of arrival, nor on duplicates', () => {
    fc.assert(
      fc.property(history, fc.infiniteStream(fc.nat()), (events, random) => {
        const copies = events.filter((_, index) => index % 3 === 0);
        const shuffled = [...events, ...copies]
          .map((event) => ({ event, key: random.next().value as number }))
          .sort((one, other) => one.key - other.key)
          .map(({ event }) => event);
        assert.deepEqual(factsAfter(inOrder(shuffled)), factsAfter(inOrder(events)));
      }),
      RUNS,
    );
  });

  test('a copy that lies elsewhere, or tells another time, counts once and always the same', () => {
    const early = grant(1, 'u', 'add');
    const late = { ...early, timeMs: early.timeMs + 1, effects: grant(1, 'v', 'add').effects };
    const elsewhere = { ...early, at: { ...early.at, partition: 3 } };
    for (const events of [
      [early, late, elsewhere],
      [elsewhere, late, early],
    ]) {
      assert.deepEqual(inOrder(events), [early]);
    }
  });

  test('given and then taken is as before', () => {
    fc.assert(
      fc.property(history, fc.integer({ min: 0, max: 9 }), (events, minute) => {
        const fresh = {
          kind: 'role',
          subject: 'w',
          privilege: 'R',
          object: 'z',
          scope: 's',
        } as const;
        const there = accessEvent(minute, 'x1', [effect('give', fresh)]);
        const back = accessEvent(minute, 'x2', [effect('take', fresh)]);
        const before = factsAfter(inOrder(events));
        assert.deepEqual(factsAfter(inOrder([...events, back, there])), before);
      }),
      RUNS,
    );
  });
});

describe('the difference', () => {
  test('from A to B joined with from B to C is from A to C', () => {
    const times = fc.uniqueArray(fc.integer({ min: -1, max: 11 }), { minLength: 3, maxLength: 3 });
    fc.assert(
      fc.property(history, times, (given, three) => {
        const events = inOrder(given);
        const [a, b, c] = three.toSorted((one, other) => one - other).map(at);
        const whole = diffBetween(events, a!, c!);
        const parts = joined(diffBetween(events, a!, b!), diffBetween(events, b!, c!));
        assert.deepEqual(new Map([...parts].sort()), new Map([...whole].sort()));
      }),
      RUNS,
    );
  });

  test('is what takes the facts of the one time to those of the other', () => {
    fc.assert(
      fc.property(history, fc.integer({ min: 0, max: 10 }), (given, minute) => {
        const events = inOrder(given);
        const facts = new Set(
          factsAfter(events.filter(({ timeMs }) => timeMs < at(minute))).map(factKey),
        );
        for (const [key, { from, to }] of diffBetween(events, at(minute), at(11))) {
          if (from && !to) facts.delete(key);
          if (to) facts.add(key);
        }
        assert.deepEqual([...facts].sort(), factsAfter(events).map(factKey));
      }),
      RUNS,
    );
  });

  test('says wider, narrower, passing, and what was only said again', () => {
    const events = inOrder(
      [
        grant(0, 'held@example.com', 'add'),
        grant(5, 'held@example.com', 'add'),
        grant(5, 'new@example.com', 'add'),
        grant(5, 'lost@example.com', 'remove'),
        grant(5, 'guest@example.com', 'add'),
        grant(6, 'guest@example.com', 'remove'),
      ].map((event, index) => ({ ...event, eventId: `e${index}` })),
    );
    const told = listed(diffBetween(events, at(4), at(9))).map(
      ({ verdict, difference }) => `${verdict} ${difference.fact.subject}`,
    );
    assert.deepEqual(told, [
      'wider new@example.com',
      'narrower lost@example.com',
      'passing guest@example.com',
      'same held@example.com',
    ]);
  });

  test('losing what restricts is wider; losing it with the one it restricts is narrower', () => {
    const only = { ip_access_list: '{"allowed_ip_addresses":["192.0.2.0/24"]}' };
    const made = changeOf(0, 'unityCatalog.createRecipient', { name: 'partner', ...only });
    const opened = changeOf(5, 'unityCatalog.updateRecipient', {
      name: 'partner',
      ip_access_list: '{"allowed_ip_addresses":[]}',
    });
    const gone = changeOf(5, 'unityCatalog.deleteRecipient', { name: 'partner' });
    const verdicts = (last: AccessEvent): string[] =>
      listed(diffBetween([made, last], at(4), at(9))).map(
        ({ verdict, difference }) => `${verdict} ${difference.fact.kind}`,
      );
    assert.deepEqual(verdicts(opened), ['wider network']);
    assert.deepEqual(new Set(verdicts(gone)), new Set(['narrower network', 'narrower recipient']));
  });
});

describe('what replaces what', () => {
  const held = (...events: AccessEvent[]): string[] =>
    factsAfter(inOrder(events)).map(({ subject, privilege, object }) =>
      [subject, privilege, object].join(' ').trim(),
    );
  const job = (minute: number, who: string, level: string) =>
    changeOf(minute, 'jobs.changeJobAcl', {
      resourceId: '1',
      targetUserId: who,
      aclPermissionSet: level,
    });

  test('an object has one owner, and a subject one level on an object', () => {
    const owner = (minute: number, who: string) =>
      changeOf(minute, 'unityCatalog.updateCatalog', { name_arg: 'main', owner: who });
    assert.deepEqual(held(owner(0, 'u'), owner(1, 'v')), ['v OWNER CATALOG main']);
    assert.deepEqual(held(job(0, '7', 'Owner'), job(1, '8', 'View'), job(2, '7', 'View')), [
      '7 VIEW job 1',
      '8 VIEW job 1',
    ]);
    assert.deepEqual(held(job(0, '7', 'Owner'), job(1, '7', '')), []);
  });

  test('a rule set is the whole of the roles on its object', () => {
    const rules = (minute: number, ...principals: string[]) =>
      changeOf(minute, 'accountsAccessControl.updateRuleSet', {
        name: 'n',
        rule_set: JSON.stringify({ grant_rules: [{ role: 'r', principals }] }),
      });
    assert.deepEqual(held(rules(0, 'users/u', 'users/v'), rules(1, 'users/v', 'users/w')), [
      'v r n',
      'w r n',
    ]);
    assert.deepEqual(held(rules(0, 'users/u'), rules(1)), []);
  });

  test('who is deleted from the account has nothing anywhere; from a workspace, nothing there', () => {
    const admin = (minute: number, workspaceId: string) =>
      changeOf(minute, 'accounts.setAdmin', { targetUserName: 'u' }, { workspaceId });
    const gone = (workspaceId: string) =>
      changeOf(9, 'accounts.delete', { targetUserName: 'u' }, { workspaceId });
    assert.deepEqual(held(admin(0, '1'), admin(1, '2'), gone('0')), []);
    assert.deepEqual(held(admin(0, '1'), admin(1, '2'), gone('2')), ['u ADMIN workspace']);
  });

  test('a revoked token is gone, whoever revoked it; one that was never seen is told of', () => {
    const made = changeOf(0, 'accounts.generateDbToken', { tokenHash: 'abc' });
    const gone = changeOf(1, 'accounts.revokeDbToken', { tokenId: 'abc' });
    assert.deepEqual(held(made, gone), []);
    const [unseen] = diffBetween([gone], at(0), at(9)).values();
    assert.equal(verdictOf(unseen!), 'narrower');
    assert.equal(unseen!.fact.object, 'token abc');
  });
});
