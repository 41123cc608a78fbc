/**
 * What the bucket of the archive must be like, decided from how it was found. Pure: documents in,
 * decisions out.
 *
 * Nothing is ever weakened: a default retention that is longer or stricter than configured stays.
 */
import { describeRetention } from '../posture/compare.ts';
import { canonicalStatements } from '../posture/policy-document.ts';
import type { Config } from '../runtime/config.ts';
import type { Decision } from './setup-items.ts';

export interface Retention {
  mode: 'COMPLIANCE' | 'GOVERNANCE';
  days: number;
}

/** The retention to set, if any: for each of mode and days the stricter of found and wanted. */
export function decideRetention(
  found: Retention | null,
  wanted: Retention,
): Decision & { retention: Retention } {
  if (found === null) {
    return { step: 'make', detail: describeRetention(wanted), retention: wanted };
  }
  const compliance = [found.mode, wanted.mode].includes('COMPLIANCE');
  const retention: Retention = {
    mode: compliance ? 'COMPLIANCE' : 'GOVERNANCE',
    days: Math.max(found.days, wanted.days),
  };
  if (!same(retention, found)) {
    const detail = `from ${describeRetention(found)} to ${describeRetention(retention)}`;
    return { step: 'change', detail, retention };
  }
  if (same(found, wanted)) {
    return { step: 'found', detail: describeRetention(found), retention };
  }
  return {
    step: 'differs',
    detail: `${describeRetention(found)}, stricter than the configured ${describeRetention(wanted)}`,
    hint: 'left as it is; set archive.retentionMode and retentionDays to what the bucket has',
    retention,
  };
}

function same(a: Retention, b: Retention): boolean {
  return a.mode === b.mode && a.days === b.days;
}

/** A bucket's default encryption; `keyId` undefined is the default key of the store. */
export interface Encryption {
  algorithm: string;
  keyId: string | undefined;
}

/** null where the configuration asks for none. */
export function wantedEncryption(archive: Config['archive']): Encryption | null {
  if (archive.encryption === 'none') return null;
  if (archive.encryption === 'sse-s3') return { algorithm: 'AES256', keyId: undefined };
  return { algorithm: 'aws:kms', keyId: archive.kmsKeyId };
}

export function decideEncryption(found: Encryption | null, wanted: Encryption | null): Decision {
  if (wanted === null) {
    return { step: 'found', detail: `${describeEncryption(found)}; archive.encryption is none` };
  }
  const matches =
    found?.algorithm === wanted.algorithm &&
    (wanted.keyId === undefined || found.keyId === wanted.keyId);
  if (matches) return { step: 'found', detail: describeEncryption(found) };
  if (found === null) return { step: 'make', detail: describeEncryption(wanted) };
  const detail = `from ${describeEncryption(found)} to ${describeEncryption(wanted)}`;
  return { step: 'change', detail };
}

function describeEncryption(encryption: Encryption | null): string {
  if (encryption === null) return 'none';
  const { algorithm, keyId } = encryption;
  if (algorithm !== 'aws:kms') return algorithm;
  return keyId === undefined ? 'aws:kms with the default key' : `aws:kms with key ${keyId}`;
}

// --- policy ---------------------------------------------------------------------------------------

export interface Statement {
  Sid?: string;
  [field: string]: unknown;
}

export interface Policy {
  Version?: string;
  Statement?: Statement | Statement[];
  [field: string]: unknown;
}

/** Statements that `setup` owns are named so; all others belong to somebody else and stay. */
const OUR_SID = /^Lakeseal/;

/**
 * Denied to every principal, the archiver and its administrators included. Without it a delete
 * marker, which Object Lock does not prevent, would hide a sealed object. Reading, listing and
 * changing this policy stay as they are: nobody is locked out.
 */
export function ourStatements(bucket: string, requireTls: boolean): Statement[] {
  const all = `arn:aws:s3:::${bucket}`;
  const denyDelete: Statement = {
    Sid: 'LakesealDenyDelete',
    Effect: 'Deny',
    Principal: '*',
    Action: ['s3:BypassGovernanceRetention', 's3:DeleteObject', 's3:DeleteObjectVersion'],
    Resource: [`${all}/*`],
  };
  const denyDeleteBucket: Statement = {
    Sid: 'LakesealDenyDeleteBucket',
    Effect: 'Deny',
    Principal: '*',
    Action: ['s3:DeleteBucket'],
    Resource: [all],
  };
  const denyPlainText: Statement = {
    Sid: 'LakesealRequireTls',
    Effect: 'Deny',
    Principal: '*',
    Action: ['s3:*'],
    Resource: [all, `${all}/*`],
    Condition: { Bool: { 'aws:SecureTransport': 'false' } },
  };
  return [denyDelete, denyDeleteBucket, ...(requireTls ? [denyPlainText] : [])];
}

/** The found policy with our statements replaced by those wanted, and what that means. */
export function decidePolicy(
  found: Policy | null,
  wanted: Statement[],
): Decision & { policy: Policy } {
  const there = found === null ? [] : [found.Statement ?? []].flat();
  const others = there.filter((statement) => !OUR_SID.test(statement.Sid ?? ''));
  const ours = there.filter((statement) => OUR_SID.test(statement.Sid ?? ''));
  const policy = { ...found, Version: '2012-10-17', Statement: [...others, ...wanted] };
  const beside = others.length === 0 ? '' : ` beside ${others.length} of others`;
  const detail = `${wanted.map(({ Sid }) => Sid).join(', ')}${beside}`;
  if (canonicalStatements(ours) === canonicalStatements(wanted))
    return { step: 'found', detail, policy };
  return { step: ours.length === 0 ? 'make' : 'change', detail, policy };
}
