/**
 * What there is to say of rule files: errors, warnings, and notes that nobody has to act on. Pure:
 * what loading found comes in, and what enrichment there is.
 */
import type { EnrichmentState } from '../enrich/enrichment.ts';
import { needsOf, type RuleNeeds, unmetNeeds } from '../enrich/needs.ts';
import { type Problem, sortProblems } from '../sigma/problem.ts';
import type { RuleSet } from '../sigma/rule.ts';

export interface Finding extends Omit<Problem, 'severity'> {
  severity: Problem['severity'] | 'note';
}

export interface Check {
  /** In order of file and line; notes last. */
  findings: Finding[];
  errors: number;
  warnings: number;
  /** null where the set does not load. */
  rules: { single: number; stateful: number; exceptions: number; disabled: number } | null;
}

export type LoadedForCheck =
  | { ok: true; set: RuleSet; warnings: readonly Problem[] }
  | { ok: false; problems: readonly Problem[] };

/** Which files get a note of their own for each rule that needs enrichment that is not there. */
export interface NotedFiles {
  isOwn: (file: string) => boolean;
  /** Where the others are, for one note about all of them; null where they are not asked about. */
  others: string | null;
}

/**
 * `doubts` are those of the set as a whole: rules that never match, or match everything, or ask more
 * of correlation than there is.
 */
export function checkOf(
  loaded: LoadedForCheck,
  doubts: readonly Problem[],
  enrichment: readonly EnrichmentState[],
  noted: NotedFiles,
): Check {
  const problems = sortProblems([...(loaded.ok ? loaded.warnings : loaded.problems), ...doubts]);
  const notes = loaded.ok ? notesOf(loaded.set, enrichment, noted) : [];
  const count = (severity: Problem['severity']): number =>
    problems.filter((problem) => problem.severity === severity).length;
  return {
    findings: [...problems, ...notes],
    errors: count('error'),
    warnings: count('warning'),
    rules: loaded.ok ? sizesOf(loaded.set) : null,
  };
}

function sizesOf({ rules, stateful, exceptions, disabled }: RuleSet): Check['rules'] {
  const own = new Set(stateful.map(({ id }) => id));
  return {
    single: rules.filter(({ id, alerts }) => alerts && !own.has(id)).length,
    stateful: stateful.filter(({ alerts }) => alerts).length,
    exceptions: exceptions.filter(({ expired }) => !expired).length,
    disabled: disabled.length,
  };
}

function notesOf(
  set: RuleSet,
  enrichment: readonly EnrichmentState[],
  { isOwn, others }: NotedFiles,
): Finding[] {
  const lines = new Map([...set.rules, ...set.stateful].map(({ id, line }) => [id, line]));
  const unmet = unmetNeeds(needsOf(set), enrichment);
  const notes = unmet
    .filter(({ file }) => isOwn(file))
    .map(({ ruleId, title, file, missing }): Finding => {
      const fields = missing.map(({ field }) => field).join(', ');
      return {
        severity: 'note',
        file,
        line: lines.get(ruleId) ?? 0,
        column: 1,
        message: `"${title}" reads ${fields}, which no event has without a database`,
        hint: `configure ${settingsFor(missing)}, or switch the rule off`,
      };
    });
  const rest = unmet.filter(({ file }) => !isOwn(file));
  if (others === null || rest.length === 0) return notes;
  const note: Finding = {
    severity: 'note',
    file: others,
    line: 0,
    column: 0,
    message: `${rest.length} of these rules read what no event has without a database`,
    hint: `configure ${settingsFor(rest.flatMap(({ missing }) => missing))}; lakeseal rules list tells which they are`,
  };
  return [...notes, note];
}

/** `enrich.city or enrich.country`. */
function settingsFor(missing: RuleNeeds['fields']): string {
  const kinds = missing.flatMap(({ anyOf }) => anyOf.map((kind) => `enrich.${kind}`));
  return [...new Set(kinds)].join(' or ');
}

/** 0 clean, 1 errors, 2 only warnings where they count. */
export function checkExitCode({ errors, warnings }: Check, strict: boolean): number {
  if (errors > 0) return 1;
  return strict && warnings > 0 ? 2 : 0;
}
