/**
 * A key is rotated as an operator does it: `keys new`, `keys rotate` over HTTP, and the archiver
 * restarted with the new key, in virtual time. Who has the old public key alone verifies all of it.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { openCheckpoint } from '../../schemas/evidence/checkpoint.ts';
import { KEYS_LOG } from '../../schemas/evidence/key-leaf.ts';
import { parsePrivateKey, parseVkey, type Verifier } from '../../schemas/evidence/note.ts';
import { HOUR_MS, ROOT_LOG } from '../../schemas/evidence/root-leaf.ts';
import { runCommandLine } from '../../services/cli/program.ts';
import { signerFromFile } from '../../services/evidence/keys.ts';
import { envName } from '../../services/runtime/config-keys.ts';
import { createScreen } from '../cli/screen.ts';
import { Bucket } from '../double/bucket.ts';
import { FaultPlan } from '../double/faults.ts';
import { type DoubleServer, startDouble } from '../double/server.ts';
import { doubleStore } from '../double/store.ts';
import { bucketSource } from '../verifier/bucket-source.ts';
import { findingsIn } from '../verifier/findings-in.ts';
import { hasPython, python } from '../verifier/readings.ts';
import { writeFolder } from '../verifier/write-folder.ts';
import { Group, Log } from './sim/kafka.ts';
import { Process } from './sim/process.ts';
import { Random } from './sim/random.ts';
import { World } from './sim/time.ts';

const BUCKET = 'archive';
const PREFIX = 'p/';
const NAME = 'audit.example.com/rotated';

const root = mkdtempSync(join(tmpdir(), 'lakeseal-rotation-'));
const oldFile = join(root, 'old.key');
const newFile = join(root, 'new.key');
const servers: DoubleServer[] = [];
after(async () => {
  for (const server of servers) await server.close();
  rmSync(root, { recursive: true });
});

const vkeyIn = (file: string): Verifier =>
  parseVkey(parsePrivateKey(readFileSync(file, 'utf8')).verifier.vkey);

/** An archive with a topic of one partition, reachable as a bucket. */
class Scene {
  readonly world = new World();
  readonly random = new Random(5);
  readonly bucket: Bucket;
  readonly #log = new Log(0);
  readonly #group = new Group([this.#log], () => {});

  constructor() {
    // The command tells the time by the clock of the machine.
    this.world.nowMs = Date.now();
    this.bucket = new Bucket({
      nowMs: () => this.world.nowMs,
      defaultRetention: { mode: 'COMPLIANCE', days: 30 },
    });
  }

  /** An archiver with the key of this file seals so many records, and runs on for so long. */
  async archive(keyFile: string, records: number, ms: number): Promise<void> {
    const defects: unknown[] = [];
    const process = new Process(`with ${keyFile}`, this.#group, {
      world: this.world,
      random: this.random,
      store: doubleStore(this.bucket, new FaultPlan()),
      schemas: { warm: async () => {}, find: () => null },
      startAt: 'earliest',
      signer: async () => signerFromFile(keyFile),
      onRoot: async () => {},
      onDefect: (error) => defects.push(error),
      onFenced: () => {},
    });
    this.#group.rebalance([process.member], this.random);
    for (let at = 0; at < records; at++) {
      const timestamp = BigInt(this.world.nowMs);
      this.#log.append({ timestamp, key: null, value: Buffer.from(`${at}`), headers: [] }, 0);
    }
    await this.world.advance(ms);
    const stopped = process.stop();
    await this.world.advance(60_000);
    await stopped;
    assert.deepEqual(defects, []);
  }

  async rotate() {
    const server = await startDouble({ buckets: new Map([[BUCKET, this.bucket]]) });
    servers.push(server);
    const settings = {
      'storage.endpoint': server.endpoint,
      'storage.pathStyle': true,
      'storage.bucket': BUCKET,
      'storage.prefix': PREFIX,
      'storage.accessKeyId': 'double',
      'storage.secretAccessKey': 'double',
      'evidence.keyFile': oldFile,
    };
    const entries = Object.entries(settings).map(([path, value]) => [envName(path), String(value)]);
    const screen = createScreen(Object.fromEntries(entries));
    const code = await runCommandLine(['keys', 'rotate', '--to', newFile], screen);
    assert.equal(code, 0, screen.errors());
    return screen;
  }

  async codes(...verifiers: Verifier[]): Promise<string[]> {
    const found = await findingsIn(bucketSource(this.bucket), { prefix: PREFIX, verifiers });
    return [...new Set(found.map(({ code }) => code))];
  }

  /** Who signed each checkpoint of a log, in order. */
  signers(log: string, by: Verifier[]): string[] {
    const keys = this.bucket.list(`${PREFIX}evidence/${log}/`, undefined, 1_000);
    return keys
      .filter((key) => key.endsWith('.note'))
      .map((key) => openCheckpoint(this.bucket.current(key)!.bytes!, by).signedBy[0]!.vkey);
  }
}

describe('keys rotate', () => {
  before(async () => {
    for (const file of [oldFile, newFile]) {
      const argv = ['keys', 'new', '--name', NAME, '--out', file];
      assert.equal(await runCommandLine(argv, createScreen()), 0);
    }
  });

  test('leaves an archive that the old public key alone verifies, with roots of the new key', async () => {
    const scene = new Scene();
    const [older, newer] = [vkeyIn(oldFile), vkeyIn(newFile)];
    await scene.archive(oldFile, 40, 30_000);
    assert.deepEqual(await scene.codes(older), []);
    const screen = await scene.rotate();
    assert.match(screen.output(), /^rotation 1 is signed and sealed: /);
    assert.match(screen.errors(), /Now set evidence\.keyFile to .*new\.key/);
    assert.deepEqual(await scene.codes(older), []);
    await scene.archive(newFile, 40, HOUR_MS + 200_000);
    assert.deepEqual(await scene.codes(older), []);

    assert.deepEqual(scene.signers(KEYS_LOG, [older, newer]), [older.vkey]);
    const roots = scene.signers(ROOT_LOG, [older, newer]);
    assert.ok(roots.length >= 2, `${roots.length} roots`);
    assert.deepEqual([roots[0], roots.at(-1)], [older.vkey, newer.vkey]);
    const [partition] = scene.bucket
      .list(`${PREFIX}evidence/partition/`, undefined, 1)
      .map((key) => key.slice(`${PREFIX}evidence/`.length, key.lastIndexOf('/')));
    assert.deepEqual(
      [...new Set(scene.signers(partition!, [older, newer]))],
      [older.vkey, newer.vkey],
    );
    // Trust goes forward only.
    assert.ok((await scene.codes(newer)).includes('checkpoint_signature'));

    if (hasPython) {
      const folder = join(root, 'copy');
      await writeFolder(scene.bucket, folder, PREFIX);
      const given = python(folder, '--prefix', PREFIX, '--key', older.vkey, '--deep');
      assert.equal(given.status, 0, given.stdout + given.stderr);
    }
  });

  test('is told where an archiver went on with the old key', async () => {
    const scene = new Scene();
    await scene.archive(oldFile, 20, 30_000);
    await scene.rotate();
    await scene.archive(oldFile, 20, 2 * HOUR_MS + 200_000);
    assert.deepEqual(await scene.codes(vkeyIn(oldFile)), ['signed_after_rotation']);
  });
});
