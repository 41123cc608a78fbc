/** The bucket double as a copy in a folder, with its listing (`schemas/evidence.md`). */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Bucket } from '../double/bucket.ts';
import { bucketSource } from './bucket-source.ts';

export async function writeFolder(bucket: Bucket, folder: string): Promise<void> {
  const source = bucketSource(bucket);
  const lines: string[] = [];
  mkdirSync(folder, { recursive: true });
  for await (const version of source.versions('')) {
    const told = version.isDeleteMarker
      ? { retention: null, encryption: null }
      : await source.protection(version);
    lines.push(JSON.stringify({ ...version, ...told }));
    const bytes = await source.read(version);
    if (bytes === null) continue;
    const { key, versionId, isLatest } = version;
    const parts = isLatest ? key.split('/') : ['versions', ...key.split('/'), versionId];
    const path = join(folder, ...parts);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, bytes);
  }
  writeFileSync(join(folder, 'versions.jsonl'), lines.map((line) => `${line}\n`).join(''));
}
