/**
 * An archive in its bucket, with every version of every object. Only reads: ListObjectVersions,
 * GetObject and HeadObject of one version.
 */
import {
  GetObjectCommand,
  GetObjectRetentionCommand,
  HeadObjectCommand,
  ListObjectVersionsCommand,
  type ListObjectVersionsCommandInput,
  S3Client,
} from '@aws-sdk/client-s3';
import type { Config } from '../runtime/config.ts';
import { protectionOf, storeAddress, toFailure } from '../store/s3.ts';
import { statusOf } from '../store/sdk-errors.ts';
import type { ArchiveSource, SourceVersion } from './source.ts';

const ATTEMPTS_MAX = 4;
/** What verifying needs; the last to judge retention. */
const RIGHTS =
  'Verifying needs s3:ListBucketVersions, s3:GetObjectVersion and s3:GetObjectRetention.';
const MISSING = new Set(['NoSuchKey', 'NoSuchVersion', 'NotFound']);

/** The caller closes it. */
export function s3Source(storage: Config['storage']): ArchiveSource & { close(): void } {
  const client = new S3Client({
    ...storeAddress(storage, storage),
    maxAttempts: ATTEMPTS_MAX,
    requestHandler: { requestTimeout: storage.timeoutMs },
  });
  const { bucket: Bucket } = storage;
  const asked = async <Output>(what: string, run: () => Promise<Output>): Promise<Output> => {
    try {
      return await run();
    } catch (error) {
      if (MISSING.has((error as Error).name)) throw error;
      throw toFailure(what, error, storage, RIGHTS);
    }
  };
  /** The headers of an object are silent where it has no retention, and where that is not ours to know. */
  const mayKnow = async (version: SourceVersion): Promise<boolean> => {
    try {
      await client.send(new GetObjectRetentionCommand({ Bucket, ...idOf(version) }));
      return true;
    } catch (error) {
      return statusOf(error) !== 403;
    }
  };
  return {
    name: `s3://${Bucket}/${storage.prefix}`,
    tellsVersions: true,
    async *versions(prefix, after) {
      let markers: Pick<ListObjectVersionsCommandInput, 'KeyMarker' | 'VersionIdMarker'> = {
        KeyMarker: after,
      };
      for (;;) {
        const command = new ListObjectVersionsCommand({ Bucket, Prefix: prefix, ...markers });
        const page = await asked('list versions', () => client.send(command));
        yield* inOrder([
          ...(page.Versions ?? []).map((one) => versionOf(one, false)),
          ...(page.DeleteMarkers ?? []).map((one) => versionOf(one, true)),
        ]);
        if (page.IsTruncated !== true) return;
        markers = {
          KeyMarker: page.NextKeyMarker,
          ...(page.NextVersionIdMarker && { VersionIdMarker: page.NextVersionIdMarker }),
        };
      }
    },
    async read(version) {
      const command = new GetObjectCommand({ Bucket, ...idOf(version) });
      try {
        return await asked('read an object', async () => {
          const { Body } = await client.send(command);
          return Buffer.from(await Body!.transformToByteArray());
        });
      } catch (error) {
        if (MISSING.has((error as Error).name)) return null;
        throw error;
      }
    },
    async protection(version) {
      const command = new HeadObjectCommand({ Bucket, ...idOf(version) });
      try {
        const told = protectionOf(await asked('ask about an object', () => client.send(command)));
        return told.retention !== null || (await mayKnow(version)) ? told : null;
      } catch (error) {
        if (MISSING.has((error as Error).name)) return null;
        throw error;
      }
    },
    close: () => client.destroy(),
  };
}

function idOf({ key, versionId }: SourceVersion): { Key: string; VersionId?: string } {
  return versionId === '' ? { Key: key } : { Key: key, VersionId: versionId };
}

interface Listed {
  Key?: string | undefined;
  VersionId?: string | undefined;
  IsLatest?: boolean | undefined;
  Size?: number | undefined;
  LastModified?: Date | undefined;
}

function versionOf(one: Listed, isDeleteMarker: boolean): SourceVersion & { modified: number } {
  return {
    key: one.Key ?? '',
    versionId: one.VersionId ?? '',
    isLatest: one.IsLatest === true,
    isDeleteMarker,
    size: one.Size ?? 0,
    modified: one.LastModified?.getTime() ?? 0,
  };
}

/** By key, newest first: versions and markers come in two lists. */
function inOrder(versions: Array<SourceVersion & { modified: number }>): SourceVersion[] {
  return versions.sort(
    (one, other) =>
      Buffer.compare(Buffer.from(one.key), Buffer.from(other.key)) ||
      Number(other.isLatest) - Number(one.isLatest) ||
      other.modified - one.modified,
  );
}
