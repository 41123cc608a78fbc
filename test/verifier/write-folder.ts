/** The bucket double as a copy in a folder, with its listing (`schemas/evidence.md`). */
import { copyArchive } from '../../services/verifier/copy-archive.ts';
import type { Bucket } from '../double/bucket.ts';
import { bucketSource } from './bucket-source.ts';
import { PREFIX } from './proof-archive.ts';

export async function writeFolder(
  bucket: Bucket,
  folder: string,
  prefix: string = PREFIX,
): Promise<void> {
  await copyArchive({
    source: bucketSource(bucket),
    prefix,
    folder,
    concurrency: 1,
    dryRun: false,
    progress: () => {},
  });
}
