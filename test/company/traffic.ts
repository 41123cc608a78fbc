/**
 * The ordinary traffic: what people and machines do all day, in the proportions that were measured
 * on real accounts. Authentication dominates, jobs run commands 400 times as often as notebooks,
 * token logins outnumber SAML logins thousands to one. Pure and seeded.
 */
import type { Company, Principal, Workspace } from './company.ts';
import type { Action, Json, Response } from './line.ts';
import { type Random, Weighted } from './random.ts';

/** One thing done; some are logged as several events, the later ones after a while. */
export type Activity = Array<Action & { afterMs?: number }>;

export interface Scene {
  company: Company;
  workspace: Workspace;
  random: Random;
  who: Principal;
  /** When it happens, milliseconds since the epoch. */
  atMs: number;
}

type Maker = (scene: Scene) => Activity;

/** Databricks cuts long values and says so at their end. */
export const TRUNCATION_MARK = '... truncated';

const SYSTEM_USER = 'System-User';

function action(
  scene: Scene,
  service: string,
  name: string,
  params: { [key: string]: Json },
  more: Partial<Action> = {},
): Action {
  const { random, who } = scene;
  return {
    service,
    action: name,
    email: who.name,
    params,
    address: random.pick(who.addresses),
    userAgent: who.userAgent,
    sessionId: who.sessionId,
    requestId: random.chance(0.7) ? `ServiceMain-${random.hex(15)}` : random.uuid(),
    ...more,
  };
}

/** One event of fixed service and action. */
function one(
  service: string,
  name: string,
  params: (scene: Scene) => { [key: string]: Json } = () => ({}),
  more: (scene: Scene) => Partial<Action> = () => ({}),
): Maker {
  return (scene) => [action(scene, service, name, params(scene), more(scene))];
}

const accountLevel = (): Partial<Action> => ({ account: true });
const fail = (statusCode: number, errorMessage: string): Response => ({ statusCode, errorMessage });

/** A login event; one in `failEvery` fails, which for a machine is an expired token. */
function login(name: string, method: string, failEvery: number): Maker {
  return (scene) => {
    const { random, who } = scene;
    const params: { [key: string]: Json } = { user: who.name, authenticationMethod: method };
    if (name === 'tokenLogin') params.tokenId = who.tokenId;
    const failed = random.int(failEvery) === 0;
    const response = failed ? fail(random.pick([401, 403]), 'Invalid access token') : undefined;
    return [action(scene, 'accounts', name, params, response === undefined ? {} : { response })];
  };
}

const unityRead =
  (name: string, params: (scene: Scene) => { [key: string]: Json }): Maker =>
  (scene) => {
    const { company, workspace, random } = scene;
    const ids = { workspace_id: workspace.id, metastore_id: company.metastoreId };
    const denied = random.chance(0.002)
      ? { response: fail(403, 'User does not have USE SCHEMA on Schema') }
      : {};
    return [
      action(
        scene,
        'unityCatalog',
        name,
        { ...params(scene), ...ids },
        { account: true, ...denied },
      ),
    ];
  };

const table = ({ company, random }: Scene): string => random.pickSkewed(company.tables);
const cluster = ({ company, random }: Scene): string => random.pick(company.clusters);
const job = ({ company, random }: Scene): string => random.pickSkewed(company.jobs);

/** A statement in a warehouse: submitted by its author, finished by the system. */
const statement: Maker = (scene) => {
  const { company, random } = scene;
  const commandId = random.uuid();
  const ids = { warehouseId: random.pick(company.warehouses), commandId };
  const text = sqlText(scene);
  const submit = action(
    scene,
    'databrickssql',
    'commandSubmit',
    { ...ids, commandText: text },
    { address: null, userAgent: '', response: null },
  );
  const response = random.chance(0.02)
    ? fail(400, '[TABLE_OR_VIEW_NOT_FOUND] The table or view cannot be found. SQLSTATE: 42P01')
    : { statusCode: 200 };
  const finish = action(scene, 'databrickssql', 'commandFinish', ids, {
    email: SYSTEM_USER,
    address: null,
    userAgent: '',
    response,
    sessionId: submit.sessionId ?? null,
    requestId: random.uuid(),
  });
  return [submit, { ...finish, afterMs: random.between(80, 40_000) }];
};

function sqlText(scene: Scene): string {
  const { random } = scene;
  const from = table(scene);
  const text = random.pick([
    `SELECT date_trunc('day', ts) AS day, count(*)\nFROM ${from}\nGROUP BY 1 ORDER BY 1`,
    `SELECT * FROM ${from} LIMIT 100`,
    `MERGE INTO ${from} t USING ${table(scene)} s ON t.id = s.id WHEN MATCHED THEN UPDATE SET *`,
    `INSERT INTO ${from} SELECT * FROM ${table(scene)} WHERE day = current_date()`,
  ]);
  if (!random.chance(0.08)) return text;
  const long = `${text} -- ${'column list, '.repeat(random.between(400, 4_000))}`;
  return random.chance(0.3) ? `${long.slice(0, 16_384)}${TRUNCATION_MARK}` : long;
}

/** Verbose audit: the text of a command that ran. */
function runCommand(service: 'jobs' | 'notebook'): Maker {
  return (scene) => {
    const { random } = scene;
    const failed = random.chance(0.03);
    const params: { [key: string]: Json } = {
      notebookId: random.digits(16),
      clusterId: cluster(scene),
      executionTime: (random.float() * 60).toFixed(3),
      status: failed ? 'failed' : 'finished',
      commandLanguage: 'python',
      commandId: random.digits(19),
      commandText: `df = spark.table("${table(scene)}")\ndf.groupBy("region").count().display()`,
    };
    if (service === 'jobs') {
      params.jobId = job(scene);
      params.runId = random.digits(15);
    }
    // Not an HTTP status: 1 is a failure of the command.
    const response = failed ? fail(1, 'InnerExecutionException: null') : { statusCode: 0 };
    return [action(scene, service, 'runCommand', params, { response })];
  };
}

/** A cluster action whose answer comes later, under the same request id. */
function clusterChange(name: 'create' | 'start' | 'resize' | 'delete'): Maker {
  return (scene) => {
    const { random } = scene;
    const id = cluster(scene);
    const asked = action(scene, 'clusters', name, clusterParams(scene, name, id), {
      response: { statusCode: 200, result: JSON.stringify({ cluster_id: id }) },
    });
    const answer = action(
      scene,
      'clusters',
      `${name}Result`,
      { clusterId: id, clusterState: name === 'delete' ? 'Terminated' : 'Running' },
      { email: SYSTEM_USER, address: null, userAgent: null, requestId: asked.requestId },
    );
    return [asked, { ...answer, afterMs: random.between(20_000, 400_000) }];
  };
}

function clusterParams(scene: Scene, name: string, id: string): { [key: string]: Json } {
  const { random } = scene;
  if (name !== 'create') return { cluster_id: id };
  return {
    cluster_name: `job-${random.digits(6)}-run`,
    spark_version: '16.4.x-scala2.12',
    node_type_id: 'i4i.xlarge',
    num_workers: random.between(1, 16),
    autotermination_minutes: 30,
    custom_tags: JSON.stringify({ team: random.pick(['data', 'risk', 'growth']) }),
    aws_attributes: JSON.stringify({ availability: 'SPOT_WITH_FALLBACK', zone_id: 'auto' }),
    init_scripts: '[]',
  };
}

/** A run: started, and over a while later. */
const jobRun: Maker = (scene) => {
  const { random } = scene;
  const ids = { jobId: job(scene), runId: random.digits(15) };
  const system = { email: SYSTEM_USER, address: null, userAgent: null };
  const failed = random.chance(0.04);
  return [
    action(scene, 'jobs', 'runStart', { ...ids, jobTriggerType: 'cron', jobTaskType: 'notebook' }),
    {
      ...action(scene, 'jobs', failed ? 'runFailed' : 'runSucceeded', ids, system),
      afterMs: random.between(30_000, 3_000_000),
    },
  ];
};

/** The work of machines, weights per 100,000 events. */
const MACHINE_WORK = new Weighted<Maker>([
  [
    38_900,
    one('accounts', 'oidcTokenAuthorization', ({ who }) => ({
      user: who.name,
      client_id: who.userId,
    })),
  ],
  [19_900, login('tokenLogin', 'API_EXT_PAT_TOKEN', 4_000)],
  [3_000, login('tokenLogin', 'API_INT_PAT_TOKEN', 1_000_000)],
  [
    3_000,
    one('accounts', 'workspaceInHouseOAuthClientAuthentication', ({ who }) => ({ user: who.name })),
  ],
  [
    1_000,
    one(
      'accounts',
      'accountInHouseOAuthClientAuthentication',
      ({ who }) => ({ user: who.name }),
      accountLevel,
    ),
  ],
  [
    800,
    one('accounts', 'mintOAuthToken', ({ who }) => ({ client_id: who.userId, user: who.name })),
  ],
  [8_000, runCommand('jobs')],
  [5_000, unityRead('getTable', (scene) => ({ full_name_arg: table(scene) }))],
  [3_000, unityRead('generateTemporaryTableCredential', temporaryTable)],
  [700, unityRead('generateTemporaryPathCredential', temporaryPath)],
  [
    900,
    unityRead('getSchema', (scene) => ({
      full_name_arg: table(scene).split('.').slice(0, 2).join('.'),
    })),
  ],
  [700, unityRead('getCatalog', (scene) => ({ name_arg: table(scene).split('.')[0]! }))],
  [400, unityRead('listTables', (scene) => ({ catalog_name: table(scene).split('.')[0]! }))],
  [
    1_400,
    one('filesystem', 'filesGet', ({ random }) => ({
      path: `/Volumes/main/raw/in/part-${random.hex(8)}.parquet`,
      'http-status': '200',
    })),
  ],
  [
    1_300,
    one('secrets', 'getSecret', ({ random }) => ({
      scope: random.pick(['etl', 'bi', 'ml']),
      key: random.pick(['warehouse-password', 'api-key', 'smtp']),
    })),
  ],
  [1_500, jobRun],
  [
    700,
    one('jobs', 'runNow', (scene) => ({
      job_id: Number(job(scene).slice(0, 9)),
      idempotency_token: scene.random.hex(32),
    })),
  ],
  [
    500,
    one('jobs', 'submitRun', ({ random }) => ({
      run_name: `adhoc-${random.hex(6)}`,
      tasks: '[{"task_key":"main","notebook_task":{"notebook_path":"/Repos/etl/main"}}]',
    })),
  ],
  [150, clusterChange('create')],
  [150, clusterChange('start')],
  [200, clusterChange('resize')],
  [150, clusterChange('delete')],
  [300, one('deltaPipelines', 'startUpdate', ({ random }) => ({ pipeline_id: random.uuid() }))],
  [
    200,
    one('mlflowExperiment', 'createMlflowExperiment', ({ random }) => ({
      experimentName: `/Shared/exp-${random.hex(6)}`,
    })),
  ],
  [
    200,
    one('vectorSearch', 'queryVectorIndex', ({ random }) => ({
      name: `main.ml.index_${random.int(9)}`,
      query_text: 'redacted',
      num_results: 10,
    })),
  ],
  [150, one('repos', 'pull', ({ random }) => ({ id: random.digits(15), path: '/Repos/etl/main' }))],
  [
    100,
    one('dbfs', 'addBlock', ({ random }) => ({
      handle: random.digits(19),
      data_length: 1_048_576,
    })),
  ],
  [
    40,
    one(
      'lineageTracking',
      'listTableLineages',
      (scene) => ({ table_name: table(scene) }),
      accountLevel,
    ),
  ],
]);

/** The work of people. */
const HUMAN_WORK = new Weighted<Maker>([
  [
    30_000,
    one('accounts', 'oidcTokenAuthorization', ({ who }) => ({
      user: who.name,
      client_id: 'databricks-cli',
    })),
  ],
  [9_000, login('tokenLogin', 'API_EXT_PAT_TOKEN', 20_000)],
  [9_000, statement],
  [14_000, unityRead('getTable', (scene) => ({ full_name_arg: table(scene) }))],
  [6_000, unityRead('generateTemporaryTableCredential', temporaryTable)],
  [3_000, unityRead('listSchemas', (scene) => ({ catalog_name: table(scene).split('.')[0]! }))],
  [
    1_500,
    one('workspace', 'workspaceExport', ({ who, random }) => ({
      workspaceExportFormat: 'SOURCE',
      notebookFullPath: `/Users/${who.name}/nb-${random.int(40)}`,
    })),
  ],
  [
    1_200,
    one('notebook', 'openNotebook', ({ who, random }) => ({
      notebookId: random.digits(16),
      path: `/Users/${who.name}/nb-${random.int(40)}`,
    })),
  ],
  [200, runCommand('notebook')],
  [
    400,
    one('notebook', 'createNotebook', ({ who, random }) => ({
      notebookId: random.digits(16),
      path: `/Users/${who.name}/nb-${random.int(40)}`,
    })),
  ],
  [60, login('samlLogin', 'BROWSER_BYO_IDP_SAML', 25)],
  [60, one('secrets', 'listScopes')],
  [
    600,
    one('aibiGenie', 'genieCreateConversationMessage', ({ random }) => ({
      space_id: random.hex(32),
      conversation_id: random.hex(32),
    })),
  ],
  [600, one('dashboards', 'getDashboard', ({ random }) => ({ dashboardId: random.hex(32) }))],
  [30, one('accounts', 'logout', ({ who }) => ({ user: who.name }))],
  [
    25,
    one(
      'accounts',
      'accountIpAclsValidationFailed',
      ({ who }) => ({ user: who.name, sourceIpAddress: '198.51.100.20' }),
      () => ({ account: true, response: fail(403, 'IP not in the allow list') }),
    ),
  ],
  [
    12,
    one('clusters', 'changeClusterAcl', (scene) => ({
      resourceId: cluster(scene),
      aclPermissionSet: '[{"permission":"CAN_RESTART"}]',
      shardName: 'x',
      targetUserId: scene.who.userId,
    })),
  ],
  [
    12,
    one('jobs', 'changeJobAcl', (scene) => ({
      resourceId: job(scene),
      aclPermissionSet: '[{"permission":"CAN_VIEW"}]',
      targetUserId: scene.who.userId,
    })),
  ],
  [10, shortToken],
  [
    8,
    one('accounts', 'addPrincipalToGroup', ({ company, random }) => ({
      targetGroupName: random.pick(['analysts', 'data-eng', 'bi-readers']),
      targetGroupId: random.digits(15),
      targetUserName: random.pick(company.people).name,
      endpoint: 'scim',
    })),
  ],
  [8, one('unityCatalog', 'updatePermissions', selectGrant, accountLevel)],
  [
    5,
    one('databrickssql', 'downloadQueryResult', ({ random }) => ({
      queryId: random.uuid(),
      fileType: 'csv',
    })),
  ],
]);

function temporaryTable(scene: Scene): { [key: string]: Json } {
  return {
    credential_id: scene.random.uuid(),
    credential_type: 'StorageCredential',
    is_permissions_enforcing_client: 'true',
    table_full_name: table(scene),
    operation: scene.random.chance(0.8) ? 'READ' : 'READ_WRITE',
    table_id: scene.random.uuid(),
  };
}

function temporaryPath({ random }: Scene): { [key: string]: Json } {
  const url = `s3://example-lake/raw/${random.hex(6)}`;
  return { url, operation: 'PATH_READ', credential_type: 'StorageCredential' };
}

function selectGrant(scene: Scene): { [key: string]: Json } {
  const changes = [{ principal: 'analysts', add: ['SELECT'], remove: [] }];
  return {
    securable_type: 'TABLE',
    securable_full_name: table(scene),
    changes: JSON.stringify(changes),
    workspace_id: scene.workspace.id,
    metastore_id: scene.company.metastoreId,
  };
}

const EIGHT_HOURS_MS = 8 * 3_600_000;

/** A token for a working day. */
function shortToken(scene: Scene): Activity {
  return [
    action(scene, 'accounts', 'generateDbToken', {
      userId: scene.who.userId,
      tokenHash: scene.random.hex(64),
      tokenExpirationTime: scene.atMs + EIGHT_HOURS_MS,
    }),
  ];
}

export type Kind = 'human' | 'machine';

/** One activity of the one who is on the scene. */
export function workOf(kind: Kind, scene: Scene): Activity {
  return (kind === 'human' ? HUMAN_WORK : MACHINE_WORK).draw(scene.random)(scene);
}

/** One activity of a person or a machine in a workspace. */
export function ordinaryActivity(
  company: Company,
  workspace: Workspace,
  kind: Kind,
  random: Random,
  atMs: number,
): Activity {
  const who = random.pickSkewed(kind === 'human' ? company.people : company.servicePrincipals);
  return workOf(kind, { company, workspace, random, who, atMs });
}
