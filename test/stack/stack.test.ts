/** What the servers' harness promises without a server: prerequisites, cache, locks, processes. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { configKeys } from '../../services/runtime/config.ts';
import { Failure } from '../../services/runtime/errors.ts';
import { type Artifact, cacheFolder, lock, makeOnce } from './artifacts.ts';
import { configEnv, rootSettings } from './environment.ts';
import { waitUntilReady } from './native.ts';
import { freePorts } from './ports.ts';
import { findJdk, findPrerequisites, JAVA_VERSION_MIN } from './prerequisites.ts';
import { endProcess, identify, isAlive, isStopped, launch, signalProcess } from './process.ts';
import { createProgress } from './progress.ts';
import { uniqueName } from './stack.ts';
import type { StackState } from './state.ts';

let dir: string;
before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'lakeseal-test-'));
});
after(() => rm(dir, { recursive: true, force: true }));

const quiet = createProgress(() => {});

function fakeJdk(name: string, version: number): string {
  const home = join(dir, name);
  mkdirSync(join(home, 'bin'), { recursive: true });
  const script = `#!/bin/sh\necho '    java.specification.version = ${version}' >&2\n`;
  for (const tool of ['java', 'jar']) {
    writeFileSync(join(home, 'bin', tool), script);
    chmodSync(join(home, 'bin', tool), 0o755);
  }
  return home;
}

describe('prerequisites', () => {
  test('everything that is missing is named in one failure', () => {
    const machine = { env: { PATH: dir }, jdkFolders: [join(dir, 'none')] };
    assert.throws(
      () => findPrerequisites(new Set(['java', 'mvn', 'go', 'tar']), machine),
      (error: unknown) => {
        assert.ok(error instanceof Failure);
        assert.equal(error.code, 'STACK_PREREQUISITES_MISSING');
        for (const tool of ['JDK', 'Maven', 'Go', 'tar']) {
          assert.match(error.message, new RegExp(`- .*${tool}`));
        }
        return true;
      },
    );
  });

  test('what is not needed is not asked for', () => {
    findPrerequisites(new Set(), { env: { PATH: dir }, jdkFolders: [] });
  });

  test('the first JDK that is recent enough is taken, in the documented order', () => {
    const folder = join(dir, 'jvm');
    const old = fakeJdk('jvm/a-old', JAVA_VERSION_MIN - 4);
    const good = fakeJdk('jvm/b-good', JAVA_VERSION_MIN);
    const newer = fakeJdk('elsewhere', JAVA_VERSION_MIN + 4);
    const home = (env: NodeJS.ProcessEnv): string | undefined =>
      findJdk({ env: { PATH: dir, ...env }, jdkFolders: [folder] })?.home;
    assert.equal(home({}), good);
    assert.equal(home({ JAVA_HOME: newer }), newer);
    assert.equal(home({ JAVA_HOME: old }), good);
    assert.equal(home({ JAVA_HOME: old, LAKESEAL_JAVA_HOME: newer }), newer);
  });
});

function artifact(name: string, make: (folder: string) => Promise<void>): Artifact {
  return { name, version: '1', tools: [], label: name, make };
}

const tools = { env: process.env, jdk: { home: '', version: 0 } };

describe('cache', () => {
  test('the folder comes from LAKESEAL_CACHE, then XDG, then the home', () => {
    assert.equal(cacheFolder({ LAKESEAL_CACHE: '/a', XDG_CACHE_HOME: '/b' }), '/a');
    assert.equal(cacheFolder({ XDG_CACHE_HOME: '/b' }), '/b/lakeseal');
    assert.match(cacheFolder({}), /\.cache\/lakeseal$/);
  });

  test('two who need it at once make it once', async () => {
    const cache = await mkdtemp(join(dir, 'cache-'));
    let made = 0;
    const slow = artifact('slow', async (folder) => {
      made++;
      await writeFile(join(folder, 'half'), '');
      // Long enough for the other to come and wait: it polls for the lock.
      await new Promise((done) => setImmediate(done));
      await writeFile(join(folder, 'program'), 'whole');
    });
    await Promise.all([1, 2, 3].map(() => makeOnce(slow, cache, tools, quiet)));
    assert.equal(made, 1);
    assert.equal(await readFile(join(cache, 'slow-1', 'program'), 'utf8'), 'whole');
    assert.deepEqual(readdirSync(cache), ['slow-1'], 'no lock and no temporary folder is left');
  });

  test('the first use of a machine makes the cache', async () => {
    const cache = join(dir, 'home', 'of', 'nobody', 'yet');
    const first = artifact('program', (folder) => writeFile(join(folder, 'program'), ''));
    await makeOnce(first, cache, tools, quiet);
    assert.deepEqual(readdirSync(cache), ['program-1']);
  });

  test('what failed half-way is never used, and the next try starts from nothing', async () => {
    const cache = await mkdtemp(join(dir, 'cache-'));
    const broken = artifact('program', async (folder) => {
      await writeFile(join(folder, 'rubbish'), '');
      throw new Error('the network went away');
    });
    await assert.rejects(makeOnce(broken, cache, tools, quiet), /network went away/);
    assert.ok(!existsSync(join(cache, 'program-1')));
    const whole = artifact('program', (folder) => writeFile(join(folder, 'program'), ''));
    await makeOnce(whole, cache, tools, quiet);
    assert.deepEqual(readdirSync(join(cache, 'program-1')), ['program']);
    assert.deepEqual(readdirSync(cache), ['program-1'], 'what was half made is gone');
  });

  test('the lock of a dead process is taken over, that of a live one is waited for', async () => {
    const path = join(dir, 'some.lock');
    mkdirSync(path);
    const dead = { pid: process.pid, born: 'long ago' };
    writeFileSync(join(path, 'holder.json'), JSON.stringify(dead));
    const release = await lock(path);
    let second = false;
    const waiting = lock(path).then((releaseSecond) => {
      second = true;
      releaseSecond();
    });
    await new Promise((done) => setImmediate(done));
    assert.equal(second, false);
    release();
    await waiting;
    assert.equal(existsSync(path), false);
  });
});

describe('processes', () => {
  async function sleeper() {
    const child = spawn(process.execPath, ['-e', 'console.log(1); setInterval(() => {}, 1e6)']);
    await once(child.stdout, 'data');
    const identity = identify(child.pid!);
    assert.ok(identity !== null);
    return { child, identity };
  }

  test('a signal goes to the process that was recorded, not to a later one of that id', async () => {
    const { child, identity } = await sleeper();
    const earlier = { pid: identity.pid, born: 'before' };
    assert.equal(isAlive(earlier), false);
    assert.equal(signalProcess(earlier, 'SIGKILL'), false);
    assert.equal(isAlive(identity), true);
    const gone = once(child, 'exit');
    assert.equal(signalProcess(identity, 'SIGKILL'), true);
    await gone;
    assert.equal(isAlive(identity), false);
  });

  test('a stopped process can be ended', async () => {
    const { child, identity } = await sleeper();
    const gone = once(child, 'exit');
    signalProcess(identity, 'SIGSTOP');
    await endProcess(identity, 5_000);
    await gone;
    assert.equal(isAlive(identity), false);
    assert.equal(isStopped(identity), false);
  });
});

test('a server that ends at its start is reported with the end of its log and where it lies', async () => {
  const how = {
    command: process.execPath,
    args: ['-e', 'console.error("first"); console.error("cannot bind port 1"); process.exit(3)'],
    env: {},
    cwd: dir,
    log: join(dir, 'registry.log'),
    pidFile: join(dir, 'registry.pid.json'),
  };
  const state = { registry: { url: 'http://127.0.0.1:1' } } as StackState;
  await assert.rejects(waitUntilReady('registry', state, how, launch(how), 0), (error: unknown) => {
    assert.ok(error instanceof Failure);
    assert.equal(error.code, 'STACK_SERVER_DIED');
    assert.match(error.message, /first\n.*cannot bind port 1/);
    assert.ok(error.hint?.includes(how.log));
    return true;
  });
});

test('ports are different, free, and below those of outgoing connections', async () => {
  const ports = await freePorts(8);
  assert.equal(new Set(ports).size, 8);
  for (const port of ports) {
    assert.ok(port < 32_768);
    const server = createServer().listen(port, '127.0.0.1');
    await once(server, 'listening');
    server.close();
  }
});

test('a unique name is valid for S3, Kafka and OpenSearch, whatever it is made from', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (name) => {
      const unique = uniqueName(name);
      assert.match(unique, /^lakeseal-[a-z0-9-]{3,}$/);
      assert.ok(unique.length <= 63);
      assert.notEqual(uniqueName(name), unique);
    }),
  );
});

test('the environment for a process holds only keys of the configuration', () => {
  const known = configKeys.map(({ env }) => env);
  const state = {
    kafka: { brokers: ['a:1', 'b:2'] },
    registry: { url: 'http://r' },
    s3: {
      endpoint: 'http://s',
      region: 'r',
      root: { accessKeyId: 'root', secretAccessKey: 'x' },
      archiver: { accessKeyId: 'archiver', secretAccessKey: 'y' },
    },
    opensearch: { url: 'http://o' },
  } as StackState;
  const env = configEnv(state, { 'archive.segmentAgeMsMax': 500 });
  for (const name of Object.keys(env)) assert.ok(known.includes(name), name);
  assert.equal(env.LAKESEAL_KAFKA_BROKERS, 'a:1,b:2');
  assert.equal(env.LAKESEAL_ARCHIVE_SEGMENT_AGE_MS_MAX, '500');
  assert.equal(env.LAKESEAL_STORAGE_ACCESS_KEY_ID, 'archiver');
  assert.equal(configEnv(state, rootSettings(state)).LAKESEAL_SETUP_ACCESS_KEY_ID, 'root');
});
