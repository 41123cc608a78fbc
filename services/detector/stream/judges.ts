/** The stateful rules of an engine in the form that `correlation.ts` asks for. Pure. */
import type { Config } from '../../runtime/config.ts';
import { Correlator } from '../correlate/correlator.ts';
import { DEFAULT_LIMITS, type Limits } from '../correlate/limits.ts';
import type { Engine } from './engine.ts';
import type { Judges } from './judge.ts';

/**
 * The limits of one partition of the matches topic. Each has its share of the groups, whoever owns how
 * many of them: what is refused then depends on the matches alone, not on how many detectors run.
 */
export function streamLimits(detect: Config['detect'], partitions: number): Limits {
  const { latenessMs, groupEntriesMax, groupsMax } = detect;
  return {
    latenessMs,
    groupEntriesMax,
    groupsMax: Math.max(1, Math.ceil(groupsMax / partitions)),
    warmGroupsMax: Math.max(1, Math.ceil(DEFAULT_LIMITS.warmGroupsMax / partitions)),
  };
}

export function judgesOf(engine: Engine, limits: Limits): Judges {
  return {
    version: engine.plansVersion,
    plans: new Map([...engine.plans].map(([id, { fingerprint }]) => [id, fingerprint])),
    ruleOf: (ruleId) => engine.ruleOf(ruleId),
    open: () => new Correlator([...engine.plans.values()], limits),
  };
}
