/** Every action that is read, in the shape that Databricks documents, and what is made of it. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { AccessEvent } from '../../services/access/change.ts';
import { accessEventOf, mayChangeAccess, READ_ACTIONS } from '../../services/access/changes.ts';
import { decodeJson } from '../../services/ingest/decode.ts';

const AT = { topic: 'databricks.audit', partition: 0, offset: 7n };

interface Given {
  status?: number | null;
  level?: 'ACCOUNT_LEVEL' | 'WORKSPACE_LEVEL';
  more?: object;
}

function eventOf(pair: string, params: object, given: Given = {}): AccessEvent | null {
  const { status = 200, level = 'WORKSPACE_LEVEL', more = {} } = given;
  const [serviceName, actionName] = pair.split('.');
  const line = {
    version: '2.0',
    auditLevel: level,
    timestamp: 1_795_512_600_000,
    workspaceId: level === 'ACCOUNT_LEVEL' ? '0' : '77',
    accountId: 'a1',
    sourceIPAddress: '203.0.113.10',
    userIdentity: { email: 'Alice@example.com', subjectName: null },
    serviceName,
    actionName,
    requestId: 'r1',
    requestParams: params,
    response: status === null ? null : { statusCode: status },
    ...more,
  };
  const decoded = decodeJson(JSON.stringify(line));
  assert.ok(decoded.ok);
  return accessEventOf(decoded.events[0]!, AT);
}

/** `op kind: subject | privilege | object | scope, direction` */
function said(event: AccessEvent | null): string[] {
  return (event?.effects ?? []).map(
    ({ op, kind, subject, privilege, object, scope, direction }) =>
      `${op} ${kind}: ${subject} | ${privilege} | ${object} | ${scope}, ${direction}`,
  );
}

const W = 'workspace 77';
const A = 'account a1';
const M = 'metastore m1';
const acc = { level: 'ACCOUNT_LEVEL' } as const;
const ms = { metastore_id: 'm1' };

const grants = JSON.stringify([
  { principal: 'Bob@example.com', add: ['SELECT', 'ALL PRIVILEGES'], remove: ['MODIFY'] },
]);
const aclOn = { aclPermissionSet: 'Manage Run', targetUserId: '7', shardName: 's' };
const aclOf = (kind: string): string => `give acl: 7 | MANAGE_RUN | ${kind} | ${W}, widened`;
const ruleSet = JSON.stringify({
  name: 'n',
  grant_rules: [{ role: 'roles/group.manager', principals: ['users/Bob@example.com', 'groups/g'] }],
});

type Vector = [pair: string, params: object, effects: string[], given?: Given];

const VECTORS: Vector[] = [
  // Privileges of Unity Catalog.
  [
    'unityCatalog.updatePermissions',
    { securable_type: 'table', securable_full_name: 'main.s.t', changes: grants, ...ms },
    [
      `take grant: bob@example.com | MODIFY | TABLE main.s.t | ${M}, narrowed`,
      `give grant: bob@example.com | SELECT | TABLE main.s.t | ${M}, widened`,
      `give grant: bob@example.com | ALL_PRIVILEGES | TABLE main.s.t | ${M}, widened`,
    ],
    acc,
  ],
  [
    'unityCatalog.updateSharePermissions',
    { name: 'out', changes: '[{"principal":"partner","add":["SELECT"]}]', ...ms },
    [`give grant: partner | SELECT | SHARE out | ${M}, widened`],
  ],
  [
    'unityCatalog.changeSecurableOwner',
    { securable_type: 'SCHEMA', securable_full_name: 'main.s', owner: 'bob@example.com', ...ms },
    [`give owner: bob@example.com | OWNER | SCHEMA main.s | ${M}, widened`],
  ],
  ...(['Catalog', 'Schema', 'Table', 'Volume', 'Function'] as const).map((type): Vector => {
    const object = `${type.toUpperCase()} main.x`;
    return [
      `unityCatalog.update${type}`,
      { full_name_arg: 'main.x', owner: 'g', ...ms },
      [`give owner: g | OWNER | ${object} | ${M}, widened`],
    ];
  }),
  [
    'unityCatalog.updateRegisteredModel',
    { catalog_name: 'main', schema_name: 's', name: 'm', owner: 'g' },
    [`give owner: g | OWNER | REGISTERED_MODEL main.s.m | ${A}, widened`],
  ],
  ['unityCatalog.updateTable', { full_name_arg: 'main.s.t', comment: 'x' }, []],
  [
    'unityCatalog.updateMetastore',
    { id: 'm1', owner: 'g', delta_sharing_scope: 'INTERNAL_AND_EXTERNAL', ...ms },
    [
      `give owner: g | OWNER | METASTORE m1 | ${M}, widened`,
      `give setting:  | INTERNAL_AND_EXTERNAL | delta_sharing_scope | ${M}, changed`,
    ],
  ],
  // Shares, recipients.
  [
    'unityCatalog.createShare',
    { name: 'out', ...ms },
    [`give share:  | EXISTS | SHARE out | ${M}, widened`],
  ],
  [
    'unityCatalog.updateShare',
    {
      name: 'out',
      updates: JSON.stringify([
        { action: 'ADD', data_object: { name: 'main.s.t', data_object_type: 'TABLE' } },
        { action: 'REMOVE', data_object: { name: 'main.s.u' } },
      ]),
      ...ms,
    },
    [
      `give share: SHARE out | SHARED | TABLE main.s.t | ${M}, widened`,
      `take share: SHARE out | SHARED | TABLE main.s.u | ${M}, narrowed`,
    ],
  ],
  [
    'unityCatalog.deleteShare',
    { name_arg: 'out', ...ms },
    [
      `drop share:  |  | SHARE out | ${M}, narrowed`,
      `drop share: SHARE out |  |  | ${M}, narrowed`,
    ],
  ],
  [
    'unityCatalog.createRecipient',
    {
      name: 'partner',
      authentication_type: 'TOKEN',
      ip_access_list: '{"allowed_ip_addresses":["198.51.100.0/24","192.0.2.0/24"]}',
      ...ms,
    },
    [
      `give recipient: partner | TOKEN | RECIPIENT partner | ${M}, widened`,
      `give network: partner | only from 192.0.2.0/24, 198.51.100.0/24 | RECIPIENT partner | ${M}, changed`,
    ],
  ],
  [
    'unityCatalog.updateRecipient',
    { name: 'partner', ip_access_list: '{"allowed_ip_addresses":[]}', ...ms },
    [`clear network: partner |  | RECIPIENT partner | ${M}, widened`],
  ],
  ...(['create', 'delete'] as const).map(
    (verb): Vector => [
      `marketplaceProvider.${verb}ShareMarketplaceListingLink`,
      { listing_id: 'l1' },
      [`touch share:  | LISTED | listing l1 | ${A}, ${verb === 'create' ? 'widened' : 'narrowed'}`],
      acc,
    ],
  ),
  [
    'unityCatalog.rotateRecipientToken',
    { name: 'partner', ...ms },
    [`touch recipient: partner | NEW_TOKEN | RECIPIENT partner | ${M}, changed`],
  ],
  [
    'unityCatalog.deleteRecipient',
    { name: 'partner', ...ms },
    [
      `drop recipient:  |  | RECIPIENT partner | ${M}, narrowed`,
      `drop recipient: partner |  |  | ${M}, narrowed`,
    ],
  ],
  // Storage and bindings.
  ...(
    [
      ['StorageCredential', 'STORAGE_CREDENTIAL'],
      ['ExternalLocation', 'EXTERNAL_LOCATION'],
      ['Connection', 'CONNECTION'],
      ['Credential', 'CREDENTIAL'],
    ] as const
  ).flatMap(([name, type]): Vector[] => [
    [
      `unityCatalog.create${name}`,
      { name: 'lake', url: 's3://example-lake/raw', credential_name: 'c', ...ms },
      [`give storage:  | s3://example-lake/raw with c | ${type} lake | ${M}, widened`],
    ],
    [
      `unityCatalog.update${name}`,
      { name_arg: 'lake', ...ms },
      [`touch storage:  | UPDATED | ${type} lake | ${M}, changed`],
    ],
    [
      `unityCatalog.delete${name}`,
      { name_arg: 'lake', ...ms },
      [`drop storage:  |  | ${type} lake | ${M}, narrowed`],
    ],
  ]),
  ...(['create', 'update'] as const).map(
    (verb): Vector => [
      `unityCatalog.${verb}MetastoreAssignment`,
      { workspace_id: '88', ...ms },
      [`give binding: workspace 88 | ASSIGNED | METASTORE | ${M}, widened`],
    ],
  ),
  [
    'unityCatalog.deleteMetastoreAssignment',
    { workspace_id: '88', ...ms },
    [`take binding: workspace 88 | ASSIGNED | METASTORE | ${M}, narrowed`],
  ],
  [
    'unityCatalog.UpdateWorkspaceBindings',
    { securable_type: 'catalog', name: 'main', ...ms },
    [`touch binding:  | UPDATED | CATALOG main | ${M}, changed`],
  ],
  [
    'unityCatalog.createPolicy',
    { name: 'mask', ...ms },
    [`give grant:  | POLICY | POLICY mask | ${M}, narrowed`],
  ],
  [
    'unityCatalog.deletePolicy',
    { name: 'mask', ...ms },
    [`drop grant:  |  | POLICY mask | ${M}, widened`],
  ],
  // Groups.
  ...(['accounts', 'groups'] as const).flatMap((service): Vector[] => [
    [
      `${service}.addPrincipalToGroup`,
      { targetGroupName: 'admins', targetGroupId: '9', targetUserName: 'Bob@example.com' },
      [
        `name group: admins | GROUP_NAME | id 9 | ${A}, changed`,
        `give group: bob@example.com | MEMBER | group admins | ${A}, widened`,
      ],
      acc,
    ],
    [
      `${service}.addPrincipalsToGroup`,
      { target_group_name: 'g', principals: '["bob@example.com","8"]' },
      [
        `give group: bob@example.com | MEMBER | group g | ${W}, widened`,
        `give group: 8 | MEMBER | group g | ${W}, widened`,
      ],
    ],
    [
      `${service}.removePrincipalFromGroup`,
      { targetGroupName: 'g', targetUserId: '7' },
      [`take group: 7 | MEMBER | group g | ${W}, narrowed`],
    ],
    [
      `${service}.removePrincipalsFromGroup`,
      { targetGroupName: 'g', principals: '7,8' },
      [
        `take group: 7 | MEMBER | group g | ${W}, narrowed`,
        `take group: 8 | MEMBER | group g | ${W}, narrowed`,
      ],
    ],
    ...(['removeGroup', 'deleteGroup'] as const).map(
      (action): Vector => [
        `${service}.${action}`,
        { targetGroupName: 'g' },
        [`drop group:  |  | group g | ${W}, narrowed`, `drop group: g |  |  | ${W}, narrowed`],
      ],
    ),
    [
      `${service}.updateGroup`,
      { targetGroupName: 'g' },
      [`touch group:  | UPDATED | group g | ${W}, changed`],
    ],
    [`${service}.createGroup`, { targetGroupName: 'g' }, []],
    [
      `${service}.createGroup`,
      { targetGroupName: 'g', targetGroupId: '9' },
      [`name group: g | GROUP_NAME | id 9 | ${W}, changed`],
    ],
  ]),
  // Administrators and roles.
  ...(['setAdmin', 'addAdmin'] as const).map(
    (action): Vector => [
      `accounts.${action}`,
      { targetUserName: 'bob@example.com', targetUserId: '7' },
      [
        `name identity: bob@example.com | USER_NAME | id 7 | ${W}, changed`,
        `give admin: bob@example.com | ADMIN | workspace | ${W}, widened`,
      ],
    ],
  ),
  [
    'accounts.removeAdmin',
    { targetUserName: 'bob@example.com' },
    [`take admin: bob@example.com | ADMIN | workspace | ${W}, narrowed`],
  ],
  [
    'accounts.setAccountAdmin',
    { targetUserName: 'bob@example.com' },
    [`give admin: bob@example.com | ACCOUNT_ADMIN | account | ${A}, widened`],
  ],
  [
    'accounts.removeAccountAdmin',
    { targetUserName: 'bob@example.com' },
    [`take admin: bob@example.com | ACCOUNT_ADMIN | account | ${A}, narrowed`],
  ],
  [
    'accountsManager.changeAccountOwner',
    { account_id: 'a1', email: 'bob@example.com' },
    [`give owner: bob@example.com | OWNER | account | ${A}, widened`],
  ],
  ...(['accounts', 'workspace'] as const).flatMap((service): Vector[] => [
    ...(['addPermissionAssignment', 'updatePermissionAssignment'] as const).map(
      (action): Vector => [
        `${service}.${action}`,
        { principal_id: '7', workspace_id: '88', permissions: '["ADMIN"]' },
        ['give role: 7 | ADMIN | workspace | workspace 88, widened'],
        acc,
      ],
    ),
    [
      `${service}.updateRoleAssignment`,
      { principal_id: '7', workspace_id: '88', role: 'USER' },
      ['give role: 7 | USER | workspace | workspace 88, widened'],
      acc,
    ],
    [
      `${service}.deletePermissionAssignment`,
      { principal_id: '7' },
      [`clear role: 7 |  | workspace | ${W}, narrowed`],
    ],
  ]),
  [
    'accountsAccessControl.updateRuleSet',
    { account_id: 'a1', name: 'accounts/a1/groups/9/ruleSets/default', rule_set: ruleSet },
    ['bob@example.com', 'g'].map(
      (who) =>
        `give role: ${who} | roles/group.manager | accounts/a1/groups/9/ruleSets/default | ${A}, widened`,
    ),
    acc,
  ],
  [
    'accountsAccessControl.updateRuleSet',
    { name: 'n', rule_set: '{"grant_rules":[]}' },
    [`clear role:  |  | n | ${A}, narrowed`],
    acc,
  ],
  // Identities.
  ...(['add', 'activateUser', 'createServicePrincipal'] as const).map(
    (action): Vector => [
      `accounts.${action}`,
      { targetUserName: 'bob@example.com', endpoint: 'scim' },
      [`give identity: bob@example.com | ACTIVE | identity | ${W}, widened`],
    ],
  ),
  [
    'accounts.deactivateUser',
    { targetUserName: 'bob@example.com' },
    [`take identity: bob@example.com | ACTIVE | identity | ${W}, narrowed`],
  ],
  ...(['delete', 'deleteServicePrincipal'] as const).map(
    (action): Vector => [
      `accounts.${action}`,
      { targetUserName: 'bob@example.com' },
      [`drop identity: bob@example.com |  |  | ${W}, narrowed`],
    ],
  ),
  ['accounts.deleteUser', {}, [`touch identity:  | DELETED | identity | ${A}, narrowed`], acc],
  [
    'accounts.updateUser',
    { targetUserName: 'bob@example.com', endpoint: 'roleAssignment' },
    [`touch role: bob@example.com | UPDATED | identity | ${W}, changed`],
  ],
  [
    'accounts.updateServicePrincipal',
    { targetServicePrincipalName: 'sp' },
    [`touch identity: sp | UPDATED | identity | ${W}, changed`],
  ],
  // Tokens, secrets, applications.
  [
    'accounts.generateDbToken',
    { userId: '42', tokenHash: 'abc', tokenExpirationTime: 1795541400000 },
    [
      `give token: alice@example.com | TOKEN until 2026-11-24T17:30:00.000Z | token abc | ${W}, widened`,
    ],
  ],
  [
    'accounts.generateDbToken',
    { tokenId: 'abc', tokenExpirationTime: '-1', tokenCreatedBy: 'bob@example.com' },
    [`give token: bob@example.com | TOKEN without expiry | token abc | ${W}, widened`],
  ],
  ...(['revokeDbToken', 'garbageCollectDbToken'] as const).map(
    (action): Vector => [
      `accounts.${action}`,
      { userId: '42', tokenId: 'abc' },
      [`drop token:  |  | token abc | ${W}, narrowed`],
    ],
  ),
  [
    'accounts.changeDbTokenState',
    { tokenHash: 'abc', tokenState: 'ENABLED' },
    [`touch token:  | ENABLED | token abc | ${W}, changed`],
  ],
  [
    'servicePrincipalCredentials.create',
    { account_id: 'a1', service_principal: '7', secret_id: 's1' },
    [`give secret: 7 | SECRET | secret s1 | ${A}, widened`],
    acc,
  ],
  [
    'servicePrincipalCredentials.delete',
    { account_id: 'a1', service_principal: '7', secret_id: 's1' },
    [`drop secret:  |  | secret s1 | ${A}, narrowed`],
    acc,
  ],
  ['oauth2.enrollOAuth', {}, [`touch app:  | OAUTH |  | ${A}, widened`], acc],
  ...(['Custom', 'Published'] as const).flatMap((which) =>
    (
      [
        ['create', 'widened'],
        ['update', 'changed'],
        ['delete', 'narrowed'],
      ] as const
    ).map(
      ([verb, direction]): Vector => [
        `oauth2.${verb}${which}AppIntegration`,
        { integration_id: 'i1' },
        [`touch app:  | OAUTH_APP | i1 | ${A}, ${direction}`],
        acc,
      ],
    ),
  ),
  ...(['accounts', 'oauth2'] as const).flatMap((service) =>
    (
      [
        ['create', 'widened'],
        ['update', 'changed'],
        ['delete', 'narrowed'],
      ] as const
    ).map(
      ([verb, direction]): Vector => [
        `${service}.${verb}FederationPolicy`,
        { policy_id: 'p1' },
        [`touch app:  | FEDERATION_POLICY | p1 | ${A}, ${direction}`],
        acc,
      ],
    ),
  ),
  // Permissions in a workspace.
  ...(
    [
      ['clusters.changeClusterAcl', 'cluster'],
      ['clusterPolicies.changeClusterPolicyAcl', 'cluster policy'],
      ['instancePools.changeInstancePoolAcl', 'instance pool'],
      ['jobs.changeJobAcl', 'job'],
      ['deltaPipelines.changePipelineAcls', 'pipeline'],
      ['databrickssql.changeEndpointAcls', 'warehouse'],
      ['databrickssql.changeWarehouseAcls', 'warehouse'],
      ['serverlessRealTimeInference.changeInferenceEndpointAcl', 'serving endpoint'],
      ['modelRegistry.changeRegisteredModelAcl', 'registered model'],
      ['featureStore.changeFeatureTableAcl', 'feature table'],
      ['vectorSearch.changeEndpointAcl', 'vector search endpoint'],
      ['apps.changeAppsAcl', 'app'],
      ['databaseInstances.changeDatabaseInstanceAcl', 'database instance'],
      ['iamRole.changeIamRoleAcl', 'instance profile'],
      ['iamRole.changeIamRoleAssumeAcl', 'instance profile'],
      ['accounts.changeServicePrincipalAcls', 'service principal'],
      ['workspace.changeWorkspaceAcl', 'workspace object'],
    ] as const
  ).map(([pair, type]): Vector => [pair, { ...aclOn, resourceId: '17' }, [aclOf(`${type} 17`)]]),
  ...(
    [
      ['accounts.changeDatabricksWorkspaceAcl', 'workspace'],
      ['accounts.changeDatabricksSqlAcl', 'sql'],
      ['accounts.changeDbTokenAcl', 'tokens'],
      ['accounts.changePasswordAcl', 'passwords'],
    ] as const
  ).map(([pair, type]): Vector => [pair, aclOn, [aclOf(type)]]),
  [
    'workspace.changeWorkspaceAcl',
    {
      aclChangeResourceName: 'notebooks/123',
      aclPermissionSet: '[{"permission":"CAN_VIEW"},{"permission":"CAN_RUN"}]',
      targetUserId: '7',
    },
    ['CAN_VIEW', 'CAN_RUN'].map(
      (level) => `give acl: 7 | ${level} | workspace object notebooks/123 | ${W}, widened`,
    ),
  ],
  ...['', '[]', 'No Permissions', '["NO_PERMISSIONS"]'].map(
    (set): Vector => [
      'jobs.changeJobAcl',
      { resourceId: '17', aclPermissionSet: set, targetUserId: '7' },
      [`clear acl: 7 |  | job 17 | ${W}, narrowed`],
    ],
  ),
  [
    'jobs.resetJobAcl',
    { job_id: '17', grants: '[{"user_name":"Bob@example.com","permission_level":"CAN_MANAGE"}]' },
    [`give acl: bob@example.com | CAN_MANAGE | job 17 | ${W}, widened`],
  ],
  [
    'databrickssql.changePermissions',
    {
      objectType: 'dashboard',
      objectId: 'd1',
      granteeAndPermission: '[{"group_name":"users","permission":"CAN_RUN"}]',
    },
    [`give acl: users | CAN_RUN | dashboard d1 | ${W}, widened`],
  ],
  [
    'databrickssql.transferObjectOwnership',
    { objectType: 'query', objectId: 'q1', newOwner: 'bob@example.com' },
    [`give owner: bob@example.com | OWNER | query q1 | ${W}, widened`],
  ],
  [
    'secrets.putAcl',
    { scope: 'prod', principal: 'users', permission: 'READ' },
    [`give acl: users | READ | secret scope prod | ${W}, widened`],
  ],
  [
    'secrets.deleteAcl',
    { scope: 'prod', principal: 'users' },
    [`clear acl: users |  | secret scope prod | ${W}, narrowed`],
  ],
  [
    'secrets.deleteScope',
    { scope: 'prod' },
    [`drop acl:  |  | secret scope prod | ${W}, narrowed`],
  ],
  [
    'dbfs.mount',
    { mountPoint: '/mnt/x' },
    [`give storage:  | MOUNTED | mount /mnt/x | ${W}, widened`],
  ],
  ['dbfs.unmount', { mountPoint: '/mnt/x' }, [`drop storage:  |  | mount /mnt/x | ${W}, narrowed`]],
  // Addresses, settings, staff.
  ...(
    [
      ['create', 'give', 'EXISTS'],
      ['update', 'touch', 'UPDATED'],
      ['delete', 'drop', ''],
    ] as const
  ).map(
    ([verb, op, privilege]): Vector => [
      `accounts.${verb}IpAccessList`,
      { ipAccessListId: 'l1', userId: '7' },
      [`${op} network:  | ${privilege} | address list l1 | ${W}, changed`],
    ],
  ),
  ...['NetworkPolicy', 'PrivateAccessSettings'].flatMap((what) =>
    ['create', 'update', 'delete'].map(
      (verb): Vector => [
        `accountsManager.${verb}${what}`,
        { account_id: 'a1', network_policy_id: 'p' },
        [
          `touch network:  | ${what === 'NetworkPolicy' ? 'NETWORK_POLICY' : 'PRIVATE_ACCESS'} | p | ${A}, changed`,
        ],
        acc,
      ],
    ),
  ),
  [
    'workspace.workspaceConfEdit',
    { workspaceConfKeys: 'enableTokensConfig', workspaceConfValues: 'true' },
    [`give setting:  | ON | enableTokensConfig | ${W}, widened`],
  ],
  [
    'workspace.workspaceConfEdit',
    { workspaceConfKeys: 'enableIpAccessLists', workspaceConfValues: 'false' },
    [`take setting:  | ON | enableIpAccessLists | ${W}, widened`],
  ],
  [
    'workspace.workspaceConfEdit',
    { workspaceConfKeys: 'maxTokenLifetimeDays', workspaceConfValues: '365' },
    [`give setting:  | 365 | maxTokenLifetimeDays | ${W}, changed`],
  ],
  [
    'workspace.workspaceConfEdit',
    { workspaceConfKeys: 'enableProjectTypeInWorkspace', workspaceConfValues: 'true' },
    [],
  ],
  ...(['accounts', 'workspace'] as const).flatMap((service): Vector[] => [
    [
      `${service}.setSetting`,
      { settingTypeName: 'restrict_workspace_admins', settingValueForAudit: 'ALLOW_ALL' },
      [`give setting:  | ALLOW_ALL | restrict_workspace_admins | ${W}, changed`],
    ],
    [
      `${service}.deleteSetting`,
      { settingTypeName: 'restrict_workspace_admins', settingKeyName: 'k' },
      [`clear setting:  |  | restrict_workspace_admins k | ${W}, changed`],
    ],
  ]),
  ...['create', 'update', 'delete'].map(
    (verb): Vector => [
      `ssoConfigBackend.${verb}`,
      { status: 'DISABLED' },
      [`touch setting:  | DISABLED | single sign-on | ${A}, changed`],
      acc,
    ],
  ),
  ...['Cluster', 'Table', 'Workspace'].flatMap((what): Vector[] => [
    [
      `accounts.enable${what}Acls`,
      {},
      [`give setting:  | ON | ${what.toLowerCase()} access control | ${W}, narrowed`],
    ],
    [
      `accounts.disable${what}Acls`,
      {},
      [`take setting:  | ON | ${what.toLowerCase()} access control | ${W}, widened`],
    ],
  ]),
  [
    'genie.databricksAccess',
    { user: 'staff@example.com', approver: 'x', duration: '1', reason: 'y' },
    [`touch role: staff@example.com | DATABRICKS_STAFF | workspace | ${W}, widened`],
  ],
];

describe('changes of access', () => {
  for (const [pair, params, effects, given] of VECTORS) {
    test(`${pair} ${JSON.stringify(params).slice(0, 60)}`, () => {
      assert.deepEqual(said(eventOf(pair, params, given)), effects);
    });
  }

  test('every action that is read has a vector', () => {
    const told = new Set(VECTORS.map(([pair]) => pair));
    assert.deepEqual(
      READ_ACTIONS.filter((pair) => !told.has(pair)),
      [],
    );
  });

  test('what failed changed nothing; what has no answer may have', () => {
    const [pair, params] = VECTORS[0]!;
    for (const status of [400, 401, 403, 500]) {
      assert.equal(eventOf(pair, params, { status }), null);
    }
    const [effect, ...others] = eventOf(pair, params, { status: null })!.effects;
    assert.deepEqual([effect!.kind, effect!.direction, others], ['unknown', 'changed', []]);
    assert.equal(eventOf('groups.createGroup', {}, { status: null }), null);
  });

  test('what cannot be read is a change of its own, with the reason', () => {
    const table = { securable_type: 'TABLE', securable_full_name: 'main.s.t' };
    const unread: Array<[string, object, RegExp]> = [
      ['unityCatalog.updatePermissions', { ...table, changes: '[{"principal":' }, /not JSON/],
      ['unityCatalog.updatePermissions', { ...table, changes: '[]' }, /changes is empty/],
      [
        'unityCatalog.updatePermissions',
        { ...table, changes: '[{"add":["X"]}]' },
        /without principal/,
      ],
      [
        'unityCatalog.updatePermissions',
        { ...table, changes: '[{"principal":"p"}]' },
        /no privilege/,
      ],
      [
        'unityCatalog.updatePermissions',
        { ...table, changes: '[{"principal":"p","add":"X"}]' },
        /add/,
      ],
      ['unityCatalog.updatePermissions', table, /no changes/],
      ['unityCatalog.updateShare', { name: 'out', updates: '[{"action":"ADD"}]' }, /data_object/],
      ['accounts.addPrincipalToGroup', { targetGroupName: 'g' }, /no targetUserName/],
      ['accounts.setAdmin', {}, /no targetUserName/],
      ['jobs.changeJobAcl', { resourceId: '1', targetUserId: '7' }, /no aclPermissionSet/],
      [
        'jobs.changeJobAcl',
        { aclPermissionSet: '[{"x":1}]', targetUserId: '7' },
        /without permission/,
      ],
      [
        'workspace.workspaceConfEdit',
        { workspaceConfKeys: 'a,b', workspaceConfValues: 'x' },
        /keys/,
      ],
      ['accountsAccessControl.updateRuleSet', { name: 'n', rule_set: 'x' }, /rule_set is not JSON/],
      ['sqlPermissions.grantPermission', { permission: '{}' }, /not known/],
      ['brandNew.changeThingAcl', { resourceId: '1' }, /not known/],
      ['unityCatalog.changeShareOwner', {}, /not known/],
      ['accounts.setWorkspaceAdmin', {}, /not known/],
      [
        'unityCatalog.updatePermissions',
        { ...table, changes: `[{"principal":"p","add":["SELECT"]}]... truncated` },
        /cut/,
      ],
      ['secrets.putAcl', { TRUNCATED: '' }, /cut/],
    ];
    for (const [pair, params, why] of unread) {
      const event = eventOf(pair, params);
      assert.equal(event?.effects.length, 1, pair);
      const [effect] = event.effects;
      assert.equal(`${effect!.kind} ${effect!.op} ${effect!.object}`, `unknown touch ${pair}`);
      assert.equal(effect!.direction, 'changed');
      assert.match(effect!.privilege, why);
    }
  });

  test('reading, logging in and borrowing credentials is no change', () => {
    for (const pair of [
      'accounts.tokenLogin',
      'accounts.oidcTokenAuthorization',
      'accounts.mintOAuthToken',
      'secrets.getAcl',
      'secrets.listAcls',
      'unityCatalog.getPermissions',
      'unityCatalog.getSharePermissions',
      'unityCatalog.generateTemporaryTableCredential',
      'unityCatalog.deltaSharingGetShare',
      'unityCatalog.getTable',
      'unityCatalog.createTable',
      'clusters.create',
      'gitCredentials.createGitCredential',
      'notebook.runCommand',
    ]) {
      const [service, action] = pair.split('.');
      assert.equal(mayChangeAccess(service!, action!), false, pair);
      assert.equal(eventOf(pair, { name: 'x' }), null, pair);
    }
  });

  test('the shape of the system table tells the same', () => {
    const row = {
      event_id: 'e1',
      event_time: '2026-11-24T09:30:00.000Z',
      service_name: 'unityCatalog',
      action_name: 'updatePermissions',
      account_id: 'a1',
      workspace_id: '0',
      user_identity: '{"email":"alice@example.com","subject_name":null}',
      request_params: JSON.stringify(VECTORS[0]![1]),
      response: '{"status_code":"200","error_message":null,"result":null}',
      audit_level: 'ACCOUNT_LEVEL',
    };
    const decoded = decodeJson(JSON.stringify(row));
    assert.ok(decoded.ok);
    const event = accessEventOf(decoded.events[0]!, AT);
    assert.deepEqual(said(event), VECTORS[0]![2]);
    assert.equal(event?.eventId, 'e1');
    assert.equal(event?.by, 'alice@example.com');
  });

  test('an Azure event is of its resource, whatever its case', () => {
    const record = (resourceId: string): string =>
      JSON.stringify({
        records: [
          {
            resourceId,
            operationName: 'Microsoft.Databricks/secrets/putAcl',
            time: '2026-11-24T09:30:00Z',
            category: 'secrets',
            identity: '{"email":"alice@example.com","subjectName":null}',
            properties: {
              logId: 'l1',
              serviceName: 'secrets',
              actionName: 'putAcl',
              requestParams: '{"scope":"prod","principal":"users","permission":"READ"}',
              response: '{"statusCode":200}',
            },
          },
        ],
      });
    const [one, other] = ['/SUBSCRIPTIONS/X', '/subscriptions/x'].map((id) => {
      const decoded = decodeJson(record(id));
      assert.ok(decoded.ok);
      return said(accessEventOf(decoded.events[0]!, AT));
    });
    assert.deepEqual(one, [
      'give acl: users | READ | secret scope prod | resource /SUBSCRIPTIONS/X, widened',
    ]);
    assert.deepEqual(one, other);
  });

  test('names cannot break out of their field, and long ones keep apart', () => {
    const [one, other] = ['x', 'y'].map((end) => {
      const event = eventOf('secrets.putAcl', {
        scope: 'prod',
        principal: `a\nb${'c'.repeat(5_000)}${end}`,
        permission: 'READ',
      });
      return event!.effects[0]!.subject;
    });
    assert.ok(one!.length <= 512 && !one!.includes('\n'));
    assert.notEqual(one, other);
  });
});
