/**
 * Says what a long start is doing: one line when a step ends, with the seconds it took; on a
 * terminal one more line that shows the steps under way; elsewhere a line now and then, so that
 * four minutes of building are not four minutes of silence.
 */

const REDRAW_MS = 200;
const REMIND_MS = 20_000;

export interface Progress {
  /** Runs one step under a label; what it throws passes through. */
  step<T>(label: string, work: () => Promise<T>): Promise<T>;
  note(line: string): void;
}

/** `report` takes whole lines; without it they go to standard error. */
export function createProgress(report?: (line: string) => void): Progress {
  const terminal = report === undefined && process.stderr.isTTY;
  const write = report ?? ((line: string) => void process.stderr.write(`${line}\n`));
  const running = new Map<string, number>();
  let ticker: NodeJS.Timeout | undefined;

  const erase = (): void => {
    if (terminal) process.stderr.write('\r\x1b[2K');
  };
  const draw = (): void => {
    if (!terminal || running.size === 0) return;
    const width = Math.max(20, (process.stderr.columns ?? 80) - 1);
    const parts = [...running].map(([label, since]) => `${label} ${seconds(since)}`);
    process.stderr.write(`\r\x1b[2K${parts.join(' · ').slice(0, width)}`);
  };
  const line = (text: string): void => {
    erase();
    write(text);
    draw();
  };
  const tick = (): void => {
    if (terminal) draw();
    else for (const [label, since] of running) line(`  ${label}: still at it, ${seconds(since)}`);
  };

  return {
    note: line,
    async step(label, work) {
      const since = Date.now();
      running.set(label, since);
      ticker ??= setInterval(tick, terminal ? REDRAW_MS : REMIND_MS).unref();
      let outcome = 'failed after';
      try {
        const result = await work();
        outcome = 'done in';
        return result;
      } finally {
        running.delete(label);
        line(`  ${label}: ${outcome} ${seconds(since)}`);
        if (running.size === 0) {
          clearInterval(ticker);
          ticker = undefined;
        }
      }
    },
  };
}

function seconds(since: number): string {
  return `${((Date.now() - since) / 1000).toFixed(1)} s`;
}
