/** The rules of the configuration that span several keys. Pure. */
import { NoteError, parseVkey } from '../../schemas/evidence/note.ts';
import { assertWitness } from '../../schemas/evidence/witness.ts';
import type { Config } from './config.ts';

export interface Problem {
  /** `lakeseal.yaml:3:5` or the name of an environment variable. */
  place: string;
  /** Key path: `kafka.brokers`. */
  path: string;
  /** What is wrong, in lower case, without a full stop. */
  what: string;
}

type Check = Pick<Problem, 'path' | 'what'>;

/** Sections that did not pass the schema are absent: their own problems are reported already. */
export function crossChecks(config: Partial<Config>): Check[] {
  return [
    ...checkKafka(config.kafka),
    ...together('registry', config.registry, ['username', 'password']),
    ...together('opensearch', config.opensearch, ['username', 'password']),
    ...checkKeys('storage', config.storage),
    ...checkKeys('setup', config.setup),
    ...checkTopics(config.topics, config.collect),
    ...checkArchive(config.archive),
    ...checkAnchors(config.anchors),
  ];
}

function checkKafka(kafka: Config['kafka'] | undefined): Check[] {
  if (kafka === undefined) return [];
  const found = [
    ...together('kafka', kafka, ['certFile', 'keyFile']),
    ...together('kafka', kafka, ['saslUsername', 'saslPassword']),
  ];
  kafka.brokers.forEach((broker, index) => {
    if (!isHostPort(broker)) {
      found.push({ path: `kafka.brokers.${index}`, what: 'expected host:port, port 1 to 65535' });
    }
  });
  if (kafka.saslMechanism !== undefined && kafka.saslUsername === undefined) {
    found.push({ path: 'kafka.saslMechanism', what: 'needs kafka.saslUsername and saslPassword' });
  }
  if (kafka.saslMechanism === undefined && kafka.saslUsername !== undefined) {
    found.push({ path: 'kafka.saslUsername', what: 'needs kafka.saslMechanism' });
  }
  for (const name of ['caFile', 'certFile'] as const) {
    if (kafka[name] !== undefined && !kafka.tls) {
      found.push({ path: `kafka.${name}`, what: 'has no effect unless kafka.tls is true' });
    }
  }
  if (kafka.heartbeatIntervalMs >= kafka.sessionTimeoutMs / 3) {
    found.push({
      path: 'kafka.heartbeatIntervalMs',
      what: `must be less than a third of kafka.sessionTimeoutMs (${kafka.sessionTimeoutMs})`,
    });
  }
  return found;
}

function isHostPort(broker: string): boolean {
  const port = /^(?:[^\s:/]+|\[[0-9a-fA-F:]+\]):(\d{1,5})$/.exec(broker)?.[1];
  return port !== undefined && Number(port) >= 1 && Number(port) <= 65_535;
}

/** Both or neither. */
function together<S extends object>(
  section: string,
  values: S | undefined,
  names: [keyof S & string, keyof S & string],
): Check[] {
  if (values === undefined) return [];
  const [first, second] = names;
  if ((values[first] === undefined) === (values[second] === undefined)) return [];
  const [given, missing] = values[first] === undefined ? [second, first] : [first, second];
  return [{ path: `${section}.${given}`, what: `needs ${section}.${missing} beside it` }];
}

function checkKeys(
  section: 'storage' | 'setup',
  values: Config['storage'] | Config['setup'] | undefined,
): Check[] {
  const found = together(section, values, ['accessKeyId', 'secretAccessKey']);
  if (values?.sessionToken !== undefined && values.accessKeyId === undefined) {
    found.push({ path: `${section}.sessionToken`, what: `needs ${section}.accessKeyId beside it` });
  }
  return found;
}

function checkTopics(
  topics: Config['topics'] | undefined,
  collect: Config['collect'] | undefined,
): Check[] {
  if (topics === undefined) return [];
  const found: Check[] = [];
  if (topics.events === topics.deadLetter) {
    found.push({ path: 'topics.deadLetter', what: 'must not be the events topic' });
  }
  const others = ['events', 'deadLetter', 'matches'] as const;
  for (const [index, name] of (['matches', 'state'] as const).entries()) {
    const same = others.slice(0, index + 2).find((other) => topics[other] === topics[name]);
    if (same === undefined) continue;
    found.push({ path: `topics.${name}`, what: `must be a topic of its own, not topics.${same}` });
  }
  if (collect !== undefined && collect.batchBytesMax > topics.recordBytesMax) {
    found.push({
      path: 'collect.batchBytesMax',
      what: `must not pass topics.recordBytesMax (${topics.recordBytesMax})`,
    });
  }
  return found;
}

/** One PUT takes no more, and a segment is one PUT. */
const PUT_BYTES_MAX = 5 * 1024 ** 3;
/** 100 years, the most that Object Lock takes. */
const RETENTION_DAYS_MAX = 36_500;
const LEVEL_MAX = { deflate: 9, zstandard: 19, null: undefined } as const;

function checkArchive(archive: Config['archive'] | undefined): Check[] {
  if (archive === undefined) return [];
  const found: Check[] = [];
  const levelMax = LEVEL_MAX[archive.codec];
  if (archive.codecLevel !== undefined && levelMax === undefined) {
    found.push({ path: 'archive.codecLevel', what: 'has no effect with the codec null' });
  } else if (archive.codecLevel !== undefined && archive.codecLevel > levelMax!) {
    found.push({
      path: 'archive.codecLevel',
      what: `${archive.codec} takes levels 1 to ${levelMax}`,
    });
  }
  if (archive.kmsKeyId !== undefined && archive.encryption !== 'sse-kms') {
    found.push({ path: 'archive.kmsKeyId', what: 'has no effect unless encryption is sse-kms' });
  }
  if (archive.segmentBytesMax > PUT_BYTES_MAX) {
    found.push({ path: 'archive.segmentBytesMax', what: `must not pass ${PUT_BYTES_MAX}` });
  }
  const ordered = [
    ['blockBytes', 'segmentBytesMax'],
    ['segmentBytesMax', 'memoryBytesMax'],
  ] as const;
  for (const [smaller, larger] of ordered) {
    if (archive[smaller] <= archive[larger]) continue;
    found.push({
      path: `archive.${smaller}`,
      what: `must not pass archive.${larger} (${archive[larger]})`,
    });
  }
  if (archive.retentionDays > RETENTION_DAYS_MAX) {
    found.push({ path: 'archive.retentionDays', what: `must not pass ${RETENTION_DAYS_MAX}` });
  }
  return found;
}

function checkAnchors(anchors: Config['anchors'] | undefined): Check[] {
  if (anchors === undefined) return [];
  const found: Check[] = [];
  anchors.copies.forEach((copy, at) => {
    if (copy.kind !== 's3') return;
    const path = `anchors.copies.${at}`;
    found.push(...together(path, copy, ['accessKeyId', 'secretAccessKeyFile']));
  });
  anchors.witnesses.forEach(({ key }, at) => {
    try {
      assertWitness(parseVkey(key));
    } catch (error) {
      if (!(error instanceof NoteError)) throw error;
      found.push({ path: `anchors.witnesses.${at}.key`, what: error.message });
    }
  });
  return found;
}
