/**
 * Which partition of the matches topic a group belongs to. Every detector, of whatever version, must
 * choose the same one, so this never changes; nor may the number of partitions of a topic that holds
 * state. Pure.
 */

/** The consumer group that judges the matches, beside that of the detector. */
export function correlationGroup(group: string): string {
  return `${group}.correlate`;
}

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/**
 * FNV-1a over the UTF-16 units of the rule id and the group's values, each ended by a unit that no
 * well-formed text holds, with the finish of MurmurHash3: FNV alone leaves the low bits alike for
 * values that differ in their end.
 */
export function groupPartition(
  ruleId: string,
  group: readonly string[],
  partitions: number,
): number {
  let hash = text(FNV_OFFSET, ruleId);
  for (const value of group) hash = text(hash, value);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) % partitions;
}

function text(start: number, value: string): number {
  let hash = start;
  for (let at = 0; at < value.length; at += 1) {
    hash = Math.imul(hash ^ value.charCodeAt(at), FNV_PRIME);
  }
  return Math.imul(hash ^ 0xffff, FNV_PRIME);
}
