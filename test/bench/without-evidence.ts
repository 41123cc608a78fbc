/**
 * Loaded before the archiver and each of its threads (`--import`), takes its evidence away: no leaves, trees, manifests or
 * roots. Only for the benchmark that asks what they cost.
 */
import { Notary } from '../../services/archiver/notary.ts';
import { RootWriter } from '../../services/archiver/root-writer.ts';
import { FactsGatherer, NO_RECORDS } from '../../services/archiver/segment-facts.ts';

const nothing = (): void => {};
Object.assign(FactsGatherer.prototype, { add: nothing, facts: () => NO_RECORDS });
Object.assign(Notary.prototype, {
  open: nothing,
  reached: nothing,
  sealed: nothing,
  tick: nothing,
});
Object.assign(RootWriter.prototype, { run: async () => {} });
