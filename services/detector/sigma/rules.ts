/**
 * Loading of rules from files and folders: all or nothing. Every problem of every file is found
 * before anything is said, and one error anywhere means that no rule is loaded (promise D3).
 *
 * This file reads; what the texts mean is decided by `resolve.ts`, which is pure.
 */
import { lstatSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ReadDocuments, readDocuments } from './documents.ts';
import { Drafts } from './drafts.ts';
import { parseList } from './lists.ts';
import type { Lists } from './placeholder.ts';
import { type Problem, sortProblems } from './problem.ts';
import { resolveRules } from './resolve.ts';
import type { RuleSet } from './rule.ts';

/** Folder of the rules that come with lakeseal: the first layer. */
export const SHIPPED_RULES = fileURLToPath(new URL('../rules', import.meta.url));
/** Folder of the lists that come with lakeseal. */
export const SHIPPED_LISTS = fileURLToPath(new URL('../lists', import.meta.url));

export interface RuleFolders {
  /**
   * Files, and folders with all `.yml` and `.yaml` files below them (hidden ones left out): each is
   * a layer, and rules of a later one replace those of an earlier one by their ids.
   */
  layers: readonly string[];
  /** Folders of `NAME.txt` files; one of a later folder replaces that of an earlier one. */
  lists: readonly string[];
  /** Epoch ms, by which filters expire. */
  nowMs: number;
  /**
   * Whether the tests of rules are read and their problems found; read where it is left out. Who only
   * judges events needs none of them.
   */
  tests?: boolean;
}

export type LoadedRules =
  /** In order of layer, file name and place in the file. `warnings` are for people. */
  | { ok: true; set: RuleSet; warnings: Problem[] }
  /** Errors and warnings of all files, in order. */
  | { ok: false; problems: Problem[] };

const FILES_MAX = 20_000;
const FOLDER_DEPTH_MAX = 32;
export const LIST_FILE_BYTES_MAX = 16 * 1024 * 1024;

export function loadRules(folders: RuleFolders): LoadedRules {
  return new RuleLoader().load(folders);
}

interface KnownFile extends ReadDocuments {
  layer: number;
  text: string;
}

/**
 * Loads rules again and again. What comes of it is what `loadRules` makes of the same files; only,
 * what has not changed since the last time is not parsed again.
 */
export class RuleLoader {
  #files = new Map<string, KnownFile>();
  #lists: ReadLists = { texts: new Map(), lists: new Map() };
  readonly #drafts = new Drafts();

  load({ layers, lists, nowMs, tests = true }: RuleFolders): LoadedRules {
    const problems: Problem[] = [];
    const files = new Map<string, KnownFile>();
    for (const { file, layer } of ruleFiles(layers, problems)) {
      const text = readText(file, problems);
      if (text !== null) files.set(file, this.#read(file, layer, text));
    }
    this.#files = files;
    this.#lists = readLists(lists, problems, this.#lists);
    const all = [...files.values()];
    const resolved = resolveRules(
      all.flatMap(({ documents }) => documents),
      { lists: this.#lists.lists, nowMs, tests },
      this.#drafts,
    );
    const found = [...problems, ...all.flatMap((one) => one.problems), ...resolved.problems];
    const sorted = sortProblems(found);
    if (sorted.some((problem) => problem.severity === 'error')) {
      return { ok: false, problems: sorted };
    }
    return { ok: true, set: resolved.set, warnings: sorted };
  }

  #read(file: string, layer: number, text: string): KnownFile {
    const known = this.#files.get(file);
    if (known !== undefined && known.layer === layer && known.text === text) return known;
    return { layer, text, ...readDocuments(file, layer, text) };
  }
}

/** Each file once, in the first layer that names it. */
function ruleFiles(
  layers: readonly string[],
  problems: Problem[],
): { file: string; layer: number }[] {
  const files = new Map<string, number>();
  const visit = (path: string, layer: number, depth: number): void => {
    if (files.size >= FILES_MAX || depth > FOLDER_DEPTH_MAX) {
      problems.push(wholeFile(path, 'too many files or folders', 'name a smaller rule folder'));
      return;
    }
    for (const entry of readdirSync(path).toSorted()) {
      if (entry.startsWith('.')) continue;
      const inner = join(path, entry);
      // A link to a folder is not followed below the folder that was named: it could be a circle.
      if (lstatSync(inner).isDirectory()) visit(inner, layer, depth + 1);
      else if (/\.ya?ml$/i.test(entry) && statSync(inner).isFile() && !files.has(inner)) {
        files.set(inner, layer);
      }
    }
  };
  for (const [layer, path] of layers.entries()) {
    try {
      if (statSync(path).isDirectory()) visit(path, layer, 0);
      else if (!files.has(path)) files.set(path, layer);
    } catch (error) {
      problems.push(unreadable(path, error));
    }
  }
  return [...files].map(([file, layer]) => ({ file, layer }));
}

interface ReadLists {
  /** Of each list's file. */
  texts: ReadonlyMap<string, string>;
  lists: Lists;
}

/** The same lists as `before` where they have not changed. */
function readLists(folders: readonly string[], problems: Problem[], before: ReadLists): ReadLists {
  const files = new Map<string, string>();
  for (const folder of folders) {
    try {
      for (const entry of readdirSync(folder).toSorted()) {
        if (!entry.endsWith('.txt') || entry.startsWith('.')) continue;
        files.set(basename(entry, '.txt'), join(folder, entry));
      }
    } catch (error) {
      problems.push(unreadable(folder, error));
    }
  }
  const texts = new Map<string, string>();
  for (const [name, file] of files) {
    const text = readText(file, problems);
    if (text === null) continue;
    if (Buffer.byteLength(text) > LIST_FILE_BYTES_MAX) {
      problems.push(
        wholeFile(file, `the list is larger than ${LIST_FILE_BYTES_MAX} bytes`, 'split it'),
      );
    } else {
      texts.set(name, text);
    }
  }
  const isSame =
    texts.size === before.texts.size &&
    [...texts].every(([name, text]) => before.texts.get(name) === text);
  if (isSame) return before;
  return { texts, lists: new Map([...texts].map(([name, text]) => [name, parseList(text)])) };
}

function readText(file: string, problems: Problem[]): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(file));
  } catch (error) {
    if (error instanceof TypeError) {
      problems.push(wholeFile(file, 'not UTF-8 text', 'save the file as UTF-8'));
    } else {
      problems.push(unreadable(file, error));
    }
    return null;
  }
}

function unreadable(path: string, error: unknown): Problem {
  const { code } = error as NodeJS.ErrnoException;
  const missing = code === 'ENOENT';
  return wholeFile(
    path,
    missing ? 'no such file or folder' : `cannot be read (${code ?? (error as Error).message})`,
    missing ? 'check the path' : 'check its permissions',
  );
}

function wholeFile(file: string, message: string, hint: string): Problem {
  return { severity: 'error', file, line: 0, column: 0, message, hint };
}
