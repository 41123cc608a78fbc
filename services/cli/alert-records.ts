/** Which records an alert counted, asked of OpenSearch by the alert's id. */
import { openSearchClient } from '../detector/alert/opensearch.ts';
import type { Config } from '../runtime/config.ts';
import { Failure, reasonOf } from '../runtime/errors.ts';

export interface AlertRecord {
  topic: string;
  partition: number;
  offset: bigint;
  eventId: string;
}

interface Evidence {
  topic?: unknown;
  partition?: unknown;
  offset?: unknown;
  eventId?: unknown;
}

/** Alerts of one id: it is in one index, but a day's index may have been copied. */
const HITS_MAX = 10;

/**
 * In the order of the alert's evidence.
 * @throws Failure `NO_ALERT` or `OPENSEARCH`
 */
export async function recordsOfAlert(config: Config, id: string): Promise<AlertRecord[]> {
  return searchEvidence(config, { ids: { values: [id] } }, `there is no alert ${id}`);
}

/** The records of an event that some alert counted; none where no alert did. */
export async function recordsOfAlertedEvent(config: Config, event: string): Promise<AlertRecord[]> {
  const query = { term: { 'evidence.eventId': event } };
  const records = await searchEvidence(config, query, null);
  return records.filter(({ eventId }) => eventId === event);
}

async function searchEvidence(
  config: Config,
  query: Record<string, unknown>,
  missing: string | null,
): Promise<AlertRecord[]> {
  const client = openSearchClient(config.opensearch);
  const index = `${config.opensearch.alertIndexPrefix}-*`;
  try {
    const { body } = await client.search({
      index,
      body: { query, size: HITS_MAX, _source: ['evidence'] } as never,
    });
    const hits = body.hits.hits as Array<{ _source?: { evidence?: Evidence[] } }>;
    if (hits.length === 0 && missing !== null) {
      throw new Failure(`${missing} in ${index}`, {
        code: 'NO_ALERT',
        hint: 'The id is the field `id` of the alert, 43 characters.',
      });
    }
    return distinct(hits.flatMap(({ _source }) => (_source?.evidence ?? []).map(recordOf)));
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure(`cannot ask OpenSearch for the alert: ${reasonOf(error)}`, {
      code: 'OPENSEARCH',
      hint: 'Does it run, and are opensearch.nodes, username and password right?',
      cause: error,
    });
  } finally {
    await client.close();
  }
}

function recordOf({ topic, partition, offset, eventId }: Evidence): AlertRecord {
  return {
    topic: String(topic),
    partition: Number(partition),
    offset: BigInt(String(offset)),
    eventId: String(eventId),
  };
}

function distinct(records: AlertRecord[]): AlertRecord[] {
  const seen = new Set<string>();
  return records.filter(({ topic, partition, offset }) => {
    const place = `${topic}/${partition}/${offset}`;
    if (seen.has(place)) return false;
    seen.add(place);
    return true;
  });
}
