/**
 * The company whose day is generated: workspaces in three time zones, people, service principals,
 * where they come from and with what. Pure and seeded. Addresses are the documentation networks
 * (RFC 5737, RFC 3849) and private ones; names end in example.com.
 */
import { Random } from './random.ts';

export interface Workspace {
  /** As in the delivery path. `0` is the account. */
  id: string;
  name: string;
  shard: string | null;
  /** Offset of the working day from UTC, hours. */
  utcOffsetHours: number;
  /** Share of the company's traffic. */
  weight: number;
  /**
   * `delivery`: workspaceId as text, orgId as number. `documented`: only an orgId, as text and
   * longer than 64 bits, as the vendor's documentation prints it.
   */
  idShape: 'delivery' | 'documented';
}

export interface Principal {
  /** E-mail of a person, application id of a service principal. */
  name: string;
  userId: string;
  addresses: readonly (string | null)[];
  userAgent: string;
  sessionId: string | null;
  /** Hash of the access token it mostly uses. */
  tokenId: string;
}

export interface Company {
  accountId: string;
  metastoreId: string;
  workspaces: Workspace[];
  account: Workspace;
  people: Principal[];
  servicePrincipals: Principal[];
  clusters: string[];
  warehouses: string[];
  tables: string[];
  jobs: string[];
}

const WORKSPACES: Omit<Workspace, 'id'>[] = [
  { name: 'prod', shard: 'frankfurt', utcOffsetHours: 1, weight: 50, idShape: 'delivery' },
  { name: 'etl', shard: 'frankfurt', utcOffsetHours: 1, weight: 24, idShape: 'delivery' },
  { name: 'analytics', shard: 'oregon', utcOffsetHours: -8, weight: 14, idShape: 'delivery' },
  { name: 'dev', shard: 'mumbai', utcOffsetHours: 5.5, weight: 9, idShape: 'delivery' },
  { name: 'legacy', shard: 'oregon', utcOffsetHours: -8, weight: 3, idShape: 'documented' },
];

const GIVEN =
  'ana bram chidi dana emil farah goran hana ivo jia kofi lena mara nils olga pavel quin rosa sami tara uma vito wei xenia yara zeno'.split(
    ' ',
  );
const FAMILY =
  'abel brandt costa dubois eriksen fischer gomez haas ito jansen kaya lund meyer novak okafor peters rossi silva tanaka urban vega weber yilmaz zhang'.split(
    ' ',
  );

const BROWSERS = [
  'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36',
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0',
  'Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0',
];
const MACHINES = [
  'databricks-sdk-py/0.72.0 python/3.11.9 os/linux auth/oauth-m2m',
  'databricks-sdk-go/0.90.0 databricks-tf-provider/1.97.0 terraform/1.9.8',
  'Apache-HttpClient/4.5.14 (Java/17.0.13) Databricks-Service/driver DBHttpClient/v2RawClient',
  'python-requests/2.32.3',
  'Airflow/2.10.4 databricks/7.0.0 aiohttp/3.11',
];

/** People beside these come with traffic: one for so many events of a day. */
const EVENTS_PER_PERSON = 2_000;
const PEOPLE_MIN = 60;

export function createCompany(seed: number, events: number, workspaceCount: number): Company {
  const random = new Random(seed).fork('company');
  const accountId = random.uuid();
  const workspaces = Array.from({ length: workspaceCount }, (_, at) => workspace(at, random));
  const account: Workspace = {
    id: '0',
    name: 'account',
    shard: null,
    utcOffsetHours: 1,
    weight: 0,
    idShape: 'delivery',
  };
  const people = Math.max(PEOPLE_MIN, Math.ceil(events / EVENTS_PER_PERSON));
  return {
    accountId,
    metastoreId: random.uuid(),
    workspaces,
    account,
    people: Array.from({ length: people }, (_, at) => person(at, random)),
    servicePrincipals: Array.from({ length: Math.ceil(people / 3) }, () => machine(random)),
    clusters: Array.from({ length: 24 }, () => clusterId(random)),
    warehouses: Array.from({ length: 6 }, () => random.hex(16)),
    tables: Array.from({ length: 200 }, (_, at) => tableName(at, random)),
    jobs: Array.from({ length: 80 }, () => random.digits(15)),
  };
}

function workspace(at: number, random: Random): Workspace {
  const model = WORKSPACES[at % WORKSPACES.length]!;
  const round = Math.floor(at / WORKSPACES.length);
  const name = round === 0 ? model.name : `${model.name}-${round + 1}`;
  const digits = model.idShape === 'documented' ? 22 : 16;
  // Below 2^53 where it is written as a number: JSON.stringify would round it.
  const id = `${1 + random.int(8)}${random.digits(digits - 1)}`;
  return { ...model, name, id };
}

function person(at: number, random: Random): Principal {
  const given = GIVEN[at % GIVEN.length]!;
  const family = FAMILY[(at * 7 + Math.floor(at / GIVEN.length)) % FAMILY.length]!;
  const suffix = at < GIVEN.length * FAMILY.length ? '' : String(at);
  const office = '203.0.113.10';
  const home = random.chance(0.1)
    ? `2001:db8:${random.hex(4)}::${random.hex(4)}`
    : `198.51.100.${random.between(100, 250)}`;
  return {
    name: `${given}.${family}${suffix}@example.com`,
    userId: random.digits(16),
    addresses: [office, office, office, home, `${office}:0`],
    userAgent: random.pick(BROWSERS),
    sessionId: random.chance(0.5) ? `ephemeral-${random.uuid()}` : null,
    tokenId: random.hex(64),
  };
}

function machine(random: Random): Principal {
  const inside = `10.${random.int(256)}.${random.int(256)}.${random.between(1, 254)}`;
  return {
    name: random.uuid(),
    userId: random.digits(16),
    addresses: [inside, inside, `${inside}:${random.between(32_768, 60_999)}`, null, '0.0.0.0', ''],
    userAgent: random.pick(MACHINES),
    sessionId: null,
    tokenId: random.hex(64),
  };
}

function clusterId(random: Random): string {
  return `${random.digits(4)}-${random.digits(6)}-${random.hex(8)}`;
}

function tableName(at: number, random: Random): string {
  const catalog = random.pick(['main', 'sales', 'finance', 'iot', 'hr']);
  const schema = random.pick(['bronze', 'silver', 'gold', 'staging']);
  return `${catalog}.${schema}.t${String(at).padStart(3, '0')}_${random.pick(['orders', 'events', 'users', 'prices', 'sensors'])}`;
}
