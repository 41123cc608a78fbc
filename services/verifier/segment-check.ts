/**
 * One segment against its manifest: its stored bytes, its header, and with `deep` every record; and
 * how the store protects it against how it was sealed.
 */
import {
  MissingKeyError,
  openEnvelope,
  readEnvelopeHeader,
  type Unwrap,
} from '../../schemas/envelope.ts';
import type { LeafHead } from '../../schemas/evidence/leaf.ts';
import { secondsOf } from '../../schemas/evidence/leaf.ts';
import {
  type ManifestBody,
  manifestOf,
  type SegmentDigest,
} from '../../schemas/evidence/manifest.ts';
import { sha256 } from '../../schemas/evidence/merkle.ts';
import { digestSegment } from '../../schemas/evidence/segment-digest.ts';
import { readSegmentHeader, SegmentError, type SegmentHeader } from '../../schemas/segment.ts';
import { EnvelopeError } from '../../schemas/wrapping-key.ts';
import type { FindingCode, Report } from './findings.ts';
import type { ArchiveSource, SourceVersion } from './source.ts';

export interface SegmentCheckOptions {
  source: ArchiveSource;
  report: Report;
  /** Every record is read. */
  deep: boolean;
  /** What opens encrypted segments. */
  unwrap: Unwrap;
  /** A segment is encrypted with a key that is not among these. */
  unopened: () => void;
  prefix: string;
  breathe: () => Promise<void>;
}

/** `head` and `body` of the manifest. True where the bytes are those that were sealed. */
export async function checkSegment(
  version: SourceVersion,
  head: LeafHead,
  body: ManifestBody,
  options: SegmentCheckOptions,
): Promise<boolean> {
  const { source, report } = options;
  const { key, versionId } = version;
  const find = (code: FindingCode, expected: string, found: string): void =>
    report({ code, key, versionId, expected, found });
  const bytes = await source.read(version);
  if (bytes === null) {
    find('segment_missing', `${body.bytes} bytes`, 'nothing');
    return false;
  }
  const hash = sha256(bytes).toString('hex');
  if (bytes.length !== body.bytes || hash !== body.sha256) {
    const expected = `${body.bytes} bytes, SHA-256 ${body.sha256}`;
    find('segment_altered', expected, `${bytes.length} bytes, SHA-256 ${hash}`);
    return false;
  }
  await checkProtection(version, body, options);
  try {
    const plain = await opened(version, bytes, body, options);
    if (plain === null) return true;
    const { header } = readSegmentHeader(plain);
    const place = `${header.clusterId}/${header.topic}/${header.topicId}/${header.partition}`;
    const expected = head.log.slice('partition/'.length).replace(/\/0*(\d+)$/, '/$1');
    if (place !== expected) find('segment_differs', expected, place);
    const known = options.deep
      ? await digestSegment(plain, options.breathe)
      : fromHeader(header, body);
    for (const [name, wanted, there] of differences(body, known)) {
      find('segment_differs', `${name} ${wanted}`, `${name} ${there}`);
    }
  } catch (error) {
    if (error instanceof EnvelopeError) {
      find('segment_invalid', 'an encrypted segment', error.message);
    } else if (error instanceof SegmentError) {
      find('segment_invalid', 'a segment', `${error.code}: ${error.message}`);
    } else throw error;
  }
  return true;
}

/**
 * The segment inside, or null where that takes a key that was not given.
 * @throws EnvelopeError where it is not what the manifest says was encrypted.
 */
async function opened(
  { key }: SourceVersion,
  stored: Buffer,
  { encryption }: ManifestBody,
  { unwrap, unopened, prefix, breathe }: SegmentCheckOptions,
): Promise<Buffer | null> {
  if (encryption?.kind !== 'envelope') return stored;
  const { format: _, slot, ...said } = readEnvelopeHeader(stored).header;
  const one = JSON.stringify(encryption);
  const other = JSON.stringify({ kind: 'envelope', ...said });
  if (one !== other) throw new EnvelopeError(`its header says ${other}, the manifest ${one}`);
  try {
    return await openEnvelope(stored, key.slice(prefix.length), unwrap, breathe);
  } catch (error) {
    if (!(error instanceof MissingKeyError)) throw error;
    if (`${prefix}${slot}` !== key) throw new EnvelopeError(`it was encrypted for ${slot}`);
    unopened();
    return null;
  }
}

/** What only the records tell is taken from the manifest. */
function fromHeader(header: SegmentHeader, body: ManifestBody): SegmentDigest {
  const time = (text: string | null): bigint | null => (text === null ? null : BigInt(text));
  return {
    header,
    gap:
      body.gap === null
        ? null
        : { reason: body.gap.reason, logStartOffset: BigInt(body.gap.logStartOffset) },
    eventTimeMin: time(body.eventTimeMin),
    eventTimeMax: time(body.eventTimeMax),
    eventTimes: body.eventTimes,
    bytes: body.bytes,
    sha256: Buffer.from(body.sha256, 'hex'),
    recordsRoot: Buffer.from(body.recordsRoot, 'base64'),
  };
}

function differences(
  body: ManifestBody,
  digest: SegmentDigest,
): Array<[name: string, wanted: string, there: string]> {
  const { retention, encryption } = body;
  const stored = { bytes: body.bytes, sha256: Buffer.from(body.sha256, 'hex') };
  // The stored bytes were compared already, and are not those of what is inside.
  const made = manifestOf(digest, { retention, encryption, stored });
  const found: Array<[string, string, string]> = [];
  for (const [name, there] of Object.entries(made)) {
    const wanted = body[name as keyof ManifestBody];
    const [one, other] = [JSON.stringify(wanted), JSON.stringify(there)];
    if (one !== other) found.push([name, one, other]);
  }
  return found;
}

/** Retention and encryption of a segment, as the store tells of it now. */
async function checkProtection(
  version: SourceVersion,
  body: ManifestBody,
  { source, report }: SegmentCheckOptions,
): Promise<void> {
  const now = await source.protection(version);
  if (now === null) return;
  const { key, versionId } = version;
  const find = (code: FindingCode, expected: string, found: string): void =>
    report({ code, key, versionId, expected, found });
  const sealed = body.retention;
  if (sealed !== null) {
    const wanted = `${sealed.mode} until ${sealed.until}`;
    if (now.retention === null) find('retention_missing', wanted, 'no retention');
    else {
      const { mode, until } = now.retention;
      const told = `${mode} until ${until}`;
      if (sealed.mode === 'COMPLIANCE' && mode !== 'COMPLIANCE')
        find('retention_mode', wanted, told);
      if (secondsOf(until)! < secondsOf(sealed.until)!) find('retention_short', wanted, told);
    }
  }
  const wanted = body.encryption;
  if (wanted === null || wanted.kind === 'envelope' || now.encryption === null) return;
  const one = JSON.stringify(wanted);
  const other = JSON.stringify(now.encryption);
  if (one !== other) find('encryption_differs', one, other);
}
