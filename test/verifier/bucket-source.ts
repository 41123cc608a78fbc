/** The bucket double as an archive to verify: all that S3 would tell of it. */
import { timeOf } from '../../schemas/evidence/leaf.ts';
import type { ArchiveSource } from '../../services/verifier/source.ts';
import type { Bucket } from '../double/bucket.ts';

export function bucketSource(bucket: Bucket): ArchiveSource {
  const found = (key: string, versionId: string) =>
    bucket.versions(key).find((one) => one.key === key && one.versionId === versionId);
  return {
    name: 'the double',
    tellsVersions: true,
    async *versions(prefix, after = '') {
      for (const { key, versionId, isLatest, bytes } of bucket.versions(prefix)) {
        if (key <= after) continue;
        const isDeleteMarker = bytes === null;
        yield { key, versionId, isLatest, isDeleteMarker, size: bytes?.length ?? 0 };
      }
    },
    read: async ({ key, versionId }) => found(key, versionId)?.bytes ?? null,
    async protection({ key, versionId }) {
      const retention = found(key, versionId)?.retention ?? null;
      const told =
        retention === null ? null : { mode: retention.mode, until: timeOf(retention.untilMs) };
      return { retention: told, encryption: { kind: 'none' } };
    },
  };
}
