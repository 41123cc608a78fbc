/**
 * The architecture as a test: `schemas ← runtime ← {ingest, store} ← evidence ← {access, archiver,
 * collector, detector, holds, posture} ← {verifier, replay} ← watch ← cli`. Siblings never import each
 * other, nothing goes in a circle, and only the files named here touch the outside world: everything
 * else is a decision that can be tested with values.
 */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { join, normalize } from 'node:path';
import { describe, test } from 'node:test';

const ROOT = join(import.meta.dirname, '..');

/** An area may import itself and any area of a lower rank; equal ranks are siblings. */
const RANKS: Record<string, number> = {
  schemas: 0,
  'services/runtime': 1,
  'services/store': 2,
  'services/ingest': 2,
  'services/evidence': 2.5,
  'services/access': 3,
  'services/collector': 3,
  'services/archiver': 3,
  'services/detector': 3,
  'services/posture': 3,
  'services/holds': 3,
  'services/verifier': 4,
  'services/replay': 4,
  'services/watch': 4.5,
  'services/cli': 5,
  'services/main.ts': 6,
};

/**
 * The rooms of the detector, in the same way. The files beside them (`detector.ts`, `run.ts`, `scan.ts`)
 * bind them together and have no rank.
 */
const ROOMS: Record<string, number> = {
  fields: 0,
  sigma: 1,
  match: 2,
  correlate: 2,
  enrich: 2,
  alert: 3,
  stream: 4,
  workbench: 5,
};

/** What touches the outside world, and the only files that may load it. */
const EDGES: Record<string, string[]> = {
  '@aws-sdk/client-s3': [
    'services/cli/bucket.ts',
    'services/cli/copy-trial.ts',
    'services/cli/preflight-store.ts',
    'services/cli/store-client.ts',
    'services/collector/s3.ts',
    'services/posture/read-posture.ts',
    'services/posture/rights.ts',
    'services/store/legal-hold.ts',
    'services/store/s3.ts',
    'services/verifier/s3-source.ts',
  ],
  '@aws-sdk/client-kms': [
    'services/evidence/kms-client.ts',
    'services/evidence/kms-envelope.ts',
    'services/evidence/kms-signer.ts',
  ],
  '@opensearch-project/opensearch': ['services/detector/alert/opensearch.ts'],
  kafkajs: [
    'services/cli/kafka-topics.ts',
    'services/ingest/codecs.ts',
    'services/ingest/consume.ts',
    'services/ingest/kafka.ts',
    'services/ingest/produce.ts',
    'services/ingest/topic-ids.ts',
  ],
  'node:fs': [
    'schemas/audit-event.ts',
    'schemas/match.ts',
    'schemas/web-assembly.ts',
    'services/archiver/anchors/anchors.ts',
    'services/cli/access-diff.ts',
    'services/cli/copy-trial.ts',
    'services/cli/keys.ts',
    'services/cli/prove.ts',
    'services/cli/rules-files.ts',
    'services/cli/verify.ts',
    'services/collector/files.ts',
    'services/detector/alert/opensearch.ts',
    'services/detector/enrich/enrichment.ts',
    'services/detector/scan.ts',
    'services/detector/sigma/rules.ts',
    'services/evidence/keys.ts',
    'services/evidence/trust.ts',
    'services/runtime/config.ts',
    'services/runtime/pem.ts',
    'services/runtime/version.ts',
    'services/store/folder.ts',
    'services/verifier/copy-archive.ts',
    'services/verifier/folder-source.ts',
    'services/verifier/state-file.ts',
  ],
  'node:fs/promises': [
    'services/archiver/anchors/places.ts',
    'services/cli/copy-trial.ts',
    'services/collector/files.ts',
    'services/collector/ledger.ts',
    'services/detector/scan.ts',
    'services/detector/stream/rule-watch.ts',
    'services/verifier/copy-archive.ts',
  ],
  'node:http': ['services/ingest/registry-client.ts', 'services/runtime/http.ts'],
  'node:https': ['services/ingest/registry-client.ts'],
  'node:child_process': [],
  'node:cluster': [],
  'node:dgram': [],
  'node:dns': [],
  'node:http2': [],
  'node:tls': [],
  'node:v8': ['services/runtime/heap.ts'],
  'node:worker_threads': ['services/archiver/block-threads.ts'],
};

interface Import {
  from: string;
  /** Another file of the product by its path, or a module by its name. */
  to: string;
  /** Erased before it runs. */
  typeOnly: boolean;
}

const STATEMENT =
  /^(?:import|export)\s+(type\s)?(?:[\w*{][^'";]*?\sfrom\s+)?'([^']+)'|\bimport\(\s*'([^']+)'\s*\)/gm;

function importsOf(file: string): Import[] {
  const text = readFileSync(join(ROOT, file), 'utf8');
  return [...text.matchAll(STATEMENT)].map((match) => {
    const name = (match[2] ?? match[3])!;
    const to = name.startsWith('.') ? normalize(join(file, '..', name)) : name;
    return { from: file, to, typeOnly: match[1] !== undefined };
  });
}

const files = globSync(['schemas/**/*.ts', 'services/**/*.ts'], { cwd: ROOT }).sort();
const imports = files.flatMap(importsOf);

function areaOf(file: string): string {
  const parts = file.split('/');
  return parts[0] === 'schemas' ? 'schemas' : parts.slice(0, 2).join('/');
}

/** The folder of the detector that a file lies in; null for any other file. */
function roomOf(file: string): string | null {
  return /^services\/detector\/([^/]+)\/.+\.ts$/.exec(file)?.[1] ?? null;
}

function isLocal({ to }: Import): boolean {
  return to.startsWith('schemas/') || to.startsWith('services/');
}

const line = ({ from, to }: Import): string => `${from} → ${to}`;

describe('imports', () => {
  test('are found at all', () => {
    assert.ok(files.length >= 60, String(files.length));
    assert.ok(imports.filter(isLocal).length >= 200);
    assert.ok(
      imports.some(({ from, to }) => from === 'services/main.ts' && to.endsWith('program.ts')),
    );
    assert.deepEqual(
      importsOf('services/runtime/service.ts').map(({ typeOnly }) => typeOnly),
      [true, true, true, true],
    );
  });

  test('every area has a rank, and every relative import leads to a file of the product', () => {
    const areas = new Set(files.map(areaOf));
    assert.deepEqual(
      [...areas].filter((area) => RANKS[area] === undefined),
      [],
    );
    const known = new Set(files);
    const lost = imports.filter((one) => /^\.|\.ts$/.test(one.to) && !known.has(one.to));
    assert.deepEqual(lost.map(line), []);
  });

  test('go from a higher rank to a lower one, never to a sibling', () => {
    const wrong = imports.filter(isLocal).filter(({ from, to }) => {
      const [above, below] = [areaOf(from), areaOf(to)];
      return above !== below && RANKS[above]! <= RANKS[below]!;
    });
    assert.deepEqual(wrong.map(line), []);
  });

  test('go from a higher room of the detector to a lower one', () => {
    const rooms = new Set(files.map(roomOf).filter((room) => room !== null));
    assert.deepEqual([...rooms].sort(), Object.keys(ROOMS).sort());
    const wrong = imports.filter(({ from, to }) => {
      const [above, below] = [roomOf(from), roomOf(to)];
      if (above === null || below === null) return false;
      return above !== below && ROOMS[above]! <= ROOMS[below]!;
    });
    assert.deepEqual(wrong.map(line), []);
  });

  test('never go in a circle', () => {
    const next = new Map(files.map((file) => [file, [] as string[]]));
    for (const one of imports.filter((one) => isLocal(one) && !one.typeOnly)) {
      next.get(one.from)?.push(one.to);
    }
    const done = new Set<string>();
    const visit = (file: string, path: string[]): void => {
      assert.ok(!path.includes(file), [...path, file].join(' → '));
      if (done.has(file)) return;
      for (const to of next.get(file) ?? []) visit(to, [...path, file]);
      done.add(file);
    };
    for (const file of files) visit(file, []);
  });

  for (const [module, edges] of Object.entries(EDGES)) {
    test(`${module}: only by ${edges.length === 0 ? 'nobody' : edges.join(', ')}`, () => {
      const users = imports.filter(({ to, typeOnly }) => to === module && !typeOnly);
      assert.deepEqual([...new Set(users.map(({ from }) => from))].sort(), edges);
    });
  }

  test('built-in modules are imported with node:, packages only where they are dependencies', () => {
    const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
      dependencies: Record<string, string>;
    };
    const wrong = imports.filter(({ to }) => {
      if (to.startsWith('node:') || /^(schemas|services)\//.test(to)) return false;
      return builtinModules.includes(to) || manifest.dependencies[packageOf(to)] === undefined;
    });
    assert.deepEqual(wrong.map(line), []);
  });
});

function packageOf(name: string): string {
  return name
    .split('/')
    .slice(0, name.startsWith('@') ? 2 : 1)
    .join('/');
}
