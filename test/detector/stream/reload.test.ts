/** Rules that change while it runs: all or nothing, loudly, and only when the files stand still (D3). */
import assert from 'node:assert/strict';
import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { DEFAULT_LIMITS } from '../../../services/detector/correlate/limits.ts';
import { NO_PLACES } from '../../../services/detector/fields/place.ts';
import { stampFiles } from '../../../services/detector/stream/rule-watch.ts';
import {
  loadEngine,
  RulesInForce,
  ruleFolders,
} from '../../../services/detector/stream/rules-in-force.ts';
import { configSchema } from '../../../services/runtime/config.ts';
import type { Log } from '../../../services/runtime/log.ts';

const HOUR_MS = 3_600_000;

function rule(action: string, title = 'a rule'): string {
  return `title: ${title}
id: 00000000-0000-4000-8000-000000000001
name: leaf
level: low
logsource:
  product: databricks
detection:
  sel:
    actionName: ${action}
  condition: sel
`;
}

function count(threshold: number, timespan = '1h', title = 'many'): string {
  return `title: ${title}
id: 00000000-0000-4000-8000-000000000002
level: high
correlation:
  type: event_count
  rules: [leaf]
  group-by: [actor.name]
  timespan: ${timespan}
  condition: { gte: ${threshold} }
`;
}

let folder: string;
let file: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lakeseal-rules-'));
  file = join(folder, 'one.yml');
});
after(() => rm(folder, { recursive: true, force: true }));

interface Scene {
  rules: RulesInForce;
  told: string[];
  state: { ready: boolean; reason: string; current: boolean; loaded: number };
  now: { ms: number };
}

/** Over the real loader and real files; `stamp` stands in for the file system's times. */
async function scene(stamps: () => string = () => String(Math.random())): Promise<Scene> {
  const told: string[] = [];
  const state = { ready: false, reason: '', current: false, loaded: -1 };
  const now = { ms: Date.UTC(2026, 10, 28) };
  const tell = (fields: { problem?: string }, text: string): void => {
    told.push(fields.problem === undefined ? text : `${text}: ${fields.problem}`);
  };
  const log = { info: tell, warn: tell, error: tell, debug: tell } as unknown as Log;
  const { detect } = configSchema.parse({ detect: { shippedRules: false, rules: [folder] } });
  const opened = await RulesInForce.open({
    stamp: async () => stamps(),
    load: (nowMs) => loadEngine(ruleFolders(detect, nowMs), NO_PLACES, DEFAULT_LIMITS),
    clock: { now: () => now.ms, sleep: async () => {} },
    log,
    rulesLoaded: (loaded) => {
      state.loaded = loaded;
    },
    rulesCurrent: (current) => {
      state.current = current;
    },
    ready: (ready, reason = '') => {
      Object.assign(state, { ready, reason });
    },
  });
  assert.ok(opened.ok, JSON.stringify(opened));
  told.length = 0;
  return { rules: opened.rules, told, state, now };
}

const never = new AbortController().signal;

describe('rules in force', () => {
  it('stay while the files stay, and are others when they are', async () => {
    await writeFile(file, rule('login'));
    let stamp = 'a';
    const { rules, state } = await scene(() => stamp);
    const first = rules.engine;
    assert.equal(await rules.look(false, never), false);
    assert.equal(rules.engine, first);
    await writeFile(file, `${rule('login')}---\n${count(5)}`);
    assert.equal(await rules.look(false, never), false, 'what cannot be seen is not looked for');
    stamp = 'b';
    assert.equal(await rules.look(false, never), true);
    assert.equal(rules.engine.plans.size, 1);
    assert.deepEqual(state, { ready: true, reason: '', current: true, loaded: 1 });
  });

  it('stay when those on disk do not load: every problem is told, with its place', async () => {
    await writeFile(file, rule('login'));
    const { rules, told, state } = await scene();
    const { engine } = rules;
    await writeFile(
      file,
      `${rule('login').replace('condition: sel', 'condition: other')}levle: 3\n`,
    );
    assert.equal(await rules.look(false, never), false);
    assert.equal(rules.engine, engine);
    assert.equal(state.current, false);
    assert.equal(state.ready, false);
    assert.match(state.reason, /do not load \(\d errors?\): .*one\.yml:\d+:\d+: error: /);
    const places = told.filter((line) => /a rule does not load: .*one\.yml:\d+:\d+: /.test(line));
    assert.ok(places.length >= 1, told.join('\n'));
    assert.ok(told.some((line) => /those of before stay in force/.test(line)));
    await writeFile(file, rule('logout'));
    assert.equal(await rules.look(false, never), true);
    assert.deepEqual(state, { ready: true, reason: '', current: true, loaded: 1 });
  });

  it('tell what is wrong, not what is only doubtful and stands before it', async () => {
    await writeFile(file, rule('login'));
    const { rules, told, state } = await scene();
    const broken = rule('login', 'another').replace('condition: sel', 'condition: other');
    await writeFile(
      file,
      `${rule('logni')}---\n${broken.replace(/0001$/m, '0003').replace('leaf', 'other')}`,
    );
    assert.equal(await rules.look(false, never), false);
    assert.match(state.reason, /\(1 error\): .*one\.yml:21:\d+: error: /);
    const kinds = told.map((line) => line.replace(/: .*/, ''));
    assert.deepEqual(kinds.slice(0, 2), ['a rule is doubtful', 'a rule does not load']);
    assert.match(told[0]!, /one\.yml:9:\d+: warning: /);
  });

  it('do not load either where correlation cannot give what a rule asks for', async () => {
    await writeFile(file, rule('login'));
    const { rules, told } = await scene();
    await writeFile(file, `${rule('login')}---\n${count(1_000_000)}`);
    assert.equal(await rules.look(false, never), false);
    assert.ok(told.some((line) => /one\.yml:\d+:\d+: error: the threshold 1000000/.test(line)));
  });

  it('are taken where it is asked for, changed or not', async () => {
    await writeFile(file, rule('login'));
    const { rules } = await scene(() => 'the same');
    const before = rules.engine;
    assert.equal(await rules.look(true, never), true);
    assert.notEqual(rules.engine, before);
  });

  it('are taken when the files stand still, not while they are being written', async () => {
    await writeFile(file, rule('login'));
    const stamps = ['a', 'b', 'c', 'd', 'd', 'd'];
    const { rules } = await scene(() => (stamps.length > 1 ? stamps.shift()! : stamps[0]!));
    assert.equal(await rules.look(false, never), true);
    assert.deepEqual(stamps, ['d']);
  });

  it('are others when an exception expires, though no file has changed', async () => {
    const expires = '2026-11-29';
    await writeFile(
      file,
      `${rule('login')}---
title: an exception
logsource: { product: databricks }
filter:
  rules: [leaf]
  them:
    actor.name: alice@example.com
  condition: not them
lakeseal: { owner: somebody, reason: a reason, expires: ${expires} }
`,
    );
    const { rules, now } = await scene(() => 'the same');
    assert.deepEqual(
      rules.engine.set.exceptions.map(({ expired }) => expired),
      [false],
    );
    now.ms += 23 * HOUR_MS;
    assert.equal(await rules.look(false, never), false);
    now.ms += 48 * HOUR_MS;
    assert.equal(await rules.look(false, never), true);
    assert.deepEqual(
      rules.engine.set.exceptions.map(({ expired }) => expired),
      [true],
    );
    assert.equal(await rules.look(false, never), false);
  });

  it('keep the meaning of a rule apart from its words', async () => {
    await writeFile(file, `${rule('login')}---\n${count(5)}`);
    const { rules } = await scene();
    const version = rules.engine.plansVersion;
    await writeFile(file, `${rule('logout', 'other words')}---\n${count(5, '1h', 'other words')}`);
    await rules.look(false, never);
    assert.equal(rules.engine.plansVersion, version, 'state of before goes on');
    await writeFile(file, `${rule('login')}---\n${count(6)}`);
    await rules.look(false, never);
    assert.notEqual(rules.engine.plansVersion, version);
  });
});

describe('files', () => {
  it('have another stamp when one is changed, added or gone', async () => {
    const seen = new Set<string>();
    const look = async (): Promise<void> => void seen.add(await stampFiles([folder, '/no/such']));
    await writeFile(file, 'a');
    await look();
    await look();
    assert.equal(seen.size, 1);
    await writeFile(file, 'ab');
    await look();
    await utimes(file, 1, 1);
    await look();
    await writeFile(join(folder, 'two.yml'), '');
    await look();
    await rm(join(folder, 'two.yml'));
    await look();
    assert.equal(seen.size, 4);
    await writeFile(join(folder, '.hidden'), '');
    await look();
    assert.equal(seen.size, 4);
  });
});
