/** Attacks on rights, settings and the audit log itself that several events give away together. */

import { act } from '../act.ts';
import {
  ACCOUNT,
  burst,
  catalogIds,
  from,
  HOUR_MS,
  MINUTE_MS,
  OUTSIDE,
  OUTSIDE_AGENTS,
  type Scheme,
  SECOND_MS,
  type Stage,
} from './stage.ts';

const grantOn = (stage: Stage, table: string, change: object) => ({
  securable_type: 'TABLE',
  securable_full_name: table,
  changes: JSON.stringify([change]),
  ...catalogIds(stage),
});

const command = (stage: Stage, commandText: string) =>
  act(
    stage,
    stage.insider,
    'notebook.runCommand',
    {
      notebookId: stage.random.digits(16),
      clusterId: stage.company.clusters[1]!,
      executionTime: '0.9',
      status: 'finished',
      commandLanguage: 'python',
      commandId: stage.random.digits(19),
      commandText,
    },
    { response: { statusCode: 0 } },
  );

export const CONTROL_PLOTS: Record<string, Scheme> = {
  permission_change_burst: {
    title: 'Forty permissions changed by one person within twenty minutes',
    day: 2,
    hour: 16.2,
    rules: ['permission_changes_in_bulk'],
    steps: (stage) =>
      burst(40, 30 * SECOND_MS, (at) => {
        const { insider, company, others } = stage;
        const target = others[at % others.length]!;
        if (at % 2 === 0) {
          const table = company.tables[at]!;
          const change = { principal: target.name, add: ['SELECT', 'MODIFY'], remove: [] };
          const params = grantOn(stage, table, change);
          return act(stage, insider, 'unityCatalog.updatePermissions', params, ACCOUNT);
        }
        return act(stage, insider, 'workspace.changeWorkspaceAcl', {
          aclChangeResourceName: `notebooks/${at}`,
          aclPermissionSet: '[{"permission":"CAN_MANAGE"}]',
          targetUserId: target.userId,
        });
      }),
  },
  new_user_then_admin: {
    title: 'A new account is an administrator a quarter of an hour later',
    day: 3,
    hour: 18.7,
    rules: ['new_user_then_admin'],
    steps(stage) {
      const { insider, random } = stage;
      const target = {
        targetUserName: `svc.${random.hex(5)}@example.com`,
        targetUserId: random.digits(16),
        endpoint: 'adminConsole',
      };
      const group = { ...target, targetGroupName: 'admins', targetGroupId: random.digits(15) };
      return [
        { afterMs: 0, action: act(stage, insider, 'accounts.add', target) },
        {
          afterMs: 15 * MINUTE_MS,
          action: act(stage, insider, 'accounts.addPrincipalToGroup', group),
        },
      ];
    },
  },
  off_hours_administration: {
    title: 'Rights given away at half past two on Sunday morning',
    day: 6,
    hour: 1.5,
    rules: ['privileged_action_off_hours'],
    steps(stage) {
      const { insider, others } = stage;
      const target = others[3]!;
      const params = { targetUserName: target.name, targetUserId: target.userId };
      return [{ afterMs: 0, action: act(stage, insider, 'accounts.setAdmin', params) }];
    },
  },
  verbose_audit_gap: {
    title: 'Verbose audit logs off, and on again 25 minutes later',
    day: 1,
    hour: 19.3,
    rules: ['verbose_audit_logging_gap'],
    steps(stage) {
      const edit = (value: string) =>
        act(stage, stage.insider, 'workspace.workspaceConfEdit', {
          workspaceConfKeys: 'enableVerboseAuditLogs',
          workspaceConfValues: value,
        });
      return [
        { afterMs: 0, action: edit('false') },
        { afterMs: 25 * MINUTE_MS, action: edit('true') },
      ];
    },
  },
  ip_access_list_gap: {
    title: 'Access list deleted and made anew an hour later',
    day: 4,
    hour: 17.4,
    rules: ['ip_access_list_deleted'],
    steps(stage) {
      const { insider, random } = stage;
      const params = { ipAccessListId: random.uuid(), userId: insider.userId };
      const create = { ipAccessListId: random.uuid(), userId: insider.userId };
      return [
        { afterMs: 0, action: act(stage, insider, 'accounts.deleteIpAccessList', params) },
        { afterMs: HOUR_MS, action: act(stage, insider, 'accounts.createIpAccessList', create) },
      ];
    },
  },
  verbose_audit_not_restored: {
    title: 'Verbose audit logs off for good',
    day: 3,
    hour: 4.3,
    rules: ['verbose_audit_logging_not_restored'],
    steps: (stage) => [
      {
        afterMs: 0,
        workspace: stage.company.workspaces[1]!,
        action: act(stage, stage.insider, 'workspace.workspaceConfEdit', {
          workspaceConfKeys: 'enableVerboseAuditLogs',
          workspaceConfValues: 'false',
        }),
      },
    ],
  },
  bucket_protection_command: {
    title: 'A notebook shortens the retention of sealed objects',
    day: 2,
    hour: 20.9,
    rules: ['bucket_protection_changed_by_command'],
    steps: (stage) => [
      {
        afterMs: 0,
        action: command(stage, 's3.put_object_retention(Bucket=b, Key=k, Retention=short)'),
      },
    ],
  },
  sensitive_actions_of_many_kinds: {
    title: 'Tokens, rights, settings, secrets and exports by one person from one foreign address',
    day: 6,
    hour: 18.4,
    rules: ['many_sensitive_actions'],
    steps(stage) {
      const far = from(stage.victim, OUTSIDE[3], OUTSIDE_AGENTS[2]);
      const { random, company } = stage;
      const conf = { workspaceConfKeys: 'enableExportNotebook', workspaceConfValues: 'true' };
      const expires = stage.startMs + 12 * HOUR_MS;
      const init = { name: 'agent', script_id: random.hex(16), enabled: 'true' };
      const grant = grantOn(stage, company.tables[3]!, {
        principal: far.name,
        add: ['SELECT'],
        remove: [],
      });
      const acts = [
        act(stage, far, 'accounts.generateDbToken', {
          userId: far.userId,
          tokenHash: random.hex(64),
          tokenExpirationTime: expires,
        }),
        act(stage, far, 'workspace.workspaceConfEdit', conf),
        act(stage, far, 'globalInitScripts.create', init),
        act(stage, far, 'secrets.putAcl', { scope: 'etl', principal: 'users', permission: 'READ' }),
        act(stage, far, 'unityCatalog.updatePermissions', grant, ACCOUNT),
        act(stage, far, 'accounts.createIpAccessList', { ipAccessListId: random.uuid() }),
        act(stage, far, 'workspace.workspaceExport', {
          workspaceExportFormat: 'DBC',
          notebookFullPath: '/',
        }),
        act(stage, far, 'accounts.setAdmin', { targetUserName: far.name }),
        act(stage, far, 'secrets.listScopes', {}),
        act(stage, far, 'secrets.getSecret', { scope: 'etl', key: 'api-key' }),
      ];
      return acts.map((action, at) => ({ afterMs: at * 6 * MINUTE_MS, action }));
    },
  },
  administrator_for_an_hour: {
    title: 'Administrator for an hour, then not any more',
    day: 4,
    hour: 12.7,
    rules: ['administrator_for_a_short_time'],
    steps(stage) {
      const { insider, victim } = stage;
      const target = { targetUserName: victim.name, targetUserId: victim.userId };
      return [
        { afterMs: 0, action: act(stage, insider, 'accounts.setAdmin', target) },
        { afterMs: HOUR_MS, action: act(stage, insider, 'accounts.removeAdmin', target) },
      ];
    },
  },
  nested_admin_group: {
    title: 'A harmless group becomes part of the administrators, then somebody joins it',
    day: 1,
    hour: 9.1,
    rules: ['member_of_nested_admin_group_added'],
    steps(stage) {
      const { insider, others, random } = stage;
      const add = (group: string, member: string) =>
        act(stage, insider, 'accounts.addPrincipalToGroup', {
          targetGroupName: group,
          targetGroupId: random.digits(15),
          targetUserName: member,
          endpoint: 'adminConsole',
        });
      return [
        { afterMs: 0, action: add('admins', 'book-club') },
        { afterMs: 26 * HOUR_MS, action: add('book-club', others[2]!.name) },
      ];
    },
  },
  grant_read_revoke: {
    title: 'A right given to oneself, the table read, and the right taken back',
    day: 2,
    hour: 10.6,
    rules: ['permission_granted_used_and_revoked'],
    steps(stage) {
      const { insider, company } = stage;
      const table = company.tables[11]!;
      const grant = { principal: insider.name, add: ['SELECT'], remove: [] };
      const revoke = { principal: insider.name, add: [], remove: ['SELECT'] };
      const pair = 'unityCatalog.updatePermissions';
      const read = {
        credential_type: 'StorageCredential',
        operation: 'READ',
        table_full_name: table,
        ...catalogIds(stage),
      };
      const used = 'unityCatalog.generateTemporaryTableCredential';
      return [
        { afterMs: 0, action: act(stage, insider, pair, grantOn(stage, table, grant), ACCOUNT) },
        { afterMs: 9 * MINUTE_MS, action: act(stage, insider, used, read, ACCOUNT) },
        {
          afterMs: 30 * MINUTE_MS,
          action: act(stage, insider, pair, grantOn(stage, table, revoke), ACCOUNT),
        },
      ];
    },
  },
  accounts_deleted: {
    title: 'Fifteen accounts deleted by one person',
    day: 5,
    hour: 19.6,
    rules: ['identities_deleted_in_bulk'],
    steps: (stage) =>
      burst(15, 25 * SECOND_MS, () => {
        const target = {
          targetUserName: `colleague.${stage.random.hex(4)}@example.com`,
          targetUserId: stage.random.digits(16),
          endpoint: 'adminConsole',
        };
        return act(stage, stage.insider, 'accounts.delete', target, ACCOUNT);
      }),
  },
  workspace_silence: {
    title: 'Nothing comes from a workspace for nine hours',
    day: 5,
    hour: 6,
    rules: ['audit_events_stopped'],
    steps: () => [],
    quiet: ({ company }) => ({
      workspaceId: company.workspaces[4]!.id,
      afterMs: 0,
      forMs: 9 * HOUR_MS,
    }),
  },
};
