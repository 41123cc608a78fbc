/**
 * A login of an hour that may do what a policy says and no more: MinIO's AssumeRole, asked as the store's
 * administrator. So a test or the demo has a user of its own kind without making one in the store.
 */
import { createHash, createHmac } from 'node:crypto';
import type { StackState } from './state.ts';

export interface Session {
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken: string;
}

const DURATION_S = 3_600;
const FORM = 'application/x-www-form-urlencoded';

export async function assumeRole(
  { endpoint, region, root }: StackState['s3'],
  policy: object,
): Promise<Session> {
  const body = new URLSearchParams({
    Action: 'AssumeRole',
    Version: '2011-06-15',
    DurationSeconds: String(DURATION_S),
    Policy: JSON.stringify(policy),
  }).toString();
  const { host } = new URL(endpoint);
  const time = new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '');
  const headers = { 'content-type': FORM, host, 'x-amz-date': time };
  const authorization = signature(headers, body, time, region, root);
  const response = await fetch(endpoint, {
    method: 'POST',
    headers: { ...headers, authorization },
    body,
  });
  const text = await response.text();
  const field = (name: string): string => {
    const value = new RegExp(`<${name}>([^<]+)</${name}>`).exec(text)?.[1];
    if (value === undefined) throw new Error(`AssumeRole answers ${response.status}: ${text}`);
    return value;
  };
  return {
    accessKeyId: field('AccessKeyId'),
    secretAccessKey: field('SecretAccessKey'),
    sessionToken: field('SessionToken'),
  };
}

/** AWS Signature Version 4 of a POST to `/` without a query, for the service `sts`. */
function signature(
  headers: Record<string, string>,
  body: string,
  time: string,
  region: string,
  { accessKeyId, secretAccessKey }: StackState['s3']['root'],
): string {
  const hash = (text: string): string => createHash('sha256').update(text).digest('hex');
  const mac = (key: string | Buffer, text: string): Buffer =>
    createHmac('sha256', key).update(text).digest();
  const lines = Object.entries(headers).map(([name, value]) => `${name}:${value}\n`);
  const names = Object.keys(headers).join(';');
  const request = ['POST', '/', '', lines.join(''), names, hash(body)].join('\n');
  const scope = [time.slice(0, 8), region, 'sts', 'aws4_request'];
  const text = ['AWS4-HMAC-SHA256', time, scope.join('/'), hash(request)].join('\n');
  const key = scope.reduce<string | Buffer>(mac, `AWS4${secretAccessKey}`);
  const signed = mac(key, text).toString('hex');
  const credential = `${accessKeyId}/${scope.join('/')}`;
  return `AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=${names}, Signature=${signed}`;
}
