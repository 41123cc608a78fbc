/** The contract suite on the double, over HTTP and the same client as in production. */
import { after, before } from 'node:test';
import { S3Client } from '@aws-sdk/client-s3';
import { configSchema } from '../../services/runtime/config.ts';
import { Bucket } from '../double/bucket.ts';
import { type DoubleServer, startDouble } from '../double/server.ts';
import { storeContract } from './store.contract.ts';

const DAYS = 2;
const BUCKET = 'lakeseal-contract';

let server: DoubleServer;
let admin: S3Client;

before(async () => {
  const bucket = new Bucket({
    nowMs: Date.now,
    defaultRetention: { mode: 'COMPLIANCE', days: DAYS },
  });
  server = await startDouble({ buckets: new Map([[BUCKET, bucket]]) });
  const credentials = { accessKeyId: 'double', secretAccessKey: 'double' };
  const region = 'us-east-1';
  admin = new S3Client({ endpoint: server.endpoint, region, credentials, forcePathStyle: true });
});

after(async () => {
  admin.destroy();
  await server.close();
});

storeContract('double', () => {
  const storage = {
    bucket: BUCKET,
    endpoint: server.endpoint,
    pathStyle: true,
    accessKeyId: 'double',
    secretAccessKey: 'double',
  };
  const config = configSchema.parse({ storage });
  return { ...config, admin, adminStorage: {}, defaultDays: DAYS };
});
