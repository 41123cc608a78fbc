/**
 * The way to Kafka: one place that turns the configuration into a kafkajs client, its log lines
 * into ours, and its errors into `Failure`.
 *
 * Importing this module applies the changes of `kafkajs-patches.ts`, registers every codec, and
 * silences exactly one Node warning (`TimeoutNegativeWarning`, which kafkajs causes elsewhere too).
 */
import './kafkajs-patches.ts';
import './codecs.ts';
import type { ConnectionOptions } from 'node:tls';
import kafkajs, { type Kafka, type KafkaConfig, type LogEntry, type SASLOptions } from 'kafkajs';
import type { Config } from '../runtime/config.ts';
import { Failure } from '../runtime/errors.ts';
import type { Log } from '../runtime/log.ts';
import { readPem } from '../runtime/pem.ts';

const CONNECTION_TIMEOUT_MS = 10_000;
const AUTHENTICATION_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;
const TLS_FILE = 'KAFKA_TLS_FILE';

/** Retries of one request inside the client: about 6 s in all, then the caller decides. */
const RETRY = { initialRetryTime: 200, maxRetryTime: 3_000, retries: 5 };

/**
 * A kafkajs client for `config.kafka`. Connects to nothing yet. `retries` is how often a request
 * or a connection is tried again: 5 is about 6 s, 20 about 50 s.
 * @throws Failure KAFKA_TLS_FILE where a certificate file cannot be read.
 */
export function connectKafka(config: Config, log: Log, retries = RETRY.retries): Kafka {
  const { brokers, clientId } = config.kafka;
  const options: KafkaConfig = {
    brokers,
    clientId,
    connectionTimeout: CONNECTION_TIMEOUT_MS,
    authenticationTimeout: AUTHENTICATION_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    enforceRequestTimeout: true,
    retry: { ...RETRY, retries },
    logLevel: kafkajs.logLevel.INFO,
    logCreator: () => (entry) => bridge(entry, log),
  };
  const ssl = tlsOptions(config.kafka);
  if (ssl !== undefined) options.ssl = ssl;
  const sasl = saslOptions(config.kafka);
  if (sasl !== undefined) options.sasl = sasl;
  return new kafkajs.Kafka(options);
}

function tlsOptions(kafka: Config['kafka']): ConnectionOptions | boolean | undefined {
  const { tls, caFile, certFile, keyFile } = kafka;
  if (!tls && caFile === undefined && certFile === undefined) return undefined;
  const options: ConnectionOptions = {};
  if (caFile !== undefined) options.ca = [readPem(caFile, 'kafka.caFile', TLS_FILE)];
  if (certFile !== undefined) options.cert = readPem(certFile, 'kafka.certFile', TLS_FILE);
  if (keyFile !== undefined) options.key = readPem(keyFile, 'kafka.keyFile', TLS_FILE);
  return Object.keys(options).length === 0 ? true : options;
}

function saslOptions(kafka: Config['kafka']): SASLOptions | undefined {
  const { saslMechanism: mechanism, saslUsername, saslPassword } = kafka;
  if (mechanism === undefined) return undefined;
  const login = { username: saslUsername ?? '', password: saslPassword ?? '' };
  if (mechanism === 'plain') return { mechanism, ...login };
  if (mechanism === 'scram-sha-256') return { mechanism, ...login };
  return { mechanism, ...login };
}

// --- logs ---------------------------------------------------------------------------------------

type Level = 'debug' | 'info' | 'warn' | 'error';

/** What the client retries by itself and a healthy system says now and then. */
const RETRIED = [
  /coordinator (is )?not available/i,
  /coordinator is loading/i,
  /load(ing)? .*coordinator/i,
  /not the correct coordinator/i,
  /group is rebalancing/i,
  /rebalance_in_progress/i,
  /not the leader/i,
  /no leader for this topic-partition/i,
  /coordinator is not aware of this member/i,
  /specified group generation id is not valid/i,
  /member id to be specified/i,
  /does not host this topic-partition/i,
];

/** Lines whose own level says too much: they describe the client's normal work. */
const ROUTINE = [
  /^Pausing fetching/,
  /^Resuming fetching/,
  /^Starting$/,
  /^Stopped$/,
  /^Consumer has joined the group/,
  /^consumer not running/,
  /^Limiting retries for the idempotent producer/,
  /^The group is rebalancing/,
  /^Restarting the consumer/,
  /^Filtering out batch/,
  /switched default partitioner/,
];

/** The level a kafkajs line deserves here. Pure, for the tests. */
export function bridgeLevel(level: number, message: string, error: string): Level {
  const own = ownLevel(level);
  if (own === 'debug') return 'debug';
  if (ROUTINE.some((pattern) => pattern.test(message))) return 'debug';
  if (RETRIED.some((pattern) => pattern.test(message) || pattern.test(error))) return 'debug';
  // A failed connection is reported once, by the Failure that ends the retries.
  if (/^(Connection (error|timeout)|Failed to connect)/.test(message)) return 'debug';
  return own;
}

function ownLevel(level: number): Level {
  const { logLevel } = kafkajs;
  if (level <= logLevel.ERROR) return 'error';
  if (level === logLevel.WARN) return 'warn';
  return level === logLevel.INFO ? 'info' : 'debug';
}

/** Only these fields are passed on, so that no record, header or credential can get into a log. */
const FIELDS = ['broker', 'clientId', 'groupId', 'topic', 'partition', 'retryCount', 'retryTime'];

function bridge(entry: LogEntry, log: Log): void {
  const { message } = entry.log;
  const details = entry.log as unknown as Record<string, unknown>;
  const error = errorText(details.error);
  const fields: Record<string, unknown> = {};
  if (entry.namespace) fields.part = entry.namespace;
  for (const name of FIELDS) {
    if (details[name] !== undefined) fields[name] = details[name];
  }
  if (error !== '') fields.error = error;
  fields.detail = message;
  log[bridgeLevel(entry.level, message, error)](fields, 'kafka client');
}

function errorText(error: unknown): string {
  if (error instanceof Error) return error.message;
  return typeof error === 'string' ? error : '';
}

// --- the one silenced warning -------------------------------------------------------------------

const warnPlainly = process.emitWarning.bind(process);

function warnUnlessNegativeTimeout(...args: Parameters<typeof process.emitWarning>): void {
  const [warning, second] = args as [unknown, unknown];
  const given = typeof second === 'string' ? second : (second as { type?: string } | null)?.type;
  const name = warning instanceof Error ? warning.name : given;
  if (name === 'TimeoutNegativeWarning') return;
  warnPlainly(...args);
}

process.emitWarning = warnUnlessNegativeTimeout as typeof process.emitWarning;

// --- failures -----------------------------------------------------------------------------------

interface ClientError {
  name: string;
  message: string;
  type?: string;
  code?: unknown;
  cause?: unknown;
  retriable?: boolean;
}

/** The client wraps errors in errors; the innermost says what happened. Outermost first. */
function chain(error: unknown): ClientError[] {
  const errors: ClientError[] = [];
  for (let at = error; at instanceof Error && errors.length < 10; at = at.cause) {
    errors.push(at as ClientError);
  }
  return errors;
}

/** Kafka's own name of the error (`UNKNOWN_MEMBER_ID`), wherever in the chain it is. */
export function errorType(error: unknown): string | undefined {
  for (const item of chain(error)) {
    if (typeof item.type === 'string') return item.type;
  }
  return undefined;
}

interface Kind {
  code: string;
  hint: string;
  retryable: boolean;
}

const BY_TYPE: Record<string, Kind> = {
  TOPIC_AUTHORIZATION_FAILED: {
    code: 'KAFKA_UNAUTHORIZED',
    hint: 'Does this Kafka user have the rights on the topic that the command needs?',
    retryable: false,
  },
  GROUP_AUTHORIZATION_FAILED: {
    code: 'KAFKA_UNAUTHORIZED',
    hint: 'Does this Kafka user have READ on the consumer group?',
    retryable: false,
  },
  CLUSTER_AUTHORIZATION_FAILED: {
    code: 'KAFKA_UNAUTHORIZED',
    hint: 'Does this Kafka user have IDEMPOTENT_WRITE or the needed right on the cluster?',
    retryable: false,
  },
  UNKNOWN_TOPIC_OR_PARTITION: {
    code: 'KAFKA_TOPIC_MISSING',
    hint: 'Run `lakeseal setup`, or is the topic name of the configuration right?',
    retryable: true,
  },
  MESSAGE_TOO_LARGE: {
    code: 'KAFKA_RECORD_TOO_LARGE',
    hint: 'Raise max.message.bytes of the topic, or collect.batchBytesMax is above it.',
    retryable: false,
  },
};

const UNREACHABLE: Kind = {
  code: 'KAFKA_UNREACHABLE',
  hint: 'Is Kafka running, and is kafka.brokers (LAKESEAL_KAFKA_BROKERS) right from here?',
  retryable: true,
};
const TLS: Kind = {
  code: 'KAFKA_TLS',
  hint: 'Do kafka.tls and kafka.caFile fit the listener and its certificate?',
  retryable: false,
};
const LOGIN: Kind = {
  code: 'KAFKA_AUTHENTICATION',
  hint: 'Are kafka.saslMechanism, kafka.saslUsername and the password right?',
  retryable: false,
};
const TIMEOUT: Kind = {
  code: 'KAFKA_TIMEOUT',
  hint: 'Is the broker overloaded or the network slow?',
  retryable: true,
};
const CORRUPT: Kind = {
  code: 'KAFKA_CORRUPT_BATCH',
  hint: 'The broker sent bytes that fail their own checks; look at its log and disk.',
  retryable: false,
};
const OTHER: Kind = {
  code: 'KAFKA_FAILED',
  hint: 'See the cause; the broker log may say more.',
  retryable: true,
};

const TLS_CODE =
  /^(ERR_TLS|ERR_SSL|CERT_|SELF_SIGNED|DEPTH_ZERO|UNABLE_TO|HOSTNAME_MISMATCH|EPROTO)/;
const NETWORK_CODE = /^(ECONN|ENOTFOUND|EAI_|EHOST|ENETUNREACH|ETIMEDOUT|EPIPE)/;
const UNREACHABLE_NAME =
  /^KafkaJS(Connection|NoBroker|BrokerNotFound|LockTimeout|MetadataNotLoaded)/;

function kindOf(error: ClientError): Kind | undefined {
  const { name, type, code, message } = error;
  if (name === 'CorruptBatch' || name === 'UnpackError') return CORRUPT;
  if (/SASL/.test(name) || type === 'SASL_AUTHENTICATION_FAILED') return LOGIN;
  if (type !== undefined && BY_TYPE[type] !== undefined) return BY_TYPE[type];
  if (typeof code === 'string' && TLS_CODE.test(code)) return TLS;
  if (/certificate|SSL routines|wrong version number/i.test(message)) return TLS;
  if (typeof code === 'string' && NETWORK_CODE.test(code)) return UNREACHABLE;
  if (name === 'KafkaJSRequestTimeoutError') return TIMEOUT;
  if (UNREACHABLE_NAME.test(name)) return UNREACHABLE;
  return undefined;
}

/**
 * The failure that an error of the client stands for. A `Failure` comes back as it is.
 * @param doing what was being done, to complete "cannot …": `read the topic metadata`.
 */
export function kafkaFailure(error: unknown, doing: string): Failure {
  if (error instanceof Failure) return error;
  const kinds = chain(error).map(kindOf);
  const kind = kinds.findLast((found) => found !== undefined) ?? OTHER;
  return new Failure(`cannot ${doing}`, { ...kind, cause: error });
}
