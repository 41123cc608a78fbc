/**
 * Where a collection sends: the events topic as Avro, the dead-letter topic for the rest.
 * Edge: wires the producer, the registry and the dead-letter sink of `ingest` together.
 */
import type { ServiceContext } from '../runtime/service.ts';
import type { Outlet } from './pipeline.ts';

export interface Target extends Outlet {
  /** Kafka's cluster id: a ledger is about one cluster. Empty for `discard`. */
  clusterId: string;
  /** Registry id of the event schema; 0 where nothing is sent. */
  schemaId: number;
  close(): Promise<void>;
}

/** With `dryRun` the target takes nothing and needs no registry. */
export type OpenTarget = (context: ServiceContext, dryRun: boolean) => Promise<Target>;

/** For a dry run over files. */
export const discard: Target = {
  clusterId: '',
  schemaId: 0,
  sendEvents: async () => {},
  sendLetters: async () => {},
  close: async () => {},
};
