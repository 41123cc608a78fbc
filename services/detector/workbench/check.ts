/**
 * What there is to say of rule files: errors, warnings, and notes that nobody has to act on. Pure:
 * what loading found comes in, and what enrichment there is.
 */
import type { EnrichmentState } from '../enrich/enrichment.ts';
import { enrichmentNeeds, unmetNeeds } from '../enrich/needs.ts';
import { type Problem, sortProblems } from '../sigma/problem.ts';
import type { RuleHeader, RuleSet } from '../sigma/rule.ts';

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

/**
 * `doubts` are those of the set as a whole: rules that never match, or match everything, or ask more
 * of correlation than there is.
 */
export function checkOf(
  loaded: LoadedForCheck,
  doubts: readonly Problem[],
  enrichment: readonly EnrichmentState[],
): Check {
  const problems = sortProblems([...(loaded.ok ? loaded.warnings : loaded.problems), ...doubts]);
  const notes = loaded.ok ? notesOf(loaded.set, enrichment) : [];
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

function notesOf(set: RuleSet, enrichment: readonly EnrichmentState[]): Finding[] {
  const headers = new Map<string, RuleHeader>();
  for (const rule of [...set.rules, ...set.stateful]) headers.set(rule.id, rule);
  return unmetNeeds(enrichmentNeeds(set), enrichment).map(({ ruleId, title, file, missing }) => {
    const fields = missing.map(({ field }) => field).join(', ');
    const kinds = [
      ...new Set(missing.flatMap(({ anyOf }) => anyOf.map((kind) => `enrich.${kind}`))),
    ];
    return {
      severity: 'note',
      file,
      line: headers.get(ruleId)?.line ?? 0,
      column: 1,
      message: `"${title}" reads ${fields}, which no event has without a database`,
      hint: `configure ${kinds.join(' or ')}, or switch the rule off`,
    };
  });
}

/** 0 clean, 1 errors, 2 only warnings where they count. */
export function checkExitCode({ errors, warnings }: Check, strict: boolean): number {
  if (errors > 0) return 1;
  return strict && warnings > 0 ? 2 : 0;
}
