/**
 * Whether the records of a fetch are of the topic that was assigned. A topic that is deleted and
 * made anew keeps its name, and a fetch by name (kafkajs knows no other) reads on in the new log at
 * the old position, as soon as that is long enough.
 *
 * So the broker that served the fetch is asked for the topic ids after every response. Ids are never
 * used twice, and a broker publishes new metadata before it serves a new log (KRaft:
 * `BrokerMetadataPublisher`): where the id is still the same after the fetch, so it was during it.
 */
import { setImmediate } from 'node:timers/promises';

/** Topic name → id, `-` where the broker has none, null: no such topic. */
export type TopicIds = Map<string, string | null>;

export class TopicWatch {
  readonly #fetch: (nodeId: number) => Promise<TopicIds>;
  /** Questions that are not sent yet, by broker. */
  readonly #next = new Map<number, Promise<TopicIds>>();

  constructor(fetch: (nodeId: number) => Promise<TopicIds>) {
    this.#fetch = fetch;
  }

  /** What the broker says at some moment after this call. The batches of one fetch share a question. */
  ask(nodeId: number): Promise<TopicIds> {
    const waiting = this.#next.get(nodeId);
    if (waiting !== undefined) return waiting;
    const asked = setImmediate().then(() => {
      this.#next.delete(nodeId);
      return this.#fetch(nodeId);
    });
    this.#next.set(nodeId, asked);
    return asked;
  }
}
