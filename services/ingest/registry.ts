/**
 * Schemas from a Confluent-compatible registry.
 *
 * `SchemaCache` promises: after `warm`, `get` answers in the same turn; a schema once read is kept
 * for good (ids never change their meaning); whatever ids records claim, the registry is asked at
 * most `LOOKUPS_PER_WINDOW` times in `WINDOW_MS`, nothing is asked twice at once, and a registry that
 * is down costs one time limit per `BREAK_MS`, not one per record. It never rejects: not to have a
 * schema is a value (`unknown`: the registry says so; `unavailable`: it could not be asked).
 *
 * `registerSchemas` promises: run as often as you like; the compatibility is set before the schema
 * wherever the registry allows it; an incompatible schema is a Failure that changed nothing.
 */
import { type AvroType, parseAvroSchema } from '../../schemas/avro.ts';
import { type Clock, systemClock } from '../runtime/clock.ts';
import type { Config } from '../runtime/config.ts';
import { Failure } from '../runtime/errors.ts';
import type { Log } from '../runtime/log.ts';
import {
  type Answer,
  answerText,
  createRegistryClient,
  type RegistryClient,
} from './registry-client.ts';

export type SchemaAnswer = AvroType | 'unknown' | 'unavailable' | undefined;

/** How long the registry's "no such schema" is believed. */
export const UNKNOWN_TTL_MS = 60_000;
/** How long nothing is asked after the registry could not be reached. */
export const BREAK_MS = 10_000;
export const WINDOW_MS = 60_000;
export const LOOKUPS_PER_WINDOW = 200;
const LOOKUPS_AT_ONCE = 8;
const UNKNOWN_IDS_MAX = 10_000;
const SCHEMAS_MAX = 10_000;
const ID_MAX = 0x7fffffff;
const REFERENCES_MAX = 32;

interface Known {
  type: AvroType;
  /** The schema's JSON text, references put in. */
  text: string;
}

export interface SchemaCacheOptions {
  log: Log;
  clock?: Clock;
  /** Default: a client for `config`. */
  client?: RegistryClient;
}

export class SchemaCache {
  readonly #client: RegistryClient;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #known = new Map<number, Known>();
  /** Schema id → when the answer stops being believed; in the order of asking. */
  readonly #unknown = new Map<number, number>();
  readonly #asking = new Map<number, Promise<void>>();
  #closedUntilMs = 0;
  #windowEndsMs = 0;
  #windowLookups = 0;

  constructor(config: Config['registry'], options: SchemaCacheOptions) {
    this.#client = options.client ?? createRegistryClient(config);
    this.#log = options.log;
    this.#clock = options.clock ?? systemClock;
  }

  /** Asks for what is not known yet. Resolves within about one `registry.timeoutMs`. */
  async warm(schemaIds: Iterable<number>): Promise<void> {
    const missing = [...new Set(schemaIds)].filter((id) => this.get(id) === undefined);
    let next = 0;
    const worker = async (): Promise<void> => {
      while (next < missing.length) {
        const id = missing[next++]!;
        if (this.get(id) === undefined) await this.#askOnce(id);
      }
    };
    const workers = Math.min(LOOKUPS_AT_ONCE, missing.length);
    await Promise.all(Array.from({ length: workers }, worker));
  }

  /** The type, or why there is none, or undefined: not asked yet, `warm` it. */
  readonly get = (schemaId: number): SchemaAnswer => {
    const known = this.#known.get(schemaId);
    if (known !== undefined) return known.type;
    if (!Number.isInteger(schemaId) || schemaId < 0 || schemaId > ID_MAX) return 'unknown';
    const now = this.#clock.now();
    const believedUntil = this.#unknown.get(schemaId);
    if (believedUntil !== undefined && now < believedUntil) return 'unknown';
    return this.#mayAsk(now) ? undefined : 'unavailable';
  };

  /** The JSON text of a schema that `get` gives a type for. */
  text(schemaId: number): string | undefined {
    return this.#known.get(schemaId)?.text;
  }

  close(): void {
    this.#client.close();
  }

  #mayAsk(now: number): boolean {
    if (now < this.#closedUntilMs) return false;
    return now >= this.#windowEndsMs || this.#windowLookups < LOOKUPS_PER_WINDOW;
  }

  async #askOnce(id: number): Promise<void> {
    const asking = this.#asking.get(id);
    if (asking !== undefined) return asking;
    const now = this.#clock.now();
    if (now >= this.#windowEndsMs) {
      this.#windowEndsMs = now + WINDOW_MS;
      this.#windowLookups = 0;
    }
    this.#windowLookups++;
    if (this.#windowLookups === LOOKUPS_PER_WINDOW) {
      this.#log.warn({ lookups: LOOKUPS_PER_WINDOW }, 'too many unknown schema ids in the records');
    }
    const work = this.#ask(id).finally(() => this.#asking.delete(id));
    this.#asking.set(id, work);
    return work;
  }

  async #ask(id: number): Promise<void> {
    try {
      const text = await fetchSchemaText(this.#client, id);
      if (text === null) return this.#remember(id);
      this.#learn(id, text);
    } catch (error) {
      // Only a call fails with a Failure; anything else is a schema that cannot be put together.
      if (!(error instanceof Failure)) return this.#unusable(id, error);
      this.#closedUntilMs = this.#clock.now() + BREAK_MS;
      this.#log.warn({ err: error, schemaId: id }, 'schema registry unavailable');
    }
  }

  #learn(id: number, text: string): void {
    try {
      const type = parseAvroSchema(text);
      if (this.#known.size >= SCHEMAS_MAX) this.#known.delete(this.#known.keys().next().value!);
      this.#known.set(id, { type, text });
      this.#unknown.delete(id);
    } catch (error) {
      this.#unusable(id, error);
    }
  }

  #unusable(id: number, error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    this.#log.warn({ schemaId: id, reason }, 'a registered schema cannot be used');
    this.#remember(id);
  }

  #remember(id: number): void {
    this.#unknown.delete(id);
    if (this.#unknown.size >= UNKNOWN_IDS_MAX) {
      this.#unknown.delete(this.#unknown.keys().next().value!);
    }
    this.#unknown.set(id, this.#clock.now() + UNKNOWN_TTL_MS);
  }
}

// --- fetching -----------------------------------------------------------------------------------

interface Reference {
  name: string;
  subject: string;
  version: number;
}

/** Null where there is no such Avro schema. Rejects where the registry could not say. */
async function fetchSchemaText(client: RegistryClient, id: number): Promise<string | null> {
  const answer = await client.call('GET', `/schemas/ids/${id}`);
  if (answer.status >= 400 && answer.status < 500 && !isRefusal(answer)) return null;
  return inlined(client, expectOk(answer, `read schema ${id}`), new Map(), { count: 0 });
}

function isRefusal({ status }: Answer): boolean {
  return status === 401 || status === 403 || status === 408 || status === 429;
}

function expectOk(answer: Answer, doing: string): Record<string, unknown> {
  const { status, body } = answer;
  if (status === 200 && typeof body === 'object' && body !== null) {
    return body as Record<string, unknown>;
  }
  const refused = status === 401 || status === 403;
  throw new Failure(`cannot ${doing}: ${answerText(answer)}`, {
    code: refused ? 'REGISTRY_UNAUTHORIZED' : 'REGISTRY_FAILED',
    hint: refused
      ? 'Are registry.username and the password right, and does the user have the right?'
      : 'See the log of the schema registry.',
    retryable: !refused,
  });
}

/** The schema's text with each referenced named type put in where it is first named. */
async function inlined(
  client: RegistryClient,
  found: Record<string, unknown>,
  into: Map<string, unknown>,
  limit: { count: number },
): Promise<string | null> {
  const { schema, schemaType, references } = found;
  if (typeof schema !== 'string' || (schemaType !== undefined && schemaType !== 'AVRO'))
    return null;
  if (!Array.isArray(references) || references.length === 0) return schema;
  for (const reference of references as Reference[]) {
    if (into.has(reference.name)) continue;
    if (++limit.count > REFERENCES_MAX) return null;
    const subject = encodeURIComponent(reference.subject);
    const path = `/subjects/${subject}/versions/${reference.version}`;
    const answer = expectOk(await client.call('GET', path), `read ${reference.subject}`);
    const text = await inlined(client, answer, into, limit);
    if (text === null) return null;
    into.set(reference.name, JSON.parse(text));
  }
  return JSON.stringify(putIn(JSON.parse(schema), into, new Set()));
}

/** Replaces the first use of each referenced name by its definition. */
function putIn(schema: unknown, named: Map<string, unknown>, done: Set<string>): unknown {
  if (typeof schema === 'string') {
    const definition = named.get(schema);
    if (definition === undefined || done.has(schema)) return schema;
    done.add(schema);
    return putIn(definition, named, done);
  }
  if (Array.isArray(schema)) return schema.map((branch) => putIn(branch, named, done));
  if (typeof schema !== 'object' || schema === null) return schema;
  const copy: Record<string, unknown> = { ...schema };
  for (const key of ['type', 'items', 'values']) {
    if (key in copy) copy[key] = putIn(copy[key], named, done);
  }
  if (Array.isArray(copy.fields)) {
    copy.fields = copy.fields.map((field) => ({
      ...(field as object),
      type: putIn((field as { type: unknown }).type, named, done),
    }));
  }
  return copy;
}

// --- registering --------------------------------------------------------------------------------

export interface SchemaToRegister {
  /** The subject is `${topic}-value`. */
  topic: string;
  /** The schema's JSON value. */
  schema: object;
}

export interface RegisteredSchema {
  subject: string;
  /** Null only in a dry run, for a schema that is not there yet. */
  id: number | null;
  schema: 'created' | 'found' | 'would create';
  /** BACKWARD of the subject; `found` also where it is stricter. */
  compatibility: 'set' | 'found' | 'would set';
}

export const COMPATIBILITY = 'BACKWARD';
/** Levels that promise at least what BACKWARD does. */
const AT_LEAST_BACKWARD = new Set(['BACKWARD', 'BACKWARD_TRANSITIVE', 'FULL', 'FULL_TRANSITIVE']);

export function subjectOf(topic: string): string {
  return `${topic}-value`;
}

/**
 * Registers each schema under its topic with compatibility BACKWARD, or with `dryRun` says what
 * would be done, which includes whether the registry would refuse.
 * @throws Failure SCHEMA_INCOMPATIBLE, REGISTRY_UNREACHABLE, REGISTRY_UNAUTHORIZED, REGISTRY_FAILED.
 */
export async function registerSchemas(
  config: Config['registry'],
  schemas: SchemaToRegister[],
  options: { dryRun?: boolean } = {},
): Promise<RegisteredSchema[]> {
  const client = createRegistryClient(config);
  try {
    const reports: RegisteredSchema[] = [];
    for (const schema of schemas) {
      reports.push(await registerOne(client, schema, options.dryRun === true));
    }
    return reports;
  } finally {
    client.close();
  }
}

/**
 * The id under which a topic's schema is registered, for a producer.
 * @throws Failure SCHEMA_NOT_REGISTERED and those of `registerSchemas`.
 */
export async function registeredSchemaId(
  config: Config['registry'],
  { topic, schema }: SchemaToRegister,
): Promise<number> {
  const client = createRegistryClient(config);
  try {
    const id = await findSchema(client, subjectOf(topic), schema);
    if (id !== null) return id;
  } finally {
    client.close();
  }
  throw new Failure(`the schema of topic ${topic} is not registered`, {
    code: 'SCHEMA_NOT_REGISTERED',
    hint: 'Run `lakeseal setup`.',
  });
}

async function registerOne(
  client: RegistryClient,
  { topic, schema }: SchemaToRegister,
  dryRun: boolean,
): Promise<RegisteredSchema> {
  const subject = subjectOf(topic);
  const strict = await isBackward(client, subject);
  const id = await findSchema(client, subject, schema);
  if (dryRun) {
    if (id === null) await checkCompatible(client, subject, schema);
    return {
      subject,
      id,
      schema: id === null ? 'would create' : 'found',
      compatibility: strict ? 'found' : 'would set',
    };
  }
  const early = strict || (await setBackward(client, subject));
  const registered = id ?? (await register(client, subject, schema));
  if (!early && !(await setBackward(client, subject))) {
    throw new Failure(`cannot set ${COMPATIBILITY} on ${subject}`, { code: 'REGISTRY_FAILED' });
  }
  return {
    subject,
    id: registered,
    schema: id === null ? 'created' : 'found',
    compatibility: strict ? 'found' : 'set',
  };
}

/** Of the subject itself, not the registry's default, which somebody may change. */
async function isBackward(client: RegistryClient, subject: string): Promise<boolean> {
  const path = `/config/${encodeURIComponent(subject)}?defaultToGlobal=false`;
  const answer = await client.call('GET', path);
  if (answer.status === 404) return false;
  const { compatibilityLevel } = expectOk(answer, `read the compatibility of ${subject}`);
  return AT_LEAST_BACKWARD.has(String(compatibilityLevel));
}

/** False where the registry wants the subject to exist first. */
async function setBackward(client: RegistryClient, subject: string): Promise<boolean> {
  const path = `/config/${encodeURIComponent(subject)}`;
  const answer = await client.call('PUT', path, { compatibility: COMPATIBILITY });
  if (answer.status === 404) return false;
  expectOk(answer, `set the compatibility of ${subject}`);
  return true;
}

async function findSchema(
  client: RegistryClient,
  subject: string,
  schema: object,
): Promise<number | null> {
  const path = `/subjects/${encodeURIComponent(subject)}`;
  const answer = await client.call('POST', path, { schema: JSON.stringify(schema) });
  if (answer.status === 404) return null;
  return idIn(expectOk(answer, `look for the schema of ${subject}`));
}

async function register(client: RegistryClient, subject: string, schema: object): Promise<number> {
  const path = `/subjects/${encodeURIComponent(subject)}/versions`;
  const answer = await client.call('POST', path, { schema: JSON.stringify(schema) });
  if (answer.status === 409) throw incompatible(subject, answerText(answer));
  return idIn(expectOk(answer, `register the schema of ${subject}`));
}

async function checkCompatible(
  client: RegistryClient,
  subject: string,
  schema: object,
): Promise<void> {
  const path = `/compatibility/subjects/${encodeURIComponent(subject)}/versions/latest?verbose=true`;
  const answer = await client.call('POST', path, { schema: JSON.stringify(schema) });
  if (answer.status === 404) return;
  const body = expectOk(answer, `check the schema of ${subject}`);
  if (body.is_compatible === true) return;
  const messages = Array.isArray(body.messages) ? body.messages.map(String) : [];
  throw incompatible(subject, messages.join('; ') || 'the registry says no');
}

function incompatible(subject: string, why: string): Failure {
  return new Failure(`the schema is not compatible with what ${subject} holds: ${why}`, {
    code: 'SCHEMA_INCOMPATIBLE',
    hint: `New fields need a default, and no field may change its type (${COMPATIBILITY}).`,
  });
}

function idIn(body: Record<string, unknown>): number {
  if (typeof body.id === 'number') return body.id;
  throw new Failure('the schema registry gave no schema id', { code: 'REGISTRY_FAILED' });
}
