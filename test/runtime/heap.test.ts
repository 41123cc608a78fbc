/** When a heap is bounded: what is large, what is small again, and what V8 is told. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import v8 from 'node:v8';
import {
  keepHeapSteady,
  LARGE_BYTES,
  START_FLAG,
  shouldBind,
  watchHeap,
} from '../../services/runtime/heap.ts';

const ROOT = join(import.meta.dirname, '../..');
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

const HALF = LARGE_BYTES / 2;
/** How a heap goes up and down, and whether it is bounded at each look. */
const COURSE: Array<[usedBytes: number, bound: boolean]> = [
  [0, false],
  [HALF, false],
  [LARGE_BYTES, false],
  [LARGE_BYTES + 1, true],
  [LARGE_BYTES, true],
  [HALF, true],
  [HALF - 1, false],
  [LARGE_BYTES, false],
  [LARGE_BYTES * 4, true],
];

test('a heap is bounded above 256 MiB, and no longer below half of that', () => {
  assert.equal(LARGE_BYTES, 256 * 1024 * 1024);
  let isBound = false;
  for (const [usedBytes, expected] of COURSE) {
    isBound = shouldBind(isBound, usedBytes);
    assert.equal(isBound, expected, String(usedBytes));
  }
});

test('V8 is told once for each change, and not at every look', ({ mock }) => {
  const flags: string[] = [];
  let usedBytes = 0;
  const { getHeapStatistics } = v8;
  mock.method(v8, 'setFlagsFromString', (flag: string) => void flags.push(flag));
  mock.method(v8, 'getHeapStatistics', () => ({
    ...getHeapStatistics(),
    used_heap_size: usedBytes,
  }));
  syncBuiltinESMExports();
  mock.timers.enable({ apis: ['setInterval'] });
  watchHeap();
  for (const [used] of COURSE) {
    usedBytes = used;
    mock.timers.tick(2_000);
  }
  mock.restoreAll();
  syncBuiltinESMExports();
  const [on, off] = ['--heap-growing-percent=20', '--heap-growing-percent=0'];
  assert.deepEqual(flags, [on, off, on]);
});

test('a heap that is to stay steady: V8 is told so of both generations', ({ mock }) => {
  const flags: string[] = [];
  mock.method(v8, 'setFlagsFromString', (flag: string) => void flags.push(flag));
  syncBuiltinESMExports();
  keepHeapSteady();
  mock.restoreAll();
  syncBuiltinESMExports();
  assert.deepEqual(flags, ['--heap-growing-percent=50', '--semi-space-growth-factor=1']);
});

test('the image and the checkout tell V8 how large the young generation may become', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  assert.equal(scripts.lakeseal, `node ${START_FLAG} services/main.ts`);
  assert.ok(read('Dockerfile').includes(`\nENTRYPOINT ["node", "${START_FLAG}", `));
});
