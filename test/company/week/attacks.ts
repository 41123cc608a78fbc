/**
 * The attacks told in the week: those that one event gives away (the ones of the company day) and
 * those that only several events give away together. Each has people of its own, a time when it
 * makes sense, and the rules of which one must raise. Pure and seeded.
 */
import { planAttacks } from '../attacks.ts';
import type { Principal } from '../company.ts';
import type { Random } from '../random.ts';
import { ACCESS_PLOTS } from './attacks-access.ts';
import { CONTROL_PLOTS } from './attacks-control.ts';
import { DATA_PLOTS } from './attacks-data.ts';
import { MACHINE_PLOTS } from './attacks-machines.ts';
import { SHARING_PLOTS } from './attacks-sharing.ts';
import type { Person, WeekCompany } from './company.ts';
import type { Planned } from './people.ts';
import { HOUR_MS, type Scheme, type Stage, type Step } from './stage.ts';

export interface ToldWeekAttack {
  behaviour: string;
  title: string;
  rules: readonly string[];
  actors: readonly string[];
  workspaceIds: readonly string[];
  /** Of its first and last event or silence, epoch ms. */
  firstMs: number;
  lastMs: number;
  events: number;
  quiet: { workspaceId: string; fromMs: number; untilMs: number } | null;
}

export interface PlannedAttacks {
  told: ToldWeekAttack[];
  /** In order of time. */
  planned: Planned[];
}

const DAY_MS = 86_400_000;

export const SCHEMES: Readonly<Record<string, Scheme>> = {
  ...ACCESS_PLOTS,
  ...CONTROL_PLOTS,
  ...DATA_PLOTS,
  ...MACHINE_PLOTS,
  ...SHARING_PLOTS,
};

export const WEEK_BEHAVIOURS: readonly string[] = Object.keys(SCHEMES);

/** All attacks of a week that begins at `weekMs`. */
export function planWeekAttacks(
  company: WeekCompany,
  weekMs: number,
  random: Random,
): PlannedAttacks {
  const told: ToldWeekAttack[] = [];
  const planned: Planned[] = [];
  const cast = company.persons.filter(
    ({ firstDay, trip, role }) => firstDay < 0 && trip === null && role !== 'admin',
  );
  for (const [at, [behaviour, scheme]] of Object.entries(SCHEMES).entries()) {
    const startMs = weekMs + scheme.day * DAY_MS + scheme.hour * HOUR_MS;
    const stage = stageOf(company, cast, at, startMs, random.fork(behaviour));
    const events = scheme.steps(stage).map((step) => placed(stage, behaviour, step));
    planned.push(...events);
    told.push(tell(behaviour, scheme, stage, events));
  }
  for (const attack of planAttacks(company, random.fork('single'))) {
    if (attack.kind !== 'single' || attack.rule === null) continue;
    // In office hours of the week's first five days, in turn.
    const day = told.length % 5;
    const startMs = weekMs + day * DAY_MS + (7 + 10 * random.float()) * HOUR_MS;
    const events = attack.events.map(({ workspace, afterMs, action }) => ({
      atMs: Math.round(startMs + afterMs),
      workspace,
      action,
      told: attack.behaviour,
    }));
    planned.push(...events);
    const { behaviour, title, rule } = attack;
    told.push(telling(behaviour, title, [rule], events, null));
  }
  return { told, planned: planned.sort((left, right) => left.atMs - right.atMs) };
}

function stageOf(
  company: WeekCompany,
  cast: readonly Person[],
  at: number,
  startMs: number,
  random: Random,
): Stage {
  const one = (offset: number): Person => cast[(at * 2 + offset) % cast.length]!;
  const seated = (person: Person): Principal => ({
    ...person,
    addresses: [person.region.office[0]!],
    sessionId: `webapp-cons-${random.uuid()}`,
  });
  return {
    company,
    random,
    workspace: one(0).desks[0]!,
    victim: seated(one(0)),
    insider: seated(one(1)),
    others: cast.filter((person) => person !== one(0) && person !== one(1)),
    startMs,
  };
}

function placed(stage: Stage, told: string, step: Step): Planned {
  const { afterMs, action, workspace = stage.workspace } = step;
  return { atMs: Math.round(stage.startMs + afterMs), workspace, action, told };
}

function tell(behaviour: string, scheme: Scheme, stage: Stage, events: Planned[]): ToldWeekAttack {
  const quiet = scheme.quiet?.(stage) ?? null;
  return telling(
    behaviour,
    scheme.title,
    scheme.rules,
    events,
    quiet === null
      ? null
      : {
          workspaceId: quiet.workspaceId,
          fromMs: stage.startMs + quiet.afterMs,
          untilMs: stage.startMs + quiet.afterMs + quiet.forMs,
        },
  );
}

function telling(
  behaviour: string,
  title: string,
  rules: readonly string[],
  events: readonly Planned[],
  quiet: ToldWeekAttack['quiet'],
): ToldWeekAttack {
  const times = [
    ...events.map(({ atMs }) => atMs),
    ...(quiet === null ? [] : [quiet.fromMs, quiet.untilMs]),
  ];
  const places = events.map(({ action, workspace }) => (action.account ? '0' : workspace.id));
  return {
    behaviour,
    title,
    rules,
    actors: [...new Set(events.map(({ action }) => action.email ?? 'unknown'))],
    workspaceIds: [...new Set(quiet === null ? places : [...places, quiet.workspaceId])],
    firstMs: Math.min(...times),
    lastMs: Math.max(...times),
    events: events.length,
    quiet,
  };
}
