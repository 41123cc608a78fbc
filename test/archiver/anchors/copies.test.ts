/**
 * Copies of roots elsewhere: in order, caught up with after an outage, never replaced, and good for
 * what they are kept for: `verify --from` finds what the archive lost.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { Anchors } from '../../../services/archiver/anchors/anchors.ts';
import { type CopyPlace, copyAnchor } from '../../../services/archiver/anchors/copies.ts';
import type { Http } from '../../../services/archiver/anchors/http.ts';
import { placeOf } from '../../../services/archiver/anchors/places.ts';
import { type Anchor, rootKey } from '../../../services/archiver/anchors/root.ts';
import { Failure } from '../../../services/runtime/errors.ts';
import { Bucket } from '../../double/bucket.ts';
import { FaultPlan, type Operation } from '../../double/faults.ts';
import { startDouble } from '../../double/server.ts';
import { bucketSource } from '../../verifier/bucket-source.ts';
import { findingsIn } from '../../verifier/findings-in.ts';
import { PREFIX } from '../../verifier/proof-archive.ts';
import { AnchorScene } from './scene.ts';

const folder = mkdtempSync(join(tmpdir(), 'lakeseal-copies-'));
after(() => rmSync(folder, { recursive: true }));

/** In memory; notes the order of what is put, and how often it was asked. */
class Place implements CopyPlace {
  readonly where = 'memory';
  readonly files = new Map<string, Buffer>();
  away = false;
  asked = 0;

  async get(name: string): Promise<Buffer | null> {
    this.#answer();
    return this.files.get(name) ?? null;
  }

  async putIfAbsent(name: string, bytes: Buffer): Promise<void> {
    this.#answer();
    if (!this.files.has(name)) this.files.set(name, bytes);
  }

  #answer(): void {
    this.asked += 1;
    if (this.away) throw new Failure('memory is away', { code: 'TEST', retryable: true });
  }

  /** Without leading zeros. */
  get names(): string[] {
    return [...this.files.keys()].map((name) => name.replace(/^0+(?=\d)/, ''));
  }
}

const copier = (scene: AnchorScene, place: CopyPlace): Anchor =>
  copyAnchor({ ...scene.options, open: () => place, name: 'copies.0' });

describe('copies of roots', () => {
  test('are whole and in order, and a stamp that comes later follows', async () => {
    const scene = new AnchorScene();
    const place = new Place();
    const anchor = copier(scene, place);
    await anchor.run(await scene.root());
    assert.deepEqual(place.names, ['1.note', '0.json']);
    scene.archive.bucket.put(rootKey(PREFIX, 'tsr', 1), Buffer.from('stamp 1'));
    const second = await scene.root();
    await anchor.run(second);
    assert.deepEqual(place.names.slice(2), ['1.tsr', '2.note', '1.json']);
    scene.archive.bucket.put(rootKey(PREFIX, 'witness', 2), Buffer.from('witness 2'));
    await anchor.run(second);
    assert.deepEqual(place.names.slice(5), ['2.witness']);
    for (const [name, bytes] of place.files) {
      assert.deepEqual(
        scene.archive.bucket.current(`${PREFIX}evidence/root/${name}`)!.bytes,
        bytes,
      );
    }
    const asked = place.asked;
    await anchor.run(second);
    assert.ok(place.asked - asked <= 2, 'what is there is not sent again');
  });

  test('a place that was away, or a process that is new, goes on where it ended', async () => {
    const scene = new AnchorScene();
    const place = new Place();
    const persistence = scene.persist(copier(scene, place));
    for (let hour = 0; hour < 12; hour++) {
      place.away = hour >= 3;
      persistence.wake(await scene.root());
      await scene.settle();
    }
    assert.equal(place.files.size, 6);
    assert.deepEqual(scene.told, ['warn a root is not anchored yet; trying again: memory is away']);
    assert.deepEqual(scene.states.at(-1), ['copies.0', true, null]);
    place.away = false;
    await scene.world.advance(11 * 60_000);
    const leaves = (): string[] => place.names.filter((name) => name.endsWith('.json'));
    assert.deepEqual(
      leaves(),
      Array.from({ length: 12 }, (_, at) => `${at}.json`),
    );
    assert.equal(scene.told.length, 2);
    scene.close();
    for (const held of [0, 1, 2, 7, 11, 12]) {
      const part = new Place();
      for (const [name, bytes] of [...place.files].slice(0, 2 * held)) part.files.set(name, bytes);
      await copier(scene, part).run({ size: 12, note: scene.file('note', 12)!, timeMs: 0 });
      assert.deepEqual(part.names, place.names, `from ${held} on`);
    }
  });

  test('nothing that a place holds is replaced, and it is told', async () => {
    const scene = new AnchorScene();
    const place = new Place();
    const root = await scene.root();
    const name = rootKey('', 'leaf', 0).split('/').at(-1)!;
    place.files.set(name, Buffer.from('another history'));
    await assert.rejects(copier(scene, place).run(root), { code: 'COPY_DIFFERS' });
    assert.equal(String(place.files.get(name)), 'another history');
  });

  test('wait for nobody and keep nobody waiting', async () => {
    const scene = new AnchorScene();
    const [one, other] = [new Place(), new Place()];
    one.away = true;
    let stamp = (): void => {};
    const stamping: Anchor = {
      name: 'slow',
      run: ({ size }) =>
        new Promise((resolve) => {
          stamp = () => {
            scene.archive.bucket.put(rootKey(PREFIX, 'tsr', size), Buffer.from('stamp'));
            resolve();
          };
        }),
    };
    const anchors = new Anchors(
      scene.options,
      [stamping],
      [copier(scene, one), copier(scene, other)],
    );
    const end = new AbortController();
    const running = anchors.run(end.signal);
    const root = await scene.root();
    await anchors.onRoot(rootKey(PREFIX, 'note', 1), root.note);
    await scene.settle();
    assert.deepEqual(other.names, ['1.note', '0.json']);
    stamp();
    await scene.settle();
    assert.deepEqual(other.names, ['1.note', '0.json', '1.tsr']);
    end.abort();
    await running;
  });

  test('in a folder, over HTTP and in another bucket', async () => {
    const scene = new AnchorScene();
    const secret = join(folder, 'secret');
    writeFileSync(secret, 'sesame\n');
    const served = new Map<string, Buffer>();
    const http: Http = async ({ method, url, headers, body }) => {
      const answer = (status: number, bytes: Buffer = Buffer.alloc(0)) => {
        return { status, contentType: '', body: bytes };
      };
      if (headers?.authorization !== 'sesame') return answer(401);
      const there = served.get(url);
      if (method === 'GET') return there === undefined ? answer(404) : answer(200, there);
      if (there !== undefined) return answer(headers['if-none-match'] === '*' ? 412 : 500);
      served.set(url, body!);
      return answer(201);
    };
    const bucket = new Bucket({ nowMs: () => Date.now() });
    const double = await startDouble({ buckets: new Map([['elsewhere', bucket]]) });
    const read = (path: string): string => readFileSync(path, 'utf8').trim();
    const path = join(folder, 'copies');
    const places = [
      placeOf({ kind: 'file', path }, http, read),
      placeOf(
        { kind: 'http', url: 'https://notary.example.com/roots/', authorizationFile: secret },
        http,
        read,
      ),
      placeOf(
        {
          kind: 's3',
          bucket: 'elsewhere',
          prefix: 'roots/',
          region: 'us-east-1',
          endpoint: double.endpoint,
          pathStyle: true,
          accessKeyId: 'other',
          secretAccessKeyFile: secret,
        },
        http,
        read,
      ),
    ];
    for (const place of places) {
      for (let hour = 0; hour < 2; hour++) {
        const root = await scene.root();
        await copier(scene, place).run(root);
        await copier(scene, place).run(root);
      }
      place.close();
    }
    await double.close();
    const names = readdirSync(path).sort();
    assert.deepEqual(
      names.map((name) => name.replace(/^0+(?=\d)/, '')),
      ['0.json', '1.json', '1.note', '2.note'],
    );
    const url = 'https://notary.example.com/roots/';
    for (const name of names) {
      const bytes = readFileSync(join(path, name));
      assert.deepEqual(served.get(`${url}${name}`), bytes);
      assert.deepEqual(bucket.current(`roots/${name}`)!.bytes, bytes);
    }
    const unknown = placeOf({ kind: 'http', url }, http, read);
    await assert.rejects(unknown.get('x'), { code: 'COPY_HTTP', message: /HTTP 401/ });
  });

  test('in a folder: what a killed process had begun is gone, and nothing else', async () => {
    const scene = new AnchorScene();
    const path = join(folder, 'begun');
    const begun = `${'3'.padStart(20, '0')}.json.4711.partial`;
    const others = ['notes.partial', `${'3'.padStart(20, '0')}.json.partial`];
    mkdirSync(path);
    for (const name of [begun, ...others]) writeFileSync(join(path, name), 'half');
    const open = () =>
      placeOf(
        { kind: 'file', path },
        async () => assert.fail('HTTP'),
        () => assert.fail('a secret'),
      );
    const place = open();
    await copier(scene, place).run(await scene.root());
    const names = readdirSync(path).filter((name) => !/^0+\d\.(json|note)$/.test(name));
    assert.deepEqual(names.sort(), others.sort());
    // Of another process that is at work: it loses its file, and has it there the next time.
    writeFileSync(join(path, begun), 'half');
    await open().get('x');
    assert.ok(!readdirSync(path).includes(begun));
    await copier(scene, place).run(await scene.root());
    assert.equal(readdirSync(path).length, others.length + 4);
  });

  test('are put by a credential that may do nothing else, and not twice', async (t) => {
    const scene = new AnchorScene();
    const secret = join(folder, 'put-only');
    writeFileSync(secret, 'sesame');
    const bucket = new Bucket({ nowMs: () => Date.now() });
    const faults = new (class extends FaultPlan {
      override next(operation: Operation) {
        return operation === 'put' ? null : ('denied' as const);
      }
    })();
    const double = await startDouble({ buckets: new Map([['elsewhere', bucket]]), faults });
    t.after(() => double.close());
    const place = placeOf(
      {
        kind: 's3',
        bucket: 'elsewhere',
        prefix: '',
        region: 'us-east-1',
        endpoint: double.endpoint,
        pathStyle: true,
        accessKeyId: 'copier',
        secretAccessKeyFile: secret,
      },
      async () => assert.fail('HTTP'),
      (path) => readFileSync(path, 'utf8'),
    );
    for (let hour = 0; hour < 3; hour++) await copier(scene, place).run(await scene.root());
    place.close();
    const keys = bucket.list('', undefined, 100);
    assert.equal(keys.length, 6);
    for (const key of keys) assert.equal(bucket.versions(key).length, 1, key);
  });

  test('of a place that cannot be opened yet are made when it can', async () => {
    const scene = new AnchorScene();
    const place = new Place();
    let opened = 0;
    const open = (): CopyPlace => {
      opened += 1;
      if (opened < 3) throw new Failure('no secret', { code: 'TEST' });
      return place;
    };
    const persistence = scene.persist(copyAnchor({ ...scene.options, open, name: 'copies.0' }));
    persistence.wake(await scene.root());
    await scene.world.advance(60_000);
    assert.deepEqual(place.names, ['1.note', '0.json']);
    assert.equal(opened, 3);
    assert.equal(scene.failed.length, 2);
    scene.close();
  });

  test('after a failure the place is opened anew: its secret may be another by now', async () => {
    const scene = new AnchorScene();
    const [wrong, right] = [new Place(), new Place()];
    wrong.away = true;
    const places = [wrong, right];
    const open = (): CopyPlace => places.shift()!;
    const persistence = scene.persist(copyAnchor({ ...scene.options, open, name: 'copies.0' }));
    persistence.wake(await scene.root());
    await scene.world.advance(60_000);
    assert.deepEqual(right.names, ['1.note', '0.json']);
    scene.close();
  });

  test('show what the archive lost', async () => {
    const scene = new AnchorScene();
    const place = new Place();
    const anchor = copier(scene, place);
    for (let hour = 0; hour < 3; hour++) await anchor.run(await scene.root());
    const { bucket } = scene.archive;
    for (const file of ['leaf', 'note'] as const) {
      const key = rootKey(PREFIX, file, file === 'leaf' ? 2 : 3);
      const version = bucket.current(key)!;
      version.retention = null;
      bucket.remove(key, version.versionId);
    }
    const source = bucketSource(bucket);
    assert.deepEqual(await findingsIn(source), [], 'the end is cut off cleanly');
    const kept = [...place.files]
      .filter(([name]) => name.endsWith('.note'))
      .map(([, note]) => note);
    const found = await findingsIn(source, { kept });
    assert.deepEqual(
      found.map(({ code }) => code),
      ['truncated'],
    );
  });
});
