/** The log source of a rule or of a filter, and whether one holds the other. */
import type { MapReader } from './map-reader.ts';

/** Lower case. lakeseal reads one product; `service: audit` is all of it, as none is. */
export interface Logsource {
  category: string | null;
  /** An audit service as `unityCatalog`, as written; null for all. */
  service: string | null;
}

const LOGSOURCE_KEYS = ['category', 'product', 'service', 'definition'];

/** `what` names the document in messages: `rule` or `filter`. */
export function readLogsource(root: MapReader, what: string): Logsource | null {
  const source = root.inner('logsource', 'write "product: databricks" below it');
  if (source === null) {
    if (root.get('logsource') === null) {
      root.findings.error(
        root.map,
        `the ${what} has no logsource`,
        'add "logsource:" with "product: databricks"',
      );
    }
    return null;
  }
  source.unknownKeys(LOGSOURCE_KEYS, 'warning');
  const product = source.text('product', true);
  if (product !== null && product.toLowerCase() !== 'databricks') {
    root.findings.error(
      source.get('product'),
      `the ${what} is for ${product}, and lakeseal judges databricks`,
      `take the ${what} out of the folder, or write "product: databricks"`,
    );
  }
  const service = source.text('service', false);
  return {
    category: source.text('category', false)?.toLowerCase() ?? null,
    service: service?.toLowerCase() === 'audit' ? null : service,
  };
}

/** Whether every event of `inner` is one of `outer`, as far as log sources tell. */
export function contains(outer: Logsource, inner: Logsource): boolean {
  const service = outer.service?.toLowerCase() ?? null;
  return (
    (outer.category === null || outer.category === inner.category) &&
    (service === null || service === inner.service?.toLowerCase())
  );
}
