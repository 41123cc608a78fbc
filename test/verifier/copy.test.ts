/** Copies of an archive: as good as the bucket to whoever verifies. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { Failure } from '../../services/runtime/errors.ts';
import { type CopyOptions, copyArchive } from '../../services/verifier/copy-archive.ts';
import { folderSource } from '../../services/verifier/folder-source.ts';
import type { ArchiveSource } from '../../services/verifier/source.ts';
import { Bucket } from '../double/bucket.ts';
import { bucketSource } from './bucket-source.ts';
import { findingsIn } from './findings-in.ts';
import { PREFIX } from './proof-archive.ts';
import { dataKey, scene, TAMPERINGS } from './tamperings.ts';

const root = mkdtempSync(join(tmpdir(), 'lakeseal-copy-'));
after(() => rmSync(root, { recursive: true }));
let folders = 0;

function copy(source: ArchiveSource, changes: Partial<CopyOptions> = {}) {
  folders += 1;
  const folder = changes.folder ?? join(root, String(folders));
  const options = { source, prefix: PREFIX, concurrency: 3, dryRun: false, progress: () => {} };
  return { folder, done: copyArchive({ ...options, ...changes, folder }) };
}

describe('a copy', () => {
  for (const [what, , act] of [['an untouched archive', [], () => {}] as const, ...TAMPERINGS]) {
    test(`tells of ${what} what the bucket tells`, async () => {
      const archive = await scene();
      await act(archive, []);
      const source = bucketSource(archive.bucket);
      const { folder, done } = copy(source);
      await done;
      assert.deepEqual(await findingsIn(folderSource(folder)), await findingsIn(source));
    });
  }

  test('goes on where it was ended, and has no listing before its end', async () => {
    const { bucket } = await scene();
    const source = bucketSource(bucket);
    let reads = 0;
    const failing: ArchiveSource = {
      ...source,
      read: async (version) => {
        reads += 1;
        return reads > 5 ? null : source.read(version);
      },
    };
    const { folder, done } = copy(failing);
    await assert.rejects(done, { code: 'GONE' });
    assert.equal(existsSync(join(folder, 'versions.jsonl')), false);
    const again = await copy(source, { folder }).done;
    assert.equal(again.kept, 5);
    assert.deepEqual(await findingsIn(folderSource(folder)), []);
    const leftOver = readdirSync(folder, { recursive: true, encoding: 'utf8' });
    assert.deepEqual(
      leftOver.filter((name) => name.endsWith('.part')),
      [],
    );
  });

  test('leaves no folder where the store refuses the first call, whichever it is', async () => {
    const { bucket } = await scene();
    const refuse = async (): Promise<never> => {
      throw new Failure('denied', { code: 'S3_ACCESS_DENIED' });
    };
    const source = bucketSource(bucket);
    const refusing: Array<Partial<ArchiveSource>> = [
      { versions: () => ({ [Symbol.asyncIterator]: () => ({ next: refuse }) }) },
      { read: refuse },
    ];
    for (const changes of refusing) {
      const { folder, done } = copy({ ...source, ...changes });
      await assert.rejects(done, { code: 'S3_ACCESS_DENIED' });
      assert.equal(existsSync(folder), false);
    }
    const empty = copy(bucketSource(new Bucket({ nowMs: () => 0 })));
    assert.equal((await empty.done).objects, 0);
    assert.equal(readFileSync(join(empty.folder, 'versions.jsonl'), 'utf8'), '');
  });

  test('reads a file anew that is not whole', async () => {
    const { bucket } = await scene();
    const { folder, done } = copy(bucketSource(bucket));
    await done;
    writeFileSync(join(folder, ...dataKey(0n).split('/')), 'x');
    const { objects, kept } = await copy(bucketSource(bucket), { folder }).done;
    assert.equal(kept, objects - 1);
    assert.deepEqual(await findingsIn(folderSource(folder)), []);
  });

  test('writes nothing on a dry run, and refuses keys that would leave the folder', async () => {
    const { bucket } = await scene();
    const dry = copy(bucketSource(bucket), { dryRun: true });
    const { objects, kept } = await dry.done;
    assert.ok(objects > 0 && kept === 0);
    assert.equal(existsSync(dry.folder), false);
    bucket.put(`${PREFIX}data/../../out`, Buffer.from('x'));
    await assert.rejects(copy(bucketSource(bucket)).done, { code: 'NO_FOLDER' });
  });
});
