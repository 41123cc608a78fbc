/**
 * The bucket double as an `ObjectStore`, without HTTP: for tests and the simulator. Faults come as
 * the same failures that `s3.ts` makes of them.
 */
import { timeOf } from '../../schemas/evidence/leaf.ts';
import { Failure } from '../../services/runtime/errors.ts';
import type { ObjectStore } from '../../services/store/store.ts';
import { type Bucket, Refusal } from './bucket.ts';
import type { FaultKind, FaultPlan, Operation } from './faults.ts';

export function doubleStore(bucket: Bucket, faults: FaultPlan): ObjectStore {
  const run = async <Output>(operation: Operation, act: () => Output): Promise<Output> => {
    const fault = faults.next(operation);
    const early = fault === null ? null : before(fault);
    if (early !== null) throw early;
    const output = act();
    if (fault === 'silence_after') return new Promise(() => {});
    if (fault !== null) throw failure('S3_NETWORK', true);
    return output;
  };
  return {
    putIfAbsent: (key, bytes) =>
      run('put', () => {
        try {
          const { versionId } = bucket.put(key, bytes, { ifAbsent: true });
          return { outcome: 'created', versionId } as const;
        } catch (error) {
          if (error instanceof Refusal && error.status === 412)
            return { outcome: 'exists' } as const;
          throw error;
        }
      }),
    get: (key, range) =>
      run('get', () => {
        const current = bucket.current(key);
        if (current === null) return null;
        const all = current.bytes!;
        const bytes = range === undefined ? all : all.subarray(range.from, range.to);
        return { bytes: Buffer.from(bytes), versionId: current.versionId, size: all.length };
      }),
    list: (prefix, startAfter, max) => run('list', () => bucket.list(prefix, startAfter, max)),
    protection: (key) =>
      run('protection', () => {
        const current = bucket.current(key);
        if (current === null) return null;
        const { retention } = current;
        return {
          retention:
            retention === null ? null : { mode: retention.mode, until: timeOf(retention.untilMs) },
          encryption: { kind: 'none' } as const,
        };
      }),
    versions: (key) =>
      run('versions', () =>
        bucket
          .versions(key)
          .filter((version) => version.key === key)
          .map(({ versionId, isLatest, bytes }) => {
            const size = bytes?.length ?? 0;
            return { key, versionId, isLatest, isDeleteMarker: bytes === null, size };
          }),
      ),
  };
}

function before(fault: FaultKind): Failure | null {
  switch (fault) {
    case 'error_before':
      return failure('S3_SERVER', true);
    case 'reset_before':
      return failure('S3_NETWORK', true);
    case 'conflict':
      return failure('S3_CONFLICT', true);
    case 'slow_down':
      return failure('S3_SLOW_DOWN', true);
    case 'denied':
      return failure('S3_ACCESS_DENIED', false);
    default:
      return null;
  }
}

function failure(code: string, retryable: boolean): Failure {
  return new Failure('planned', { code, retryable });
}
