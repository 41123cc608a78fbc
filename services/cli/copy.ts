/** `lakeseal copy`: an archive into a folder, every version of it, for whoever checks it elsewhere. */
import type { Config } from '../runtime/config.ts';
import { describeFailure } from '../runtime/errors.ts';
import { counted, grouped } from '../runtime/wording.ts';
import { type CopySummary, copyArchive } from '../verifier/copy-archive.ts';
import { s3Source } from '../verifier/s3-source.ts';
import { archivePlace } from './archive-place.ts';
import type { Terminal } from './terminal.ts';

export interface CopyFlags {
  archive?: string;
  dryRun?: true;
  json?: true;
}

/** Objects read at the same time. */
const CONCURRENCY = 8;
/** Objects between two words of progress. */
const PROGRESS_OBJECTS = 1_000;

export async function runCopy(
  folder: string,
  { archive, dryRun, json }: CopyFlags,
  config: () => Config,
  terminal: Terminal,
): Promise<number> {
  let close = (): void => {};
  try {
    const { storage } = archivePlace(config(), archive);
    const source = s3Source(storage);
    close = () => source.close();
    const summary = await copyArchive({
      source,
      prefix: storage.prefix,
      folder,
      concurrency: CONCURRENCY,
      dryRun: dryRun === true,
      progress: ({ objects, bytes }) => {
        if (json === true || objects % PROGRESS_OBJECTS !== 0 || objects === 0) return;
        terminal.err(`${counted(objects, 'object')}, ${grouped(bytes)} bytes`);
      },
    });
    if (json === true) terminal.out(JSON.stringify({ archive: source.name, folder, ...summary }));
    else terminal.out(tell(source.name, folder, summary, dryRun === true));
    return 0;
  } catch (error) {
    terminal.err(describeFailure('lakeseal copy', error));
    return 1;
  } finally {
    close();
  }
}

function tell(name: string, folder: string, summary: CopySummary, dryRun: boolean): string {
  const { objects, kept, bytes, markers } = summary;
  const there = kept === 0 ? '' : `, ${grouped(kept)} of them there already`;
  const told = markers === 0 ? '' : ` and ${counted(markers, 'delete marker')}`;
  const what = `${counted(objects, 'object')}${told}, ${grouped(bytes)} bytes${there}`;
  if (dryRun) return `${name}: ${what}. Nothing was written.`;
  return `${name}: ${what}, copied to ${folder}.\nNow: lakeseal verify ${folder} --key …`;
}
