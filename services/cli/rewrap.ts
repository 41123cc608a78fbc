/**
 * `lakeseal keys rewrap`: the keys of encrypted segments wrapped by another secret too, in signed leaves
 * of the log `wraps`. Reads manifests; segments are neither read nor touched.
 *
 * Exit codes: 0 done, 2 some segments are of a secret that was not given, 1 could not run.
 */
import { timeOf } from '../../schemas/evidence/leaf.ts';
import { assertMadeFor, wrappingKeyFromFile, wrappingKeys } from '../evidence/keys.ts';
import { neededSigner } from '../evidence/signer.ts';
import { planRewrap, writeWraps } from '../evidence/wraps.ts';
import type { Config } from '../runtime/config.ts';
import { counted, grouped } from '../runtime/wording.ts';
import { createS3Store } from '../store/s3.ts';
import type { Terminal } from './terminal.ts';

export interface RewrapFlags {
  to: string;
  unwrapKey?: string[];
  dryRun?: true;
}

const EXIT_PARTLY = 2;
/** Slots named one by one. */
const SHOWN_MAX = 20;

export async function rewrap(
  config: Config,
  flags: RewrapFlags,
  nowMs: number,
  terminal: Terminal,
): Promise<number> {
  const { archive, storage } = config;
  const to = await wrappingKeyFromFile(flags.to, archive);
  assertMadeFor(to, storage);
  const from = await wrappingKeys(archive, flags.unwrapKey);
  const signer = await neededSigner(config, 'wrapped keys are signed');
  // Evidence is stored as it is: no encryption stands in front of this one.
  const store = createS3Store(storage, archive);
  try {
    const { prefix } = storage;
    const { encrypted, due, lost, bodies } = await planRewrap(store, prefix, from, to);
    const toDo = due - lost.length;
    terminal.err(
      `${counted(encrypted, 'encrypted segment')}, ${grouped(toDo)} to be wrapped for ${to.id}`,
    );
    for (const slot of lost.slice(0, SHOWN_MAX)) terminal.err(`no key opens ${slot}`);
    if (lost.length > 0) {
      terminal.err(`${counted(lost.length, 'segment')} left out: name their key with --unwrap-key`);
    }
    const code = lost.length > 0 ? EXIT_PARTLY : 0;
    if (flags.dryRun === true) {
      terminal.err('dry run: nothing was written');
      return code;
    }
    if (bodies.length === 0) return code;
    const time = timeOf(nowMs);
    const key = await writeWraps(
      store,
      prefix,
      signer,
      bodies.map((body) => ({ time, ...body })),
    );
    terminal.out(`${counted(toDo, 'key')} wrapped, signed and sealed: ${key}`);
    return code;
  } finally {
    store.close();
  }
}
