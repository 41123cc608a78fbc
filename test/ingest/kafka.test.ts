/** Errors become failures with a code and a hint, log lines get the level they deserve. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { test } from 'node:test';
import kafkajs from 'kafkajs';
import { bridgeLevel, connectKafka, errorType, kafkaFailure } from '../../services/ingest/kafka.ts';
import { CorruptBatch } from '../../services/ingest/record-batch.ts';
import { type Config, configSchema } from '../../services/runtime/config.ts';
import { Failure } from '../../services/runtime/errors.ts';
import { type Log, silentLog } from '../../services/runtime/log.ts';

const { ERROR, WARN, INFO, DEBUG } = kafkajs.logLevel;

test('noise of a healthy client is debug, real errors keep their level', () => {
  const table: Array<[number, string, string, string]> = [
    [
      ERROR,
      'Response GroupCoordinator(key: 10, version: 2)',
      'The group coordinator is not available',
      'debug',
    ],
    [
      ERROR,
      'Response JoinGroup(key: 11, version: 5)',
      'The coordinator is loading and hence can’t process requests',
      'debug',
    ],
    [
      ERROR,
      'Response Heartbeat(key: 12, version: 3)',
      'The group is rebalancing, so a rejoin is needed',
      'debug',
    ],
    [ERROR, 'The coordinator is not aware of this member, re-joining the group', '', 'debug'],
    [
      WARN,
      'The group is rebalancing, re-joining',
      'The group is rebalancing, so a rejoin is needed',
      'debug',
    ],
    [INFO, 'Pausing fetching from 1 topics', '', 'debug'],
    [INFO, 'Consumer has joined the group', '', 'debug'],
    [DEBUG, 'Request Fetch(key: 1, version: 11)', '', 'debug'],
    [
      ERROR,
      'Response Produce(key: 0, version: 7)',
      'Not authorized to access topics: [Topic authorization failed]',
      'error',
    ],
    [ERROR, 'Crash: KafkaJSNonRetriableError: boom', '', 'error'],
    [WARN, 'Consumer group received unsubscribed topics', '', 'warn'],
    [INFO, 'something new', '', 'info'],
  ];
  for (const [level, message, error, expected] of table) {
    assert.equal(bridgeLevel(level, message, error), expected, message);
  }
});

function clientError(name: string, fields: object = {}, cause?: unknown): Error {
  return Object.assign(new Error(name, { cause }), { name, ...fields });
}

test('what a client error means', () => {
  const refused = clientError('KafkaJSConnectionError', { code: 'ECONNREFUSED' });
  const table: Array<[unknown, string, boolean]> = [
    [refused, 'KAFKA_UNREACHABLE', true],
    [clientError('KafkaJSNumberOfRetriesExceeded', {}, refused), 'KAFKA_UNREACHABLE', true],
    [
      clientError('KafkaJSConnectionError', { code: 'SELF_SIGNED_CERT_IN_CHAIN' }),
      'KAFKA_TLS',
      false,
    ],
    [clientError('KafkaJSSASLAuthenticationError'), 'KAFKA_AUTHENTICATION', false],
    [
      clientError('KafkaJSProtocolError', { type: 'TOPIC_AUTHORIZATION_FAILED' }),
      'KAFKA_UNAUTHORIZED',
      false,
    ],
    [
      clientError('KafkaJSProtocolError', { type: 'UNKNOWN_TOPIC_OR_PARTITION' }),
      'KAFKA_TOPIC_MISSING',
      true,
    ],
    [
      clientError('KafkaJSProtocolError', { type: 'MESSAGE_TOO_LARGE' }),
      'KAFKA_RECORD_TOO_LARGE',
      false,
    ],
    [clientError('KafkaJSRequestTimeoutError'), 'KAFKA_TIMEOUT', true],
    [
      clientError('KafkaJSNumberOfRetriesExceeded', {}, new CorruptBatch('CRC mismatch', 4n)),
      'KAFKA_CORRUPT_BATCH',
      false,
    ],
    [new TypeError('x is undefined'), 'KAFKA_FAILED', true],
    ['a string', 'KAFKA_FAILED', true],
  ];
  for (const [error, code, retryable] of table) {
    const failure = kafkaFailure(error, 'do it');
    assert.equal(failure.code, code);
    assert.equal(failure.retryable, retryable, code);
    assert.equal(failure.message, 'cannot do it');
    assert.ok(failure.hint!.length > 10);
    assert.equal(failure.cause, error);
  }
  const own = new Failure('mine', { code: 'MINE' });
  assert.equal(kafkaFailure(own, 'do it'), own);
});

test('the type of a wrapped protocol error is found', () => {
  const inner = clientError('KafkaJSProtocolError', { type: 'UNKNOWN_MEMBER_ID' });
  assert.equal(errorType(clientError('KafkaJSNonRetriableError', {}, inner)), 'UNKNOWN_MEMBER_ID');
  assert.equal(errorType(new Error('plain')), undefined);
});

function withKafka(kafka: Partial<Config['kafka']>): Config {
  const config = configSchema.parse({});
  return { ...config, kafka: { ...config.kafka, ...kafka } };
}

test('no broker: a failure that says so, nothing above debug in the log until it ends', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  const lines: string[] = [];
  const log: Log = { ...silentLog, info: (_, m) => lines.push(m), warn: (_, m) => lines.push(m) };
  const admin = connectKafka(withKafka({ brokers: [`127.0.0.1:${port}`] }), log, 1).admin();
  await assert.rejects(
    admin.connect().catch((error: unknown) => {
      throw kafkaFailure(error, 'connect');
    }),
    { code: 'KAFKA_UNREACHABLE' },
  );
  await admin.disconnect();
  assert.deepEqual(lines, []);
});

test('a certificate file that is not there is named', () => {
  assert.throws(
    () => connectKafka(withKafka({ tls: true, caFile: '/no/such/ca.pem' }), silentLog),
    {
      code: 'KAFKA_TLS_FILE',
      message: 'cannot read /no/such/ca.pem',
    },
  );
});

test('only TimeoutNegativeWarning is silenced', async () => {
  const heard: string[] = [];
  const listen = (warning: Error): void => {
    heard.push(warning.name);
  };
  process.on('warning', listen);
  process.emitWarning('a negative number', 'TimeoutNegativeWarning');
  process.emitWarning('a negative number', { type: 'TimeoutNegativeWarning' });
  process.emitWarning('something else', 'SomeOtherWarning');
  await new Promise((resolve) => setImmediate(resolve));
  process.off('warning', listen);
  assert.deepEqual(heard, ['SomeOtherWarning']);
});
