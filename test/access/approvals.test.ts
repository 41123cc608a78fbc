/** Approvals: what they cover, and what a mistake in the file looks like. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type Approval, fits, judge, readApprovals } from '../../services/access/approvals.ts';
import type { AccessEvent } from '../../services/access/change.ts';
import { diffBetween } from '../../services/access/diff.ts';
import { resolveNames } from '../../services/access/names.ts';
import { inOrder } from '../../services/access/state.ts';
import { changeOf, DAY, grant } from './events.ts';

const NOW = DAY + 86_400_000;

function approvals(text: string): Approval[] {
  const read = readApprovals('a.yaml', text);
  assert.ok(read.ok, JSON.stringify(read));
  return read.approvals;
}

const one = (match: string, more = ''): string =>
  `approvals:\n  - id: CHG-1\n    owner: dana@example.com\n    reason: asked for\n${more}    match: ${match}\n`;

function judged(text: string, ...events: AccessEvent[]) {
  const diff = diffBetween(inOrder(events), DAY, NOW);
  return judge(diff, approvals(text), NOW);
}

describe('approvals', () => {
  test('cover what they match, and nothing else', () => {
    const events = [grant(1, 'analysts', 'add'), grant(2, 'mallory@example.com', 'add')];
    const { unapproved, uses } = judged(
      one(
        '{ kind: grant, subject: analysts, object: "TABLE main.s.*", privilege: [select, use_*] }',
      ),
      ...events,
    );
    assert.deepEqual(
      unapproved.map(({ effect }) => effect.subject),
      ['mallory@example.com'],
    );
    assert.equal(uses.get('CHG-1'), 1);
    assert.equal(judged(one('{ by: "*@example.com" }'), ...events).unapproved.length, 0);
    assert.equal(judged(one('{ by: mallory@example.com }'), ...events).unapproved.length, 2);
    assert.equal(judged(one('{ action: "*.updatePermissions" }'), ...events).unapproved.length, 0);
  });

  test('are about the names of the time: no rename approves what was done before it', () => {
    const renamed = (name: string, minute: number): AccessEvent =>
      changeOf(
        minute,
        'groups.updateGroup',
        { targetGroupName: name, targetGroupId: '5' },
        { auditLevel: 'ACCOUNT_LEVEL', workspaceId: '0' },
      );
    const events = [renamed('crooks', 1), grant(2, 'crooks', 'add'), renamed('analysts', 3)];
    const left = (match: string): string[] => {
      const { events: named } = resolveNames(inOrder(events));
      const { unapproved } = judge(diffBetween(named, DAY, NOW), approvals(one(match)), NOW);
      return unapproved.map(({ effect }) => `${effect.kind} ${effect.subject}`.trim());
    };
    assert.deepEqual(left('{ kind: grant, subject: analysts }'), [
      'group',
      'grant analysts',
      'group',
    ]);
    assert.deepEqual(left('{ kind: grant, subject: crooks }'), ['group', 'group']);
    assert.deepEqual(left('{ object: "group crooks" }'), ['grant analysts', 'group']);
  });

  test('narrowing needs none; what the event does not tell, and what was taken back, does', () => {
    const quiet = grant(1, 'a', 'remove');
    const back = [grant(2, 'b', 'add'), grant(3, 'b', 'remove')];
    const unclear = changeOf(4, 'accounts.updateIpAccessList', { ipAccessListId: 'l' });
    const unknown = changeOf(5, 'sqlPermissions.grantPermission', { permission: 'x' });
    const { unapproved } = judged('approvals: []\n', quiet, ...back, unclear, unknown);
    assert.deepEqual(
      unapproved.map(({ effect }) => effect.kind),
      ['grant', 'network', 'unknown'],
    );
  });

  test('granting what a revocation of nothing made room for is found', () => {
    const { unapproved } = judged(
      'approvals: []\n',
      grant(1, 'mallory@example.com', 'remove'),
      grant(2, 'mallory@example.com', 'add'),
    );
    assert.equal(unapproved.length, 1);
  });

  test('what was said again needs none', () => {
    const before = { ...grant(0, 'a', 'add'), timeMs: DAY - 1, eventId: 'before' };
    assert.equal(judged('approvals: []\n', before, grant(1, 'a', 'add')).unapproved.length, 0);
  });

  test('hold for the time of the change, and until they expire', () => {
    const event = grant(60, 'a', 'add');
    const count = (more: string): number =>
      judged(one('{ kind: grant }', more), event).unapproved.length;
    assert.equal(count('    from: 2026-11-24\n    to: 2026-11-24T01:00:01Z\n'), 0);
    assert.equal(count('    to: 2026-11-24T01:00:00Z\n'), 1);
    assert.equal(count('    from: 2026-11-24T01:01Z\n'), 1);
    assert.equal(count('    expires: 2026-11-26\n'), 0);
    const late = judged(one('{ kind: grant }', '    expires: 2026-11-25\n'), event);
    assert.deepEqual(late.unapproved[0]?.expired, ['CHG-1']);
    assert.deepEqual(
      late.expired.map(({ id }) => id),
      ['CHG-1'],
    );
  });

  test('a mistake is told with its place and how to mend it', () => {
    const cases: Array<[string, RegExp]> = [
      ['', /^a\.yaml:1:1: the file: /],
      ['approvals: [', /^a\.yaml:1:13: /],
      ['approval: []\n', /unknown key "approval"; did you mean "approvals"/],
      [one('{}'), /^a\.yaml:5:12: "match": names nothing/],
      [one('{ subjekt: x }'), /^a\.yaml:5:14: unknown key "subjekt"; did you mean "subject"/],
      [one('{ kind: gift }'), /^a\.yaml:5:20: .*not a kind; kinds are acl, /],
      [one('{ kind: grant }', '    expires: soon\n'), /^a\.yaml:5:14: "expires": not a day/],
      [one('{ kind: grant }', '    expires: 2026-02-31\n'), /"expires": not a day/],
      ['approvals:\n  - id: x\n    match: { kind: grant }\n', /"owner": is missing/],
      [`${one('{ kind: grant }')}${one('{ kind: acl }').slice('approvals:\n'.length)}`, /second/],
      ['a: &a [x]\napprovals: *b\n', /./],
    ];
    for (const [text, expected] of cases) {
      const read = readApprovals('a.yaml', text);
      assert.ok(!read.ok, text);
      const told = read.problems.map(({ place, what, hint }) => `${place}: ${what}; ${hint}`);
      assert.match(told.join('\n'), expected);
    }
  });

  test('reading is total', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        readApprovals('a.yaml', text);
        readApprovals('a.yaml', `approvals: ${text}`);
      }),
    );
  });

  test('wildcards match as a regular expression would', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'B', '.', '*', '?') });
    fc.assert(
      fc.property(letters, fc.string({ unit: fc.constantFrom('a', 'b', '.') }), (pattern, text) => {
        const source = pattern.replaceAll('.', '\\.').replaceAll('*', '.*').replaceAll('?', '.');
        assert.equal(fits(pattern, text), new RegExp(`^${source}$`, 'i').test(text));
      }),
    );
    assert.equal(fits('*a'.repeat(200), 'a'.repeat(199)), false);
  });
});
