/** What a verification keeps of the segments that it has read: nothing. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { folderSource } from '../../services/verifier/folder-source.ts';
import { makeArchive, PREFIX, signer } from '../bench/made-archive.ts';
import { findingsIn } from './findings-in.ts';

const SEGMENTS = 600;
/** Everything that runs for each segment has run by then, and was compiled. */
const WARM = 200;
/** A parsed manifest is twice that, the chunk that a block was expanded into ten times. */
const KEPT_BYTES_MAX = 1_000;

const root = mkdtempSync(join(tmpdir(), 'lakeseal-memory-'));
after(() => rmSync(root, { recursive: true }));

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as NonNullable<typeof globalThis.gc>;

test('memory does not grow with the segments', async () => {
  const folder = join(root, 'copy');
  mkdirSync(folder);
  await makeArchive(folder, SEGMENTS, 3, 1_000);
  let segments = 0;
  const before = { heap: 0, buffers: 0 };
  const grown = { heap: 0, buffers: 0 };
  const found = await findingsIn(folderSource(folder), {
    prefix: PREFIX,
    verifiers: [signer.verifier],
    progress: () => {
      segments += 1;
      if (segments === WARM) {
        collect();
        const { heapUsed, arrayBuffers } = process.memoryUsage();
        Object.assign(before, { heap: heapUsed, buffers: arrayBuffers });
      }
      // What only a collection of the whole heap gives back stays for minutes: it is not asked for here.
      if (segments % 10 === 0) collect({ type: 'minor', execution: 'sync' } as never);
      if (segments !== SEGMENTS) return;
      grown.buffers = process.memoryUsage().arrayBuffers - before.buffers;
      collect();
      grown.heap = process.memoryUsage().heapUsed - before.heap;
    },
  });
  assert.deepEqual(found, []);
  assert.equal(segments, SEGMENTS);
  const most = (SEGMENTS - WARM) * KEPT_BYTES_MAX;
  assert.ok(grown.buffers < most, `${grown.buffers} bytes of buffers`);
  assert.ok(grown.heap < most, `${grown.heap} bytes of the heap`);
});
