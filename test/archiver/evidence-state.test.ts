/** What `status` reads of the evidence, on the store's double. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { partitionLog } from '../../schemas/evidence/log-layout.ts';
import { anomalyOf, manifestBytes } from '../../schemas/evidence/manifest.ts';
import { ed25519Signer } from '../../schemas/evidence/note.ts';
import { rootKey } from '../../services/archiver/anchors/root.ts';
import { partitionEvidence, rootEvidence } from '../../services/archiver/evidence-state.ts';
import { RootWriter } from '../../services/archiver/root-writer.ts';
import { Signing } from '../../services/archiver/signing.ts';
import { LogWriter } from '../../services/evidence/log-writer.ts';
import { silentLog } from '../../services/runtime/log.ts';
import { Bucket } from '../double/bucket.ts';
import { FaultPlan } from '../double/faults.ts';
import { doubleStore } from '../double/store.ts';

const ADDRESS = { clusterId: 'c', topic: 't', topicId: 'i', partition: 0 };
const SIGNER = ed25519Signer('audit.example.com', Buffer.alloc(32, 3));

test('how far manifests, signatures and roots are', async () => {
  const store = doubleStore(new Bucket({ nowMs: () => 0 }), new FaultPlan());
  assert.deepEqual(await partitionEvidence(store, '', ADDRESS), {
    nextOffset: 0n,
    manifests: 0,
    unsigned: 0,
    anomaly: null,
  });
  const nothing = { timeMs: null, roots: 0, unsigned: 0, stamped: 0, cosigned: 0 };
  assert.deepEqual(await rootEvidence(store, ''), nothing);

  const log = await LogWriter.open(store, '', partitionLog(ADDRESS));
  for (let offset = 0n; offset < 40n; offset++) {
    if (offset === 3n) await log.sign(SIGNER);
    await log.append((end) => manifestBytes(end, anomalyOf(offset, 'rewound', 'key', 'text')));
  }
  assert.deepEqual(await partitionEvidence(store, '', ADDRESS), {
    nextOffset: 39n,
    manifests: 40,
    unsigned: 37,
    anomaly: { reason: 'rewound', key: 'key', detail: 'text' },
  });

  const clock = { now: () => Date.parse('2026-11-28T07:20:00Z'), sleep: async () => {} };
  const signing = new Signing({ signer: async () => null, clock, log: silentLog, ready: () => {} });
  const common = { prefix: '', store, signing, clock, log: silentLog };
  const quiet = { onRoot: async () => {}, report: () => {}, stopped: () => {} };
  await new RootWriter({ ...common, ...quiet }).look();
  const timeMs = Date.parse('2026-11-28T07:00:00Z');
  const fresh = { timeMs, roots: 1, unsigned: 1, stamped: 0, cosigned: 0 };
  assert.deepEqual(await rootEvidence(store, ''), fresh);
  for (const kind of ['tsr', 'witness'] as const) {
    await store.putIfAbsent(rootKey('', kind, 1), Buffer.from('x'));
  }
  assert.deepEqual(await rootEvidence(store, ''), { ...fresh, stamped: 1, cosigned: 1 });
});
