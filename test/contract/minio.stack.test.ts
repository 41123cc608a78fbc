/** The contract suite on MinIO, with the archiver's six rights. */
import { after, before } from 'node:test';
import type { S3Client } from '@aws-sdk/client-s3';
import { loadConfig } from '../../services/runtime/config.ts';
import { type Stack, useStack } from '../stack/use.ts';
import { storeContract } from './store.contract.ts';

const DAYS = 1;

let stack: Stack;
let admin: S3Client;
let bucket: string;

before(async () => {
  stack = await useStack();
  admin = stack.rootS3();
  bucket = await stack.createLockedBucket(undefined, { mode: 'COMPLIANCE', days: DAYS });
});

after(() => admin?.destroy());

storeContract('MinIO', () => {
  const config = loadConfig(undefined, stack.configEnv({ 'storage.bucket': bucket }));
  return { ...config, admin, adminStorage: stack.s3.root, defaultDays: DAYS };
});
