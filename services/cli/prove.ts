/**
 * `lakeseal prove`: proofs of records as files, and their check. Making them reads the archive (a
 * bucket or a copy in a folder) and, for alerts, OpenSearch; checking reads one file. What only some
 * of that needs is imported when it is needed: the client of OpenSearch takes longer than a proof.
 *
 * Exit codes: 0 proved, or the proof holds; 1 not.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { timeOf } from '../../schemas/evidence/leaf.ts';
import type { Verifier } from '../../schemas/evidence/note.ts';
import {
  type Anchored,
  checkAnchors,
  checkProof,
  ProofError,
  type Proven,
  parseProof,
} from '../../schemas/evidence/proof.ts';
import { withSuccessors } from '../evidence/trust.ts';
import type { Config } from '../runtime/config.ts';
import { Failure, reasonOf } from '../runtime/errors.ts';
import { counted, grouped } from '../runtime/wording.ts';
import { checkConsistency, parseConsistency, proveConsistency } from '../verifier/consistency.ts';
import {
  type ProofStore,
  type ProveOptions,
  prove,
  type RecordAddress,
} from '../verifier/prove.ts';
import {
  type AnchorFlags,
  type KeyFlags,
  openArchive,
  segmentProgress,
  trustedAnchors,
  trustedKeys,
  unwrapping,
} from './archive-place.ts';
import { opener } from './open-segment.ts';
import type { Terminal } from './terminal.ts';

export interface ProveFlags extends KeyFlags, AnchorFlags {
  alert?: string;
  event?: string;
  since?: number;
  until?: number;
  consistency?: string;
  check?: string;
  topicId?: string;
  archive?: string;
  unwrapKey?: string[];
  out: string;
  json?: true;
}

export async function runProve(
  record: string | undefined,
  flags: ProveFlags,
  config: () => Config,
  terminal: Terminal,
): Promise<number> {
  const asked = [record, flags.alert, flags.event, flags.consistency, flags.check];
  if (asked.filter((one) => one !== undefined).length !== 1) {
    throw new Failure('name one thing to prove or to check', {
      code: 'USAGE',
      hint: 'TOPIC/PARTITION/OFFSET, --alert, --event, --consistency or --check.',
    });
  }
  if (flags.check !== undefined) return check(flags.check, flags, config, terminal);
  const settings = config();
  const place = await openArchive(settings, flags.archive);
  try {
    const { store, prefix } = place;
    const given = await trustedKeys(flags, () => settings);
    const verifiers = await withSuccessors(store, prefix, given);
    if (flags.consistency !== undefined) {
      return await writeConsistency(flags.consistency, flags, store, prefix, verifiers, terminal);
    }
    const open = opener(await unwrapping(place, flags.unwrapKey, settings));
    const options = { store, prefix, verifiers, open };
    const addresses = await addressesOf(record, flags, settings, options, terminal);
    return await writeProofs(addresses, flags, options, terminal);
  } finally {
    place.close();
  }
}

// --- what is meant -----------------------------------------------------------------------------

const RECORD = /^([A-Za-z0-9._-]+)\/(\d+)\/(\d+)$/;
const ANY_TIME = 8.64e15;

async function addressesOf(
  record: string | undefined,
  flags: ProveFlags,
  config: Config,
  options: ProveOptions,
  terminal: Terminal,
): Promise<RecordAddress[]> {
  const ofTopic = flags.topicId === undefined ? {} : { topicId: flags.topicId };
  if (record !== undefined) {
    const [, topic, partition, offset] = RECORD.exec(record) ?? [];
    if (topic === undefined) {
      throw new Failure(`not a record: ${record}`, {
        code: 'USAGE',
        hint: 'Write it as TOPIC/PARTITION/OFFSET, as the evidence of an alert shows it.',
      });
    }
    return [{ topic, partition: Number(partition), offset: BigInt(offset!), ...ofTopic }];
  }
  if (flags.alert !== undefined) {
    const { recordsOfAlert } = await import('./alert-records.ts');
    const records = await recordsOfAlert(config, flags.alert);
    return records.map(({ topic, partition, offset }) => ({
      topic,
      partition,
      offset,
      ...ofTopic,
    }));
  }
  return eventAddresses(flags, config, options, terminal);
}

async function eventAddresses(
  flags: ProveFlags,
  config: Config,
  options: ProveOptions,
  terminal: Terminal,
): Promise<RecordAddress[]> {
  const { event, since, until } = flags;
  if (since === undefined && until === undefined) {
    const { recordsOfAlertedEvent } = await import('./alert-records.ts');
    const alerted = await recordsOfAlertedEvent(config, event!);
    if (alerted.length > 0) return alerted;
    throw new Failure(`no alert counted the event ${event}`, {
      code: 'NOT_FOUND',
      hint: 'Say when it happened with --since and --until: those segments are searched.',
    });
  }
  const { findEvent } = await import('../verifier/find-event.ts');
  const search = {
    sinceMs: since ?? -ANY_TIME,
    untilMs: until ?? ANY_TIME,
    progress: segmentProgress(terminal),
  };
  const found = await findEvent(event!, search, options);
  if (found.length > 0) return found;
  throw new Failure(`the event ${event} is in no segment of that time`, {
    code: 'NOT_FOUND',
    hint: 'Times are those of events, in UTC; a duplicate or a late event lies where it arrived.',
  });
}

// --- proofs ------------------------------------------------------------------------------------

async function writeProofs(
  addresses: RecordAddress[],
  flags: ProveFlags,
  options: ProveOptions,
  terminal: Terminal,
): Promise<number> {
  if (addresses.length === 0) throw new Failure('nothing to prove', { code: 'NOT_FOUND' });
  mkdirSync(flags.out, { recursive: true });
  let failed = 0;
  const told: object[] = [];
  for (const address of addresses) {
    const name = `${address.topic}-${address.partition}-${address.offset}`;
    try {
      const { proof, proven } = await prove(address, options);
      const file = join(flags.out, `${name}.proof.json`);
      writeNew(file, `${JSON.stringify(proof, null, 2)}\n`);
      told.push({ file, ...asJson(proven, null) });
      if (flags.json !== true) terminal.out(`${file}\n${describe(proven, null)}`);
    } catch (error) {
      if (!(error instanceof Failure) || addresses.length === 1) throw error;
      failed += 1;
      terminal.err(`${name}: ${error.message} (${error.code})`);
    }
  }
  if (flags.json === true) terminal.out(JSON.stringify(told, null, 2));
  if (failed > 0) terminal.err(`${counted(failed, 'record')} could not be proved`);
  return failed === 0 ? 0 : 1;
}

/** The same proof may be written again; another file of that name is left alone. */
function writeNew(file: string, text: string): void {
  if (existsSync(file) && readFileSync(file, 'utf8') === text) return;
  try {
    writeFileSync(file, text);
  } catch (error) {
    throw new Failure(`cannot write ${file}: ${reasonOf(error)}`, { code: 'OUTPUT' });
  }
}

/** `anchored`: null where nobody judged what others vouch for. */
function describe(
  { log, offset, timestamp, value, manifest, partitionSize, root, signedBy }: Proven,
  anchored: Anchored | null,
): string {
  const [, , topic, , partition] = log.split('/');
  const time = new Date(Number(timestamp)).toISOString();
  const bytes = value === null ? 'no value' : counted(value.length, 'byte');
  const rooted =
    root === null
      ? 'no root covers it yet: prove it again in an hour'
      : `root of ${root.time}, ${stampText(root, anchored)}`;
  return [
    `  record      ${topic}/${Number(partition)} offset ${offset}, ${bytes}, Kafka time ${time}`,
    `  sealed in   ${manifest.firstOffset} to ${manifest.nextOffset}, ${counted(manifest.records, 'record')}, SHA-256 ${manifest.sha256}`,
    `  protected   ${manifest.retention === null ? 'the store told no retention' : `${manifest.retention.mode} until ${manifest.retention.until}`}`,
    `  covered by  checkpoint of ${grouped(partitionSize)} manifests, ${rooted}`,
    `  signed by   ${signedBy.map(({ vkey }) => vkey).join(', ')}`,
    ...(anchored?.cosigned ?? []).map(
      ({ by, time }) => `  witness     ${by.name} at ${timeOf(time * 1000)}`,
    ),
  ].join('\n');
}

function stampText({ stamp }: NonNullable<Proven['root']>, anchored: Anchored | null): string {
  if (stamp === null) return 'without time stamp';
  const at = anchored?.stampedAt ?? null;
  return at === null
    ? 'with a time stamp that was not judged (--tsa-ca)'
    : `time-stamped ${timeOf(at * 1000)}`;
}

function asJson(
  { log, offset, timestamp, manifest, partitionSize, root, signedBy }: Proven,
  anchored: Anchored | null,
): object {
  return {
    log,
    offset: String(offset),
    timestamp: String(timestamp),
    firstOffset: manifest.firstOffset,
    nextOffset: manifest.nextOffset,
    sha256: manifest.sha256,
    partitionSize,
    root:
      root === null
        ? null
        : {
            time: root.time,
            size: root.size,
            stamped: root.stamp !== null,
            /** Null where there is no stamp, or it was not judged. */
            stampedAt: isoOf(anchored?.stampedAt ?? null),
            witnesses: (anchored?.cosigned ?? []).map(({ by, time }) => ({
              name: by.name,
              time: isoOf(time),
            })),
          },
    signedBy: signedBy.map(({ vkey }) => vkey),
  };
}

function isoOf(seconds: number | null): string | null {
  return seconds === null ? null : timeOf(seconds * 1000);
}

async function writeConsistency(
  kept: string,
  flags: ProveFlags,
  store: ProofStore,
  prefix: string,
  verifiers: readonly Verifier[],
  terminal: Terminal,
): Promise<number> {
  const note = readText(kept);
  try {
    const proof = await proveConsistency(Buffer.from(note), store, prefix, verifiers);
    const { log, first, second } = checkConsistency(proof, verifiers);
    mkdirSync(flags.out, { recursive: true });
    const file = join(flags.out, `${log.replaceAll('/', '-')}-${first}-${second}.consistency.json`);
    writeNew(file, `${JSON.stringify(proof, null, 2)}\n`);
    terminal.out(`${file}\n  ${log}: the first ${first} of ${second} leaves are what they were`);
    return 0;
  } catch (error) {
    throw doesNotHold(error);
  }
}

// --- check -------------------------------------------------------------------------------------

async function check(
  file: string,
  flags: ProveFlags,
  config: () => Config,
  terminal: Terminal,
): Promise<number> {
  const verifiers = await trustedKeys(flags, config);
  const text = readText(file);
  try {
    const consistency = parseConsistency(jsonOf(text));
    if (consistency !== null) {
      const { log, first, second } = checkConsistency(consistency, verifiers);
      terminal.out(`holds: ${log}: the first ${first} of ${second} leaves are what they were`);
      return 0;
    }
    const proven = checkProof(parseProof(text), verifiers);
    const anchored = checkAnchors(proven, trustedAnchors(flags, null));
    if (flags.json === true) terminal.out(JSON.stringify(asJson(proven, anchored), null, 2));
    else terminal.out(`holds: ${file}\n${describe(proven, anchored)}`);
    return 0;
  } catch (error) {
    throw doesNotHold(error);
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function doesNotHold(error: unknown): unknown {
  if (!(error instanceof ProofError)) return error;
  return new Failure(`the proof does not hold: ${error.message}`, {
    code: 'DOES_NOT_HOLD',
    hint: 'The file was changed, or the key is not the one that signed the archive.',
    cause: error.cause,
  });
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new Failure(`cannot read ${path}: ${reasonOf(error)}`, { code: 'NO_FILE' });
  }
}
