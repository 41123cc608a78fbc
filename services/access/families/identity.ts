/**
 * Users, groups, administrators, roles, tokens and secrets of service principals, in workspaces and
 * in the account. Parameters as the audit log reference names them. Pure.
 */
import type { AuditEvent } from '../../ingest/event.ts';
import type { Effect } from '../change.ts';
import {
  accountScope,
  effect,
  type Family,
  GROUP_IDS,
  GROUP_NAMES,
  isRecord,
  jsonOf,
  level,
  listOf,
  NotUnderstood,
  namedAccount,
  needed,
  param,
  type Reader,
  subjectName,
  TARGET,
  targetOf,
  textIn,
  textsIn,
  workspaceScope,
} from '../fields.ts';

// --- groups --------------------------------------------------------------------------------------

const groupOf = (event: AuditEvent): string => needed(event, ...GROUP_NAMES, ...GROUP_IDS);

const membership =
  (op: 'give' | 'take'): Reader =>
  (event) => {
    const group = groupOf(event);
    const several = param(event, 'principals');
    const subjects = several === undefined ? [targetOf(event)] : listOf(several).map(subjectName);
    if (subjects.length === 0) throw new NotUnderstood('principals is empty');
    const scope = workspaceScope(event);
    return subjects.map((subject) =>
      effect(op, { kind: 'group', subject, privilege: 'MEMBER', object: `group ${group}`, scope }),
    );
  };

/** What was granted to the group goes with it. */
const removeGroup: Reader = (event) => {
  const group = groupOf(event);
  const scope = workspaceScope(event);
  return [
    effect('drop', { kind: 'group', object: `group ${group}`, scope }),
    effect('drop', { kind: 'group', subject: group, scope }),
  ];
};

/** Renames, and entitlements, of which the event tells nothing. */
const updateGroup: Reader = (event) => [
  effect('touch', {
    kind: 'group',
    privilege: 'UPDATED',
    object: `group ${groupOf(event)}`,
    scope: workspaceScope(event),
  }),
];

const GROUPS: Record<string, Reader> = {
  addPrincipalToGroup: membership('give'),
  addPrincipalsToGroup: membership('give'),
  removePrincipalFromGroup: membership('take'),
  removePrincipalsFromGroup: membership('take'),
  removeGroup,
  deleteGroup: removeGroup,
  updateGroup,
  createGroup: () => [],
};

// --- administrators and roles --------------------------------------------------------------------

const administrator =
  (op: 'give' | 'take', privilege: string): Reader =>
  (event) => {
    const isAccount = privilege === ACCOUNT_ADMIN;
    const scope = isAccount ? accountScope(event.accountId) : workspaceScope(event);
    const object = isAccount ? 'account' : 'workspace';
    return [effect(op, { kind: 'admin', subject: targetOf(event), privilege, object, scope })];
  };

const ACCOUNT_ADMIN = 'ACCOUNT_ADMIN';
const WORKSPACE_ADMIN = 'ADMIN';

const changeAccountOwner: Reader = (event) => {
  const scope = namedAccount(event);
  // The reference names the new owner by name and address; some events name nobody.
  const subject = subjectName(param(event, 'email', ...TARGET) ?? '');
  if (subject === '') {
    return [effect('touch', { kind: 'owner', privilege: 'OWNER', object: 'account', scope })];
  }
  const named = { kind: 'owner', subject, privilege: 'OWNER', object: 'account', scope } as const;
  return [effect('give', named, { replaces: 'object' })];
};

function assigned(event: AuditEvent): { subject: string; scope: string } {
  const workspace = param(event, 'workspace_id', 'workspaceId');
  return {
    subject: needed(event, 'principal_id', 'principalId'),
    scope: workspace === undefined ? workspaceScope(event) : `workspace ${workspace}`,
  };
}

/** The whole of what a principal is in a workspace: an empty list takes everything. */
const assign =
  (...names: string[]): Reader =>
  (event) => {
    const { subject, scope } = assigned(event);
    const roles = listOf(needed(event, ...names));
    return level(roles, { kind: 'role', subject, object: 'workspace', scope });
  };

const deleteAssignment: Reader = (event) => {
  const { subject, scope } = assigned(event);
  return [effect('clear', { kind: 'role', subject, object: 'workspace', scope })];
};

/** The whole of the roles on a service principal, a group or the account. */
const updateRuleSet: Reader = (event) => {
  const object = needed(event, 'name');
  const scope = namedAccount(event);
  const set = jsonOf(event, param(event, 'rule_set') === undefined ? 'grant_rules' : 'rule_set');
  const rules: unknown = isRecord(set) ? (set.grant_rules ?? []) : set;
  if (!Array.isArray(rules)) throw new NotUnderstood('rule_set without grant_rules');
  const effects = rules.flatMap((rule: unknown) => {
    if (!isRecord(rule)) throw new NotUnderstood('a rule that is no object');
    const privilege = textIn(rule, 'a rule', 'role');
    return textsIn(rule, 'a rule', 'principals').map((principal) => {
      const subject = subjectName(principal.replace(/^(users|groups|servicePrincipals)\//, ''));
      const named = { kind: 'role', subject, privilege, object, scope } as const;
      return effect('give', named, { replaces: 'object' });
    });
  });
  return effects.length > 0 ? effects : [effect('clear', { kind: 'role', object, scope })];
};

// --- users ---------------------------------------------------------------------------------------

const exists =
  (op: 'give' | 'take'): Reader =>
  (event) => [
    effect(op, {
      kind: 'identity',
      subject: targetOf(event),
      privilege: 'ACTIVE',
      object: 'identity',
      scope: workspaceScope(event),
    }),
  ];

/** `accounts.delete` is of a user; it has no target where personal data was purged. */
const identityGone: Reader = (event) => {
  const subject = subjectName(param(event, ...TARGET) ?? '');
  const scope = workspaceScope(event);
  if (subject === '') {
    const named = { kind: 'identity', privilege: 'DELETED', object: 'identity', scope } as const;
    return [effect('touch', named, { direction: 'narrowed' })];
  }
  return [effect('drop', { kind: 'identity', subject, scope })];
};

const ROLE_ENDPOINTS = new Set(['permissionAssignment', 'roleAssignment']);

/** Which entitlement or role was changed is not in the event. */
const updateUser: Reader = (event) => {
  const kind = ROLE_ENDPOINTS.has(param(event, 'endpoint') ?? '') ? 'role' : 'identity';
  const subject = subjectName(param(event, ...TARGET) ?? '');
  const named = { kind, subject, privilege: 'UPDATED', object: 'identity' } as const;
  return [effect('touch', { ...named, scope: workspaceScope(event) })];
};

// --- tokens and secrets --------------------------------------------------------------------------

const tokenId = (event: AuditEvent): string | undefined => param(event, 'tokenId', 'tokenHash');

const generateDbToken: Reader = (event) => {
  const expiry = Number(param(event, 'tokenExpirationTime') ?? -1);
  const isDated = Number.isFinite(expiry) && expiry > 0 && expiry <= TIME_MS_MAX;
  const until = isDated ? `until ${new Date(expiry).toISOString()}` : 'without expiry';
  return [
    effect('give', {
      kind: 'token',
      subject: subjectName(param(event, 'tokenCreatedBy') ?? event.actor.name),
      privilege: `TOKEN ${until}`,
      // Without an id it can be seen made, but not revoked.
      object: `token ${tokenId(event) ?? `made by ${event.eventId}`}`,
      scope: workspaceScope(event),
    }),
  ];
};

const TIME_MS_MAX = 8.64e15;

const tokenGone: Reader = (event) => [
  effect('drop', {
    kind: 'token',
    object: `token ${tokenId(event) ?? `revoked by ${event.eventId}`}`,
    scope: workspaceScope(event),
  }),
];

const changeDbTokenState: Reader = (event) => [
  effect('touch', {
    kind: 'token',
    privilege: param(event, 'tokenState') ?? 'STATE',
    object: `token ${tokenId(event) ?? 'unknown'}`,
    scope: workspaceScope(event),
  }),
];

const secretMade: Reader = (event) => [
  effect('give', {
    kind: 'secret',
    subject: needed(event, 'service_principal'),
    privilege: 'SECRET',
    object: `secret ${param(event, 'secret_id') ?? `made by ${event.eventId}`}`,
    scope: namedAccount(event),
  }),
];

const secretGone: Reader = (event) => [
  effect('drop', {
    kind: 'secret',
    object: `secret ${needed(event, 'secret_id')}`,
    scope: namedAccount(event),
  }),
];

/** OAuth applications and federation policies: who else may sign in. */
const app =
  (direction: Effect['direction'], what: string): Reader =>
  (event) => [
    effect(
      'touch',
      {
        kind: 'app',
        privilege: what,
        object: param(event, 'integration_id', 'policy_id', 'app_id', 'name') ?? '',
        scope: accountScope(event.accountId),
      },
      { direction },
    ),
  ];

const ASSIGNMENTS: Record<string, Reader> = {
  addPermissionAssignment: assign('permissions', 'roles', 'role'),
  updatePermissionAssignment: assign('permissions', 'roles', 'role'),
  updateRoleAssignment: assign('role', 'roles', 'permissions'),
  deletePermissionAssignment: deleteAssignment,
};

export const IDENTITY: Family = {
  accounts: {
    ...GROUPS,
    ...ASSIGNMENTS,
    setAdmin: administrator('give', WORKSPACE_ADMIN),
    addAdmin: administrator('give', WORKSPACE_ADMIN),
    removeAdmin: administrator('take', WORKSPACE_ADMIN),
    setAccountAdmin: administrator('give', ACCOUNT_ADMIN),
    removeAccountAdmin: administrator('take', ACCOUNT_ADMIN),
    add: exists('give'),
    activateUser: exists('give'),
    deactivateUser: exists('take'),
    createServicePrincipal: exists('give'),
    updateServicePrincipal: updateUser,
    deleteServicePrincipal: identityGone,
    delete: identityGone,
    deleteUser: identityGone,
    updateUser,
    generateDbToken,
    revokeDbToken: tokenGone,
    garbageCollectDbToken: tokenGone,
    changeDbTokenState,
    createFederationPolicy: app('widened', 'FEDERATION_POLICY'),
    updateFederationPolicy: app('changed', 'FEDERATION_POLICY'),
    deleteFederationPolicy: app('narrowed', 'FEDERATION_POLICY'),
  },
  groups: GROUPS,
  workspace: ASSIGNMENTS,
  accountsManager: { changeAccountOwner },
  accountsAccessControl: { updateRuleSet },
  servicePrincipalCredentials: { create: secretMade, delete: secretGone },
  oauth2: {
    enrollOAuth: app('widened', 'OAUTH'),
    createCustomAppIntegration: app('widened', 'OAUTH_APP'),
    updateCustomAppIntegration: app('changed', 'OAUTH_APP'),
    deleteCustomAppIntegration: app('narrowed', 'OAUTH_APP'),
    createPublishedAppIntegration: app('widened', 'OAUTH_APP'),
    updatePublishedAppIntegration: app('changed', 'OAUTH_APP'),
    deletePublishedAppIntegration: app('narrowed', 'OAUTH_APP'),
    createFederationPolicy: app('widened', 'FEDERATION_POLICY'),
    updateFederationPolicy: app('changed', 'FEDERATION_POLICY'),
    deleteFederationPolicy: app('narrowed', 'FEDERATION_POLICY'),
  },
};
