/** The same work on many things, a few at a time. Pure but for the work. */

/**
 * Results in the order of the items. After a rejection no more is begun, and it is thrown once what
 * was under way has ended.
 */
export async function inParallel<Item, Result>(
  items: readonly Item[],
  atOnce: number,
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results = new Array<Result>(items.length);
  let next = 0;
  let failed = false;
  const worker = async (): Promise<void> => {
    while (next < items.length && !failed) {
      const at = next++;
      try {
        results[at] = await work(items[at]!);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const outcomes = await Promise.allSettled(Array.from({ length: atOnce }, worker));
  const rejected = outcomes.find((one) => one.status === 'rejected');
  if (rejected !== undefined) throw rejected.reason;
  return results;
}
