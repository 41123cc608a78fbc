/**
 * One file put where copies of roots go, with the credential of that place, read back, and taken away
 * again where the place lets it go. Edge.
 */
import { existsSync } from 'node:fs';
import { rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DeleteObjectCommand, HeadObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { secretIn } from '../archiver/anchors/anchors.ts';
import type { Http } from '../archiver/anchors/http.ts';
import { copyTarget, fileAddress, httpLogin, placeOf } from '../archiver/anchors/places.ts';
import type { Config } from '../runtime/config.ts';
import { storeAddress } from '../store/s3.ts';
import { type Finding, failed, ok, unknown } from './checks.ts';

type CopyConfig = Config['anchors']['copies'][number];

/** @param name of a file that nobody else has. @throws Failure where the place takes or gives nothing. */
export async function tryCopy(
  copy: CopyConfig,
  name: string,
  bytes: Buffer,
  http: Http,
): Promise<Finding> {
  const missing = copy.kind === 'file' ? missingFolders(copy.path) : [];
  const place = placeOf(copy, http, secretIn);
  let found: Buffer | null;
  let left: string;
  try {
    await place.putIfAbsent(name, bytes);
    found = await place.get(name);
  } finally {
    place.close();
    left = (await takeAway(copy, name, http)) ? '' : `; ${name} stays there`;
    for (const folder of missing) await rmdir(folder).catch(() => {});
  }
  const where = `${place.where} took a file`;
  if (found === null) {
    const hint = 'let the credential read what it wrote: else nothing tells where a place ended';
    return unknown(`${where}, and shows none${left}`, hint);
  }
  if (found.equals(bytes)) return ok(`${where} and gave it back${left}`);
  return failed(
    `${where}, and gives another back${left}`,
    'is something in between that rewrites?',
  );
}

/** Those that putting a file there would make, the innermost first. */
function missingFolders(path: string): string[] {
  return existsSync(path) ? [] : [path, ...missingFolders(dirname(path))];
}

/** Whether nothing of it is left, as far as the place tells. */
async function takeAway(copy: CopyConfig, name: string, http: Http): Promise<boolean> {
  try {
    if (copy.kind === 'file') await rm(join(copy.path, name), { force: true });
    else if (copy.kind === 'http') {
      const url = fileAddress(copy, name);
      const { status } = await http({ method: 'DELETE', url, headers: httpLogin(copy, secretIn) });
      return status >= 200 && status <= 299;
    } else await removeVersion(copy, name);
    return true;
  } catch {
    // Who may not take copies away is the better keeper of them.
    return false;
  }
}

/** The version itself: without its id a bucket with versions would be left with a marker, too. */
async function removeVersion(copy: Extract<CopyConfig, { kind: 's3' }>, name: string) {
  const target = copyTarget(copy, secretIn);
  const client = new S3Client({ ...storeAddress(target, target), maxAttempts: 1 });
  const where = { Bucket: target.bucket, Key: `${target.prefix}${name}` };
  try {
    const { VersionId } = await client.send(new HeadObjectCommand(where));
    await client.send(new DeleteObjectCommand({ ...where, VersionId }));
  } finally {
    client.destroy();
  }
}
