/**
 * `docker-compose.yml` and `Dockerfile`, judged without an engine: by the published schema of
 * Compose files, and by what lakeseal asks of them beyond it.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { Ajv } from 'ajv';
import { configKeys } from '../services/runtime/config.ts';
import {
  type Artifact,
  cacheFolder,
  KAFKA_VERSION,
  makeOnce,
  OPENSEARCH_VERSION,
  REGISTRY_VERSION,
} from './stack/artifacts.ts';
import { compose, composePolicy, COMPOSE_TEXT as text } from './stack/compose-file.ts';
import { ARCHIVER_ACTIONS } from './stack/native.ts';
import { createProgress } from './stack/progress.ts';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '..');

const services = Object.entries(compose.services);
const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  version: string;
  devDependencies: Record<string, string>;
};
/** What ends by itself; the others stay. */
const ONE_SHOT = ['minio-init', 'setup', 'keys', 'baseline', 'collector'];
const OWN = ['setup', 'archiver', 'detector', 'keys', 'baseline', 'collector', 'verifier'];

/**
 * The schema as a linter of Compose files publishes it on npm, which every machine that runs this
 * has. It is somebody else's text, so it lives in the cache and not in the repository.
 */
const SCHEMA: Artifact = {
  name: 'dclint',
  version: '3.1.0',
  tools: ['tar'],
  label: 'schema of Compose files: fetching',
  async make(folder) {
    const npm = process.env.npm_execpath;
    const [command, first] = npm === undefined ? ['npm', []] : [process.execPath, [npm]];
    await run(command, [...first, 'pack', 'dclint@3.1.0', '--pack-destination', folder]);
    const [archive] = await readdir(folder);
    await run('tar', ['-xzf', join(folder, archive!), '-C', folder]);
    await rename(join(folder, 'package', 'schemas', 'compose.schema.json'), join(folder, 'schema'));
    await rm(join(folder, 'package'), { recursive: true });
    await rm(join(folder, archive!));
  },
};

async function publishedSchema(): Promise<Record<string, unknown>> {
  const cache = cacheFolder();
  const tools = { env: process.env, jdk: { home: '', version: 0 } };
  await makeOnce(
    SCHEMA,
    cache,
    tools,
    createProgress(() => {}),
  );
  const schema = JSON.parse(readFileSync(join(cache, 'dclint-3.1.0', 'schema'), 'utf8'));
  // Its dialect is named by an address that the validator does not know by heart.
  delete schema.$schema;
  return schema;
}

describe('the published schema', () => {
  let validate: ReturnType<Ajv['compile']>;
  before(async () => {
    validate = new Ajv({ strict: false, validateFormats: false }).compile(await publishedSchema());
  });

  test('accepts docker-compose.yml', () => {
    assert.ok(validate(compose), JSON.stringify(validate.errors, null, 2));
  });

  test('refuses it with a misspelt key, a wrong condition, a port of a wrong kind', () => {
    const wrong: ((kafka: Record<string, unknown>) => void)[] = [
      (kafka) => Object.assign(kafka, { helthcheck: kafka.healthcheck }),
      (kafka) => Object.assign(kafka, { depends_on: { minio: { condition: 'healthy' } } }),
      (kafka) => Object.assign(kafka, { ports: [true] }),
    ];
    for (const spoil of wrong) {
      const spoilt = structuredClone(compose);
      spoil(spoilt.services.kafka as unknown as Record<string, unknown>);
      assert.equal(validate(spoilt), false, spoil.toString());
    }
  });
});

describe('images', () => {
  test('every image is pinned by a tag that says a version', () => {
    for (const [name, { image: full }] of services) {
      const image = full.replace(/^\$\{MINIO_REGISTRY:-\}/, '');
      assert.match(image, /^[a-z0-9./-]+:(\d+\.\d+\.\d+|RELEASE\.\d{4}-\d\d-\d\dT[\d-]+Z)$/, name);
    }
  });

  test('the servers are those that the tests start without Docker', () => {
    const tag = (name: string): string | undefined => compose.services[name]?.image.split(':')[1];
    assert.equal(tag('kafka'), KAFKA_VERSION);
    assert.equal(tag('registry'), REGISTRY_VERSION);
    assert.equal(tag('opensearch'), OPENSEARCH_VERSION);
    assert.equal(tag('dashboards'), OPENSEARCH_VERSION);
  });

  test("lakeseal's own is built here, under the version of the package", () => {
    for (const name of OWN) {
      assert.equal(compose.services[name]?.image, `lakeseal:${manifest.version}`);
      assert.equal(compose.services[name]?.build, '.');
    }
  });

  test('the Dockerfile is based on the Node of the package, and not run as root', () => {
    const dockerfile = readFileSync(join(ROOT, 'Dockerfile'), 'utf8');
    const bases = [...dockerfile.matchAll(/^FROM (\S+)/gm)].map(([, base]) => base);
    assert.ok(bases.length >= 2);
    for (const base of bases) {
      assert.equal(base, `node:${manifest.devDependencies.node}-bookworm-slim`);
    }
    const last = dockerfile.slice(dockerfile.lastIndexOf('FROM '));
    assert.match(last, /^USER node$/m);
    assert.match(last, /^HEALTHCHECK [\s\S]*\/livez/m);
  });

  test('what the build reads is sent to the engine', () => {
    const allowed = readFileSync(join(ROOT, '.dockerignore'), 'utf8').split('\n');
    const own = readdirSync(ROOT).filter((name) => /^(tsconfig.*|package.*)\.json$/.test(name));
    assert.ok(own.includes('tsconfig.build.json'));
    for (const name of [...own, 'LICENSE', 'services', 'schemas', 'test/build.ts']) {
      assert.ok(allowed.includes(`!${name}`), name);
    }
  });
});

describe('least privilege', () => {
  test('no container has a capability, can gain one, or is privileged', () => {
    for (const [name, service] of services) {
      assert.deepEqual(service.cap_drop, ['ALL'], name);
      assert.deepEqual(service.security_opt, ['no-new-privileges:true'], name);
      assert.notEqual(service.privileged, true, name);
    }
  });

  test("lakeseal's own run as a user, on a file system they cannot write", () => {
    for (const name of OWN) {
      assert.equal(compose.services[name]?.read_only, true, name);
      assert.equal(compose.services[name]?.user, '1000:1000', name);
    }
  });

  test('every port is published on the loopback address only, and can be moved', () => {
    const ports = services.flatMap(([, service]) => service.ports ?? []);
    assert.ok(ports.length >= 5);
    for (const port of ports) assert.match(port, /^127\.0\.0\.1:\$\{[A-Z]+_PORT:-\d+\}:\d+$/);
    const defaults = ports.map((port) => /:-(\d+)\}/.exec(port)?.[1]);
    assert.equal(new Set(defaults).size, ports.length, 'two services want one port');
  });

  test('only setup holds the root credential; the archiver and the detector only their own', () => {
    const holds = (name: string): string => JSON.stringify(compose.services[name]?.environment);
    for (const name of OWN.filter((one) => one !== 'setup')) {
      assert.doesNotMatch(holds(name) ?? '', /MINIO_ROOT/);
    }
    assert.match(holds('setup'), /MINIO_ROOT/);
    assert.doesNotMatch(holds('detector'), /STORAGE/);
    assert.doesNotMatch(holds('archiver'), /OPENSEARCH/);
    assert.doesNotMatch(holds('verifier'), /KAFKA|ARCHIVER|KEY_FILE/);
  });

  test('the signing key is written by who makes it, and seen by who signs alone', () => {
    const holders = services.flatMap(([name, { volumes = [] }]) =>
      volumes.filter((one) => one.startsWith('keys:')).map((one) => `${name} ${one}`),
    );
    assert.deepEqual(holders.sort(), [
      'archiver keys:/keys:ro',
      'baseline keys:/keys:ro',
      'keys keys:/keys',
    ]);
  });

  test('where lakeseal writes into a volume, the image has a folder of its user', () => {
    const dockerfile = readFileSync(join(ROOT, 'Dockerfile'), 'utf8');
    const [, made = '', owned = ''] = /^RUN mkdir (.+) && chown node:node (.+)$/m.exec(dockerfile)!;
    assert.equal(made, owned);
    const written = OWN.flatMap((name) => compose.services[name]?.volumes ?? [])
      .filter((volume) => /^\w+:/.test(volume))
      .map((volume) => volume.split(':')[1]!);
    assert.deepEqual([...new Set(written)].sort(), made.split(' ').sort());
  });

  test('the policy of the archiver is the one that the tests are run with', () => {
    const policy = composePolicy('ARCHIVER_POLICY');
    const [objects, buckets] = policy.Statement;
    assert.equal(policy.Statement.length, 2);
    assert.deepEqual(objects?.Action, ARCHIVER_ACTIONS.objects);
    assert.deepEqual(buckets?.Action, ARCHIVER_ACTIONS.buckets);
    assert.deepEqual(buckets?.Resource, ['arn:aws:s3:::lakeseal-*']);
    assert.deepEqual(objects?.Resource, ['arn:aws:s3:::lakeseal-*/*']);
  });
});

test('the policy of the verifier allows nothing but reading', () => {
  const policy = composePolicy('VERIFIER_POLICY');
  const actions = policy.Statement.flatMap(({ Action }) => Action);
  assert.ok(actions.length > 5);
  for (const action of actions) assert.match(action, /^s3:(Get|List)[A-Za-z]+$/);
});

describe('start', () => {
  test('every service has a health check, or runs once and is not restarted', () => {
    for (const [name, service] of services) {
      if (ONE_SHOT.includes(name)) assert.equal(service.restart, 'no', name);
      else assert.ok((service.healthcheck?.test?.length ?? 0) > 1, name);
    }
  });

  test('what is waited for can come true', () => {
    for (const [name, service] of services) {
      for (const [other, { condition }] of Object.entries(service.depends_on ?? {})) {
        assert.ok(compose.services[other] !== undefined, `${name} waits for ${other}`);
        const expected = ONE_SHOT.includes(other)
          ? 'service_completed_successfully'
          : 'service_healthy';
        assert.equal(condition, expected, `${name} waits for ${other}`);
      }
    }
  });

  test('`up --wait` knows what ends: each one-shot of the default profile is depended upon', () => {
    const awaited = services.flatMap(([, { depends_on }]) => Object.keys(depends_on ?? {}));
    for (const name of ONE_SHOT) {
      if (compose.services[name]?.profiles === undefined) assert.ok(awaited.includes(name), name);
    }
  });

  test('every named volume is used, and every used one is named', () => {
    const mounted = services.flatMap(([, { volumes }]) => volumes ?? []);
    const named = mounted
      .map((volume) => volume.split(':')[0]!)
      .filter((name) => /^\w+$/.test(name));
    assert.deepEqual([...new Set(named)].sort(), Object.keys(compose.volumes).sort());
  });
});

describe('settings', () => {
  test('every LAKESEAL_ variable is a key of the configuration', () => {
    const known = new Set(configKeys.map(({ env }) => env));
    const dockerfile = readFileSync(join(ROOT, 'Dockerfile'), 'utf8');
    const used = `${text}\n${dockerfile}`.match(/LAKESEAL_[A-Z0-9_]+/g) ?? [];
    assert.ok(used.length > 10);
    for (const name of used) assert.ok(known.has(name), name);
  });

  test('every command is one of lakeseal', async () => {
    for (const name of OWN) {
      const [command] = compose.services[name]?.command ?? [];
      const main = join(ROOT, 'services', 'main.ts');
      const { stdout } = await run(process.execPath, [main, command!, '--help']);
      assert.match(stdout, new RegExp(`lakeseal ${command}\\b`));
    }
  });

  test('the identifiers have the length that the servers want', () => {
    const cluster = compose.services.kafka!.environment!.CLUSTER_ID!;
    assert.equal(Buffer.from(cluster, 'base64url').length, 16);
    const kms = /MINIO_KMS_KEY:-([^}]+)\}/.exec(text)?.[1];
    assert.equal(Buffer.from(kms!, 'base64').length, 32);
  });
});

describe('the engine', () => {
  test('`docker compose config` reads the file, where Compose is installed', async (t) => {
    try {
      await run('docker', ['compose', 'version']);
    } catch {
      return t.skip('no Docker Compose here');
    }
    const { stdout } = await run('docker', ['compose', 'config', '--services'], { cwd: ROOT });
    const expected = services.filter(([, { profiles }]) => profiles === undefined);
    assert.deepEqual(stdout.trim().split('\n').sort(), expected.map(([name]) => name).sort());
  });
});
