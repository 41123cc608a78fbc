/** What `status` reads of the evidence on the store's double, and how it tells it. */
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { evidenceKey, partitionLog } from '../../schemas/evidence/log-layout.ts';
import { anomalyOf, manifestBytes } from '../../schemas/evidence/manifest.ts';
import { ed25519Signer, formatPrivateKey } from '../../schemas/evidence/note.ts';
import type { PartitionStatus, Status } from '../../services/cli/status.ts';
import {
  type PartitionEvidenceStatus,
  type RootStatus,
  readKey,
  readPartitionEvidence,
  readRoot,
  withBehind,
} from '../../services/cli/status-evidence.ts';
import { tellStatus } from '../../services/cli/status-text.ts';
import { LogWriter } from '../../services/evidence/log-writer.ts';
import { Bucket } from '../double/bucket.ts';
import { FaultPlan } from '../double/faults.ts';
import { doubleStore } from '../double/store.ts';
import { createScreen } from './screen.ts';

const ADDRESS = { clusterId: 'c', topic: 'events', topicId: 'i', partition: 0 };
const SEED = Buffer.alloc(32, 3);
const SIGNER = ed25519Signer('audit.example.com', SEED);
const HOUR_MS = 3_600_000;
const root = mkdtempSync(join(tmpdir(), 'lakeseal-status-'));
after(() => rmSync(root, { recursive: true, force: true }));

function emptyStore() {
  return doubleStore(new Bucket({ nowMs: () => 0 }), new FaultPlan());
}

const NO_ROOTS = { stamped: 0, cosigned: 0, wanted: { stamps: false, witnesses: false } };

describe('the evidence of a partition', () => {
  test('is how far manifests and signatures are behind the segments', async () => {
    const store = emptyStore();
    const read = () => readPartitionEvidence(store, '', ADDRESS);
    const nothing = { state: 'at', nextOffset: 0n, manifests: 0, unsigned: 0, anomaly: null };
    assert.deepEqual(await read(), { ...nothing, behind: null });
    assert.deepEqual(withBehind(await read(), { state: 'empty' }), { ...nothing, behind: 0n });
    const log = await LogWriter.open(store, '', partitionLog(ADDRESS));
    const anomaly = anomalyOf(7n, 'rewound', 'data/x', 'text');
    await log.append((end) => manifestBytes(end, anomaly));
    await log.sign(SIGNER);
    await log.append((end) => manifestBytes(end, anomaly));
    const found = await read();
    const behindOf = (sealed: Parameters<typeof withBehind>[1]) => {
      const told = withBehind(found, sealed);
      return told.state === 'at' ? told.behind : undefined;
    };
    assert.deepEqual(found, {
      ...nothing,
      ...{ nextOffset: 7n, behind: null, manifests: 2, unsigned: 1 },
      anomaly: { reason: 'rewound', key: 'data/x', detail: 'text' },
    });
    assert.equal(behindOf({ state: 'at', nextOffset: 10n }), 3n);
    assert.equal(behindOf({ state: 'at', nextOffset: 7n }), 0n);
    assert.equal(behindOf({ state: 'broken' }), null);
  });

  test('is broken where the log does not end as a writer leaves it, and the others are told', async () => {
    const store = emptyStore();
    const log = partitionLog(ADDRESS);
    const key = evidenceKey('', { kind: 'leaf', log, number: 0 });
    await store.putIfAbsent(key, Buffer.from('{}'));
    const broken = await readPartitionEvidence(store, '', ADDRESS);
    assert.equal(broken.state, 'broken');
    assert.deepEqual(await readRoot(store, '', { timestamps: [], witnesses: [] }, HOUR_MS), {
      state: 'at',
      ...{ time: null, ageMs: null, ...NO_ROOTS, roots: 0, unsigned: 0 },
    });
  });
});

test('the key is missing, unusable with the reason, or told by its public part', async () => {
  const keyOf = (keyFile?: string) =>
    readKey({ evidence: { publicKeys: [], ...(keyFile === undefined ? {} : { keyFile }) } });
  assert.deepEqual(await keyOf(), { state: 'missing' });
  const path = join(root, 'signing.key');
  const gone = await keyOf(path);
  assert.ok(gone.state === 'unusable' && gone.detail.includes(path));
  writeFileSync(path, formatPrivateKey('audit.example.com', SEED));
  chmodSync(path, 0o600);
  assert.deepEqual(await keyOf(path), { state: 'usable', publicKey: SIGNER.verifier.vkey });
});

describe('status tells', () => {
  const PARTITION: PartitionStatus = {
    topic: 'events',
    partition: 0,
    logStart: 0n,
    logEnd: 40n,
    sealed: { state: 'at', nextOffset: 30n, unsealed: 10n },
    evidence: null,
    archiver: { committed: 30n, lag: 10n },
    detector: null,
  };
  const AT = { state: 'at', nextOffset: 30n, behind: 0n, manifests: 3, unsigned: 1, anomaly: null };
  const STATUS: Status = {
    servers: [{ server: 'store', ok: true, detail: '' }],
    partitions: [],
    evidence: {
      key: { state: 'usable', publicKey: 'k' },
      root: {
        state: 'at',
        time: '2026-11-28T07:00:00.000Z',
        ageMs: HOUR_MS,
        ...NO_ROOTS,
        roots: 1,
        unsigned: 0,
      },
    },
    correlation: null,
    rules: {
      ...{ shipped: 1, own: 1, stateful: 0, problems: [], exceptions: 0, expired: [] },
      enrichment: [],
      needs: [
        {
          ruleId: 'a',
          title: 'one',
          fields: [
            { field: 'lakeseal.source.country', anyOf: ['city', 'country'] },
            { field: 'lakeseal.source.asn', anyOf: ['asn'] },
          ],
          lists: ['robots'],
        },
        { ruleId: 'b', title: 'other', fields: [], lists: ['admins', 'robots'] },
      ],
      blind: [],
    },
    alerts: null,
  };
  function told(changes: Partial<Status>, evidence: object | null = AT): [number, string] {
    const partitions = [{ ...PARTITION, evidence: evidence as PartitionEvidenceStatus | null }];
    const screen = createScreen();
    const code = tellStatus(screen, { ...STATUS, partitions, ...changes }, false);
    return [code, screen.output()];
  }

  test('manifests, signatures and the newest root beside what is sealed', () => {
    const [code, text] = told({});
    assert.equal(code, 0);
    assert.match(text, /SEALED UP TO +UNSEALED +MANIFESTS UP TO +UNSIGNED/);
    assert.match(text, /events +0 +0-40 +30 +10 +30 +1 +10/);
    assert.match(text, /Evidence: newest root 2026-11-28T07:00:00\.000Z, 1 root, all signed\n/);
  });

  test('what others vouch for, and where it is asked for in vain', () => {
    const rootOf = (changes: object): string => {
      const root = { ...STATUS.evidence.root, roots: 9, ...changes } as RootStatus;
      const text = told({ evidence: { ...STATUS.evidence, root } })[1];
      return /9 roots, all signed(.*)$/m.exec(text)![1]!;
    };
    const wanted = { stamps: true, witnesses: true };
    assert.equal(rootOf({}), '');
    assert.equal(rootOf({ stamped: 9, cosigned: 7, wanted }), ', time-stamped, cosigned up to 7');
    assert.match(rootOf({ wanted }), /none of the last days is time-stamped, none .* cosigned$/);
  });

  test('what is missing: the key, manifests, roots', () => {
    const old = {
      state: 'at',
      time: 'T',
      ageMs: 5 * HOUR_MS,
      ...NO_ROOTS,
      roots: 2,
      unsigned: 2,
    } as const;
    const [code, text] = told(
      { evidence: { key: { state: 'missing' }, root: old } },
      { ...AT, nextOffset: 20n, behind: 10n },
    );
    assert.equal(code, 0);
    assert.match(text, /no key \(evidence\.keyFile\)/);
    assert.match(text, /events\/0: 10 sealed offsets have no manifest yet/);
    assert.match(text, /newest root T, 2 roots, 2 unsigned; there should be one an hour/);
    assert.match(
      told({ evidence: { key: { state: 'unusable', detail: 'gone' }, root: null } }, null)[1],
      /the newest root is not known\n {2}gone; /,
    );
  });

  test('a broken log and a halt by name; a broken log is exit code 1', () => {
    const [code, text] = told({}, { state: 'broken', key: 'evidence/x', detail: 'no leaf' });
    assert.equal(code, 1);
    assert.match(text, /BROKEN/);
    assert.match(text, /events\/0: evidence\/x: no leaf/);
    const broken = { state: 'broken', key: null, detail: 'torn' } as const;
    assert.equal(told({ evidence: { ...STATUS.evidence, root: broken } })[0], 1);
    const anomaly = { reason: 'rewound', key: 'data/x', detail: 'text' };
    assert.match(told({}, { ...AT, anomaly })[1], /events\/0 halted: rewound at data\/x: text/);
  });

  test('which lists and files of places the rules need', () => {
    const [, text] = told({});
    assert.match(text, /lists, and how many rules read each: admins\.txt 1, robots\.txt 2\n/);
    assert.match(text, /files of places, and how many rules read each: asn 1, city\/country 1/);
  });
});
