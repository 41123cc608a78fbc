/**
 * Events out of records and lines. Most are passed over where they lie: only those whose service and
 * action may change access are decoded. Pure.
 *
 * An event cannot reach Kafka before it happened. So that a wrong clock hides none from a snapshot,
 * which looks for the events of a day in records from the day before on, an event counts as at most
 * a day after its record.
 */
import { DAY_MS } from '../../schemas/evidence/access-leaf.ts';
import { type Decoded, decodeJson, decodeRecord, type SchemaLookUp } from '../ingest/decode.ts';
import type { EventView } from '../ingest/event-view.ts';
import { RecordViewer } from '../ingest/record-view.ts';
import type { AccessEvent, Place } from './change.ts';
import { accessEventOf, mayChangeAccess } from './changes.ts';

export interface Heard {
  /** Every event, by its time (epoch ms). */
  event(timeMs: number): void;
  /** What changed access. */
  access(event: AccessEvent): void;
  /** A record or line that is no audit event, or an event in it. */
  undecodable(at: Place, reason: string): void;
}

export class AccessReader {
  readonly #viewer = new RecordViewer();

  record(
    value: Buffer | null,
    lookUp: SchemaLookUp,
    at: Place,
    timestampMs: number,
    heard: Heard,
  ): void {
    const latestMs = timestampMs > 0 ? timestampMs + DAY_MS : Infinity;
    if (this.#isPassedOver(this.#viewer.record(value, lookUp), latestMs, heard)) return;
    tell(decodeRecord(value, lookUp), at, latestMs, heard);
  }

  line(bytes: Buffer, at: Place, heard: Heard): void {
    if (this.#isPassedOver(this.#viewer.json(bytes), Infinity, heard)) return;
    tell(decodeJson(bytes), at, Infinity, heard);
  }

  #isPassedOver(view: EventView | null, latestMs: number, heard: Heard): boolean {
    if (view === null) return false;
    const { serviceName, actionName, eventTime } = view;
    if (view.isDoubtful || mayChangeAccess(serviceName, actionName)) return false;
    heard.event(Math.min(eventTime, latestMs));
    return true;
  }
}

function tell(decoded: Decoded, at: Place, latestMs: number, heard: Heard): void {
  if (!decoded.ok) {
    heard.undecodable(at, `${decoded.reason}: ${decoded.detail}`);
    return;
  }
  for (const { reason, detail } of decoded.refused) {
    heard.undecodable(at, `${reason}: ${detail}`);
  }
  for (const event of decoded.events) {
    const timeMs = Math.min(event.eventTime, latestMs);
    heard.event(timeMs);
    const access = accessEventOf(event, at);
    if (access !== null) heard.access({ ...access, timeMs });
  }
}
