/**
 * Loading of rules from files and folders: all or nothing. Every problem of every file is found
 * before anything is said, and one error anywhere means that no rule is loaded (promise D3).
 */
import { lstatSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Problem, sortProblems } from './problem.ts';
import type { Rule } from './rule.ts';
import { parseRuleFile } from './rule-file.ts';

/** Folder of the rules that come with lakeseal. */
export const SHIPPED_RULES = fileURLToPath(new URL('../rules', import.meta.url));

export type LoadedRules =
  /** In order of file name, then of place in the file. `warnings` are for people. */
  | { ok: true; rules: Rule[]; warnings: Problem[] }
  /** Errors and warnings of all files, in order. */
  | { ok: false; problems: Problem[] };

const FILES_MAX = 20_000;
const FOLDER_DEPTH_MAX = 32;

/** Files, and folders with all `.yml` and `.yaml` files below them (hidden ones left out). */
export function loadRules(paths: readonly string[]): LoadedRules {
  const problems: Problem[] = [];
  const rules: Rule[] = [];
  for (const file of ruleFiles(paths, problems)) {
    const source = readText(file, problems);
    if (source === null) continue;
    const parsed = parseRuleFile(file, source);
    problems.push(...parsed.problems);
    rules.push(...parsed.rules);
  }
  problems.push(...duplicates(rules));
  const sorted = sortProblems(problems);
  if (sorted.some((problem) => problem.severity === 'error')) {
    return { ok: false, problems: sorted };
  }
  return { ok: true, rules, warnings: sorted };
}

function ruleFiles(paths: readonly string[], problems: Problem[]): string[] {
  const files = new Set<string>();
  const visit = (path: string, depth: number): void => {
    if (files.size >= FILES_MAX || depth > FOLDER_DEPTH_MAX) {
      problems.push(wholeFile(path, 'too many files or folders', 'name a smaller rule folder'));
      return;
    }
    for (const entry of readdirSync(path).toSorted()) {
      if (entry.startsWith('.')) continue;
      const inner = join(path, entry);
      // A link to a folder is not followed below the folder that was named: it could be a circle.
      if (lstatSync(inner).isDirectory()) visit(inner, depth + 1);
      else if (/\.ya?ml$/i.test(entry) && statSync(inner).isFile()) files.add(inner);
    }
  };
  for (const path of paths) {
    try {
      if (statSync(path).isDirectory()) visit(path, 0);
      else files.add(path);
    } catch (error) {
      problems.push(unreadable(path, error));
    }
  }
  return [...files];
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

function duplicates(rules: readonly Rule[]): Problem[] {
  const problems: Problem[] = [];
  const seen = new Map<string, Rule>();
  for (const rule of rules) {
    for (const key of [`id ${rule.id}`, ...(rule.name === null ? [] : [`name ${rule.name}`])]) {
      const first = seen.get(key);
      if (first === undefined) {
        seen.set(key, rule);
        continue;
      }
      const [what, value] = key.split(' ', 2);
      problems.push({
        severity: 'error',
        file: rule.file,
        line: rule.line,
        column: 1,
        message: `the ${what} ${value} is already used at ${first.file}:${first.line}`,
        hint: what === 'id' ? 'give each rule its own; make one with: uuidgen' : 'rename one',
      });
    }
  }
  return problems;
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
