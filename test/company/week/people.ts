/**
 * What people do in a day: where they sit, from when to when, what they sign in with, and their
 * work. They mistype, forget the VPN, change networks in the middle of a session, travel, and rest
 * at weekends. Pure and seeded.
 */
import type { Principal, Workspace } from '../company.ts';
import type { Action, Json, Response } from '../line.ts';
import type { Random } from '../random.ts';
import { workOf } from '../traffic.ts';
import type { Person } from './company.ts';
import {
  addressBelow,
  CITIES,
  type City,
  HOTEL,
  kilometresBetween,
  VPN_FALLBACK,
} from './geography.ts';

/** An event of the week, before it is written. */
export interface Planned {
  atMs: number;
  workspace: Workspace;
  action: Action;
  /** The behaviour of the attack it belongs to. */
  told?: string;
}

export interface DayOf {
  /** Days since the week began; negative before it. */
  day: number;
  /** Midnight, UTC. */
  startMs: number;
  weekend: boolean;
}

/** A time at one place. */
interface Stint {
  fromMs: number;
  untilMs: number;
  address: string;
  /** The address they go on with half way through, without signing in anew. */
  moveTo: string | null;
}

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
const SECOND_MS = 1_000;
/** The day on which the VPN of Frankfurt leaves in Dublin. */
const VPN_OUTAGE_DAY = 2;
/** On this day browsers bring themselves up to date. */
const BROWSER_UPDATE_DAY = 3;

/** Everything one person does in a day. `busy` is the number of activities of an average person. */
export function personDay(person: Person, day: DayOf, busy: number, random: Random): Planned[] {
  if (day.day < person.firstDay) return [];
  if (!random.chance(day.weekend ? 0.06 : 0.93)) return [];
  const stints = stintsOf(person, day, random);
  const planned: Planned[] = [];
  const whole = stints.reduce((sum, { fromMs, untilMs }) => sum + untilMs - fromMs, 0);
  const activities = busy * person.weight * (day.weekend ? 0.3 : 1);
  for (const stint of stints) {
    const session = `webapp-cons-${random.uuid()}`;
    const count = Math.round((activities * (stint.untilMs - stint.fromMs)) / whole);
    planned.push(...signIn(person, stint, session, day, random));
    for (let at = 0; at < count; at += 1)
      planned.push(...work(person, stint, session, day, random));
  }
  return planned;
}

function stintsOf(person: Person, day: DayOf, random: Random): Stint[] {
  const { trip, region } = person;
  if (trip !== null && day.day >= trip.fromDay && day.day <= trip.untilDay) {
    return travelling(person, trip.to, day, random);
  }
  const start = localMs(region.city, day, 8 + 1.5 * random.float());
  const lunch = start + (3.2 + random.float()) * HOUR_MS;
  const end = start + (8 + 1.8 * random.float()) * HOUR_MS;
  const { address, moveTo } = deskOf(person, day, random);
  const stints: Stint[] = [
    { fromMs: start, untilMs: lunch, address, moveTo: null },
    { fromMs: lunch + 0.7 * HOUR_MS, untilMs: end, address, moveTo },
  ];
  if (random.chance(0.12)) {
    const fromMs = end + (1 + 2 * random.float()) * HOUR_MS;
    const carrier = addressBelow(region.carrier, random);
    stints.push({ fromMs, untilMs: fromMs + 15 * MINUTE_MS, address: carrier, moveTo: null });
  }
  return stints;
}

/** The office, or home with or without the VPN, which some switch on late. */
function deskOf(person: Person, day: DayOf, random: Random): Pick<Stint, 'address' | 'moveTo'> {
  const { office, vpn, city } = person.region;
  if (!day.weekend && random.chance(0.55)) return { address: random.pick(office), moveTo: null };
  if (random.chance(0.5)) return { address: person.home, moveTo: null };
  const down = day.day === VPN_OUTAGE_DAY && city === CITIES.frankfurt;
  const tunnel = down ? VPN_FALLBACK : random.pick(vpn);
  if (random.chance(0.7)) return { address: tunnel, moveTo: null };
  return { address: person.home, moveTo: tunnel };
}

const PLANE_KMH = 600;
const AIRPORTS_HOURS = 3;

function travelling(person: Person, to: City, day: DayOf, random: Random): Stint[] {
  const { trip, region } = person;
  const from = region.city;
  const travelMs = (kilometresBetween(from, to) / PLANE_KMH + AIRPORTS_HOURS) * HOUR_MS;
  const hotel = addressBelow(HOTEL[to.name]!, random);
  const stint = (fromMs: number, hours: number, address: string): Stint => ({
    fromMs,
    untilMs: fromMs + hours * HOUR_MS,
    address,
    moveTo: null,
  });
  if (day.day === trip?.fromDay) {
    const morning = stint(localMs(from, day, 7.5), 2, random.pick(region.office));
    return [morning, stint(morning.untilMs + travelMs, 1.5, hotel)];
  }
  if (day.day === trip?.untilDay) {
    const morning = stint(localMs(to, day, 7.5), 2, hotel);
    return [morning, stint(morning.untilMs + travelMs, 1, person.home)];
  }
  return [stint(localMs(to, day, 9), 3, hotel), stint(localMs(to, day, 13), 4, hotel)];
}

const localMs = (city: City, day: DayOf, hour: number): number =>
  day.startMs + (hour - city.utcOffsetHours) * HOUR_MS;

function browserOf(person: Person, day: DayOf): string {
  if (day.day < BROWSER_UPDATE_DAY) return person.userAgent;
  return person.userAgent.replace('Chrome/142', 'Chrome/143').replace('/144.0', '/145.0');
}

const wrong = (errorMessage: string, statusCode = 401): Response => ({ statusCode, errorMessage });

/** Signing in at the beginning of a stint, with the mistakes people make. */
function signIn(
  person: Person,
  stint: Stint,
  session: string,
  day: DayOf,
  random: Random,
): Planned[] {
  const workspace = person.desks[0]!;
  const planned: Planned[] = [];
  const add = (
    atMs: number,
    name: string,
    params: { [key: string]: Json },
    more: Partial<Action>,
  ) =>
    planned.push({
      atMs,
      workspace,
      action: {
        service: 'accounts',
        action: name,
        email: person.name,
        params,
        address: stint.address,
        userAgent: browserOf(person, day),
        sessionId: session,
        requestId: `ServiceMain-${random.hex(15)}`,
        ...more,
      },
    });
  const method = { user: person.name, authenticationMethod: 'BROWSER_BYO_IDP_SAML' };
  const atHome = stint.address === person.home;
  let atMs = stint.fromMs;
  if (atHome && random.chance(0.04)) {
    // The account is closed to homes that forgot the VPN; the browser tries again by itself.
    for (let at = 0; at < random.between(1, 4); at += 1) {
      const params = { path: '/api/2.0/workspace/list', user: person.name, userId: person.userId };
      add(atMs + at * 7 * SECOND_MS, 'IpAccessDenied', params, { response: wrong('Denied', 403) });
    }
    atMs += MINUTE_MS;
  }
  const mistakes = random.chance(0.08) ? (random.chance(0.06) ? 4 : random.between(1, 2)) : 0;
  for (let at = 0; at < mistakes; at += 1) {
    add(atMs, 'samlLogin', method, { response: wrong('SAML assertion was rejected') });
    atMs += random.between(8, 40) * SECOND_MS;
  }
  add(atMs, 'samlLogin', method, {});
  return planned;
}

function work(
  person: Person,
  stint: Stint,
  session: string,
  day: DayOf,
  random: Random,
): Planned[] {
  const length = stint.untilMs - stint.fromMs;
  const part = random.float();
  const atMs = stint.fromMs + MINUTE_MS + part * length;
  const workspace =
    person.desks.length > 2 || random.chance(0.15) ? random.pick(person.desks) : person.desks[0]!;
  const address = part > 0.5 && stint.moveTo !== null ? stint.moveTo : stint.address;
  const withTool = person.tool !== null && random.chance(0.35);
  const who: Principal = {
    ...person,
    addresses: [address],
    userAgent: withTool ? person.tool! : browserOf(person, day),
    sessionId: withTool ? null : session,
  };
  const scene = { company: person.view, workspace, random, who, atMs: Math.round(atMs) };
  return workOf('human', scene).map(({ afterMs, ...action }) => ({
    atMs: Math.round(atMs) + (afterMs ?? 0),
    workspace,
    action,
  }));
}
