/**
 * A company day as lines: ordinary traffic with its daily curve, the told attacks in it, and the
 * repeats that log delivery makes. Pure: the same options give the same lines.
 *
 * `events` counts distinct events; repeated lines come on top. Lines come in time order per
 * workspace, roughly: as in real deliveries, an answer may stand before a question of another.
 */
import { type Attack, planAttacks } from './attacks.ts';
import { type Company, createCompany, type Workspace } from './company.ts';
import { type Action, renderLine } from './line.ts';
import { Random } from './random.ts';
import { type Kind, ordinaryActivity } from './traffic.ts';

export interface DayOptions {
  seed: number;
  /** Distinct events, attacks included. At least `EVENTS_MIN`. */
  events: number;
  days?: number;
  workspaces?: number;
  /** First day, UTC, `yyyy-mm-dd`. */
  firstDay?: string;
  /** Leave the attacks out. */
  benign?: boolean;
}

export interface DayLine {
  /** Of the delivery path: `0` is the account. */
  workspaceId: string;
  /** `yyyy-mm-dd`, UTC, of the event. */
  date: string;
  atMs: number;
  line: string;
  /** The behaviour of the attack it belongs to. */
  told?: string;
  /** Whether this event alone should raise an alert. */
  raises?: boolean;
  /** The same line came before. */
  repeat?: true;
}

/** One attack as the day tells it afterwards. */
export interface ToldAttack {
  behaviour: string;
  title: string;
  kind: Attack['kind'];
  /** File name, without ending, of the shipped rule that raises. */
  rule: string | null;
  /** Who does it, as the events name them. */
  actors: string[];
  workspaceIds: string[];
  serviceName: string;
  actionName: string;
  /** First and last event, ISO 8601. */
  first: string;
  last: string;
  events: number;
  /** Events that alone should raise an alert; 0 where only several do. */
  raising: number;
}

export const EVENTS_MIN = 1_000;
export const FIRST_DAY = '2026-11-23';
const WORKSPACES_DEFAULT = 5;

const DAY_MS = 86_400_000;
const SLOT_MS = 60_000;
const SLOTS = DAY_MS / SLOT_MS;
/** Share of the events that people cause; machines cause the rest. */
const HUMAN_SHARE = 0.1;
/** Share of the minutes of a workspace in which delivery repeats its last lines. */
const REPEAT_CHANCE = 0.002;
const REPEAT_LINES_MAX = 20;

interface Pending extends Omit<DayLine, 'date'> {}

export interface CompanyDay {
  company: Company;
  told: ToldAttack[];
  lines(): Generator<DayLine>;
}

export function companyDay(options: DayOptions): CompanyDay {
  if (options.events < EVENTS_MIN) {
    throw new RangeError(`a company day has at least ${EVENTS_MIN} events`);
  }
  const days = options.days ?? 1;
  const startMs = Date.parse(`${options.firstDay ?? FIRST_DAY}T00:00:00Z`);
  if (Number.isNaN(startMs)) throw new RangeError(`not a day: ${options.firstDay}`);
  const perDay = Math.ceil(options.events / days);
  const company = createCompany(options.seed, perDay, options.workspaces ?? WORKSPACES_DEFAULT);
  const random = new Random(options.seed);
  const attacks = options.benign === true ? [] : planAttacks(company, random.fork('attacks'));
  const placed = placeAttacks(attacks, startMs, days, random.fork('times'));
  return {
    company,
    told: placed.map(tell),
    lines: () =>
      generate(company, placed, { startMs, days, events: options.events }, random.fork('day')),
  };
}

interface PlacedAttack {
  attack: Attack;
  startMs: number;
}

/** Spread over all days, none so late that it would run into the day after the last. */
function placeAttacks(
  attacks: Attack[],
  startMs: number,
  days: number,
  random: Random,
): PlacedAttack[] {
  return attacks.map((attack) => {
    const lengthMs = attack.events.at(-1)!.afterMs;
    const latest = days * DAY_MS - lengthMs - SLOT_MS;
    return { attack, startMs: startMs + random.int(latest) };
  });
}

function tell({ attack, startMs }: PlacedAttack): ToldAttack {
  const raising = attack.events.filter((event) => event.raises);
  const deciding = raising[0] ?? attack.events.at(-1)!;
  const iso = (ms: number): string => new Date(ms).toISOString();
  return {
    behaviour: attack.behaviour,
    title: attack.title,
    kind: attack.kind,
    rule: attack.rule,
    actors: [...new Set(attack.events.map(({ action }) => action.email ?? 'unknown'))],
    workspaceIds: [
      ...new Set(attack.events.map((event) => placeOf(event.workspace, event.action))),
    ],
    serviceName: deciding.action.service,
    actionName: deciding.action.action,
    first: iso(startMs + attack.events[0]!.afterMs),
    last: iso(startMs + attack.events.at(-1)!.afterMs),
    events: attack.events.length,
    raising: raising.length,
  };
}

function placeOf(workspace: Workspace, action: Action): string {
  return action.account === true ? '0' : workspace.id;
}

interface Span {
  startMs: number;
  days: number;
  events: number;
}

function* generate(
  company: Company,
  attacks: PlacedAttack[],
  span: Span,
  random: Random,
): Generator<DayLine> {
  const schedule = new Schedule(span.startMs);
  for (const placed of attacks) scheduleAttack(schedule, company, placed);
  const ordinary = span.events - schedule.count;
  const streams = createStreams(company, ordinary, span.days, random);
  const repeater = new Repeater(random.fork('repeats'));
  const slots = span.days * SLOTS;
  for (let slot = 0; slot < slots; slot += 1) {
    for (const stream of streams) stream.fill(slot, schedule);
    yield* dated(repeater.through(schedule.take(slot)));
  }
  // Answers to what was asked in the last minutes.
  yield* dated(schedule.rest());
}

function* dated(lines: Iterable<Pending>): Generator<DayLine> {
  for (const line of lines) yield { ...line, date: new Date(line.atMs).toISOString().slice(0, 10) };
}

function scheduleAttack(schedule: Schedule, company: Company, placed: PlacedAttack): void {
  const { attack, startMs } = placed;
  for (const { workspace, afterMs, action, raises } of attack.events) {
    const atMs = startMs + afterMs;
    schedule.add({
      workspaceId: placeOf(workspace, action),
      atMs,
      line: renderLine(company, workspace, atMs, action),
      told: attack.behaviour,
      raises,
    });
  }
}

/** Lines by the minute they come in. */
class Schedule {
  /** Of the first slot, milliseconds since the epoch. */
  readonly startMs: number;
  readonly #slots = new Map<number, Pending[]>();
  count = 0;

  constructor(startMs: number) {
    this.startMs = startMs;
  }

  add(line: Pending): void {
    const slot = Math.floor((line.atMs - this.startMs) / SLOT_MS);
    const lines = this.#slots.get(slot);
    if (lines === undefined) this.#slots.set(slot, [line]);
    else lines.push(line);
    this.count += 1;
  }

  take(slot: number): Pending[] {
    const lines = this.#slots.get(slot) ?? [];
    this.#slots.delete(slot);
    return lines.sort((a, b) => a.atMs - b.atMs);
  }

  rest(): Pending[] {
    const lines = [...this.#slots.values()].flat();
    this.#slots.clear();
    return lines.sort((a, b) => a.atMs - b.atMs);
  }
}

interface Stream {
  fill(slot: number, schedule: Schedule): void;
}

/** People and machines of each workspace, each with exactly its share of the events. */
function createStreams(company: Company, events: number, days: number, random: Random): Stream[] {
  const shares = company.workspaces.flatMap((workspace) => [
    { workspace, kind: 'machine' as const, weight: workspace.weight * (1 - HUMAN_SHARE) },
    { workspace, kind: 'human' as const, weight: workspace.weight * HUMAN_SHARE },
  ]);
  const total = shares.reduce((sum, share) => sum + share.weight, 0);
  let given = 0;
  let weight = 0;
  return shares.map((share) => {
    weight += share.weight;
    const upTo = Math.round((events * weight) / total);
    const own = upTo - given;
    given = upTo;
    const label = `${share.workspace.id}/${share.kind}`;
    return createStream(company, share.workspace, share.kind, own, days, random.fork(label));
  });
}

function createStream(
  company: Company,
  workspace: Workspace,
  kind: Kind,
  events: number,
  days: number,
  random: Random,
): Stream {
  const curve = cumulativeCurve(workspace, kind, days);
  const whole = curve.at(-1)!;
  let made = 0;
  return {
    fill(slot, schedule) {
      const due = slot === curve.length - 1 ? events : Math.floor((events * curve[slot]!) / whole);
      const slotMs = slot * SLOT_MS;
      while (made < due) {
        const atMs = schedule.startMs + slotMs + random.int(SLOT_MS);
        const activity = ordinaryActivity(company, workspace, kind, random, atMs);
        // An activity that would pass the number asked for is cut short, as by a rotating log.
        for (const { afterMs, ...action } of activity.slice(0, events - made)) {
          const eventMs = atMs + (afterMs ?? 0);
          schedule.add({
            workspaceId: placeOf(workspace, action),
            atMs: eventMs,
            line: renderLine(company, workspace, eventMs, action),
          });
          made += 1;
        }
      }
    },
  };
}

/** How much of a stream's events has come by the end of each minute, not normalised. */
function cumulativeCurve(workspace: Workspace, kind: Kind, days: number): number[] {
  const curve: number[] = [];
  let sum = 0;
  for (let slot = 0; slot < days * SLOTS; slot += 1) {
    const local = slot / 60 + workspace.utcOffsetHours + 24;
    sum += kind === 'human' ? humanRate(local % 24) : machineRate(local % 24, slot % 60);
    curve.push(sum);
  }
  return curve;
}

/** Two humps, before and after lunch, and a little at night. */
function humanRate(hour: number): number {
  const hump = (centre: number, width: number): number =>
    Math.exp(-((hour - centre) ** 2) / (2 * width ** 2));
  return 0.02 + hump(10.5, 1.6) + 0.9 * hump(15, 1.9);
}

/** Steady, with batches at two in the morning and on the hour. */
function machineRate(hour: number, minute: number): number {
  const night = hour >= 2 && hour < 4 ? 1.5 : 0;
  const onTheHour = minute < 5 ? 1.2 : 0;
  return 1 + night + onTheHour;
}

/** Delivery gives the last lines of a workspace once more, now and then. */
class Repeater {
  readonly #random: Random;
  readonly #last = new Map<string, Pending[]>();

  constructor(random: Random) {
    this.#random = random;
  }

  *through(lines: Pending[]): Generator<Pending> {
    for (const line of lines) {
      yield line;
      this.#remember(line);
    }
    for (const last of this.#last.values()) {
      if (!this.#random.chance(REPEAT_CHANCE)) continue;
      for (const line of last) yield { ...line, repeat: true };
    }
  }

  #remember(line: Pending): void {
    const last = this.#last.get(line.workspaceId);
    if (last === undefined) this.#last.set(line.workspaceId, [line]);
    else if (last.push(line) > REPEAT_LINES_MAX) last.shift();
  }
}
