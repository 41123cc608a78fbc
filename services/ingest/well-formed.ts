/**
 * Text that is Unicode. JSON can escape half a surrogate pair (`"\ud800"`), which no UTF-8 holds:
 * on the way through Avro it would become U+FFFD, and one event would read differently live and
 * replayed. So it becomes U+FFFD at once. The escape itself stays in `raw`.
 */
import { toUSVString } from 'node:util';
import type { AuditEvent } from './event.ts';

/** The event itself where nothing is to repair. Its `raw` is well-formed already. */
export function wellFormed(event: AuditEvent): AuditEvent {
  // Without escapes, values hold what the text holds.
  return event.raw.includes('\\u') ? (repaired(event) as AuditEvent) : event;
}

function repaired(value: unknown): unknown {
  if (typeof value === 'string') return toUSVString(value);
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(repaired);
  const copy: Record<string, unknown> = Object.create(Object.getPrototypeOf(value));
  for (const [key, part] of Object.entries(value)) copy[toUSVString(key)] = repaired(part);
  return copy;
}
