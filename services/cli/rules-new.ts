/** `lakeseal rules new`: a skeleton to standard output or into a new file. */
import { randomUUID } from 'node:crypto';
import { type SkeletonOptions, skeleton } from '../detector/workbench/skeleton.ts';
import { snakeCase } from '../detector/workbench/skeleton-parts.ts';
import { writeNewFile } from './rules-files.ts';
import type { Terminal } from './terminal.ts';

export interface NewRule extends Pick<SkeletonOptions, 'title' | 'kind'> {
  out: string | undefined;
}

/** Throws `Failure` where the file is there already or cannot be written. */
export function newRule(terminal: Terminal, { title, kind, out }: NewRule, nowMs: number): number {
  const date = new Date(nowMs).toISOString().slice(0, 10);
  const text = skeleton({ title, kind, newId: randomUUID, date });
  if (out === undefined) {
    terminal.out(text.trimEnd());
    return 0;
  }
  writeNewFile(out, text, `${snakeCase(title)}.yml`);
  terminal.out(`${out} is written; test it with: lakeseal rules test ${out}`);
  return 0;
}
