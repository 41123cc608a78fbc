/**
 * A company's week as lines in the order of their arrival: people and machines, routines, told
 * attacks, late and repeated files. Two weeks without most of the chatter go before it, so that what is learnt per person
 * (where from, how much) has been learnt when the attacks come. Pure and streamed: the same options
 * give the same lines, and no more than some minutes of them are held at once.
 */
import type { Workspace } from '../company.ts';
import type { DayLine } from '../day.ts';
import { type Action, renderLine } from '../line.ts';
import { Random, Weighted } from '../random.ts';
import { workOf } from '../traffic.ts';
import { planWeekAttacks, type ToldWeekAttack } from './attacks.ts';
import { createWeekCompany, type Machine, type WeekCompany } from './company.ts';
import { Delivery } from './delivery.ts';
import { type DayOf, type Planned, personDay } from './people.ts';
import { routineDay } from './routine.ts';

export interface WeekOptions {
  seed: number;
  /** Distinct events of the week itself, attacks included. At least `WEEK_EVENTS_MIN`. */
  events: number;
  /** Days before the week, without most of the chatter. Default 14. */
  leadInDays?: number;
  workspaces?: number;
  /** First day, UTC, `yyyy-mm-dd`; a Monday. */
  firstDay?: string;
  /** Leave the attacks out. */
  benign?: boolean;
}

export interface CompanyWeek {
  company: WeekCompany;
  told: readonly ToldWeekAttack[];
  /** Midnight before the first line and before the week, epoch ms. */
  startMs: number;
  weekMs: number;
  lines(): Generator<DayLine>;
}

/** Fewer leave no room for traffic beside routines and attacks. */
export const WEEK_EVENTS_MIN = 100_000;
export const WEEK_DAYS = 7;
export const FIRST_DAY = '2026-11-23';

const DAY_MS = 86_400_000;
const SLOT_MS = 60_000;
const SLOTS = DAY_MS / SLOT_MS;
const WORKSPACES_DEFAULT = 7;
const LEAD_IN_DAYS_DEFAULT = 14;
/**
 * Signing in, running commands and looking things up makes most of what machines do. Before the week
 * nearly all of it is left out, and nothing else: what is measured per machine and day (files, secrets,
 * clusters, data, deletions) must not jump on Monday.
 */
const CHATTER = new Set([
  'getCatalog',
  'getSchema',
  'getTable',
  'listTables',
  'oidcTokenAuthorization',
  'tokenLogin',
  'workspaceInHouseOAuthClientAuthentication',
  'accountInHouseOAuthClientAuthentication',
  'mintOAuthToken',
  'runCommand',
]);
const CHATTER_KEPT = 0.02;
const WEEKEND_SHARE = 0.75;
/** Share of a working day's events that people cause beside routines. */
const HUMAN_SHARE = 0.11;
const MONDAY = 1;

export function companyWeek(options: WeekOptions): CompanyWeek {
  const { seed, events, leadInDays = LEAD_IN_DAYS_DEFAULT, benign = false } = options;
  if (events < WEEK_EVENTS_MIN) {
    throw new RangeError(`a company week has at least ${WEEK_EVENTS_MIN} events`);
  }
  const weekMs = Date.parse(`${options.firstDay ?? FIRST_DAY}T00:00:00Z`);
  if (new Date(weekMs).getUTCDay() !== MONDAY) throw new RangeError('a week begins on a Monday');
  const company = createWeekCompany(seed, events, options.workspaces ?? WORKSPACES_DEFAULT);
  const random = new Random(seed).fork('week');
  const attacks = benign
    ? { told: [], planned: [] }
    : planWeekAttacks(company, weekMs, random.fork('attacks'));
  const startMs = weekMs - leadInDays * DAY_MS;
  return {
    company,
    told: attacks.told,
    startMs,
    weekMs,
    lines: () =>
      new Week(company, attacks.told, attacks.planned, events, leadInDays, weekMs, seed).lines(),
  };
}

interface Slotted extends Planned {
  workspaceId: string;
}

class Week {
  readonly #company: WeekCompany;
  readonly #told: readonly ToldWeekAttack[];
  readonly #attacks: readonly Planned[];
  readonly #events: number;
  readonly #leadInDays: number;
  readonly #weekMs: number;
  readonly #random: Random;
  readonly #delivery: Delivery;
  readonly #staff: Staff;
  /** By minute since the epoch. */
  readonly #slots = new Map<number, Slotted[]>();
  /** As far as planned: all, and of the week itself. */
  #planned = 0;
  #count = 0;

  constructor(
    company: WeekCompany,
    told: readonly ToldWeekAttack[],
    attacks: readonly Planned[],
    events: number,
    leadInDays: number,
    weekMs: number,
    seed: number,
  ) {
    this.#company = company;
    this.#told = told;
    this.#attacks = attacks;
    this.#events = events;
    this.#leadInDays = leadInDays;
    this.#weekMs = weekMs;
    this.#random = new Random(seed).fork('week-lines');
    this.#delivery = new Delivery(this.#random.fork('delivery'));
    this.#staff = new Staff(company);
  }

  *lines(): Generator<DayLine> {
    let slot = 0;
    for (let at = -this.#leadInDays; at < WEEK_DAYS; at += 1) {
      const day = dayOf(at, this.#weekMs);
      const background = this.#planDay(day);
      slot = day.startMs / SLOT_MS;
      for (let minute = 0; minute < SLOTS; minute += 1) {
        background(minute);
        yield* this.#delivery.through(slot + minute, this.#take(slot + minute));
      }
    }
    // Answers to what was asked in the last minutes, and Sunday evening in the far west.
    for (let rest = slot + SLOTS; this.#slots.size > 0; rest += 1) {
      yield* this.#delivery.through(rest, this.#take(rest));
    }
    yield* this.#delivery.rest();
  }

  /** Plans people, routines and attacks of a day; what is returned fills in machines by the minute. */
  #planDay(day: DayOf): (minute: number) => void {
    const random = this.#random.fork(`day ${day.day}`);
    const perDay = (this.#events / WEEK_DAYS) * (day.weekend ? WEEKEND_SHARE : 1.1);
    const before = this.#planned;
    const busy = ((this.#events / WEEK_DAYS) * HUMAN_SHARE) / this.#company.persons.length;
    for (const person of this.#company.persons) {
      for (const one of personDay(person, day, busy, random)) this.#add(one);
    }
    for (const one of routineDay(this.#company, day, random.fork('routine'))) this.#add(one);
    for (const one of this.#attacks) {
      if (one.atMs >= day.startMs && one.atMs < day.startMs + DAY_MS) this.#add(one);
    }
    let budget = Math.round(perDay - (this.#planned - before));
    if (day.day === WEEK_DAYS - 1) budget = this.#events - this.#count;
    return this.#background(day, Math.max(0, budget), random.fork('background'));
  }

  #background(day: DayOf, budget: number, random: Random): (minute: number) => void {
    let made = 0;
    return (minute) => {
      const due = Math.round(budget * shareUntil(minute));
      while (made < due) {
        const { workspace, machine } = this.#staff.draw(random);
        const atMs = day.startMs + minute * SLOT_MS + random.int(SLOT_MS);
        const who = { ...machine, addresses: [random.pick(machine.addresses)] };
        const scene = { company: machine.view, workspace, random, who, atMs };
        const activity = workOf('machine', scene).slice(0, budget - made);
        made += activity.length;
        const chatter = day.day < 0 && CHATTER.has(activity[0]?.action ?? '');
        if (chatter && !random.chance(CHATTER_KEPT)) continue;
        for (const { afterMs, ...action } of activity) {
          this.#add({ atMs: atMs + (afterMs ?? 0), workspace, action });
        }
      }
    };
  }

  #add({ atMs: exactMs, ...rest }: Planned): void {
    const planned = { ...rest, atMs: Math.round(exactMs) };
    const workspaceId = placeOf(planned.workspace, planned.action);
    if (this.#silenced(workspaceId, planned.atMs)) return;
    const slot = Math.floor(planned.atMs / SLOT_MS);
    const one = { ...planned, workspaceId };
    const slotted = this.#slots.get(slot);
    if (slotted === undefined) this.#slots.set(slot, [one]);
    else slotted.push(one);
    this.#planned += 1;
    if (planned.atMs >= this.#weekMs) this.#count += 1;
  }

  /** What is silenced never happened: the log of that time is lost for good. */
  #silenced(workspaceId: string, atMs: number): boolean {
    return this.#told.some(
      ({ quiet }) =>
        quiet !== null &&
        quiet.workspaceId === workspaceId &&
        atMs >= quiet.fromMs &&
        atMs < quiet.untilMs,
    );
  }

  #take(slot: number): DayLine[] {
    const slotted = this.#slots.get(slot);
    if (slotted === undefined) return [];
    this.#slots.delete(slot);
    slotted.sort((left, right) => left.atMs - right.atMs);
    return slotted.map(({ workspace, workspaceId, atMs, action, told }) => ({
      workspaceId,
      date: new Date(atMs).toISOString().slice(0, 10),
      atMs,
      line: renderLine(this.#company, workspace, atMs, action),
      ...(told === undefined ? {} : { told }),
    }));
  }
}

/** Who of the machines does something next, and where. */
class Staff {
  readonly #workspaces: Weighted<Workspace>;
  readonly #machines = new Map<string, Machine[]>();

  constructor(company: WeekCompany) {
    this.#workspaces = new Weighted(company.workspaces.map((one) => [one.weight, one] as const));
    const busy = company.machines.filter(({ duty }) => duty === 'etl' || duty === 'app');
    for (const { id } of company.workspaces) {
      const here = busy.filter(({ desks }) => desks.some((desk) => desk.id === id));
      this.#machines.set(id, here.length === 0 ? busy.slice(0, 1) : here);
    }
  }

  draw(random: Random): { workspace: Workspace; machine: Machine } {
    const workspace = this.#workspaces.draw(random);
    return { workspace, machine: random.pickSkewed(this.#machines.get(workspace.id)!) };
  }
}

function dayOf(day: number, weekMs: number): DayOf {
  const startMs = weekMs + day * DAY_MS;
  return { day, startMs, weekend: [0, 6].includes(new Date(startMs).getUTCDay()) };
}

function placeOf(workspace: Workspace, action: Action): string {
  return action.account === true ? '0' : workspace.id;
}

/** Share of a machine's day that is over at the end of a minute: steady, busier on the hour. */
const CURVE = ((): number[] => {
  let sum = 0;
  const curve = Array.from({ length: SLOTS }, (_, minute) => {
    sum += 1 + (minute % 60 < 5 ? 1.2 : 0) + (minute >= 60 && minute < 180 ? 0.8 : 0);
    return sum;
  });
  return curve.map((value) => value / sum);
})();

const shareUntil = (minute: number): number => CURVE[minute] ?? 1;
