/**
 * The rules in force, and how others take their place (promise D3): all or nothing, while events are
 * judged, without losing what rules of the same meaning have in hand. A set that does not load leaves
 * the previous one in force, names every problem with its place, and shows in a metric and in the
 * readiness until it is mended.
 *
 * Between two detectors the change is not at one moment. What holds meanwhile:
 *
 * - a rule of which the meaning stays (kind, threshold, window, group-by, the rules below it) loses
 *   nothing. Its alerts are those of `scan`, and where what it selects is changed, or an exception comes
 *   or goes, each event counts as whoever reads it judges it;
 * - a meaning that is new begins with the first event that anybody judges by it. Its alerts are those of
 *   `scan` over the events that were judged by it: all from where the last detector has it, and before
 *   that those that others read. One who does not have it yet waits with its matches (`plan-hold.ts`);
 * - a meaning that is replaced, or switched off, ends in each group at some match in between. Its alerts
 *   until there stay, and its state for a week, apart from that of the new one: changed back, it goes on
 *   from there, without what was judged by the other meanwhile.
 *
 * The files are looked at from time to time by their times and sizes, and at once on SIGHUP. A change
 * is taken when it has stood still for a moment: an editor or a roll-out writes more than one file.
 */
import type { Clock } from '../../runtime/clock.ts';
import type { Config } from '../../runtime/config.ts';
import type { Log } from '../../runtime/log.ts';
import { counted } from '../../runtime/wording.ts';
import type { Limits } from '../correlate/limits.ts';
import type { PlaceSource } from '../fields/place.ts';
import { describeProblem, type Problem, sortProblems } from '../sigma/problem.ts';
import {
  type LoadedRules,
  loadRules,
  type RuleFolders,
  SHIPPED_LISTS,
  SHIPPED_RULES,
} from '../sigma/rules.ts';
import { Engine, planProblems } from './engine.ts';

/** Where the rules and lists of this configuration are, shipped ones first. */
export function ruleFolders(detect: Config['detect'], nowMs: number): RuleFolders {
  return {
    layers: detect.shippedRules ? [SHIPPED_RULES, ...detect.rules] : detect.rules,
    lists: [SHIPPED_LISTS, ...detect.lists],
    nowMs,
    tests: false,
  };
}

export type LoadedEngine =
  | { ok: true; engine: Engine; warnings: Problem[] }
  | { ok: false; problems: Problem[] };

/** Reads and prepares everything; nothing of it is in force yet. */
export function loadEngine(
  folders: RuleFolders,
  places: PlaceSource,
  limits: Limits,
  load: (folders: RuleFolders) => LoadedRules = loadRules,
): LoadedEngine {
  const loaded = load(folders);
  if (!loaded.ok) return loaded;
  const problems = planProblems(loaded.set, limits);
  if (problems.length > 0) {
    return { ok: false, problems: sortProblems([...problems, ...loaded.warnings]) };
  }
  return { ok: true, engine: new Engine(loaded.set, places), warnings: loaded.warnings };
}

export interface ReloadParts {
  /** Of the files as they are: another text for another content, for all that one can tell. */
  stamp: () => Promise<string>;
  load: (nowMs: number) => LoadedEngine;
  clock: Clock;
  log: Log;
  rulesLoaded: (count: number) => void;
  rulesCurrent: (current: boolean) => void;
  ready: (ok: boolean, reason?: string) => void;
}

/** How long files must stand still before they are taken. */
const STILL_MS = 300;
/** Files that never stand still are taken as they are after so many looks. */
const LOOKS_MAX = 20;

export class RulesInForce {
  readonly #parts: ReloadParts;
  #engine: Engine;
  /** Of the files as they were when they were last loaded, with or without success. */
  #stamp: string;

  private constructor(parts: ReloadParts, engine: Engine, stamp: string) {
    this.#parts = parts;
    this.#engine = engine;
    this.#stamp = stamp;
  }

  /** The first set; where it does not load there is nothing to go on with. */
  static async open(
    parts: ReloadParts,
  ): Promise<{ ok: true; rules: RulesInForce } | { ok: false; problems: Problem[] }> {
    const stamp = await parts.stamp();
    const loaded = parts.load(parts.clock.now());
    if (!loaded.ok) return loaded;
    const rules = new RulesInForce(parts, loaded.engine, stamp);
    rules.#tell(loaded.warnings);
    return { ok: true, rules };
  }

  get engine(): Engine {
    return this.#engine;
  }

  /**
   * Looks at the files once, and takes them where they have changed, where an exception has expired
   * since, or where it is `asked` for. True where other rules are in force from now on.
   */
  async look(asked: boolean, signal: AbortSignal): Promise<boolean> {
    const { clock } = this.#parts;
    const found = await this.#parts.stamp();
    const expired = this.#hasExpired(clock.now());
    if (found === this.#stamp && !asked && !expired) return false;
    const stamp = found === this.#stamp ? found : await this.#still(found, signal);
    if (signal.aborted) return false;
    this.#stamp = stamp;
    return this.#take();
  }

  async #still(first: string, signal: AbortSignal): Promise<string> {
    const { clock } = this.#parts;
    let before = first;
    for (let looks = 0; looks < LOOKS_MAX && !signal.aborted; looks += 1) {
      await clock.sleep(STILL_MS, signal);
      const now = await this.#parts.stamp();
      if (now === before) return now;
      before = now;
    }
    return before;
  }

  #hasExpired(nowMs: number): boolean {
    return this.#engine.set.exceptions.some(
      ({ expired, expiresMs }) => !expired && expiresMs !== null && expiresMs <= nowMs,
    );
  }

  #take(): boolean {
    const { log, clock, ready, rulesCurrent } = this.#parts;
    const loaded = this.#parts.load(clock.now());
    if (!loaded.ok) {
      const isError = ({ severity }: Problem): boolean => severity === 'error';
      const errors = loaded.problems.filter(isError).map(describeProblem);
      this.#doubt(loaded.problems.filter((problem) => !isError(problem)));
      for (const problem of errors) log.error({ problem }, 'a rule does not load');
      const told = { errors: errors.length };
      log.error(told, 'the rules on disk do not load; those of before stay in force');
      rulesCurrent(false);
      const count = counted(errors.length, 'error');
      ready(false, `the rules on disk do not load (${count}): ${errors[0]}`);
      return false;
    }
    this.#engine = loaded.engine;
    this.#tell(loaded.warnings);
    log.info({ rules: loaded.engine.alerting }, 'other rules are in force');
    return true;
  }

  #tell(warnings: Problem[]): void {
    const { ready, rulesCurrent, rulesLoaded } = this.#parts;
    this.#doubt(warnings);
    rulesLoaded(this.#engine.alerting);
    rulesCurrent(true);
    ready(true);
  }

  #doubt(warnings: Problem[]): void {
    for (const warning of warnings) {
      this.#parts.log.warn({ problem: describeProblem(warning) }, 'a rule is doubtful');
    }
  }
}
