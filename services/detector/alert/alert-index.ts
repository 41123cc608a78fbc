/**
 * Alerts, and what the verifier finds, wait until there is a place for them: nothing is sent to OpenSearch before the index template
 * is there, and readiness says what is missing.
 */
import type { Client } from '@opensearch-project/opensearch';
import { Failure } from '../../runtime/errors.ts';
import type { ServiceContext } from '../../runtime/service.ts';
import type { BulkAnswer } from './bulk.ts';
import { type IndexTemplate, sendBulk, templateState } from './opensearch.ts';

const ALERT_INDEX_RETRY_MS = 5_000;

/** Readiness tells of an OpenSearch that is away or not set up, before there is any alert. */
export async function watchAlertIndex(
  index: PreparedIndex,
  { health, log, clock }: ServiceContext,
  signal: AbortSignal,
): Promise<void> {
  let told = false;
  while (!signal.aborted) {
    const obstacle = await index.obstacle();
    if (signal.aborted) return;
    health.ready('opensearch', obstacle === null, obstacle ?? '');
    if (obstacle === null) return;
    if (!told) log.warn({ reason: obstacle }, 'OpenSearch takes no alerts yet');
    told = true;
    await clock.sleep(ALERT_INDEX_RETRY_MS, signal);
  }
}

/**
 * Bulk requests, but none before the index template is there: without it the first document would
 * make an index whose mapping OpenSearch guesses, and that cannot be undone.
 */
export class PreparedIndex {
  readonly #client: Client;
  readonly #template: IndexTemplate;
  readonly #log: ServiceContext['log'];
  #checked = false;

  constructor(client: Client, template: IndexTemplate, log: ServiceContext['log']) {
    this.#client = client;
    this.#template = template;
    this.#log = log;
  }

  /** The reason why nothing may be sent yet, or null. */
  async obstacle(): Promise<string | null> {
    if (this.#checked) return null;
    try {
      const state = await templateState(this.#client, this.#template);
      if (state === 'missing') return 'the index template is missing: run lakeseal setup';
      if (state === 'different') {
        this.#log.warn(
          {},
          'the index template is not of this version of lakeseal: run lakeseal setup',
        );
      }
    } catch (error) {
      if (error instanceof Failure) return error.message;
      throw error;
    }
    this.#checked = true;
    return null;
  }

  readonly bulk = async (lines: string[]): Promise<BulkAnswer> => {
    const reason = await this.obstacle();
    if (reason !== null) return { kind: 'failed', status: null, reason };
    return sendBulk(this.#client, lines);
  };
}
