/** What `status` tells of the rules, from the files as they are now. Reads only. */
import { openEnrichment } from '../detector/enrich/enrichment.ts';
import { needsOf, type RuleNeeds, unmetNeeds } from '../detector/enrich/needs.ts';
import { describeProblem } from '../detector/sigma/problem.ts';
import { loadRules, SHIPPED_RULES } from '../detector/sigma/rules.ts';
import { ruleFolders } from '../detector/stream/rules-in-force.ts';
import type { Config } from '../runtime/config.ts';

/** Of the files as they are now, which a running detector has taken within `detect.reloadMs`. */
export interface RuleStatus {
  /** Rules that alert, by whether they came with lakeseal; `stateful` of both are over many events. */
  shipped: number;
  own: number;
  stateful: number;
  problems: string[];
  /** Exceptions in force, and titles of those that have expired. */
  exceptions: number;
  expired: string[];
  /** Each configured GeoIP or ASN file. */
  enrichment: Array<{ what: string; file: string; ok: boolean; detail: string }>;
  /** Which rules read fields that only such a file gives, or values of a list file. */
  needs: Array<Omit<RuleNeeds, 'file'>>;
  /** Titles of rules that can say nothing without a file that is not there. */
  blind: string[];
}

export function readRules({ detect, enrich }: Config, nowMs: number): RuleStatus {
  const loaded = loadRules(ruleFolders(detect, nowMs));
  const states = openEnrichment(enrich).enrichmentStatus();
  const enrichment = states.map(({ what, file, ok, detail }) => ({ what, file, ok, detail }));
  if (!loaded.ok) {
    const problems = loaded.problems.map(describeProblem);
    return {
      shipped: 0,
      own: 0,
      stateful: 0,
      problems,
      exceptions: 0,
      expired: [],
      enrichment,
      needs: [],
      blind: [],
    };
  }
  const { rules, stateful, exceptions } = loaded.set;
  const needs = needsOf(loaded.set);
  const alerting = [...rules, ...stateful].filter(({ alerts }) => alerts);
  const shipped = alerting.filter(({ file }) => file.startsWith(SHIPPED_RULES)).length;
  return {
    shipped,
    own: alerting.length - shipped,
    stateful: stateful.filter(({ alerts }) => alerts).length,
    problems: loaded.warnings.map(describeProblem),
    exceptions: exceptions.filter(({ expired }) => !expired).length,
    expired: exceptions.filter(({ expired }) => expired).map(({ title }) => title),
    enrichment,
    needs: needs.map(({ file: _, ...need }) => need),
    blind: unmetNeeds(needs, states).map(({ title }) => title),
  };
}
