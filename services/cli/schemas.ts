/** Which schemas belong to which topics: what setup registers and preflight looks for. */
import { auditEventSchema } from '../../schemas/audit-event.ts';
import type { SchemaToRegister } from '../ingest/registry.ts';
import type { Config } from '../runtime/config.ts';

/** The dead-letter topic holds what could not be read, so it has none. */
export function topicSchemas(config: Config): SchemaToRegister[] {
  return [{ topic: config.topics.events, schema: auditEventSchema }];
}
