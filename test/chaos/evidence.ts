/** The evidence in a real bucket, judged as the simulator judges its own: on a copy in memory. */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HeadObjectCommand, type S3Client } from '@aws-sdk/client-s3';
import { ed25519Signer, formatPrivateKey } from '../../schemas/evidence/note.ts';
import { type JudgedEvidence, judgeComplete, judgeEvidence } from '../archiver/sim/evidence.ts';
import { Bucket } from '../double/bucket.ts';
import { assertOneVersionEach, getObject, listVersions } from './archive.ts';

const NAME = 'audit.example.com';
const SEED = Buffer.alloc(32, 5);
const COPIES_AT_ONCE = 16;

export const TEST_SIGNER = ed25519Signer(NAME, SEED);

/** A file with the key of `TEST_SIGNER`, in a folder of its own or in this one. */
export function testKeyFile(folder = mkdtempSync(join(tmpdir(), 'lakeseal-key-'))): string {
  const file = join(folder, 'signing.key');
  writeFileSync(file, `${formatPrivateKey(NAME, SEED)}\n`, { mode: 0o600 });
  return file;
}

/** A4: whole, in one history, signed by `TEST_SIGNER`; every segment has its manifest. */
export async function judgeBucket(s3: S3Client, bucket: string): Promise<JudgedEvidence> {
  const copy = new Bucket({ nowMs: () => 0 });
  const queue = assertOneVersionEach(await listVersions(s3, bucket));
  const work = async (): Promise<void> => {
    for (let Key = queue.pop(); Key !== undefined; Key = queue.pop()) {
      const head = await s3.send(new HeadObjectCommand({ Bucket: bucket, Key }));
      const { ObjectLockMode: mode, ObjectLockRetainUntilDate: until } = head;
      const isHeld = (mode === 'COMPLIANCE' || mode === 'GOVERNANCE') && until !== undefined;
      const retention = isHeld ? { mode, untilMs: until.getTime() } : null;
      copy.put(Key, await getObject(s3, bucket, Key), { retention });
    }
  };
  await Promise.all(Array.from({ length: COPIES_AT_ONCE }, work));
  const evidence = await judgeEvidence(copy, '', TEST_SIGNER.verifier);
  judgeComplete(copy, '', evidence);
  return evidence;
}
