/**
 * The schema registry as the detector needs it: it must tell a registry that is away (wait, the
 * record is probably good) from records that claim so many schemas that the cache stops asking
 * (dead-letter them, or one producer could hold the partition up).
 */
import { SchemaCache } from '../ingest/registry.ts';
import { createRegistryClient, type RegistryClient } from '../ingest/registry-client.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Config } from '../runtime/config.ts';
import type { Log } from '../runtime/log.ts';

export interface SchemaSource {
  get: SchemaCache['get'];
  warm(schemaIds: Iterable<number>): Promise<void>;
  /** Whether the last question to the registry got no answer. */
  away(): boolean;
  close(): void;
}

export function openSchemaSource(config: Config['registry'], log: Log, clock: Clock): SchemaSource {
  let away = false;
  const client = createRegistryClient(config);
  const watched: RegistryClient = {
    ...client,
    call: async (...question) => {
      try {
        const answer = await client.call(...question);
        away = answer.status >= 500 || [401, 403, 408, 429].includes(answer.status);
        return answer;
      } catch (error) {
        away = true;
        throw error;
      }
    },
  };
  const cache = new SchemaCache(config, { log, clock, client: watched });
  return {
    get: cache.get,
    warm: (schemaIds) => cache.warm(schemaIds),
    away: () => away,
    close: () => cache.close(),
  };
}
