/**
 * The attacks of the day. Each is told: what it is, who does it, and which of its events a rule
 * should raise on. Pure and seeded.
 *
 * `single` attacks are decided by one event each, `several` only by several together (a count, a
 * number of distinct values, an order).
 * Each event of a `single` attack raises an alert, or is counted on the one that stands already.
 */
import { act } from './act.ts';
import type { Company, Principal, Workspace } from './company.ts';
import type { Action, Json, Response } from './line.ts';
import type { Random } from './random.ts';

export interface AttackEvent {
  workspace: Workspace;
  /** After the attack's first event, milliseconds. */
  afterMs: number;
  action: Action;
  /** Whether this event alone should raise an alert. */
  raises: boolean;
}

export interface Attack {
  /** The behaviour, in the words a rule would use: `verbose_audit_logging_disabled`. */
  behaviour: string;
  title: string;
  kind: 'single' | 'several';
  /** File name, without ending, of the shipped rule that raises. */
  rule: string | null;
  events: AttackEvent[];
}

interface Stage {
  company: Company;
  random: Random;
  workspace: Workspace;
  /** Somebody whose account was taken over, with the attacker's address and browser. */
  intruder: Principal;
  insider: Principal;
  victim: Principal;
}

type Params = { [key: string]: Json };
type Plot = (stage: Stage) => Omit<Attack, 'behaviour' | 'rule'>;

const INTRUDER_ADDRESS = '192.0.2.66';
/** In São Paulo, as far as the GeoIP files of the tests go; the office is in Frankfurt. */
const FAR_ADDRESS = '192.0.2.77';
const INTRUDER_AGENT = 'python-requests/2.31.0';
const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;

/** An attack of one event. */
function single(
  title: string,
  pair: `${string}.${string}`,
  params: (stage: Stage) => Params,
  more: Partial<Action> = {},
): Plot {
  return (stage) => ({
    title,
    kind: 'single',
    events: [
      {
        workspace: stage.workspace,
        afterMs: 0,
        action: act(stage, stage.intruder, pair, params(stage), more),
        raises: true,
      },
    ],
  });
}

/** An attack of `count` like events, `everyMs` apart. */
function series(
  title: string,
  kind: Attack['kind'],
  count: number,
  everyMs: number,
  event: (stage: Stage, at: number) => Action,
): Plot {
  return (stage) => ({
    title,
    kind,
    events: Array.from({ length: count }, (_, at) => ({
      workspace: stage.workspace,
      afterMs: at * everyMs,
      action: event(stage, at),
      raises: kind === 'single',
    })),
  });
}

const failure = (statusCode: number, errorMessage: string): Response => ({
  statusCode,
  errorMessage,
});
const account = { account: true } as const;
const ids = ({ company, workspace }: Stage): Params => ({
  workspace_id: workspace.id,
  metastore_id: company.metastoreId,
});

/** 2036-11-24, for a token that outlives everybody. */
const FAR_FUTURE_MS = Date.UTC(2036, 10, 24);
const fromOutside = { address: INTRUDER_ADDRESS, userAgent: INTRUDER_AGENT, sessionId: null };

const PLOTS: Record<string, Plot> = {
  verbose_audit_logging_disabled: single(
    'Verbose audit logs switched off',
    'workspace.workspaceConfEdit',
    () => ({ workspaceConfKeys: 'enableVerboseAuditLogs', workspaceConfValues: 'false' }),
  ),
  ip_access_list_deleted: single(
    'IP access list deleted',
    'accounts.deleteIpAccessList',
    ({ random, intruder }) => ({ ipAccessListId: random.uuid(), userId: intruder.userId }),
  ),
  account_admin_granted: single(
    'Account administrator granted',
    'accounts.setAccountAdmin',
    ({ victim }) => ({ targetUserName: victim.name, targetUserId: victim.userId }),
    account,
  ),
  workspace_admin_granted: single(
    'Added to the workspace administrators',
    'accounts.addPrincipalToGroup',
    ({ victim, random }) => ({
      targetGroupName: 'admins',
      targetGroupId: random.digits(15),
      targetUserName: victim.name,
      targetUserId: victim.userId,
      endpoint: 'adminConsole',
    }),
  ),
  token_without_expiry: single(
    'Personal access token that never expires',
    'accounts.generateDbToken',
    ({ intruder, random }) => ({ userId: intruder.userId, tokenHash: random.hex(64) }),
  ),
  long_lifetime_token: single(
    'Personal access token valid for ten years',
    'accounts.generateDbToken',
    ({ intruder, random }) => ({
      userId: intruder.userId,
      tokenHash: random.hex(64),
      tokenExpirationTime: FAR_FUTURE_MS,
    }),
  ),
  sso_config_changed: single(
    'Single sign-on configuration changed',
    'ssoConfigBackend.update',
    () => ({ config: '{"entityId":"https://idp.example.com/other"}', status: 'ACTIVE' }),
    account,
  ),
  secret_scanner: series('TruffleHog scan of the workspace', 'single', 12, 700, (stage, at) =>
    act(
      stage,
      stage.intruder,
      at % 3 === 0 ? 'workspace.workspaceExport' : 'notebook.openNotebook',
      { notebookFullPath: `/Shared/nb-${at}`, workspaceExportFormat: 'SOURCE' },
      { userAgent: 'TruffleHog', sessionId: null },
    ),
  ),
  global_init_script_created: single(
    'Global init script created',
    'globalInitScripts.create',
    ({ random }) => ({
      name: 'metrics-agent',
      script_id: random.hex(16).toUpperCase(),
      enabled: 'true',
      'script-SHA256': random.hex(64),
    }),
  ),
  library_on_all_clusters: single(
    'Library installed on all clusters',
    'clusterLibraries.installLibraryOnAllClusters',
    () => ({ library: '{"pypi":{"package":"requessts==2.32.0"}}' }),
  ),
  mount_point_created: single('Mount of a foreign bucket', 'dbfs.mount', () => ({
    mountPoint: '/mnt/backup2',
    owner: 'root',
  })),
  storage_credential_created: single(
    'Storage credential for a foreign account',
    'unityCatalog.createStorageCredential',
    (stage) => ({
      name: 'archive_copy',
      aws_iam_role: '{"role_arn":"arn:aws:iam::000000000000:role/copy"}',
      skip_validation: 'true',
      ...ids(stage),
    }),
    account,
  ),
  recipient_without_ip_acl: single(
    'Sharing recipient without an IP access list',
    'unityCatalog.createRecipient',
    (stage) => ({ name: 'partner_x', authentication_type: 'TOKEN', ...ids(stage) }),
    account,
  ),
  log_delivery_disabled: single(
    'Audit log delivery disabled',
    'logDelivery.updateLogDeliveryConfiguration',
    ({ company, random }) => ({
      account_id: company.accountId,
      log_delivery_configuration_id: random.uuid(),
      status: 'DISABLED',
    }),
    account,
  ),
  metastore_owner_changed: single(
    'Metastore owner changed',
    'unityCatalog.updateMetastore',
    (stage) => ({ id: stage.company.metastoreId, owner: stage.intruder.name, ...ids(stage) }),
    account,
  ),
  all_privileges_granted: single(
    'Everything granted to everybody on a catalog',
    'unityCatalog.updatePermissions',
    (stage) => ({
      securable_type: 'CATALOG',
      securable_full_name: 'finance',
      changes: '[{"principal":"account users","add":["ALL_PRIVILEGES","MANAGE"],"remove":[]}]',
      ...ids(stage),
    }),
    account,
  ),
  encoded_command: single(
    'Encoded shell command in a notebook',
    'notebook.runCommand',
    (stage) => ({
      notebookId: stage.random.digits(16),
      clusterId: stage.company.clusters[0]!,
      executionTime: '0.412',
      status: 'finished',
      commandLanguage: 'shell',
      commandId: stage.random.digits(19),
      commandText: '%sh echo Y3VybCBleGFtcGxlLmNvbQ== | base64 -d | sh',
    }),
    { response: { statusCode: 0 } },
  ),
  support_window_extended: single(
    'Vendor support access window extended',
    'workspace.workspaceConfEdit',
    () => ({
      workspaceConfKeys: 'customerApprovedWSLoginExpirationTime',
      workspaceConfValues: '2027-12-31T00:00:00Z',
    }),
  ),
  mfa_key_removed: single('MFA key removed', 'accounts.mfaDeleteKey', ({ random }) => ({
    id: random.uuid(),
  })),
  non_sso_login: single(
    'Login past the single sign-on',
    'accounts.login',
    ({ intruder }) => ({ user: intruder.name, authenticationMethod: 'PASSWORD' }),
    { address: INTRUDER_ADDRESS },
  ),
  container_escape: (stage) => ({
    title: 'Container escape on a cluster host',
    kind: 'single',
    events: [
      {
        workspace: stage.workspace,
        afterMs: 0,
        action: act(
          stage,
          stage.intruder,
          'capsule8-alerts-dataplane.Userland Container Escape',
          { instanceId: `i-${stage.random.hex(17)}` },
          { email: 'System-User', address: null, userAgent: null, sessionId: null },
        ),
        raises: true,
      },
    ],
  }),
  infected_file: single(
    'Malware found on a cluster host',
    'clamAVScanService-dataplane.clamAVScanAction',
    ({ random }) => ({ instanceId: `i-${random.hex(17)}` }),
    {
      email: 'System-User',
      address: null,
      userAgent: null,
      sessionId: null,
      response: { statusCode: 200, result: '/tmp/.x/miner: Unix.Malware.Example FOUND' },
    },
  ),
  workspace_admin_set: single('Workspace administrator set', 'accounts.setAdmin', ({ victim }) => ({
    targetUserName: victim.name,
    targetUserId: victim.userId,
    endpoint: 'adminConsole',
  })),
  ip_access_lists_disabled: single(
    'Enforcement of IP access lists switched off',
    'workspace.workspaceConfEdit',
    () => ({ workspaceConfKeys: 'enableIpAccessLists', workspaceConfValues: 'false' }),
  ),
  secret_acl_changed: single('Secret scope opened to all users', 'secrets.putAcl', () => ({
    scope: 'etl',
    principal: 'users',
    permission: 'READ',
  })),
  password_changed_by_another: single(
    'Password of somebody else changed',
    'accounts.changePassword',
    ({ victim }) => ({ targetUserName: victim.name, newPasswordSource: 'admin' }),
  ),
  archive_exported: single('Workspace exported as an archive', 'workspace.workspaceExport', () => ({
    workspaceExportFormat: 'DBC',
    notebookFullPath: '/',
  })),
  failed_logins: series('Password guessing on one account', 'several', 9, 20_000, (stage) =>
    act(
      stage,
      stage.victim,
      'accounts.login',
      { user: stage.victim.name, authenticationMethod: 'PASSWORD' },
      { ...fromOutside, response: failure(401, 'Invalid credentials') },
    ),
  ),
  password_spray: series('One address tries thirty accounts', 'several', 30, 9_000, (stage, at) => {
    const target = stage.company.people[at % stage.company.people.length]!;
    return act(
      stage,
      target,
      'accounts.login',
      { user: target.name, authenticationMethod: 'PASSWORD' },
      { ...fromOutside, address: '192.0.2.99', response: failure(401, 'Invalid credentials') },
    );
  }),
  secret_enumeration: (stage) => ({
    title: 'Secret scopes listed, then forty secrets read',
    kind: 'several',
    events: [
      {
        workspace: stage.workspace,
        afterMs: 0,
        action: act(stage, stage.insider, 'secrets.listScopes', {}),
        raises: false,
      },
      ...Array.from({ length: 40 }, (_, at) => ({
        workspace: stage.workspace,
        afterMs: (at + 1) * 4 * SECOND_MS,
        action: act(stage, stage.insider, 'secrets.getSecret', {
          scope: `scope-${at % 4}`,
          key: `key-${at}`,
        }),
        raises: false,
      })),
    ],
  }),
  bulk_download: series('Thirty query results downloaded', 'several', 30, MINUTE_MS, (stage) =>
    act(stage, stage.insider, 'databrickssql.downloadQueryResult', {
      queryId: stage.random.uuid(),
      fileType: 'csv',
    }),
  ),
  mass_deletion: series('Sixty tables dropped', 'several', 60, 10_000, (stage, at) =>
    act(
      stage,
      stage.insider,
      'unityCatalog.deleteTable',
      { full_name_arg: stage.company.tables[at % stage.company.tables.length]!, ...ids(stage) },
      account,
    ),
  ),
  impossible_travel: (stage) => ({
    title: 'Signed in at the office and, 45 minutes later, on another continent',
    kind: 'several',
    events: [stage.victim.addresses[0]!, FAR_ADDRESS].map((address, at) => ({
      workspace: stage.workspace,
      afterMs: at * 45 * MINUTE_MS,
      action: act(
        stage,
        stage.victim,
        'accounts.samlLogin',
        { user: stage.victim.name, authenticationMethod: 'BROWSER_BYO_IDP_SAML' },
        { address },
      ),
      raises: false,
    })),
  }),
};

/** The shipped rule that sees an attack, by the name of its file. */
const RULES: Record<string, string> = {
  verbose_audit_logging_disabled: 'verbose_audit_logging_disabled',
  ip_access_list_deleted: 'ip_access_list_deleted',
  account_admin_granted: 'account_admin_granted',
  workspace_admin_granted: 'admin_group_member_added',
  long_lifetime_token: 'long_lived_personal_access_token',
  token_without_expiry: 'personal_access_token_without_expiry',
  sso_config_changed: 'sso_configuration_changed',
  secret_scanner: 'secret_scanner_user_agent',
  global_init_script_created: 'global_init_script_changed',
  library_on_all_clusters: 'library_installed_on_all_clusters',
  mount_point_created: 'storage_mounted',
  storage_credential_created: 'storage_credential_changed',
  recipient_without_ip_acl: 'share_recipient_without_ip_access_list',
  log_delivery_disabled: 'log_delivery_changed',
  metastore_owner_changed: 'metastore_owner_changed',
  all_privileges_granted: 'unity_catalog_full_control_granted',
  encoded_command: 'encoded_command',
  support_window_extended: 'support_access_window_changed',
  mfa_key_removed: 'mfa_key_removed',
  container_escape: 'container_escape',
  infected_file: 'malware_found',
  workspace_admin_set: 'workspace_admin_granted',
  ip_access_lists_disabled: 'ip_access_lists_disabled',
  secret_acl_changed: 'secret_scope_acl_changed',
  password_changed_by_another: 'password_changed_by_another',
  archive_exported: 'workspace_archive_exported',
  non_sso_login: 'login_without_sso',
  failed_logins: 'failed_logins_of_one_user',
  password_spray: 'password_spray',
  secret_enumeration: 'secret_enumeration',
  bulk_download: 'bulk_download',
  mass_deletion: 'mass_deletion',
  impossible_travel: 'impossible_travel',
};

/** The names of all attacks. */
export const BEHAVIOURS: readonly string[] = Object.keys(PLOTS);

/** Every attack once, each in a workspace and by people of its own choosing. */
export function planAttacks(company: Company, random: Random): Attack[] {
  return BEHAVIOURS.map((behaviour) => {
    const own = random.fork(behaviour);
    const people = company.people;
    const taken = own.int(people.length);
    const intruder: Principal = {
      ...people[taken]!,
      addresses: [INTRUDER_ADDRESS],
      userAgent: INTRUDER_AGENT,
      sessionId: `ephemeral-${own.uuid()}`,
    };
    const insider = people[(taken + 1) % people.length]!;
    const victim = people[(taken + 2) % people.length]!;
    const workspace = own.pick(company.workspaces);
    const stage: Stage = { company, random: own, workspace, intruder, insider, victim };
    return { behaviour, rule: RULES[behaviour] ?? null, ...PLOTS[behaviour]!(stage) };
  });
}
