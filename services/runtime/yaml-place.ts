/** Where a value stands in a YAML document, for problems that name their place. Pure. */
import { isMap, type ParsedNode } from 'yaml';

/** Of the value (or key) at `path`, else of the nearest thing above it that is there. */
export function offsetOf(
  contents: ParsedNode | null,
  path: readonly string[],
  isKey: boolean,
): number {
  let node: unknown = contents;
  let offset = contents?.range?.[0] ?? 0;
  for (const [depth, part] of path.entries()) {
    const last = depth === path.length - 1;
    const found = childOf(node, part);
    if (found === undefined) break;
    node = found.value;
    const chosen = (last && isKey ? found.key : (found.value ?? found.key)) as ParsedNode | null;
    offset = chosen?.range?.[0] ?? offset;
  }
  return offset;
}

function childOf(node: unknown, part: string): { key: unknown; value: unknown } | undefined {
  if (isMap(node)) {
    return node.items.find((pair) => String(pair.key) === part) as
      | { key: unknown; value: unknown }
      | undefined;
  }
  const items = (node as { items?: unknown[] } | null)?.items;
  const value = Array.isArray(items) ? items[Number(part)] : undefined;
  return value === undefined ? undefined : { key: value, value };
}
