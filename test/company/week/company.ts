/**
 * The company of the week: the one of the day, where people have a region, a desk, a home, habits
 * and a role, and service principals have a job of their own. Pure and seeded.
 */
import { type Company, createCompany, type Principal, type Workspace } from '../company.ts';
import { Random } from '../random.ts';
import { addressBelow, CITIES, type City, REGIONS, type Region } from './geography.ts';

export type Role = 'analyst' | 'engineer' | 'finance' | 'admin' | 'explorer';

export interface Trip {
  /** Days since the week began. */
  fromDay: number;
  untilDay: number;
  to: City;
}

export interface Person extends Principal {
  region: Region;
  role: Role;
  /** Workspaces they work in, the first mostly. */
  desks: readonly Workspace[];
  /** How much they do, beside others. */
  weight: number;
  home: string;
  /** What they use beside the browser, or null. */
  tool: string | null;
  /** Tables they look at, in place of all. */
  view: Company;
  /** First day at work, days since the week began; long ago for most. */
  firstDay: number;
  trip: Trip | null;
}

export type Duty =
  | 'terraform'
  | 'backup'
  | 'vault'
  | 'dashboards'
  | 'migration'
  | 'directory'
  | 'delivery'
  | 'monitor'
  | 'etl'
  | 'app';

export interface Machine extends Principal {
  duty: Duty;
  desks: readonly Workspace[];
  view: Company;
  /** Secrets it reads, as scope and key. */
  secrets: ReadonlyArray<readonly [scope: string, key: string]>;
}

export interface WeekCompany extends Company {
  persons: readonly Person[];
  machines: readonly Machine[];
}

/** One each; the machines behind these are `etl` and `app` in turn. */
const DUTIES: readonly Duty[] = [
  'terraform',
  'backup',
  'vault',
  'dashboards',
  'migration',
  'directory',
  'delivery',
  'monitor',
];
/** Application ids of those, in the order above: the company's exceptions name them. */
const DUTY_IDS: ReadonlyMap<Duty, string> = new Map(
  DUTIES.map((duty, at) => [duty, `5e11ab1e-0000-4000-8000-00000000000${at + 1}`]),
);
const LONG_AGO = -1_000;
/** Of a million events a week come from so many people. */
const PEOPLE_PER_MILLION = 150;
const JOINERS = 4;
const TOOLS = [
  'databricks-cli/0.270.0 go/1.24.4 os/darwin auth/pat',
  'databricks-sdk-py/0.72.0 python/3.11.9 os/linux auth/pat',
  'databricks-vsc/2.10.3 databricks-sdk-js/0.0.1 os/windows',
];
const TRIPS: ReadonlyArray<readonly [home: City, to: City]> = [
  [CITIES.frankfurt, CITIES.london],
  [CITIES.frankfurt, CITIES.madrid],
  [CITIES.frankfurt, CITIES.newYork],
  [CITIES.portland, CITIES.denver],
  [CITIES.portland, CITIES.newYork],
  [CITIES.pune, CITIES.mumbai],
  [CITIES.pune, CITIES.london],
];

export function createWeekCompany(
  seed: number,
  events: number,
  workspaceCount: number,
): WeekCompany {
  const people = (events / 1_000_000) * PEOPLE_PER_MILLION;
  // The company of the day counts people by events of a day.
  const company = createCompany(seed, Math.ceil(people * 2_000), workspaceCount);
  const random = new Random(seed).fork('week-company');
  const persons = company.people.map((person, at) =>
    createPerson(company, person, at, random.fork(person.name)),
  );
  sendAway(persons);
  for (const joiner of persons.slice(-JOINERS)) joiner.firstDay = 0;
  const machines = company.servicePrincipals.map((machine, at) =>
    createMachine(company, machine, at, random.fork(machine.name)),
  );
  return { ...company, persons, machines };
}

function createPerson(company: Company, base: Principal, at: number, random: Random): Person {
  const desk = company.workspaces[at % company.workspaces.length]!;
  const region = REGIONS.find(({ city }) => city.utcOffsetHours === desk.utcOffsetHours)!;
  const neighbours = company.workspaces.filter((one) => one.utcOffsetHours === desk.utcOffsetHours);
  const roles: Role[] = ['analyst', 'engineer', 'analyst', 'explorer', 'engineer', 'finance'];
  const role = at < 3 ? 'admin' : roles[at % roles.length]!;
  const home = addressBelow(region.home, random);
  return {
    ...base,
    addresses: [home],
    region,
    role,
    desks: role === 'admin' ? company.workspaces : [desk, random.pick(neighbours)],
    weight: 0.3 + 2.2 * random.float() ** 3,
    home: region.city === CITIES.frankfurt && random.chance(0.4) ? oldHome(random) : home,
    tool: role === 'engineer' || role === 'admin' ? random.pick(TOOLS) : null,
    view: { ...company, tables: someTables(company, 30, random) },
    firstDay: LONG_AGO,
    trip: null,
  };
}

const oldHome = (random: Random): string => `198.51.100.${random.between(20, 250)}`;

/** Everybody of the list who is at home in the city and has not gone anywhere yet, in turn. */
function sendAway(persons: Person[]): void {
  for (const [at, [from, to]] of TRIPS.entries()) {
    const traveller = persons.find(
      ({ region, trip, role }) => region.city === from && trip === null && role !== 'admin',
    );
    if (traveller === undefined) continue;
    traveller.trip = { fromDay: at % 4, untilDay: (at % 4) + 1 + (at % 2), to };
  }
}

function createMachine(company: Company, base: Principal, at: number, random: Random): Machine {
  const duty = DUTIES[at] ?? (at % 3 === 0 ? 'app' : 'etl');
  const everywhere = duty === 'terraform' || duty === 'monitor' || duty === 'directory';
  const desk = company.workspaces[at % company.workspaces.length]!;
  const secrets = Array.from(
    { length: duty === 'vault' ? 45 : random.between(2, 6) },
    (_, key) => [random.pick(['etl', 'bi', 'ml']), `${duty}-${at}-${key}`] as const,
  );
  return {
    ...base,
    ...connection(duty, random),
    name: DUTY_IDS.get(duty) ?? base.name,
    duty,
    desks: everywhere ? company.workspaces : [desk],
    view: { ...company, tables: someTables(company, 40, random) },
    secrets,
  };
}

/** Most work inside the cloud; what is bought as a service comes from outside, from several doors. */
function connection(duty: Duty, random: Random): Partial<Principal> {
  if (duty === 'dashboards') {
    const addresses = Array.from({ length: 4 }, (_, at) => `203.0.113.${165 + at}`);
    return { addresses, userAgent: 'ExampleBI/2026.3 JDBC/2.7.1' };
  }
  if (duty === 'directory') {
    return { addresses: ['203.0.113.180'], userAgent: 'Example-Directory-SCIM/1.0' };
  }
  if (duty === 'delivery') {
    const addresses = ['203.0.113.200', '203.0.113.201'];
    return { addresses, userAgent: 'databricks-cli/0.270.0 go/1.24.4 os/linux auth/oauth-m2m' };
  }
  if (duty === 'terraform') {
    const agent = 'databricks-sdk-go/0.90.0 databricks-tf-provider/1.97.0 terraform/1.9.8';
    return { addresses: [`10.20.0.${random.between(10, 200)}`], userAgent: agent };
  }
  return {};
}

function someTables(company: Company, count: number, random: Random): string[] {
  const start = random.int(company.tables.length);
  return Array.from(
    { length: Math.min(count, company.tables.length) },
    (_, at) => company.tables[(start + at * 3) % company.tables.length]!,
  );
}

export function machineOf(company: WeekCompany, duty: Duty): Machine {
  const found = company.machines.find((machine) => machine.duty === duty);
  if (found === undefined) throw new RangeError(`no machine for ${duty}`);
  return found;
}
