/** What the demo prints: chapters, plain lines, and checks whose failures decide the exit code. */
import { styleText } from 'node:util';
import type { Stack } from '../stack/stack.ts';
import type { Pipeline } from './pipeline.ts';

export interface Story {
  chapter(title: string): void;
  line(text: string): void;
  check(what: string, holds: boolean): void;
  addresses(stack: Stack, env: Record<string, string>, pipeline: Pipeline): void;
  /** Prints the verdict; true when every check held. */
  end(): boolean;
}

type Format = Parameters<typeof styleText>[0];

export function createStory(): Story {
  const startedAt = Date.now();
  const checks: Array<{ what: string; holds: boolean }> = [];
  const paint = (format: Format, text: string): string =>
    styleText(format, text, { stream: process.stdout });
  const line = (text: string): void => void process.stdout.write(`${text}\n`);
  return {
    line,
    chapter: (title) => line(`\n${paint('bold', title)}`),
    check(what, holds) {
      checks.push({ what, holds });
    },
    addresses(stack, env, pipeline) {
      line('\nStill running:');
      line(`  Kafka            ${stack.brokers.join(', ')}`);
      line(`  schema registry  ${stack.registryUrl}`);
      line(`  MinIO            ${stack.s3.endpoint} (bucket ${env.LAKESEAL_STORAGE_BUCKET})`);
      line(`  OpenSearch       ${stack.opensearchUrl}`);
      const dashboards = stack.state.dashboards?.url;
      if (dashboards !== undefined) line(`  Dashboards       ${dashboards}`);
      line(`  archiver         pid ${pipeline.archiver.pid}, log ${pipeline.archiver.logFile}`);
      line(`  detector         pid ${pipeline.detector.pid}, log ${pipeline.detector.logFile}`);
      line(`Settings for other lakeseal commands: set -a; . ${pipeline.envFile}; set +a`);
      const pids = `${pipeline.archiver.pid} ${pipeline.detector.pid}`;
      line(`Stop everything: kill ${pids}; node test/stack/down.ts --state ${stack.stateFile}`);
    },
    end() {
      line('');
      for (const { what, holds } of checks) {
        line(`${holds ? paint('green', '✓') : paint('red', '✗')} ${what}`);
      }
      const all = checks.length > 0 && checks.every(({ holds }) => holds);
      const seconds = ((Date.now() - startedAt) / 1000).toFixed(0);
      line(
        all ? `All of it holds. ${seconds} s.` : `Something disagrees, see above. ${seconds} s.`,
      );
      return all;
    },
  };
}
