/**
 * What lakeseal relies on in OpenSearch. Tried on a throwaway index, named so that the template of
 * the alerts applies to it, and deleted at once.
 */
import type { Client } from '@opensearch-project/opensearch';
import {
  alertTemplate,
  findingTemplate,
  type IndexTemplate,
  openSearchClient,
  templateState,
} from '../detector/alert/opensearch.ts';
import type { Config } from '../runtime/config.ts';
import { Failure, reasonOf } from '../runtime/errors.ts';
import { type Check, check, type Finding, failed, ok, unknown } from './checks.ts';

const VERSION_MIN = 2;

export async function checkOpenSearch(config: Config, random: string): Promise<Check[]> {
  const client = openSearchClient(config.opensearch);
  const step = (name: string, run: () => Promise<Finding>): Promise<Check> =>
    check('opensearch', name, run);
  try {
    const reachable = await step('it answers', () => checkAnswers(client));
    if (reachable.outcome === 'failed') return [reachable];
    const template = await step('index template of alerts', () =>
      checkTemplate(client, alertTemplate(config.opensearch)),
    );
    const findings = await step('index template of findings', () =>
      checkTemplate(client, findingTemplate(config.opensearch)),
    );
    const checks = [reachable, template, findings];
    if (template.outcome === 'failed') return checks;
    checks.push(
      await step('a document is created once', () => checkCreate(client, config, random)),
    );
    return checks;
  } finally {
    await client.close();
  }
}

async function checkAnswers(client: Client): Promise<Finding> {
  const version = await openSearchVersion(client);
  if (Number(version.split('.')[0]) >= VERSION_MIN) return ok(`version ${version}`);
  return failed(`version ${version}`, `lakeseal needs OpenSearch ${VERSION_MIN} or later`);
}

/** Throws `Failure`. */
export async function openSearchVersion(client: Client): Promise<string> {
  try {
    const { body } = await client.info();
    return body.version.number;
  } catch (error) {
    const status = statusOf(error);
    const denied = status === 401 || status === 403;
    throw new Failure(`cannot ask OpenSearch: ${denied ? 'denied' : reasonOf(error)}`, {
      code: denied ? 'OPENSEARCH_DENIED' : 'OPENSEARCH_UNREACHABLE',
      hint: denied
        ? 'check opensearch.username, opensearch.password and the rights of that user'
        : 'is OpenSearch running, and do opensearch.nodes and opensearch.caFile fit it?',
      cause: error,
    });
  }
}

function statusOf(error: unknown): number | undefined {
  return (error as { statusCode?: number } | null)?.statusCode;
}

async function checkTemplate(client: Client, template: IndexTemplate): Promise<Finding> {
  const state = await templateState(client, template);
  if (state === 'current') return ok(template.name);
  const detail = state === 'missing' ? 'it is not there' : 'it is of another version or setting';
  return failed(detail, 'run lakeseal setup');
}

/** An alert is stored once, an older state of it replaces none, and no unknown field gets in. */
async function checkCreate(client: Client, config: Config, random: string): Promise<Finding> {
  const index = `${config.opensearch.alertIndexPrefix}-preflight-${random}`;
  try {
    await client.indices.create({ index });
  } catch (error) {
    if (statusOf(error) !== 403) throw error;
    const hint = 'run preflight once as a user who may make and delete such an index';
    return unknown(`this user may not make the index ${index}`, hint);
  }
  try {
    const document = { '@timestamp': new Date(0).toISOString() };
    const create = (id: string, body: object): Promise<number> =>
      createStatus(client, { index, id, body: body as Record<string, unknown> });
    const first = await create('preflight', document);
    const second = await create('preflight', document);
    const strange = await create('strange', { ...document, no_such_field: 1 });
    const revise = (version: number): Promise<number> =>
      indexStatus(client, { index, id: 'revised', body: document, version });
    const revisions = [await revise(2), await revise(1), await revise(3)];
    return judgeCreate(first, second, strange, revisions);
  } finally {
    await client.indices.delete({ index }).catch(() => {});
  }
}

async function createStatus(
  client: Client,
  request: { index: string; id: string; body: Record<string, unknown> },
): Promise<number> {
  try {
    const { statusCode } = await client.create(request);
    return statusCode ?? 0;
  } catch (error) {
    const status = statusOf(error);
    if (status === undefined) throw error;
    return status;
  }
}

async function indexStatus(
  client: Client,
  request: { index: string; id: string; body: Record<string, unknown>; version: number },
): Promise<number> {
  try {
    const { statusCode } = await client.index({ ...request, version_type: 'external' });
    return statusCode ?? 0;
  } catch (error) {
    const status = statusOf(error);
    if (status === undefined) throw error;
    return status;
  }
}

/** What a document answers at revision 2, then 1, then 3: the second must not replace the first. */
const REVISED = [201, 409, 200];

/**
 * HTTP statuses of creating a document, the same again, one with an unknown field, and of three
 * revisions of a document. Pure.
 */
export function judgeCreate(
  first: number,
  second: number,
  strange: number,
  revisions: readonly number[] = REVISED,
): Finding {
  if (first !== 201)
    return failed(`creating a document answers ${first}`, 'see the OpenSearch log');
  if (second !== 409) {
    return failed(
      `creating it again answers ${second} instead of 409`,
      'is a proxy in between? An alert would be stored twice',
    );
  }
  if (strange !== 400) {
    return failed(
      `a document with an unknown field answers ${strange} instead of 400`,
      'another template of higher priority overrides the strict mapping; remove or narrow it',
    );
  }
  if (revisions.some((status, index) => status !== REVISED[index])) {
    return failed(
      `revisions 2, 1 and 3 of a document answer ${revisions.join(', ')} instead of ${REVISED.join(', ')}`,
      'is a proxy in between? An older state of an alert would replace a newer one',
    );
  }
  return ok('the second answers 409, an unknown field 400, an older revision 409');
}
