/**
 * What an administrator can do to an archive in a real bucket, in governance mode with the right to
 * bypass it: each act is found and named by a verification of the bucket.
 */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import {
  DeleteObjectCommand,
  ListObjectVersionsCommand,
  PutObjectCommand,
  PutObjectRetentionCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import { ROOT_LOG } from '../../schemas/evidence/root-leaf.ts';
import { loadConfig } from '../../services/runtime/config.ts';
import { createS3Store } from '../../services/store/s3.ts';
import { s3Source } from '../../services/verifier/s3-source.ts';
import { useStack } from '../stack/use.ts';
import { findingsIn } from './findings-in.ts';
import { PREFIX, smallArchive } from './proof-archive.ts';
import { dataKey, leafKey, noteKey } from './tamperings.ts';

const stack = await useStack();
const root: S3Client = stack.rootS3();
after(() => root.destroy());

/** The administrator in one bucket. */
class Administrator {
  readonly bucket: string;

  constructor(bucket: string) {
    this.bucket = bucket;
  }

  put(Key: string, Body: Uint8Array | string) {
    const where = { Bucket: this.bucket, Key };
    return root.send(new PutObjectCommand({ ...where, Body, ChecksumAlgorithm: 'SHA256' }));
  }

  hide(Key: string) {
    return root.send(new DeleteObjectCommand({ Bucket: this.bucket, Key }));
  }

  async destroy(Key: string) {
    const VersionId = await this.#version(Key);
    const where = { Bucket: this.bucket, Key, VersionId };
    await root.send(new DeleteObjectCommand({ ...where, BypassGovernanceRetention: true }));
  }

  async shorten(Key: string) {
    const VersionId = await this.#version(Key);
    const Retention = {
      Mode: 'GOVERNANCE',
      RetainUntilDate: new Date(Date.now() + 60_000),
    } as const;
    const where = { Bucket: this.bucket, Key, VersionId };
    const command = { ...where, Retention, BypassGovernanceRetention: true };
    await root.send(new PutObjectRetentionCommand(command));
  }

  async #version(Key: string): Promise<string> {
    const where = { Bucket: this.bucket, Prefix: Key };
    const { Versions } = await root.send(new ListObjectVersionsCommand(where));
    return Versions![0]!.VersionId!;
  }
}

type Act = (admin: Administrator, bytesOf: (key: string) => Promise<Buffer>) => Promise<unknown>;

const ACTS: Array<[what: string, codes: string[], act: Act]> = [
  ['nothing', [], async () => {}],
  ['a deleted segment', ['delete_marker'], (admin) => admin.hide(dataKey(3n))],
  [
    'a forged version over a delete marker',
    ['delete_marker', 'extra_version'],
    async (admin) => {
      await admin.hide(dataKey(3n));
      await admin.put(dataKey(3n), 'forged');
    },
  ],
  ['a second version', ['extra_version'], (admin) => admin.put(leafKey(0), '{}')],
  ['a planted object', ['planted_object'], (admin) => admin.put(`${PREFIX}evidence/x`, 'x')],
  ['a destroyed segment', ['segment_missing'], (admin) => admin.destroy(dataKey(3n))],
  [
    'two segments swapped, as new versions',
    ['extra_version'],
    async (admin, bytesOf) => {
      const [one, other] = [await bytesOf(dataKey(0n)), await bytesOf(dataKey(3n))];
      await admin.put(dataKey(0n), other);
      await admin.put(dataKey(3n), one);
    },
  ],
  [
    'a segment destroyed, and another put in its place',
    ['segment_altered'],
    async (admin, bytesOf) => {
      const other = await bytesOf(dataKey(0n));
      await admin.destroy(dataKey(3n));
      await admin.put(dataKey(3n), other);
    },
  ],
  [
    'the end cut off',
    ['truncated'],
    async (admin) => {
      for (const key of [dataKey(3n), leafKey(1), noteKey(2)]) await admin.destroy(key);
    },
  ],
  ['a segment protected shorter', ['retention_short'], (admin) => admin.shorten(dataKey(0n))],
  ['a manifest protected shorter', ['retention_differs'], (admin) => admin.shorten(leafKey(1))],
  ['a checkpoint protected shorter', ['retention_differs'], (admin) => admin.shorten(noteKey(2))],
  [
    'a root protected shorter',
    ['retention_differs'],
    (admin) => admin.shorten(leafKey(0, ROOT_LOG)),
  ],
];

describe('verify, on a real bucket', () => {
  for (const [what, codes, act] of ACTS) {
    test(`finds ${what}`, async () => {
      const bucket = await stack.createLockedBucket(undefined, { mode: 'GOVERNANCE', days: 2 });
      const settings = { 'storage.bucket': bucket, 'storage.prefix': PREFIX };
      const config = loadConfig(undefined, stack.configEnv(settings));
      const store = createS3Store(config.storage, config.archive);
      const source = s3Source(config.storage);
      try {
        const archive = smallArchive({ elsewhere: store });
        for (const records of [3, 1]) await archive.seal(records);
        await archive.root(0);
        await act(new Administrator(bucket), async (key) => (await store.get(key))!.bytes);
        const found = await findingsIn(source);
        assert.deepEqual([...new Set(found.map(({ code }) => code))].sort(), codes);
      } finally {
        source.close();
        store.close();
      }
    });
  }
});
