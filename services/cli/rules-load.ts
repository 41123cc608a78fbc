/** Which rule layers a command of `rules` looks at, and their loading. */
import { describeProblem, type Problem } from '../detector/sigma/problem.ts';
import type { RuleSet } from '../detector/sigma/rule.ts';
import { loadRules, SHIPPED_LISTS, SHIPPED_RULES } from '../detector/sigma/rules.ts';
import type { Config } from '../runtime/config.ts';
import type { Terminal } from './terminal.ts';

export interface LayerFlags {
  /** False: the rules that lakeseal ships are left out. */
  shippedRules: boolean;
  lists?: string[];
}

export interface Layers {
  /** Paths in order; a later one wins. */
  layers: string[];
  /** Those of `layers` that lakeseal does not ship. */
  own: readonly string[];
  /** Folders of list files, the shipped one first. */
  lists: string[];
  shipped: boolean;
}

/** From the command line where it names paths, else from the configuration. */
export function layersOf(
  paths: readonly string[],
  flags: LayerFlags,
  config: () => Config,
): Layers {
  const { detect } = paths.length === 0 ? config() : { detect: null };
  const own = detect?.rules ?? paths;
  const shipped = flags.shippedRules && (detect?.shippedRules ?? true);
  return {
    layers: [...(shipped ? [SHIPPED_RULES] : []), ...own],
    own,
    lists: [SHIPPED_LISTS, ...(flags.lists ?? detect?.lists ?? [])],
    shipped,
  };
}

/** Whether a rule file was read because of a path: as that file, or in that folder. */
export function isUnder(file: string, path: string): boolean {
  const folder = path.replace(/\/+$/, '').replace(/^\.\//, '');
  return file === path || file === folder || file.startsWith(`${folder}/`) || path === '.';
}

/** The rule set, or null after every problem was told. Warnings are not told: `check` does that. */
export function loadOrTell(terminal: Terminal, layers: Layers, nowMs: number): RuleSet | null {
  const loaded = loadRules({ layers: layers.layers, lists: layers.lists, nowMs });
  if (loaded.ok) return loaded.set;
  tellProblems(terminal, loaded.problems);
  return null;
}

function tellProblems(terminal: Terminal, problems: readonly Problem[]): void {
  terminal.err(problems.map(describeProblem).join('\n'));
  terminal.err(
    'lakeseal rules: error: no rule was loaded, because of the errors above (RULES_INVALID)',
  );
  terminal.err('hint: mend them; lakeseal rules check tells them again');
}
