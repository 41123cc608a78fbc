import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  assembleConfig,
  configKeys,
  configSchema,
  loadConfig,
} from '../../services/runtime/config.ts';
import { envName } from '../../services/runtime/config-keys.ts';
import { Failure } from '../../services/runtime/errors.ts';
import { didYouMean, editDistance, nearest } from '../../services/runtime/nearest.ts';

const noFiles = (path: string): string => {
  throw Object.assign(new Error(`no ${path}`), { code: 'ENOENT' });
};

function problemsOf(text: string | undefined, env: NodeJS.ProcessEnv = {}): string[] {
  const source = text === undefined ? undefined : { path: 'c.yaml', text };
  const outcome = assembleConfig(source, env, noFiles);
  assert.ok(!outcome.ok, 'expected problems');
  return outcome.problems.map(({ place, path, what }) => `${place}: ${path}: ${what}`);
}

function configOf(
  text: string | undefined,
  env: NodeJS.ProcessEnv = {},
  readText: (path: string) => string = noFiles,
) {
  const source = text === undefined ? undefined : { path: 'c.yaml', text };
  const outcome = assembleConfig(source, env, readText);
  assert.ok(outcome.ok, JSON.stringify(outcome));
  return outcome;
}

describe('sources', () => {
  test('nothing given is the defaults', () => {
    assert.deepEqual(configOf(undefined).config, configSchema.parse({}));
    assert.deepEqual(configOf('').config, configSchema.parse({}));
    assert.deepEqual(configOf('# only a comment\n').config, configSchema.parse({}));
  });

  test('the environment overlays the file, key by key', () => {
    const { config, places } = configOf('kafka:\n  brokers: [a:1]\n  clientId: mine\n', {
      LAKESEAL_KAFKA_BROKERS: 'b:2, c:3',
      LAKESEAL_STORAGE_PATH_STYLE: 'true',
      LAKESEAL_HTTP_PORT: '8080',
    });
    assert.deepEqual(config.kafka.brokers, ['b:2', 'c:3']);
    assert.equal(config.kafka.clientId, 'mine');
    assert.equal(config.storage.pathStyle, true);
    assert.equal(config.http.port, 8080);
    assert.equal(places.get('kafka.brokers'), 'LAKESEAL_KAFKA_BROKERS');
    assert.equal(places.get('kafka.clientId'), 'c.yaml:3:13');
    assert.equal(places.has('kafka.tls'), false);
  });

  test('a secret comes from a file, without its last line end', () => {
    const env = {
      LAKESEAL_STORAGE_ACCESS_KEY_ID: 'id',
      LAKESEAL_STORAGE_SECRET_ACCESS_KEY_FILE: '/run/secret',
    };
    const { config } = configOf(undefined, env, (path) => {
      assert.equal(path, '/run/secret');
      return 'se cret\n';
    });
    assert.equal(config.storage.secretAccessKey, 'se cret');
  });

  test('an empty variable is unset; a key without a value is as if not written', () => {
    const { config } = configOf('storage:\n  endpoint:\nkafka:\n', { LAKESEAL_HTTP_PORT: '' });
    assert.deepEqual(config, configSchema.parse({}));
  });

  test('the codec null is a value, not the absence of one', () => {
    assert.equal(configOf('archive:\n  codec: null\n').config.archive.codec, 'null');
    assert.equal(
      configOf(undefined, { LAKESEAL_ARCHIVE_CODEC: 'null' }).config.archive.codec,
      'null',
    );
  });

  test('every scalar key survives the trip through its variable', () => {
    const defaults = configSchema.parse({}) as Record<string, Record<string, unknown>>;
    for (const key of configKeys.filter(({ default: value }) => value !== undefined)) {
      const value = defaults[key.section]?.[key.name];
      if (Array.isArray(value) && value.length === 0) continue;
      const { config } = configOf(undefined, { [key.env]: String(value) });
      assert.deepEqual(config, defaults, key.path);
    }
  });
});

describe('problems', () => {
  test('all at once, each with its place', () => {
    const text = [
      'kafka:',
      '  brokers: [nonsense]',
      '  borkers: [a:1]',
      'storage:',
      '  bucket: UPPER',
      'regstry: {}',
      'archive:',
      '  codec: deflate',
      '  codecLevel: 12',
    ].join('\n');
    const found = problemsOf(text, {
      LAKESEAL_HTTP_PORT: 'many',
      LAKESEAL_KAFKA_BROKER: 'a:1',
      LAKESEAL_KAFKA_TLS: 'yes',
      LAKESEAL_STORAGE_ACCESS_KEY_ID: 'id',
    });
    for (const expected of [
      'c.yaml:3:3: kafka.borkers: unknown key, did you mean "brokers"?',
      'c.yaml:6:1: regstry: unknown section, did you mean "registry"?',
      'c.yaml:5:11: storage.bucket: not an S3 bucket name',
      'c.yaml:9:15: archive.codecLevel: deflate takes levels 1 to 9',
      'LAKESEAL_HTTP_PORT: http.port: expected a whole number',
      'LAKESEAL_KAFKA_TLS: kafka.tls: expected true or false',
      'LAKESEAL_KAFKA_BROKER: environment: unknown variable, did you mean "LAKESEAL_KAFKA_BROKERS"?',
    ]) {
      assert.ok(found.includes(expected), `${expected}\nnot in\n${found.join('\n')}`);
    }
  });

  test('a wrong element of a list is found in its place', () => {
    assert.deepEqual(problemsOf('kafka:\n  brokers:\n    - good:1\n    - bad\n'), [
      'c.yaml:4:7: kafka.brokers.1: expected host:port, port 1 to 65535',
    ]);
  });

  test('broken YAML is reported where it breaks', () => {
    const found = problemsOf('kafka:\n  brokers: [a:1\nhttp: {}\n');
    assert.match(found[0]!, /^c\.yaml:\d+:\d+: YAML: /);
    assert.match(problemsOf('- a\n- b\n')[0]!, /^c\.yaml:1:1: file: expected sections/);
    assert.match(problemsOf('kafka: 5\n')[0]!, /^c\.yaml:1:8: kafka: /);
    assert.match(problemsOf('kafka: {tls: true, tls: false}\n')[0]!, /unique/);
  });

  test('a variable that adds to a section that is no map leaves the problem with the file', () => {
    const found = problemsOf('kafka: 5\n', { LAKESEAL_KAFKA_TLS: 'true' });
    assert.equal(found.length, 1);
    assert.match(found[0]!, /^c\.yaml:1:8: kafka: invalid input: expected object/);
  });

  const pairs: Array<[string, NodeJS.ProcessEnv, RegExp]> = [
    [
      'half a certificate',
      { LAKESEAL_KAFKA_TLS: 'true', LAKESEAL_KAFKA_KEY_FILE: 'k' },
      /keyFile: needs kafka.certFile/,
    ],
    [
      'SASL user alone',
      { LAKESEAL_KAFKA_SASL_USERNAME: 'u' },
      /saslUsername: needs kafka.saslPassword/,
    ],
    ['SASL mechanism alone', { LAKESEAL_KAFKA_SASL_MECHANISM: 'plain' }, /saslMechanism: needs/],
    ['CA without TLS', { LAKESEAL_KAFKA_CA_FILE: 'k' }, /caFile: has no effect unless kafka.tls/],
    ['slow heartbeat', { LAKESEAL_KAFKA_HEARTBEAT_INTERVAL_MS: '15000' }, /less than a third/],
    ['half a store key', { LAKESEAL_STORAGE_SECRET_ACCESS_KEY: 's' }, /needs storage.accessKeyId/],
    [
      'half an administrator key',
      { LAKESEAL_SETUP_ACCESS_KEY_ID: 's' },
      /needs setup.secretAccessKey/,
    ],
    [
      'the archiver as holder',
      {
        LAKESEAL_STORAGE_ACCESS_KEY_ID: 'a',
        LAKESEAL_STORAGE_SECRET_ACCESS_KEY: 's',
        LAKESEAL_HOLDS_ACCESS_KEY_ID: 'a',
        LAKESEAL_HOLDS_SECRET_ACCESS_KEY: 's',
      },
      /holds.accessKeyId: must not be the archiver/,
    ],
    ['session token alone', { LAKESEAL_STORAGE_SESSION_TOKEN: 's' }, /needs storage.accessKeyId/],
    ['half a registry user', { LAKESEAL_REGISTRY_USERNAME: 's' }, /needs registry.password/],
    ['half an OpenSearch user', { LAKESEAL_OPENSEARCH_PASSWORD: 's' }, /needs opensearch.username/],
    [
      'level of no codec',
      { LAKESEAL_ARCHIVE_CODEC: 'null', LAKESEAL_ARCHIVE_CODEC_LEVEL: '1' },
      /no effect with the codec null/,
    ],
    [
      'KMS key without KMS',
      { LAKESEAL_ARCHIVE_ENCRYPTION: 'none', LAKESEAL_ARCHIVE_KMS_KEY_ID: 'k' },
      /no effect unless encryption/,
    ],
    [
      'block above segment',
      { LAKESEAL_ARCHIVE_SEGMENT_BYTES_MAX: '1000' },
      /blockBytes: must not pass/,
    ],
    [
      'segment above memory',
      { LAKESEAL_ARCHIVE_MEMORY_BYTES_MAX: '1000000' },
      /segmentBytesMax: must not pass/,
    ],
    [
      'segment above one PUT',
      {
        LAKESEAL_ARCHIVE_SEGMENT_BYTES_MAX: '6000000000',
        LAKESEAL_ARCHIVE_MEMORY_BYTES_MAX: '9000000000',
      },
      /must not pass 5368709120/,
    ],
    [
      'a beginning of stamps that is no time',
      { LAKESEAL_VERIFIER_STAMPS_SINCE: '2026-11-24' },
      /stampsSince.*neither first nor a time/,
    ],
    ['too long retention', { LAKESEAL_ARCHIVE_RETENTION_DAYS: '36501' }, /must not pass 36500/],
    [
      'one topic for both',
      { LAKESEAL_TOPICS_DEAD_LETTER: 'databricks.audit' },
      /must not be the events topic/,
    ],
    [
      'matches among the events',
      { LAKESEAL_TOPICS_MATCHES: 'databricks.audit' },
      /topics\.matches: must be a topic of its own, not topics\.events/,
    ],
    [
      'one topic for matches and state',
      { LAKESEAL_TOPICS_STATE: 'lakeseal.matches' },
      /topics\.state: must be a topic of its own, not topics\.matches/,
    ],
    [
      'batch above record',
      { LAKESEAL_TOPICS_RECORD_BYTES_MAX: '1000' },
      /batchBytesMax: must not pass/,
    ],
    [
      'missing certificate file',
      { LAKESEAL_OPENSEARCH_CA_FILE: '/none' },
      /cannot read \/none: ENOENT/,
    ],
    [
      'missing secret file',
      { LAKESEAL_REGISTRY_PASSWORD_FILE: '/none' },
      /LAKESEAL_REGISTRY_PASSWORD_FILE: registry.password: cannot read \/none: ENOENT/,
    ],
    [
      'secret given twice',
      { LAKESEAL_REGISTRY_PASSWORD: 'a', LAKESEAL_REGISTRY_PASSWORD_FILE: '/none' },
      /given twice/,
    ],
    [
      'negative count',
      { LAKESEAL_TOPICS_PARTITIONS: '-1' },
      /LAKESEAL_TOPICS_PARTITIONS: topics.partitions: too small/,
    ],
  ];
  for (const [name, env, expected] of pairs) {
    test(name, () => assert.match(problemsOf(undefined, env).join('\n'), expected));
  }

  test('no problem prints the value of a secret', () => {
    const secrets = configKeys.filter((key) => key.secret);
    assert.ok(secrets.length >= 5);
    for (const key of secrets) {
      const text = `${key.section}:\n  ${key.name}: [hunter2]\n`;
      assert.doesNotMatch(problemsOf(text).join('\n'), /hunter2/, key.path);
    }
  });

  test('variables of tests and servers are left alone', () => {
    const env = {
      LAKESEAL_STACK: 'x',
      LAKESEAL_STACK_PORT: '1',
      LAKESEAL_TEST_X: '1',
      LAKESEAL_CACHE: 'x',
    };
    configOf(undefined, env);
  });

  test('never throws, whatever the file says', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        assembleConfig({ path: 'c.yaml', text }, {}, noFiles);
      }),
    );
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const source = { path: 'c.yaml', text: JSON.stringify({ kafka: value, archive: value }) };
        assembleConfig(source, { LAKESEAL_KAFKA_TLS: 'true' }, noFiles);
      }),
    );
  });

  test('a billion laughs is refused, not expanded', () => {
    const lines = ['a: &a [x,x,x,x,x,x,x,x,x,x]'];
    for (const [name, below] of ['ba', 'cb', 'dc', 'ed', 'fe', 'gf', 'hg'].map((p) => [...p])) {
      lines.push(`${name}: &${name} [${`*${below},`.repeat(9)}*${below}]`);
    }
    assert.match(problemsOf(lines.join('\n')).join('\n'), /alias/i);
  });
});

describe('loadConfig', () => {
  test('takes the named file, else LAKESEAL_CONFIG; a missing file is an error', (context) => {
    const folder = mkdtempSync(join(tmpdir(), 'lakeseal-config-'));
    context.after(() => rmSync(folder, { recursive: true }));
    const first = join(folder, 'first.yaml');
    const second = join(folder, 'second.yaml');
    writeFileSync(first, 'http: {port: 1001}');
    writeFileSync(second, 'http: {port: 1002}');
    assert.equal(loadConfig(first, { LAKESEAL_CONFIG: second }).http.port, 1001);
    assert.equal(loadConfig(undefined, { LAKESEAL_CONFIG: second }).http.port, 1002);
    assert.throws(
      () => loadConfig(join(folder, 'none.yaml'), {}),
      (error) => error instanceof Failure && error.code === 'CONFIG_UNREADABLE',
    );
    writeFileSync(first, 'http: {port: x}\nlog: {level: loud}');
    assert.throws(
      () => loadConfig(first, {}),
      (error) =>
        error instanceof Failure &&
        error.code === 'CONFIG_INVALID' &&
        error.message.includes(`${first}:1:14: http.port: `) &&
        error.message.includes(`${first}:2:14: log.level: `),
    );
  });
});

describe('names', () => {
  test('camelCase becomes UPPER_SNAKE', () => {
    assert.equal(envName('kafka.brokers'), 'LAKESEAL_KAFKA_BROKERS');
    assert.equal(envName('storage.accessKeyId'), 'LAKESEAL_STORAGE_ACCESS_KEY_ID');
    assert.equal(envName('archive.segmentAgeMsMax'), 'LAKESEAL_ARCHIVE_SEGMENT_AGE_MS_MAX');
  });

  test('no two keys share a variable, also with _FILE, and every key is described', () => {
    const names = configKeys.flatMap((key) =>
      key.secret ? [key.env, `${key.env}_FILE`] : [key.env],
    );
    assert.equal(new Set(names).size, names.length);
    for (const key of configKeys) assert.match(key.description, /^[A-Z].*[.]$/, key.path);
  });

  test('edit distance is a metric and the guess is close', () => {
    const word = fc.string({ maxLength: 12 });
    fc.assert(
      fc.property(word, word, word, (a, b, c) => {
        assert.equal(editDistance(a, b), editDistance(b, a));
        assert.equal(editDistance(a, b) === 0, a === b);
        assert.ok(editDistance(a, c) <= editDistance(a, b) + editDistance(b, c));
      }),
    );
    assert.equal(editDistance('kitten', 'sitting'), 3);
    assert.equal(nearest('borkers', ['buckets', 'brokers']), 'brokers');
    assert.equal(nearest('zzz', ['brokers', 'all']), null);
    assert.equal(didYouMean('borkers', ['brokers', 'buckets']), ', did you mean "brokers"?');
    assert.equal(didYouMean('zzz', ['brokers']), '');
  });
});

describe('lists of objects', () => {
  test('stand in the file, or as YAML or JSON in a variable', () => {
    const file = configOf(
      'anchors:\n  timestamps:\n    - url: http://tsa.example.com/\n      caFile: ca.pem\n',
      { LAKESEAL_ANCHORS_COPIES: '[{"kind": "file", "path": "/mnt/roots"}]' },
    );
    const { timestamps, copies } = file.config.anchors;
    assert.deepEqual(timestamps, [{ url: 'http://tsa.example.com/', caFile: 'ca.pem' }]);
    assert.deepEqual(copies, [{ kind: 'file', path: '/mnt/roots' }]);
    const key = 'witness.example.com+bc070de6+BIqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c';
    const yaml = `[{url: https://witness.example.com, key: ${key}}]`;
    const { config } = configOf(undefined, { LAKESEAL_ANCHORS_WITNESSES: yaml });
    assert.deepEqual(config.anchors.witnesses, [{ url: 'https://witness.example.com', key }]);
  });

  test('are held to their form, each mistake at its place', () => {
    assert.deepEqual(problemsOf('anchors:\n  copies:\n    - kind: ftp\n').length, 1);
    const [problem] = problemsOf('anchors:\n  timestamps:\n    - url: tsa.example.com\n');
    assert.match(problem!, /^c\.yaml:3:\d+: anchors\.timestamps\.0\.url: /);
    for (const value of ['http://tsa.example.com', '[', '{url: x}']) {
      const [told] = problemsOf(undefined, { LAKESEAL_ANCHORS_TIMESTAMPS: value });
      assert.match(told!, /expected a list in YAML or JSON/);
    }
    const s3 = '[{kind: s3, bucket: elsewhere, accessKeyId: a}]';
    const [missing] = problemsOf(undefined, { LAKESEAL_ANCHORS_COPIES: s3 });
    assert.match(missing!, /anchors\.copies\.0\.accessKeyId: needs .*secretAccessKeyFile/);
    const key = '[{url: "http://w.example.com", key: w.example.com+00000000+AA==}]';
    const [wrong] = problemsOf(undefined, { LAKESEAL_ANCHORS_WITNESSES: key });
    assert.match(wrong!, /anchors\.witnesses\.0\.key: not a public key of a type that is known/);
  });
});
