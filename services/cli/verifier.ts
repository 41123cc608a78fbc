/**
 * `lakeseal verifier` as a process: wires the bucket, OpenSearch and the files of `verifier.stateFolder`
 * to the loop. All decisions are elsewhere.
 */
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { PreparedIndex } from '../detector/alert/alert-index.ts';
import { findingTemplate, openSearchClient } from '../detector/alert/opensearch.ts';
import { wrappingKeys } from '../evidence/keys.ts';
import { readPosture } from '../posture/read-posture.ts';
import { keepHeapSteady } from '../runtime/heap.ts';
import type { ServiceContext } from '../runtime/service.ts';
import { createS3Store } from '../store/s3.ts';
import { s3Source } from '../verifier/s3-source.ts';
import { readStateFile, writeStateFile } from '../verifier/state-file.ts';
import { watchMetrics } from '../watch/metrics.ts';
import { verifierRuns } from '../watch/runs.ts';
import { watch } from '../watch/watch.ts';
import { trustedAnchors, trustedKeys, unwrappingAsFar } from './archive-place.ts';
import { stampsSinceSetting } from './options.ts';
import { configReader } from './store-client.ts';
import { CONCURRENCY, judges } from './verify.ts';

/** Where a run over the archive ended, and what is open. */
const STATE_FILE = 'archive.json';
const LEDGER_FILE = 'findings.json';

/** Until the signal aborts. @throws Failure where it cannot begin */
export async function runVerifier(context: ServiceContext): Promise<undefined> {
  const { config, clock, log } = context;
  const { storage, archive, opensearch, verifier } = config;
  const verifiers = await trustedKeys({}, () => config);
  const anchors = trustedAnchors({}, config);
  const source = s3Source(storage);
  // KMS is asked once; what was wrapped again meanwhile is read by each run.
  const keys = await wrappingKeys(archive);
  const store = createS3Store(storage, archive, clock);
  const reader = configReader(config);
  const client = openSearchClient(opensearch);
  const { prefix, bucket } = storage;
  log.info({ bucket, trusted: verifiers.map(({ vkey }) => vkey) }, 'verifier starts');
  keepHeapSteady();
  try {
    await watch({
      context,
      metrics: watchMetrics(context.metrics),
      every: {
        incremental: verifier.incrementalEveryMs,
        whole: verifier.wholeEveryMs,
        posture: verifier.postureEveryMs,
      },
      archive: source.name,
      index: opensearch.findingIndex,
      run: verifierRuns({
        verify: {
          source,
          prefix,
          verifiers,
          kept: [],
          deep: verifier.deep,
          rootAgeMsMax: null,
          concurrency: CONCURRENCY,
          ...judges(anchors),
          stampsSince:
            anchors.authorities === null ? null : stampsSinceSetting(verifier.stampsSince),
          breathe: () => setImmediate(),
          progress: () => {},
        },
        unwrap: () =>
          unwrappingAsFar({ store, prefix }, keys, (err) =>
            log.warn({ err }, 'keys that were wrapped again are left out'),
          ),
        posture: {
          store,
          target: { bucket, prefix },
          verifiers,
          read: () => readPosture(reader, storage),
          // The credential is this service's own, not the archiver's.
          rights: null,
        },
        state: fileAt(join(verifier.stateFolder, STATE_FILE)),
        nowMs: () => clock.now(),
      }),
      bulk: new PreparedIndex(client, findingTemplate(opensearch), log).bulk,
      file: fileAt(join(verifier.stateFolder, LEDGER_FILE)),
    });
  } finally {
    source.close();
    store.close();
    reader.destroy();
    await client.close();
  }
}

function fileAt(path: string) {
  return {
    path,
    read: () => readStateFile(path),
    write: (text: string) => writeStateFile(path, text),
  };
}
