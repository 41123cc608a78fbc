/** Attacks on data (taking it, breaking it) that several events give away together. */

import { act } from '../act.ts';
import {
  ACCOUNT,
  burst,
  catalogIds,
  failure,
  MINUTE_MS,
  type Params,
  type Scheme,
  SECOND_MS,
  type Stage,
} from './stage.ts';

const CREDENTIAL = 'unityCatalog.generateTemporaryTableCredential';

const tableCredential = (stage: Stage, table: string, operation: string): Params => ({
  credential_id: stage.random.uuid(),
  credential_type: 'StorageCredential',
  is_permissions_enforcing_client: 'true',
  operation,
  table_full_name: table,
  table_id: stage.random.uuid(),
  ...catalogIds(stage),
});

const download = (stage: Stage) =>
  act(stage, stage.insider, 'databrickssql.downloadQueryResult', {
    queryId: stage.random.uuid(),
    fileType: 'csv',
  });

export const DATA_PLOTS: Record<string, Scheme> = {
  download_burst: {
    title: 'Thirty query results downloaded within half an hour',
    day: 1,
    hour: 12.1,
    rules: ['bulk_download'],
    steps: (stage) => burst(30, MINUTE_MS, () => download(stage)),
  },
  bulk_notebook_export: {
    title: 'Nine hundred notebooks of others exported as source',
    day: 5,
    hour: 18.2,
    rules: ['bulk_notebook_export'],
    steps: (stage) =>
      burst(900, 5 * SECOND_MS, (at) => {
        const owner = stage.others[at % stage.others.length]!;
        return act(stage, stage.insider, 'workspace.workspaceExport', {
          workspaceExportFormat: 'SOURCE',
          notebookFullPath: `/Users/${owner.name}/nb-${Math.floor(at / stage.others.length)}`,
        });
      }),
  },
  reads_and_writes: {
    title: 'Forty-five tables read and as many new ones written within fifty minutes',
    day: 2,
    hour: 19.5,
    rules: ['bulk_reads_and_writes'],
    steps: (stage) =>
      burst(90, 33 * SECOND_MS, (at) => {
        const number = Math.floor(at / 2);
        const table = stage.company.tables[number]!;
        const params =
          at % 2 === 0
            ? tableCredential(stage, table, 'READ')
            : tableCredential(stage, `main.tmp.copy_${number}`, 'READ_WRITE');
        return act(stage, stage.insider, CREDENTIAL, params, ACCOUNT);
      }),
  },
  storage_credential_then_reads: {
    title: 'A storage credential of a foreign account, then seventy tables read',
    day: 3,
    hour: 20.1,
    rules: ['storage_credential_then_bulk_access'],
    steps(stage) {
      const { insider, company } = stage;
      const role = '{"role_arn":"arn:aws:iam::000000000000:role/copy"}';
      const credential = { name: 'copy_target', aws_iam_role: role, ...catalogIds(stage) };
      const location = { name: 'copy_out', url: 's3://example-copy/in', ...catalogIds(stage) };
      const made = 'unityCatalog.createStorageCredential';
      const placed = 'unityCatalog.createExternalLocation';
      return [
        { afterMs: 0, action: act(stage, insider, made, credential, ACCOUNT) },
        { afterMs: MINUTE_MS, action: act(stage, insider, placed, location, ACCOUNT) },
        ...burst(
          70,
          20 * SECOND_MS,
          (at) => {
            const params = tableCredential(stage, company.tables[at]!, 'READ');
            return act(stage, insider, CREDENTIAL, params, ACCOUNT);
          },
          6 * MINUTE_MS,
        ),
      ];
    },
  },
  grant_download_revoke: {
    title: 'A right given, used for downloads and taken back',
    day: 4,
    hour: 14.3,
    rules: ['grant_download_revoke'],
    steps(stage) {
      const { insider, company } = stage;
      const change = (add: string[], remove: string[]): Params => ({
        securable_type: 'TABLE',
        securable_full_name: company.tables[7]!,
        changes: JSON.stringify([{ principal: insider.name, add, remove }]),
        ...catalogIds(stage),
      });
      const pair = 'unityCatalog.updatePermissions';
      return [
        { afterMs: 0, action: act(stage, insider, pair, change(['SELECT'], []), ACCOUNT) },
        ...burst(4, 2 * MINUTE_MS, () => download(stage), 5 * MINUTE_MS),
        {
          afterMs: 20 * MINUTE_MS,
          action: act(stage, insider, pair, change([], ['SELECT']), ACCOUNT),
        },
      ];
    },
  },
  dashboard_snapshots: {
    title: 'Twenty-six dashboards taken as snapshots',
    day: 3,
    hour: 11.8,
    rules: ['dashboard_snapshots_many'],
    steps: (stage) =>
      burst(26, 40 * SECOND_MS, () =>
        act(stage, stage.insider, 'dashboards.triggerDashboardSnapshot', {
          dashboardId: stage.random.hex(32),
        }),
      ),
  },
  mass_deletion: {
    title: 'Eighty tables dropped',
    day: 4,
    hour: 22.6,
    rules: ['mass_deletion'],
    steps: (stage) =>
      burst(80, 9 * SECOND_MS, (at) => {
        const params = { full_name_arg: stage.company.tables[at]!, ...catalogIds(stage) };
        return act(stage, stage.insider, 'unityCatalog.deleteTable', params, ACCOUNT);
      }),
  },
  denied_catalog_requests: {
    title: 'Forty-five refused looks at other schemas',
    day: 1,
    hour: 17.8,
    rules: ['denied_catalog_requests'],
    steps: (stage) =>
      burst(45, 40 * SECOND_MS, (at) => {
        const params = { full_name_arg: `hr.payroll.t${at}`, ...catalogIds(stage) };
        const more = { ...ACCOUNT, ...failure(403, 'User does not have USE SCHEMA on Schema') };
        return act(stage, stage.insider, 'unityCatalog.getTable', params, more);
      }),
  },
  denied_data_credentials: {
    title: 'Twenty-five refused requests for the data itself',
    day: 2,
    hour: 13.9,
    rules: ['denied_data_credentials'],
    steps: (stage) =>
      burst(25, MINUTE_MS, (at) => {
        const params = tableCredential(stage, `finance.gold.t${at}`, 'READ');
        const more = { ...ACCOUNT, ...failure(403, 'User does not have SELECT on Table') };
        return act(stage, stage.insider, CREDENTIAL, params, more);
      }),
  },
  many_workspaces: {
    title: 'One person in every workspace within two hours',
    day: 5,
    hour: 20.3,
    rules: ['many_workspaces_accessed'],
    steps: (stage) =>
      stage.company.workspaces.flatMap((workspace, at) => [
        {
          afterMs: at * 15 * MINUTE_MS,
          workspace,
          action: act(stage, stage.insider, 'workspace.listDirectory', { path: '/Users' }),
        },
        {
          afterMs: at * 15 * MINUTE_MS + 40 * SECOND_MS,
          workspace,
          action: act(stage, stage.insider, 'clusters.list', {}),
        },
      ]),
  },
  share_from_denied_address: {
    title: 'A share recipient refused for its address, again and again',
    day: 0,
    hour: 16.6,
    rules: ['share_access_denied_by_network'],
    steps: (stage) =>
      burst(8, 2 * MINUTE_MS, (at) => {
        const params = {
          recipient_name: 'partner_retail',
          share: 'sales_daily',
          schema: 'gold',
          name: `t${at % 4}`,
          is_ip_access_denied: 'true',
          ...catalogIds(stage),
        };
        return act(stage, stage.victim, 'unityCatalog.deltaSharingQueryTable', params, {
          ...ACCOUNT,
          ...failure(403, 'IP address is not in the allow list of the recipient'),
          email: null,
          address: '192.0.2.180',
          userAgent: 'Delta-Sharing-Python/1.3',
          sessionId: null,
        });
      }),
  },
};
