/**
 * What OpenSearch's answer to a bulk request means for each document. Pure.
 *
 * Only a document that is itself at fault may leave the queue unstored: whatever the state of the
 * cluster, of its settings or of our rights can explain is tried again (promise D4).
 */

export interface BulkItem {
  status: number;
  errorType: string | null;
  errorReason: string | null;
}

export type BulkAnswer =
  /** One item per document, in the order sent. */
  | { kind: 'items'; items: BulkItem[] }
  /** No answer per document. `status` is null where there was no HTTP answer at all. */
  | { kind: 'failed'; status: number | null; reason: string };

export type Verdict = 'stored' | 'duplicate' | 'retry' | 'rejected';

/** Statuses 400 to 499 whose cause is not the document. */
const RETRIED_TYPES: ReadonlySet<string> = new Set([
  'cluster_block_exception',
  'es_rejected_execution_exception',
  'rejected_execution_exception',
  'circuit_breaking_exception',
  'index_closed_exception',
  'index_not_found_exception',
  'security_exception',
  // The cluster has no room for another shard: said as a 400 to every document of a new index.
  'validation_exception',
]);

export function verdictOf(item: BulkItem): Verdict {
  const { status, errorType } = item;
  if (status >= 200 && status < 300) return 'stored';
  if (status === 409) return 'duplicate';
  if (errorType !== null && RETRIED_TYPES.has(errorType)) return 'retry';
  return status === 400 || status === 413 ? 'rejected' : 'retry';
}

/** Whether a whole request failed for what is in it, so that a smaller one can find the culprit. */
export function isRequestAtFault(answer: BulkAnswer & { kind: 'failed' }): boolean {
  return answer.status === 400 || answer.status === 413;
}
