/**
 * The one configuration of every lakeseal process: a YAML file, overlaid by environment variables.
 *
 * All problems are reported together, each with its place; unknown keys and unknown `LAKESEAL_`
 * variables are refused, and every key has a description, a default where one is safe, and an
 * environment name derived from its path (`kafka.brokers` is `LAKESEAL_KAFKA_BROKERS`). A secret
 * can also be given as a file: `LAKESEAL_…_FILE` names it. `lakeseal config` prints the reference
 * and the values in force.
 *
 * This file holds the schema and the one function that reads files. `config-sources.ts` turns the
 * sources into values with places, `config-checks.ts` holds the rules that span keys.
 */
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { z } from 'zod';
import { secondsOf } from '../../schemas/evidence/leaf.ts';
import { crossChecks, type Problem } from './config-checks.ts';
import { type ConfigKey, describeKeys } from './config-keys.ts';
import { readSources } from './config-sources.ts';
import { Failure, systemReason } from './errors.ts';
import { didYouMean } from './nearest.ts';

const MIB = 1024 * 1024;
const MINUTE_MS = 60_000;

const text = z.string().min(1);
const secret = z.string().min(1).meta({ secret: true });
const list = z.array(text).min(1);
const url = z.url({ protocol: /^https?$/ });
const count = z.number().int().positive();
const port = z.number().int().min(0).max(65_535);
const topicName = z.string().regex(/^[a-zA-Z0-9._-]{1,249}$/, 'not a Kafka topic name');
const bucketName = z.string().regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, 'not an S3 bucket name');
const keyPrefix = z
  .string()
  .regex(/^([A-Za-z0-9._=-]+\/)*$/, 'must be empty or end with "/", in plain characters');

const kafka = z.strictObject({
  brokers: list.default(['127.0.0.1:9092']).describe('Bootstrap servers, host:port.'),
  clientId: text.default('lakeseal').describe('Client id shown in broker logs and quotas.'),
  tls: z.boolean().default(false).describe('TLS to the brokers.'),
  caFile: text.optional().describe('PEM file of the certificate authority of the brokers.'),
  certFile: text.optional().describe('PEM client certificate (mutual TLS).'),
  keyFile: text.optional().describe('PEM key of the client certificate.'),
  saslMechanism: z
    .enum(['plain', 'scram-sha-256', 'scram-sha-512'])
    .optional()
    .describe('SASL mechanism; Event Hubs takes plain with $ConnectionString.'),
  saslUsername: text.optional().describe('SASL user.'),
  saslPassword: secret.optional().describe('SASL password.'),
  sessionTimeoutMs: count.default(45_000).describe('A consumer silent for longer is evicted.'),
  rebalanceTimeoutMs: count.default(90_000).describe('Longest a rebalance waits for a member.'),
  heartbeatIntervalMs: count
    .default(3_000)
    .describe('Heartbeat period; under a third of the session.'),
  fetchBytesMax: count.default(8 * MIB).describe('Most bytes of one fetch from one broker.'),
});

const registry = z.strictObject({
  url: url.default('http://127.0.0.1:8081').describe('Base URL of the Confluent-compatible API.'),
  username: text.optional().describe('Basic authentication user.'),
  password: secret.optional().describe('Basic authentication password.'),
  caFile: text.optional().describe('PEM file of the certificate authority of the registry.'),
  timeoutMs: count
    .default(10_000)
    .describe('How long one look-up may take before its record is treated as opaque.'),
});

const topics = z.strictObject({
  events: topicName.default('databricks.audit').describe('Topic of the audit events.'),
  deadLetter: topicName
    .default('databricks.audit.dead-letter')
    .describe('Topic of what could not be read, with the reason.'),
  matches: topicName
    .default('lakeseal.matches')
    .describe(
      'Internal topic of what rules over many events have to judge; one detector group has its own.',
    ),
  state: topicName
    .default('lakeseal.state')
    .describe('Internal, compacted topic of the state of those rules, with as many partitions.'),
  partitions: count.default(8).describe('Partitions that setup gives a topic it creates.'),
  replicationFactor: count
    .default(1)
    .describe('Replication that setup gives a topic it creates; 3 in production.'),
  recordBytesMax: count
    .default(32 * MIB)
    .describe('Largest record (max.message.bytes) that setup allows in a topic it creates.'),
});

const storage = z.strictObject({
  bucket: bucketName
    .default('lakeseal-archive')
    .describe('Bucket of the archive, with Object Lock.'),
  prefix: keyPrefix.default('').describe('Key prefix inside the bucket.'),
  region: text.default('us-east-1').describe('Region of the bucket.'),
  endpoint: url.optional().describe('Endpoint of an S3-compatible store; unset for AWS.'),
  pathStyle: z.boolean().default(false).describe('Address buckets by path (MinIO and others).'),
  accessKeyId: text.optional().describe('Access key; unset for the default AWS credential chain.'),
  secretAccessKey: secret.optional().describe('Secret key.'),
  sessionToken: secret.optional().describe('Session token.'),
  timeoutMs: count.default(60_000).describe('Longest wait for one answer of the store.'),
});

const archive = z.strictObject({
  group: text.default('lakeseal-archiver').describe('Consumer group of the archiver.'),
  topics: z
    .array(topicName)
    .optional()
    .describe('Topics to seal; by default the events topic and the dead-letter topic.'),
  startAt: z
    .enum(['earliest', 'latest'])
    .default('earliest')
    .describe('Where a partition starts that has no segment yet.'),
  encryption: z
    .enum(['sse-kms', 'sse-s3', 'none'])
    .default('sse-kms')
    .describe('Server-side encryption asked for with each object.'),
  kmsKeyId: text.optional().describe('KMS key id or ARN; unset for the bucket default key.'),
  envelopeKeys: z
    .array(text)
    .default([])
    .describe(
      'Key files (`lakeseal keys envelope`, with or without --kms): the first encrypts each segment before it is sent, all of them open.',
    ),
  envelopeKmsEndpoint: url
    .optional()
    .describe('Endpoint of the KMS that keeps the secrets in such files; unset for AWS.'),
  retention: z
    .enum(['bucket-default', 'headers'])
    .default('bucket-default')
    .describe('Where retention comes from; headers need s3:PutObjectRetention.'),
  retentionMode: z
    .enum(['COMPLIANCE', 'GOVERNANCE'])
    .default('COMPLIANCE')
    .describe('Object Lock mode.'),
  retentionDays: count.default(365).describe('Days each object stays locked.'),
  codec: z.enum(['deflate', 'zstandard', 'null']).default('deflate').describe('Avro block codec.'),
  codecLevel: z
    .number()
    .int()
    .min(1)
    .max(19)
    .optional()
    .describe('Level of the codec (deflate 1-9, zstandard 1-19).'),
  blockBytes: count.default(512 * 1024).describe('Uncompressed bytes of one Avro block.'),
  segmentBytesMax: count
    .default(64 * MIB)
    .describe('A segment is sealed at this many stored bytes.'),
  segmentRecordsMax: count.default(1_000_000).describe('A segment is sealed at this many records.'),
  segmentAgeMsMax: count
    .default(300_000)
    .describe('A segment is sealed this long after its first record arrived.'),
  schemaRollRecordsMin: count
    .default(1_000)
    .describe(
      'A schema change seals a segment only when it holds this many records; below that the record is stored opaque.',
    ),
  memoryBytesMax: count
    .default(512 * MIB)
    .describe('Most bytes of open segments; beyond it the largest is sealed early.'),
});

const detect = z.strictObject({
  group: text.default('lakeseal-detector').describe('Consumer group of the detector.'),
  startAt: z
    .enum(['earliest', 'latest'])
    .default('earliest')
    .describe('Where a partition starts that has no committed offset.'),
  rules: z.array(text).default([]).describe('Rule folders or files beside the shipped rules.'),
  shippedRules: z.boolean().default(true).describe('Load the rules that come with lakeseal.'),
  lists: z
    .array(text)
    .default([])
    .describe('Folders of list files (NAME.txt) for %NAME% in rules, beside the shipped lists.'),
  reloadMs: count
    .default(5_000)
    .describe('How often rule and list files are looked at; SIGHUP looks at once.'),
  rolloutMs: count
    .default(30_000)
    .describe(
      'How long changed rules may take to reach all detectors, by their files or by a rolling restart; meanwhile matches of theirs wait.',
    ),
  latenessMs: count
    .default(30 * MINUTE_MS)
    .describe('How much later than the newest event one may arrive and still be judged in order.'),
  groupEntriesMax: count
    .default(1_000)
    .describe('Events that one group of a rule keeps whole; beyond it counts are lower bounds.'),
  groupsMax: count
    .default(1_000_000)
    .describe(
      'Groups that may be open in all; each partition of the matches topic takes its share.',
    ),
  eventBytesMax: count
    .default(8 * MIB)
    .describe('A record above this is not decoded but dead-lettered.'),
  unsentAlertsMax: count
    .default(5_000)
    .describe('Alerts that may wait for OpenSearch before reading pauses.'),
});

const enrich = z.strictObject({
  city: text.optional().describe('MMDB file with places and coordinates (a GeoIP City database).'),
  country: text.optional().describe('MMDB file with countries, where there is none of cities.'),
  asn: text.optional().describe('MMDB file with autonomous systems.'),
});

const opensearch = z.strictObject({
  nodes: z.array(url).min(1).default(['http://127.0.0.1:9200']).describe('OpenSearch URLs.'),
  username: text.optional().describe('Basic authentication user.'),
  password: secret.optional().describe('Basic authentication password.'),
  caFile: text.optional().describe('PEM file of the certificate authority of OpenSearch.'),
  alertIndexPrefix: z
    .string()
    .regex(/^[a-z0-9][a-z0-9_-]*$/, 'lower-case letters, digits, "-" and "_" only')
    .default('lakeseal-alerts')
    .describe('Alerts go to PREFIX-YYYY.MM of the event time.'),
  findingIndex: z
    .string()
    .regex(/^[a-z0-9][a-z0-9_-]*$/, 'lower-case letters, digits, "-" and "_" only')
    .default('lakeseal-findings')
    .describe('Index of what the verifier found.'),
  shards: count.default(1).describe('Primary shards of an index.'),
  replicas: z.number().int().min(0).default(1).describe('Replicas of an index.'),
  bulkBytesMax: count.default(5 * MIB).describe('Most bytes of one bulk request.'),
  bulkAgeMsMax: count
    .default(1_000)
    .describe('An alert waits at most this long for others to join its request.'),
  timeoutMs: count.default(30_000).describe('Longest wait for one answer of OpenSearch.'),
});

const evidence = z.strictObject({
  keyFile: text
    .optional()
    .describe('Key that signs checkpoints, readable by its owner only; see `lakeseal keys new`.'),
  kmsKeyId: z
    .string()
    .regex(/^(?!alias\/)(?!.*:alias\/).+$/, 'must be a key id or key ARN, not an alias')
    .optional()
    .describe('AWS KMS key that signs in place of a file: ECC_NIST_P256 or ECC_NIST_EDWARDS25519.'),
  kmsKeyName: text
    .optional()
    .describe('What the KMS key stands for, like audit.example.com/lakeseal.'),
  kmsRegion: text.optional().describe('Region of the KMS key; unset for storage.region.'),
  kmsEndpoint: url.optional().describe('Endpoint of a KMS that is not AWS; unset for AWS.'),
  publicKeys: z
    .array(text)
    .default([])
    .describe('Public keys that are trusted when verifying; unset for that of the signing key.'),
});

const timestamp = z.strictObject({
  url,
  caFile: text.optional(),
  authorizationFile: text.optional(),
});

const copy = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('file'), path: text }),
  z.strictObject({ kind: z.literal('http'), url, authorizationFile: text.optional() }),
  z.strictObject({
    kind: z.literal('s3'),
    bucket: bucketName,
    prefix: keyPrefix.default(''),
    region: text.default('us-east-1'),
    endpoint: url.optional(),
    pathStyle: z.boolean().default(false),
    accessKeyId: text.optional(),
    secretAccessKeyFile: text.optional(),
  }),
]);

const anchors = z.strictObject({
  timestamps: z
    .array(timestamp)
    .default([])
    .describe(
      'Time stamp authorities (RFC 3161), asked in this order: {url, caFile, authorizationFile}.',
    ),
  copies: z
    .array(copy)
    .default([])
    .describe(
      'Where signed roots are copied to: {kind: file, path}, {kind: http, url, authorizationFile} or {kind: s3, bucket, prefix, region, endpoint, pathStyle, accessKeyId, secretAccessKeyFile}.',
    ),
  witnesses: z
    .array(z.strictObject({ url, key: text }))
    .default([])
    .describe('Witnesses (C2SP tlog-witness) that cosign roots: {url, key}.'),
});

const verifier = z.strictObject({
  incrementalEveryMs: count
    .default(60 * MINUTE_MS)
    .describe('How often what is new in the archive is verified.'),
  wholeEveryMs: count
    .default(7 * 24 * 60 * MINUTE_MS)
    .describe('How often the whole archive is verified; it reads every byte of it.'),
  postureEveryMs: count
    .default(15 * MINUTE_MS)
    .describe('How often what protects the bucket is compared with its baseline.'),
  deep: z.boolean().default(false).describe('Read every record, not only the stored bytes.'),
  stampsSince: text
    .refine((since) => since === 'first' || secondsOf(since) !== null, 'neither first nor a time')
    .optional()
    .describe(
      'Roots from this time on need a time stamp (2026-11-24T10:00:00Z), or from the `first` that has one; unset for every root.',
    ),
  stateFolder: text
    .default('verifier-state')
    .describe('Folder of what the verifier keeps: where runs ended, and what is open.'),
});

const collect = z.strictObject({
  batchBytesMax: count
    .default(900_000)
    .describe('Most bytes of one produce request per partition.'),
  compression: z
    .enum(['none', 'gzip', 'snappy', 'lz4', 'zstd'])
    .default('none')
    .describe('Codec of the records on the topic.'),
  ledger: text
    .optional()
    .describe(
      'Folder that remembers what was collected from an S3 prefix; default $XDG_STATE_HOME/lakeseal.',
    ),
  pollMs: count.default(30_000).describe('How often --follow lists the delivery bucket.'),
});

const setup = z.strictObject({
  accessKeyId: text
    .optional()
    .describe('Access key of the administrator, for setup only; unset for the AWS default chain.'),
  secretAccessKey: secret.optional().describe('Secret key of the administrator, for setup only.'),
  sessionToken: secret.optional().describe('Session token of the administrator, for setup only.'),
  requireTls: z
    .boolean()
    .default(false)
    .describe('Have the bucket policy refuse every request that does not come over TLS.'),
});

const holds = z.strictObject({
  accessKeyId: text
    .optional()
    .describe('Access key of who sets legal holds; unset for the AWS default chain.'),
  secretAccessKey: secret.optional().describe('Secret key of who sets legal holds.'),
  sessionToken: secret.optional().describe('Session token of who sets legal holds.'),
});

const http = z.strictObject({
  host: text.default('127.0.0.1').describe('Address of /livez, /readyz and /metrics.'),
  port: port.default(0).describe('Port; 0 takes a free one and logs it.'),
});

const log = z.strictObject({
  level: z
    .enum(['debug', 'info', 'warn', 'error', 'silent'])
    .default('info')
    .describe('Least severe log level written.'),
});

export const configSchema = z.strictObject({
  kafka: kafka.prefault({}),
  registry: registry.prefault({}),
  topics: topics.prefault({}),
  storage: storage.prefault({}),
  archive: archive.prefault({}),
  evidence: evidence.prefault({}),
  anchors: anchors.prefault({}),
  verifier: verifier.prefault({}),
  detect: detect.prefault({}),
  enrich: enrich.prefault({}),
  opensearch: opensearch.prefault({}),
  collect: collect.prefault({}),
  setup: setup.prefault({}),
  holds: holds.prefault({}),
  http: http.prefault({}),
  log: log.prefault({}),
});

export type Config = z.output<typeof configSchema>;

/** Every key of the configuration, in the order of the schema. */
export const configKeys: ConfigKey[] = describeKeys(
  z.toJSONSchema(configSchema, { io: 'input', unrepresentable: 'any' }),
);

/** Looked for in the working folder when neither `--config` nor LAKESEAL_CONFIG names a file. */
export const CONFIG_FILE_DEFAULT = 'lakeseal.yaml';

export interface LoadedConfig {
  config: Config;
  /** The file read, absolute, or undefined where there was none. */
  file: string | undefined;
  /** Per key path, where its value comes from; a key that is not here has its default. */
  places: Map<string, string>;
}

/**
 * Reads the file (`file`, else LAKESEAL_CONFIG, else ./lakeseal.yaml where there is one) and the
 * environment. Throws `Failure` CONFIG_UNREADABLE or CONFIG_INVALID; the latter names every
 * problem, one a line.
 */
export function loadConfig(file: string | undefined, env: NodeJS.ProcessEnv): Config {
  return loadConfigWithPlaces(file, env).config;
}

/** As `loadConfig`, and says where each value comes from. */
export function loadConfigWithPlaces(
  file: string | undefined,
  env: NodeJS.ProcessEnv,
): LoadedConfig {
  const named = file ?? (env.LAKESEAL_CONFIG === '' ? undefined : env.LAKESEAL_CONFIG);
  const path = named ?? (existsSync(CONFIG_FILE_DEFAULT) ? CONFIG_FILE_DEFAULT : undefined);
  const source = path === undefined ? undefined : { path, text: readConfigFile(path) };
  const outcome = assembleConfig(source, env, (name) => readFileSync(name, 'utf8'));
  if (!outcome.ok) throw invalidConfig(outcome.problems);
  const { config, places } = outcome;
  return { config, file: path === undefined ? undefined : resolve(path), places };
}

export type AssembledConfig =
  | { ok: true; config: Config; places: Map<string, string> }
  | { ok: false; problems: Problem[] };

/**
 * The decision behind `loadConfig`: reads nothing but what `readText` gives it (secret files and
 * certificates, by path; it throws where a file cannot be read).
 */
export function assembleConfig(
  source: { path: string; text: string } | undefined,
  env: NodeJS.ProcessEnv,
  readText: (path: string) => string,
): AssembledConfig {
  const { values, problems, placeOf, places } = readSources(configKeys, source, env, readText);
  const sections: Record<string, unknown> = {};
  for (const [name, schema] of Object.entries(configSchema.shape)) {
    const parsed = schema.safeParse(values[name] ?? {});
    if (parsed.success) sections[name] = parsed.data;
    else problems.push(...parsed.error.issues.flatMap((issue) => explain(name, issue, placeOf)));
  }
  for (const { path, what } of crossChecks(sections as Partial<Config>)) {
    problems.push({ place: placeOf(path), path, what });
  }
  problems.push(...unreadableFiles(sections as Partial<Config>, placeOf, readText));
  if (problems.length > 0) return { ok: false, problems };
  return { ok: true, config: sections as Config, places };
}

function explain(
  section: string,
  issue: z.core.$ZodIssue,
  placeOf: (path: string, isKey?: boolean) => string,
): Problem[] {
  const path = [section, ...issue.path.map(String)].join('.');
  if (issue.code === 'unrecognized_keys') {
    const known = configKeys.filter((key) => key.section === section).map((key) => key.name);
    return issue.keys.map((name) => {
      const full = `${path}.${name}`;
      return {
        place: placeOf(full, true),
        path: full,
        what: `unknown key${didYouMean(name, known)}`,
      };
    });
  }
  return [{ place: placeOf(path), path, what: lowerFirst(issue.message) }];
}

function lowerFirst(message: string): string {
  return message.charAt(0).toLowerCase() + message.slice(1);
}

/** Certificates and keys are read when a connection is made; a wrong name is said here already. */
function unreadableFiles(
  config: Partial<Config>,
  placeOf: (path: string) => string,
  readText: (path: string) => string,
): Problem[] {
  const named: Array<[string, string | undefined]> = [
    ['kafka.caFile', config.kafka?.caFile],
    ['kafka.certFile', config.kafka?.certFile],
    ['kafka.keyFile', config.kafka?.keyFile],
    ['registry.caFile', config.registry?.caFile],
    ['opensearch.caFile', config.opensearch?.caFile],
  ];
  return named.flatMap(([path, file]) => {
    if (file === undefined) return [];
    try {
      readText(file);
      return [];
    } catch (error) {
      return [{ place: placeOf(path), path, what: `cannot read ${file}: ${systemReason(error)}` }];
    }
  });
}

function readConfigFile(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new Failure(`cannot read the configuration file ${path}: ${systemReason(error)}`, {
      code: 'CONFIG_UNREADABLE',
      hint: 'name an existing file with --config or LAKESEAL_CONFIG, or leave both out',
      cause: error,
    });
  }
}

function invalidConfig(problems: Problem[]): Failure {
  const lines = problems.map(({ place, path, what }) => `  ${place}: ${path}: ${what}`);
  const count = problems.length === 1 ? '1 problem' : `${problems.length} problems`;
  return new Failure(`the configuration has ${count}:\n${lines.join('\n')}\n`, {
    code: 'CONFIG_INVALID',
    hint: 'lakeseal config lists every key with its environment name, default and meaning',
  });
}
