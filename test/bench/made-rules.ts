/**
 * Made-up stateless rules for a set of any size, written as an engine wants them that takes the
 * first field of a selection for the most telling: a value that few events have, then the action,
 * then the service. Of twenty, twelve ask for one value, five for text inside a command or path,
 * three for an action that was refused. One in ten names an action that occurs. Each is a Sigma
 * document (JSON, which is YAML). One of them, in every set, matches now and then.
 */

/** Actions of the company's days, those of most events among them. */
const REAL: ReadonlyArray<readonly [service: string, action: string]> = [
  ['accounts', 'oidcTokenAuthorization'],
  ['accounts', 'tokenLogin'],
  ['unityCatalog', 'getTable'],
  ['unityCatalog', 'generateTemporaryTableCredential'],
  ['jobs', 'runCommand'],
  ['databrickssql', 'commandSubmit'],
  ['filesystem', 'filesGet'],
  ['secrets', 'getSecret'],
  ['jobs', 'runNow'],
  ['workspace', 'workspaceExport'],
];

const KEYS = [
  'user',
  'path',
  'tokenId',
  'full_name_arg',
  'scope',
  'jobId',
  'clusterId',
  'warehouseId',
];

/** The rule that some events of the company match. */
const MATCHING = 17;
const REFUSED = { 'response.statusCode': [400, 401, 403, 404] };

interface Document {
  title: string;
  id: string;
  level: string;
  logsource: { product: string };
  detection: Record<string, unknown>;
}

function selection(n: number): Record<string, unknown> {
  const [service, action] = REAL[n % REAL.length]!;
  const actions = n % 10 === 0 ? [action, `other${n}`] : [`action${n}`, `other${n}`];
  const names = { actionName: actions, serviceName: service };
  const kind = n % 20;
  if (kind < 12) return { [`requestParams.${KEYS[n % KEYS.length]}`]: `value-${n}`, ...names };
  if (kind < 15) return { 'requestParams.commandText|contains': `secret${n}(`, ...names };
  if (kind < 17) return { 'requestParams.path|startswith': `/hidden${n}/`, ...names };
  if (n === MATCHING) return { actionName: REAL.map(([, name]) => name), ...REFUSED };
  return { actionName: `action${n}`, serviceName: service, ...REFUSED };
}

export function madeRules(count: number): Document[] {
  return Array.from({ length: count }, (_, n) => ({
    title: `made up ${n}`,
    id: `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`,
    level: 'low',
    logsource: { product: 'databricks' },
    detection: {
      selection: selection(n),
      known: { 'userIdentity.email': [`robot${n}@example.com`, `helper${n}@example.com`] },
      condition: 'selection and not known',
    },
  }));
}
