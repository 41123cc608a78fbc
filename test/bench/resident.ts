/** How much memory a benchmark's own process held. */
import { readFileSync } from 'node:fs';

/**
 * Most bytes that were resident at once. Linux tells in `maxRSS` of a process what the one that
 * started it held until then, who may have made gigabytes of input; the high-water mark of the memory
 * map is its own (proc(5), VmHWM, in KiB).
 */
export function peakResidentBytes(): number {
  if (process.platform !== 'linux') return process.resourceUsage().maxRSS * 1024;
  const [, kibibytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))!;
  return Number(kibibytes) * 1024;
}
