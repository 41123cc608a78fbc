/** What the S3 store makes of a store that fails: one failure type, told apart, retried or not. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { systemClock } from '../../services/runtime/clock.ts';
import { configSchema } from '../../services/runtime/config.ts';
import { Failure } from '../../services/runtime/errors.ts';
import { createS3Store, type S3Store } from '../../services/store/s3.ts';
import { Bucket } from '../double/bucket.ts';
import { type FaultKind, FaultPlan } from '../double/faults.ts';
import { type DoubleServer, startDouble } from '../double/server.ts';

const BUCKET = 'lakeseal-faults';
const faults = new FaultPlan();

let server: DoubleServer;
let store: S3Store;

function storeAt(endpoint: string, timeoutMs = 60_000, rights?: string): S3Store {
  const keys = { accessKeyId: 'double', secretAccessKey: 'double' };
  const storage = { bucket: BUCKET, endpoint, pathStyle: true, timeoutMs, ...keys };
  const config = configSchema.parse({ storage });
  return createS3Store(config.storage, config.archive, systemClock, rights);
}

before(async () => {
  server = await startDouble({
    buckets: new Map([[BUCKET, new Bucket({ nowMs: Date.now })]]),
    faults,
  });
  store = storeAt(server.endpoint);
});

after(async () => {
  store.close();
  await server.close();
});

async function failureOf(work: Promise<unknown>): Promise<Failure> {
  try {
    await work;
  } catch (error) {
    assert.ok(error instanceof Failure, String(error));
    return error;
  }
  return assert.fail('it did not fail');
}

describe('s3 failures', () => {
  const cases: Array<[FaultKind, string, boolean, boolean]> = [
    // kind, code, retryable, written all the same
    ['error_before', 'S3_SERVER', true, false],
    ['error_after', 'S3_SERVER', true, true],
    ['reset_before', 'S3_NETWORK', true, false],
    ['reset_after', 'S3_NETWORK', true, true],
    ['conflict', 'S3_CONFLICT', true, false],
    ['slow_down', 'S3_SLOW_DOWN', true, false],
    ['denied', 'S3_ACCESS_DENIED', false, false],
  ];
  for (const [kind, code, retryable, written] of cases) {
    test(`${kind} is ${code}, and one request is one request`, async () => {
      const key = `faults/${kind}`;
      const nth = faults.calls('put');
      faults.add({ operation: 'put', nth, kind });
      const failure = await failureOf(store.putIfAbsent(key, Buffer.from('x')));
      assert.deepEqual([failure.code, failure.retryable], [code, retryable]);
      assert.equal(faults.calls('put'), nth + 1, 'the SDK does not repeat it');
      const again = await store.putIfAbsent(key, Buffer.from('x'));
      assert.equal(again.outcome, written ? 'exists' : 'created');
    });
  }

  test('what is denied is told with the rights of who asks', async () => {
    const denied = async (asking: S3Store): Promise<string | undefined> => {
      faults.add({ operation: 'get', nth: faults.calls('get'), kind: 'denied' });
      const { hint } = await failureOf(asking.get('faults/hint'));
      asking.close();
      return hint;
    };
    assert.match((await denied(storeAt(server.endpoint))) ?? '', /archiver needs s3:PutObject/);
    const reader = storeAt(server.endpoint, 60_000, 'Reading needs s3:GetObject.');
    assert.equal(await denied(reader), 'Reading needs s3:GetObject.');
  });

  test('silence ends after the time limit', async () => {
    const hasty = storeAt(server.endpoint, 300);
    faults.add({ operation: 'put', nth: faults.calls('put'), kind: 'silence_after' });
    const failure = await failureOf(hasty.putIfAbsent('faults/silence', Buffer.from('x')));
    assert.deepEqual([failure.code, failure.retryable], ['S3_TIMEOUT', true]);
    assert.equal((await hasty.putIfAbsent('faults/silence', Buffer.from('x'))).outcome, 'exists');
    hasty.close();
  });

  test('nobody there is S3_NETWORK', async () => {
    const away = storeAt('http://127.0.0.1:9');
    const failure = await failureOf(away.get('key'));
    assert.deepEqual([failure.code, failure.retryable], ['S3_NETWORK', true]);
    assert.match(failure.hint ?? '', /run at http:\/\/127\.0\.0\.1:9, .*storage\.endpoint/);
    away.close();
  });

  test('reads and lists fail the same way', async () => {
    for (const operation of ['get', 'list', 'versions'] as const) {
      faults.add({ operation, nth: faults.calls(operation), kind: 'denied' });
      const call = {
        get: () => store.get('key'),
        list: () => store.list('a', undefined, 1),
        versions: () => store.versions('key'),
      }[operation];
      assert.equal((await failureOf(call())).code, 'S3_ACCESS_DENIED');
    }
    assert.deepEqual(faults.unreached, []);
  });
});
