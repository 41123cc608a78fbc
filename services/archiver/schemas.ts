/** What the archiver asks about writer schemas: enough to splice a datum, nothing to decode it. */
import type { WriterSchema } from '../../schemas/datum.ts';

export interface WriterSchemas {
  /** Looks the ids up, once for each; resolves, found or not, within the registry's time limit. */
  warm(schemaIds: Iterable<number>): Promise<void>;
  /** Null where the schema is unknown, unavailable, or one that cannot stand in a segment. */
  find(schemaId: number): WriterSchema | null;
}
