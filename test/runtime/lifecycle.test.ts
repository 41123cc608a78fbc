import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';

interface Probe {
  child: ChildProcess;
  out(): string;
  err(): string;
  /** Resolves when standard output or error matches; rejects when the process ends first. */
  said(pattern: RegExp): Promise<RegExpMatchArray>;
  ended: Promise<number | null>;
}

function start(context: TestContext, ...behaviour: string[]): Probe {
  const program = join(import.meta.dirname, 'programs', 'service.ts');
  const child = spawn(process.execPath, [program, ...behaviour], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  context.after(() => child.kill('SIGKILL'));
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (err += text));
  const ended = once(child, 'close').then(([code]) => code as number | null);
  const said = async (pattern: RegExp): Promise<RegExpMatchArray> => {
    for (;;) {
      const found = `${out}${err}`.match(pattern);
      if (found !== null) return found;
      const more = [once(child.stdout, 'data'), once(child.stderr, 'data')];
      const code = await Promise.race([ended.then((ended) => ({ ended })), ...more]);
      if ('ended' in code && !pattern.test(`${out}${err}`)) {
        throw new Error(`ended with ${code.ended} before ${pattern}: ${out}${err}`);
      }
    }
  };
  return { child, out: () => out, err: () => err, said, ended };
}

describe('a service', () => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    test(`${signal} lets it finish, then exit code 0`, async (context) => {
      const probe = start(context, 'stops');
      await probe.said(/running/);
      const port = (await probe.said(/"port":(\d+)/))[1];
      assert.equal((await fetch(`http://127.0.0.1:${port}/readyz`)).status, 200);
      probe.child.kill(signal);
      assert.equal(await probe.ended, 0);
      assert.match(probe.out(), /sealed/);
    });
  }

  test('SIGHUP reaches one that listens for it, and ends one that does not', async (context) => {
    const probe = start(context, 'reloads');
    await probe.said(/listening/);
    probe.child.kill('SIGHUP');
    await probe.said(/looked\ndeaf/);
    assert.equal(probe.child.exitCode, null);
    probe.child.kill('SIGHUP');
    assert.equal(await probe.ended, null);
    assert.equal(probe.child.signalCode, 'SIGHUP');
  });

  test('a second signal ends one that hangs at once, with code 1', async (context) => {
    const probe = start(context, 'hangs');
    await probe.said(/running/);
    probe.child.kill('SIGTERM');
    await probe.said(/"stopping"/);
    assert.equal(probe.child.exitCode, null);
    probe.child.kill('SIGTERM');
    assert.equal(await probe.ended, 1);
    assert.match(probe.err(), /second signal/);
  });

  test('one that hangs is ended when the time to stop is over, with code 1', async (context) => {
    const probe = start(context, 'hangs', '50');
    await probe.said(/running/);
    probe.child.kill('SIGTERM');
    assert.equal(await probe.ended, 1);
    assert.match(probe.err(), /did not stop in time/);
  });

  test('its failure is told with code and hint, exit code 1', async (context) => {
    const probe = start(context, 'fails');
    assert.equal(await probe.ended, 1);
    assert.match(
      probe.err(),
      /lakeseal probe: error: the store is gone \(S3_GONE\)\nhint: bring it back\n/,
    );
  });

  for (const behaviour of ['rejects', 'throws']) {
    test(`an error that nobody handles (${behaviour}) is logged and ends it`, async (context) => {
      const probe = start(context, behaviour);
      assert.equal(await probe.ended, 1);
      assert.match(probe.err(), /"message":"nobody (awaits|catches) this"/);
    });
  }
});
