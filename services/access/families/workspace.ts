/**
 * Inside a workspace: permissions on jobs, clusters, notebooks and the like, secret scopes, address
 * lists, and the settings that open or close it. Pure.
 */
import type { Sense } from '../../../schemas/evidence/access-leaf.ts';
import type { AuditEvent } from '../../ingest/event.ts';
import type { Effect } from '../change.ts';
import {
  accountScope,
  effect,
  type Family,
  isRecord,
  level,
  listOf,
  NotUnderstood,
  namedAccount,
  needed,
  param,
  privilegeName,
  type Reader,
  rowsOf,
  subjectName,
  targetOf,
  textIn,
  workspaceScope,
} from '../fields.ts';

// --- permissions ---------------------------------------------------------------------------------

/**
 * `aclPermissionSet` is what one subject may do from here on: a word (`Manage Run`), or JSON text
 * with words or `{permission}`.
 */
const acl =
  (type: string): Reader =>
  (event) => {
    const resource = param(event, 'resourceId', 'resource_id', 'aclChangeResourceName', 'job_id');
    const object = resource === undefined ? type : `${type} ${resource}`;
    const set = event.requestParams.aclPermissionSet;
    if (set === undefined) throw new NotUnderstood('no aclPermissionSet');
    const scope = workspaceScope(event);
    return level(permissionsIn(set), { kind: 'acl', subject: targetOf(event), object, scope });
  };

function permissionsIn(text: string): string[] {
  if (!/^\s*[[{"]/.test(text)) return listOf(text).filter(isPermission);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new NotUnderstood('aclPermissionSet is not JSON, or was cut');
  }
  const rows: unknown[] = Array.isArray(value) ? value : [value];
  const words = rows.map((row) =>
    isRecord(row) ? textIn(row, 'aclPermissionSet', 'permission', 'permission_level') : row,
  );
  if (!words.every((word) => typeof word === 'string')) {
    throw new NotUnderstood('aclPermissionSet holds other than permissions');
  }
  return words.filter(isPermission);
}

/** How taking away is spelled, beside an empty set. */
const isPermission = (word: string): boolean => !/^no[ _]?permissions?$|^none$/i.test(word);

/** The whole list of one object, set anew. */
const grantList =
  (type: string, key: string, ...ids: string[]): Reader =>
  (event) => {
    const object = `${type} ${needed(event, ...ids)}`;
    const scope = workspaceScope(event);
    return rowsOf(event, key).map((row) => {
      const subject = subjectName(textIn(row, key, ...GRANTEES));
      const privilege = privilegeName(textIn(row, key, ...LEVELS));
      const named = { kind: 'acl', subject, privilege, object, scope } as const;
      return effect('give', named, { replaces: 'object' });
    });
  };

const GRANTEES = ['user_name', 'group_name', 'service_principal_name', 'principal', 'grantee'];
const LEVELS = ['permission_level', 'permission'];

const changePermissions: Reader = (event) => {
  const type = param(event, 'objectType') ?? 'object';
  return grantList(type, 'granteeAndPermission', 'objectId')(event);
};

const transferObjectOwnership: Reader = (event) => {
  const object = `${param(event, 'objectType') ?? 'object'} ${needed(event, 'objectId')}`;
  const subject = subjectName(needed(event, 'newOwner'));
  const named = { kind: 'owner', subject, privilege: 'OWNER', object } as const;
  return [effect('give', { ...named, scope: workspaceScope(event) }, { replaces: 'object' })];
};

// --- secret scopes and mounts --------------------------------------------------------------------

const scopeAcl = (event: AuditEvent) => ({
  kind: 'acl' as const,
  subject: subjectName(needed(event, 'principal')),
  object: `secret scope ${needed(event, 'scope')}`,
  scope: workspaceScope(event),
});

const putAcl: Reader = (event) => level([needed(event, 'permission')], scopeAcl(event));
const deleteAcl: Reader = (event) => [effect('clear', scopeAcl(event))];

const deleteScope: Reader = (event) => {
  const object = `secret scope ${needed(event, 'scope')}`;
  return [effect('drop', { kind: 'acl', object, scope: workspaceScope(event) })];
};

const mount =
  (op: 'give' | 'drop'): Reader =>
  (event) => [
    effect(op, {
      kind: 'storage',
      privilege: op === 'give' ? 'MOUNTED' : '',
      object: `mount ${needed(event, 'mountPoint', 'mount_point')}`,
      scope: workspaceScope(event),
    }),
  ];

// --- addresses and networks ----------------------------------------------------------------------

/**
 * Events of address lists tell the id of the list and no address, so whether one more list lets in
 * or keeps out cannot be told.
 */
const ipList =
  (op: 'give' | 'touch' | 'drop'): Reader =>
  (event) => {
    const id = param(event, 'ipAccessListId', 'ip_access_list_id', 'list_id');
    const object = `address list ${id ?? `of ${event.eventId}`}`;
    const named = { kind: 'network', object, scope: workspaceScope(event) } as const;
    const privilege = op === 'drop' ? '' : op === 'give' ? 'EXISTS' : 'UPDATED';
    return [effect(op, { ...named, privilege, sense: 'either' })];
  };

const network =
  (what: string): Reader =>
  (event) => [
    effect('touch', {
      kind: 'network',
      privilege: what,
      object: param(event, 'network_policy_id', 'private_access_settings_id', 'name') ?? '',
      scope: namedAccount(event),
    }),
  ];

// --- settings ------------------------------------------------------------------------------------

/** Settings of a workspace that open it when true, that close it when true, or by their value. */
const SETTINGS: ReadonlyArray<[RegExp, Sense]> = [
  [/^enableTokensConfig$|^enableWebTerminal$|^enableDbfsFileBrowser$/, 'permits'],
  [/^enableExportNotebook$|^enableResultsDownloading$|^enableNotebookTableClipboard$/, 'permits'],
  [/^enableIpAccessLists$|^enableJobViewAcls$|^enableEnforceImdsV2$|^enable-X-/, 'restricts'],
  [/^enforce(UserIsolation|MFA|WorkspaceViewAcls|ClusterViewAcls)$/, 'restricts'],
  [/^requireWorkspaceApproval$/, 'restricts'],
  [/^maxTokenLifetimeDays$|^maxUserInactiveDays$/, 'either'],
  [/^customerApprovedWSLoginExpirationTime$/, 'either'],
];

const workspaceConfEdit: Reader = (event) => {
  const keys = listOf(needed(event, 'workspaceConfKeys'));
  const text = event.requestParams.workspaceConfValues ?? '';
  const values = keys.length === 1 ? [text] : listOf(text);
  if (values.length !== keys.length) throw new NotUnderstood('other keys than values');
  return keys.flatMap((key, at) => {
    const sense = SETTINGS.find(([pattern]) => pattern.test(key))?.[1];
    return sense === undefined ? [] : [setting(event, key, values[at]!, sense)];
  });
};

function setting(event: AuditEvent, object: string, value: string, sense: Sense): Effect {
  const named = { kind: 'setting', object, scope: workspaceScope(event), sense } as const;
  if (sense === 'either') {
    return effect('give', { ...named, privilege: value }, { replaces: 'object' });
  }
  const word = value.trim().toLowerCase();
  if (word !== 'true' && word !== 'false')
    throw new NotUnderstood(`${object} is not true or false`);
  return effect(word === 'true' ? 'give' : 'take', { ...named, privilege: 'ON' });
}

const accessControl =
  (object: string, op: 'give' | 'take'): Reader =>
  (event) => [
    effect(op, {
      kind: 'setting',
      privilege: 'ON',
      object,
      scope: workspaceScope(event),
      sense: 'restricts',
    }),
  ];

const settingName = (event: AuditEvent): string => {
  const type = needed(event, 'settingTypeName', 'settingName', 'settingKeyTypeName');
  const key = param(event, 'settingKeyName');
  return key === undefined ? type : `${type} ${key}`;
};

const setSetting: Reader = (event) => [
  effect(
    'give',
    {
      kind: 'setting',
      privilege: param(event, 'settingValueForAudit') ?? 'SET',
      object: settingName(event),
      scope: workspaceScope(event),
      sense: 'either',
    },
    { replaces: 'object' },
  ),
];

const deleteSetting: Reader = (event) => [
  effect('clear', {
    kind: 'setting',
    object: settingName(event),
    scope: workspaceScope(event),
    sense: 'either',
  }),
];

const signOn: Reader = (event) => [
  effect('touch', {
    kind: 'setting',
    privilege: param(event, 'status') ?? 'UPDATED',
    object: 'single sign-on',
    scope: accountScope(event.accountId),
  }),
];

/** Staff of Databricks are let into a workspace, for a time that the event tells. */
const databricksAccess: Reader = (event) => [
  effect(
    'touch',
    {
      kind: 'role',
      subject: subjectName(param(event, 'user') ?? event.actor.name),
      privilege: 'DATABRICKS_STAFF',
      object: 'workspace',
      scope: workspaceScope(event),
    },
    { direction: 'widened' },
  ),
];

const SETTING_ACTIONS: Record<string, Reader> = { setSetting, deleteSetting };

export const WORKSPACE: Family = {
  accounts: {
    ...SETTING_ACTIONS,
    changeDatabricksWorkspaceAcl: acl('workspace'),
    changeDatabricksSqlAcl: acl('sql'),
    changeDbTokenAcl: acl('tokens'),
    changePasswordAcl: acl('passwords'),
    changeServicePrincipalAcls: acl('service principal'),
    createIpAccessList: ipList('give'),
    updateIpAccessList: ipList('touch'),
    deleteIpAccessList: ipList('drop'),
    enableClusterAcls: accessControl('cluster access control', 'give'),
    disableClusterAcls: accessControl('cluster access control', 'take'),
    enableTableAcls: accessControl('table access control', 'give'),
    disableTableAcls: accessControl('table access control', 'take'),
    enableWorkspaceAcls: accessControl('workspace access control', 'give'),
    disableWorkspaceAcls: accessControl('workspace access control', 'take'),
  },
  accountsManager: {
    createNetworkPolicy: network('NETWORK_POLICY'),
    updateNetworkPolicy: network('NETWORK_POLICY'),
    deleteNetworkPolicy: network('NETWORK_POLICY'),
    createPrivateAccessSettings: network('PRIVATE_ACCESS'),
    updatePrivateAccessSettings: network('PRIVATE_ACCESS'),
    deletePrivateAccessSettings: network('PRIVATE_ACCESS'),
  },
  ssoConfigBackend: { create: signOn, update: signOn, delete: signOn },
  workspace: {
    ...SETTING_ACTIONS,
    workspaceConfEdit,
    changeWorkspaceAcl: acl('workspace object'),
  },
  clusters: { changeClusterAcl: acl('cluster') },
  clusterPolicies: { changeClusterPolicyAcl: acl('cluster policy') },
  instancePools: { changeInstancePoolAcl: acl('instance pool') },
  jobs: {
    changeJobAcl: acl('job'),
    resetJobAcl: grantList('job', 'grants', 'job_id', 'resourceId'),
  },
  deltaPipelines: { changePipelineAcls: acl('pipeline') },
  databrickssql: {
    changeEndpointAcls: acl('warehouse'),
    changeWarehouseAcls: acl('warehouse'),
    changePermissions,
    transferObjectOwnership,
  },
  serverlessRealTimeInference: { changeInferenceEndpointAcl: acl('serving endpoint') },
  modelRegistry: { changeRegisteredModelAcl: acl('registered model') },
  featureStore: { changeFeatureTableAcl: acl('feature table') },
  vectorSearch: { changeEndpointAcl: acl('vector search endpoint') },
  apps: { changeAppsAcl: acl('app') },
  databaseInstances: { changeDatabaseInstanceAcl: acl('database instance') },
  iamRole: {
    changeIamRoleAcl: acl('instance profile'),
    changeIamRoleAssumeAcl: acl('instance profile'),
  },
  secrets: { putAcl, deleteAcl, deleteScope },
  genie: { databricksAccess },
  dbfs: { mount: mount('give'), unmount: mount('drop') },
};
