/**
 * Keeps a heap near what is alive. Left alone, V8 lets a heap of a million open groups grow to
 * four times what they need before it collects; processor time is cheaper then than memory. A small
 * heap is left alone: collecting it more often would cost, and save nothing. But a command that goes
 * through a hundred thousand small things need not end with more memory than it began. Touches V8.
 */
import { getHeapStatistics, setFlagsFromString } from 'node:v8';

/**
 * How far the old space may grow beyond what was alive after the last collection, per cent. V8 reads
 * it at every collection, so that it may be set while it runs.
 */
const GROWTH_PERCENT = 20;
/**
 * How large one half of the young generation may become. V8 reads it only at the start, so the image
 * gives it to Node, and the first line of `main.ts` does not: `env` of BusyBox takes no arguments for
 * the program. By itself V8 lets it become so large that, with the free pages it keeps for it,
 * a million open groups take 100 MB more, for an eighth more matches a second.
 */
export const START_FLAG = '--max-semi-space-size=16';
/** V8 decides. */
const UNBOUND = 0;
/** A heap is large from here on, and small again below half of it. */
export const LARGE_BYTES = 256 * 1024 * 1024;
const LOOK_MS = 2_000;

/** Whether a heap with so many bytes in use is to be bounded, as it `isBound` or not now. */
export function shouldBind(isBound: boolean, usedBytes: number): boolean {
  return isBound ? usedBytes >= LARGE_BYTES / 2 : usedBytes > LARGE_BYTES;
}

/** From now on, whatever the heap holds. */
export function boundHeapGrowth(percent: number = GROWTH_PERCENT): void {
  setFlagsFromString(`--heap-growing-percent=${percent}`);
}

/** Bounds the heap while it is large. Keeps no process alive. */
export function watchHeap(): void {
  let isBound = false;
  setInterval(() => {
    const wanted = shouldBind(isBound, getHeapStatistics().used_heap_size);
    if (wanted === isBound) return;
    isBound = wanted;
    boundHeapGrowth(isBound ? GROWTH_PERCENT : UNBOUND);
  }, LOOK_MS).unref();
}

/** For `keepHeapSteady`: where little is alive, to collect it is cheap. */
const STEADY_GROWTH_PERCENT = 50;

/**
 * For who does the same small step many times, from its start on: the young generation keeps the size
 * it has, and the old space grows by half of what is alive. V8 doubles the young one again and again,
 * up to some 100 MB, with all that was alive at one of its collections, however soon it died.
 */
export function keepHeapSteady(): void {
  boundHeapGrowth(STEADY_GROWTH_PERCENT);
  setFlagsFromString('--semi-space-growth-factor=1');
}
