/**
 * One segment against its manifest: its stored bytes, its header, and with `deep` every record; and
 * how the store protects it against how it was sealed.
 */
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
import type { FindingCode, Report } from './findings.ts';
import type { ArchiveSource, SourceVersion } from './source.ts';

export interface SegmentCheckOptions {
  source: ArchiveSource;
  report: Report;
  /** Every record is read. */
  deep: boolean;
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
  // What is inside an encrypted segment takes the key.
  if (body.encryption?.kind === 'envelope') return true;
  try {
    const { header } = readSegmentHeader(bytes);
    const place = `${header.clusterId}/${header.topic}/${header.topicId}/${header.partition}`;
    const expected = head.log.slice('partition/'.length).replace(/\/0*(\d+)$/, '/$1');
    if (place !== expected) find('segment_differs', expected, place);
    const known = options.deep
      ? await digestSegment(bytes, options.breathe)
      : fromHeader(header, body);
    for (const [name, wanted, there] of differences(body, known)) {
      find('segment_differs', `${name} ${wanted}`, `${name} ${there}`);
    }
  } catch (error) {
    if (!(error instanceof SegmentError)) throw error;
    find('segment_invalid', 'a segment', `${error.code}: ${error.message}`);
  }
  return true;
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
  const made = manifestOf(digest, { retention: body.retention, encryption: body.encryption });
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
