/** The hourly root on the store's double: what it holds, when it is written, and by whom. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { leafBytes } from '../../schemas/evidence/leaf.ts';
import { evidenceKey } from '../../schemas/evidence/log-layout.ts';
import { ed25519Signer, type Signer } from '../../schemas/evidence/note.ts';
import {
  HOUR_MS,
  parseRootLeaf,
  ROOT_LOG,
  type RootBody,
} from '../../schemas/evidence/root-leaf.ts';
import { RootWriter } from '../../services/archiver/root-writer.ts';
import { Signing } from '../../services/archiver/signing.ts';
import { LogWriter } from '../../services/evidence/log-writer.ts';
import { silentLog } from '../../services/runtime/log.ts';
import { Bucket } from '../double/bucket.ts';
import { FaultPlan } from '../double/faults.ts';
import { doubleStore } from '../double/store.ts';
import { ProcessClock, World } from './sim/time.ts';

const PREFIX = 'p/';
const SIGNER = ed25519Signer('audit.example.com', Buffer.alloc(32, 3));
const START = Date.parse('2026-11-28T07:20:00Z');

class Scene {
  readonly world = new World();
  readonly bucket: Bucket;
  readonly faults = new FaultPlan();
  readonly handed: string[] = [];
  readonly stops: Array<string | null> = [];
  readonly clock = new ProcessClock(this.world);
  signer: Signer | null = SIGNER;
  fails = false;

  constructor(bucket?: Bucket) {
    this.world.nowMs = START;
    this.bucket = bucket ?? new Bucket({ nowMs: () => this.world.nowMs });
  }

  get store() {
    return doubleStore(this.bucket, this.faults);
  }

  writer(): RootWriter {
    const common = { clock: this.clock, log: silentLog };
    const signer = async (): Promise<Signer | null> => this.signer;
    return new RootWriter({
      prefix: PREFIX,
      store: this.store,
      signing: new Signing({ ...common, signer, ready: () => {} }),
      ...common,
      onRoot: async (key) => {
        this.handed.push(key);
        if (this.fails) throw new Error('away');
      },
      report: () => {},
      stopped: (reason) => this.stops.push(reason),
    });
  }

  async grow(log: string, leaves: number): Promise<string> {
    const writer = await LogWriter.open(this.store, PREFIX, log);
    for (let at = 0; at < leaves; at++) {
      await writer.append((end) => leafBytes(end, { at: writer.size }));
      if (at % 3 === 0) await writer.sign(SIGNER);
    }
    return writer.end.frontier.root().toString('base64');
  }

  roots(): RootBody[] {
    const keys = this.bucket.list(`${PREFIX}evidence/root/`, undefined, 1000);
    const leaves = keys.filter((key) => key.endsWith('.json'));
    return leaves.map((key) => parseRootLeaf(this.bucket.current(key)!.bytes!).body);
  }
}

const log = (partition: number): string => `partition/c/t/i/${String(partition).padStart(5, '0')}`;

describe('the hourly root', () => {
  test('holds size and root of every log, many pages of them', async () => {
    const scene = new Scene();
    const expected: Array<[string, number, string]> = [];
    for (const [name, size] of [
      ['baseline', 1],
      ['holds', 3],
      [log(0), 5],
      [log(1), 1500],
      [log(2), 1],
      [log(3), 900],
      ['wraps', 2],
    ] as const) {
      expected.push([name, size, await scene.grow(name, size)]);
    }
    const writer = scene.writer();
    await writer.look();
    assert.deepEqual(scene.roots(), [
      { ...head(scene, 0), time: '2026-11-28T07:00:00Z', logs: expected },
    ]);
    const lists = scene.faults.calls('list');
    // What grew, and what is new, is found again with few calls.
    expected[3] = [log(1), 1507, await scene.grow(log(1), 7)];
    expected.splice(5, 0, [log(30), 4, await scene.grow(log(30), 4)]);
    expected.sort(([one], [other]) => (one < other ? -1 : 1));
    const before = scene.faults.calls('list');
    await scene.world.advance(HOUR_MS);
    await writer.look();
    assert.deepEqual(scene.roots()[1]!.logs, expected);
    assert.ok(scene.faults.calls('list') - before <= 20, 'few calls');
    assert.ok(lists > 0);
  });

  test('one an hour, at once after a pause, and never backwards', async () => {
    const scene = new Scene();
    const writer = scene.writer();
    const times = (): string[] => scene.roots().map(({ time }) => time.slice(11, 13));
    await writer.look();
    await writer.look();
    assert.deepEqual(times(), ['07']);
    await scene.world.advance(39 * 60_000);
    await writer.look();
    assert.deepEqual(times(), ['07']);
    await scene.world.advance(60_000);
    await writer.look();
    assert.deepEqual(times(), ['07', '08']);
    await scene.world.advance(5 * HOUR_MS);
    await scene.writer().look();
    assert.deepEqual(times(), ['07', '08', '13']);
    scene.clock.skewMs = -2 * HOUR_MS;
    await writer.look();
    await scene.writer().look();
    assert.deepEqual(times(), ['07', '08', '13']);
    assert.deepEqual(scene.stops, []);
  });

  test('of two processes one writes it; the other hands over only what was left lying', async () => {
    const scene = new Scene();
    const rival = new Scene(scene.bucket);
    const [one, other] = [scene.writer(), rival.writer()];
    await Promise.all([one.look(), other.look()]);
    assert.equal(scene.roots().length, 1);
    assert.equal(scene.handed.length + rival.handed.length, 1);
    await Promise.all([one.look(), other.look()]);
    assert.equal(scene.handed.length, 1);
    assert.equal(rival.handed.length, 1);
    await Promise.all([one.look(), other.look()]);
    assert.equal(scene.handed.length + rival.handed.length, 2);
  });

  test('what follows a root is tried again when it fails', async () => {
    const scene = new Scene();
    scene.fails = true;
    const writer = scene.writer();
    await writer.look();
    await scene.world.settle();
    scene.fails = false;
    await writer.look();
    await writer.look();
    assert.equal(scene.handed.length, 2);
  });

  test('without a key it is written, and signed when there is one', async () => {
    const scene = new Scene();
    scene.signer = null;
    await scene.writer().look();
    assert.equal(scene.roots().length, 1);
    assert.deepEqual(scene.handed, []);
    scene.signer = SIGNER;
    await scene.writer().look();
    assert.equal(scene.roots().length, 1);
    assert.equal(scene.handed.length, 1);
  });

  test('no size falls and no log disappears, whatever was done to them', async () => {
    const scene = new Scene();
    const root = await scene.grow(log(0), 4);
    const other = await scene.grow(log(1), 2);
    await scene.writer().look();
    const key = evidenceKey(PREFIX, { log: log(0), kind: 'leaf', number: 3 });
    scene.bucket.remove(key);
    for (let number = 0; number < 2; number++) {
      scene.bucket.remove(evidenceKey(PREFIX, { log: log(1), kind: 'leaf', number }));
    }
    await scene.world.advance(HOUR_MS);
    await scene.writer().look();
    assert.deepEqual(scene.roots()[1]!.logs, [
      [log(0), 4, root],
      [log(1), 2, other],
    ]);
  });

  test('a root log that is not as a writer left it stops roots, until it is mended', async () => {
    const scene = new Scene();
    const writer = scene.writer();
    await writer.look();
    const key = evidenceKey(PREFIX, { log: ROOT_LOG, kind: 'leaf', number: 1 });
    const planted = scene.bucket.put(key, Buffer.from('{}\n'));
    await scene.world.advance(HOUR_MS);
    await writer.look();
    assert.match(scene.stops[0] ?? '', /root/);
    scene.bucket.remove(key, planted.versionId);
    await writer.look();
    assert.equal(scene.stops[1], null);
    assert.equal(scene.roots().length, 2);
  });
});

/** The common keys of a root leaf, as they stand. */
function head(scene: Scene, number: number): object {
  const key = evidenceKey(PREFIX, { log: ROOT_LOG, kind: 'leaf', number });
  const { format, log, sequence, previous, tree } = JSON.parse(
    scene.bucket.current(key)!.bytes!.toString(),
  ) as Record<string, unknown>;
  return { format, log, sequence, previous, tree };
}
