/**
 * What an archive shows, judged by programs that are not ours: a small Go program on the packages
 * of the Go checksum database and of transparency-dev (`independent/`), built once and cached.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { originOf } from '../../schemas/evidence/checkpoint.ts';
import { LogReader } from '../../services/evidence/log-reader.ts';
import { proveConsistency } from '../../services/verifier/consistency.ts';
import { prove } from '../../services/verifier/prove.ts';
import { cacheFolder, makeOnce } from '../stack/artifacts.ts';
import { createProgress } from '../stack/progress.ts';
import { TestWitness } from '../tsa/witness.ts';
import { ADDRESSES, NAME, PREFIX, signer, smallArchive } from './proof-archive.ts';
import { LOG, noteKey } from './tamperings.ts';

const SOURCES = join(import.meta.dirname, 'independent');
const SEGMENTS = 13;
const CHECKS = ['checkpoint', 'inclusion', 'consistency', 'cosignature'];

const NAME_OF_PROGRAM = 'independent';
const version = versionOf();
const path = join(cacheFolder(), `${NAME_OF_PROGRAM}-${version}`, NAME_OF_PROGRAM);

const why = existsSync(path) ? null : whyNotBuilt();
const skip = why === null ? false : `${why}: NOT judged by independent tools`;
if (skip !== false) console.error(`\n*** ${skip} ***\n`);

function versionOf(): string {
  const hash = createHash('sha256');
  for (const name of readdirSync(SOURCES).sort()) hash.update(readFileSync(join(SOURCES, name)));
  return hash.digest('hex').slice(0, 12);
}

/** Null where there is all that the build needs. */
function whyNotBuilt(): string | null {
  if (spawnSync('go', ['version']).status !== 0) return 'Go is not here';
  const { status } = spawnSync('go', ['mod', 'download'], { cwd: SOURCES });
  return status === 0 ? null : 'Go cannot fetch modules';
}

/** What the program is asked; bytes as base64. */
interface Question {
  vkey: string;
  witness: string;
  origin: string;
  first: string;
  second: string;
  cosigned: string;
  proof: string;
  leaf: string;
  consistency: string[];
}

async function build(): Promise<void> {
  await makeOnce(
    {
      name: NAME_OF_PROGRAM,
      version,
      tools: ['go'],
      label: 'independent checks in Go: building, some seconds',
      make: async (folder) => {
        const args = ['build', '-o', join(folder, NAME_OF_PROGRAM), '.'];
        execFileSync('go', args, { cwd: SOURCES, stdio: ['ignore', 'ignore', 'inherit'] });
      },
    },
    cacheFolder(),
    { env: process.env, jdk: { home: '', version: 0 } },
    createProgress(),
  );
}

async function question(sequence: number): Promise<Question> {
  const archive = smallArchive();
  for (let segment = 1; segment <= SEGMENTS; segment++) await archive.seal(1);
  const { store, bucket } = archive;
  const options = { store, prefix: PREFIX, verifiers: [signer.verifier] };
  const address = { topic: ADDRESSES[0]!.topic, partition: 0, offset: BigInt(sequence) };
  const { proof } = await prove(address, options);
  const kept = bucket.current(noteKey(5))!.bytes!;
  const { first, second, hashes } = await proveConsistency(kept, store, PREFIX, [signer.verifier]);
  const witness = new TestWitness('witness.example.com/w1', 1);
  const cosigned = second + (await witness.line(Buffer.from(second)));
  const leaf = await new LogReader(store, PREFIX, LOG).leaf(sequence);
  return {
    vkey: signer.verifier.vkey,
    witness: witness.key.vkey,
    origin: originOf(NAME, LOG),
    first,
    second,
    cosigned,
    proof: proof.partitionProof,
    leaf: leaf.toString('base64'),
    consistency: hashes,
  };
}

describe('independent tools', { skip }, () => {
  before(build);

  function answers(asked: Question): Record<string, string> {
    const told = execFileSync(path, { input: JSON.stringify(asked), encoding: 'utf8' });
    return Object.fromEntries(
      told
        .trimEnd()
        .split('\n')
        .map((line) => [line.slice(0, line.indexOf(': ')), line.slice(line.indexOf(': ') + 2)]),
    );
  }

  test('accept a checkpoint, its cosignature, an inclusion and a consistency proof', async () => {
    const accepted = Object.fromEntries(CHECKS.map((check) => [check, 'ok']));
    for (const sequence of [0, 6, SEGMENTS - 1]) {
      assert.deepEqual(answers(await question(sequence)), accepted, `manifest ${sequence}`);
    }
  });

  test('refuse each of them once it was changed', async () => {
    const whole = await question(6);
    const other = await question(7);
    const changes: Array<[check: string, change: Partial<Question>]> = [
      ['checkpoint', { second: whole.second.replace(`\n${SEGMENTS}\n`, `\n${SEGMENTS + 1}\n`) }],
      ['checkpoint', { origin: `${NAME}/root` }],
      ['inclusion', { leaf: other.leaf }],
      ['inclusion', { proof: other.proof }],
      ['consistency', { consistency: whole.consistency.toReversed() }],
      ['consistency', { consistency: whole.consistency.slice(1) }],
      ['cosignature', { cosigned: whole.second }],
    ];
    for (const [check, change] of changes) {
      assert.notEqual(answers({ ...whole, ...change })[check], 'ok', JSON.stringify(change));
    }
  });
});
