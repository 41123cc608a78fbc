/**
 * Attacks with stolen machine identities and on what is shared with others: quiet to a fixed limit,
 * loud against their own past.
 */

import { act } from '../act.ts';
import type { Machine } from './company.ts';
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
  type Step,
} from './stage.ts';

/** A service principal with a daily habit; one of its own for each attack. */
function machine({ company }: Stage, at: number): Machine {
  const busy = company.machines.filter(({ duty }) => duty === 'etl');
  return busy[at % busy.length]!;
}

const partnerReads = (stage: Stage, recipient: string, share: string, address: string) =>
  act(
    stage,
    stage.victim,
    'unityCatalog.deltaSharingQueriedTable',
    {
      recipient_name: recipient,
      share,
      schema: 'gold',
      name: 't1',
      is_ip_access_denied: 'false',
      ...catalogIds(stage),
    },
    {
      ...ACCOUNT,
      email: null,
      address,
      userAgent: 'Delta-Sharing-Python/1.3',
      sessionId: null,
    },
  );

export const MACHINE_PLOTS: Record<string, Scheme> = {
  files_taken: {
    title: 'A stolen service principal fetches three thousand files from outside',
    day: 2,
    hour: 3.2,
    rules: ['files_downloaded_unusual'],
    steps(stage) {
      const thief = from(machine(stage, 1), OUTSIDE[0], OUTSIDE_AGENTS[0]);
      return burst(3_000, 3 * SECOND_MS, (at) =>
        act(stage, thief, 'filesystem.filesGet', {
          path: `/Volumes/main/raw/in/part-${at}.parquet`,
          'http-status': '200',
        }),
      );
    },
  },
  machine_deletes: {
    title: 'A stolen service principal drops seven hundred tables',
    day: 3,
    hour: 14.9,
    rules: ['service_principal_deletions_unusual'],
    steps(stage) {
      const thief = from(machine(stage, 2), OUTSIDE[1], OUTSIDE_AGENTS[2]);
      return burst(700, 5 * SECOND_MS, (at) =>
        act(
          stage,
          thief,
          'unityCatalog.deleteTable',
          { full_name_arg: `main.gold.t${at}`, ...catalogIds(stage) },
          ACCOUNT,
        ),
      );
    },
  },
  machine_writes: {
    title: 'A stolen service principal opens five hundred tables for writing',
    day: 4,
    hour: 18.9,
    rules: ['service_principal_writes_unusual'],
    steps(stage) {
      const thief = from(machine(stage, 3), OUTSIDE[2], OUTSIDE_AGENTS[2]);
      return burst(500, 6 * SECOND_MS, (at) =>
        act(
          stage,
          thief,
          'unityCatalog.generateTemporaryTableCredential',
          {
            credential_type: 'StorageCredential',
            operation: 'READ_WRITE',
            table_full_name: `main.gold.copy_${at}`,
            ...catalogIds(stage),
          },
          ACCOUNT,
        ),
      );
    },
  },
  vector_index_read_out: {
    title: 'An index read out by three thousand searches of one service principal',
    day: 1,
    hour: 13.4,
    rules: ['vector_queries_unusual'],
    steps: (stage) =>
      burst(3_000, 2 * SECOND_MS, () =>
        act(stage, machine(stage, 4), 'vectorSearch.queryVectorIndex', {
          name: 'main.ml.index_1',
          query_text: 'redacted',
          num_results: 1000,
        }),
      ),
  },
  genie_read_out: {
    title: 'Twelve hundred Genie results fetched by one person',
    day: 4,
    hour: 9.4,
    rules: ['genie_results_unusual'],
    steps: (stage) =>
      burst(1_200, 8 * SECOND_MS, (at) =>
        act(stage, stage.insider, 'aibiGenie.genieExecuteMessageQuery', {
          space_id: 'a1b2c3',
          conversation_id: `c-${at}`,
        }),
      ),
  },
  miner_clusters: {
    title: 'A stolen service principal creates five hundred clusters',
    day: 5,
    hour: 2.1,
    rules: ['cluster_creation_unusual'],
    steps(stage) {
      const thief = from(machine(stage, 0), OUTSIDE[3], OUTSIDE_AGENTS[1]);
      return burst(500, 7 * SECOND_MS, (at) =>
        act(stage, thief, 'clusters.create', {
          cluster_name: `build-${at}`,
          spark_version: '16.4.x-scala2.12',
          node_type_id: 'p5.48xlarge',
          num_workers: 1,
        }),
      );
    },
  },
  share_opened_and_read: {
    title: 'A share created, opened and read by a stranger the same afternoon',
    day: 2,
    hour: 14.6,
    rules: ['share_created_granted_and_queried'],
    steps(stage) {
      const { insider } = stage;
      const grant = [{ principal: 'partner_new', add: ['SELECT'], remove: [] }];
      const created = { name: 'drop_box', ...catalogIds(stage) };
      const granted = { name: 'drop_box', changes: JSON.stringify(grant), ...catalogIds(stage) };
      const read: Step = {
        afterMs: 2 * HOUR_MS,
        action: partnerReads(stage, 'partner_new', 'drop_box', OUTSIDE[2]),
      };
      return [
        { afterMs: 0, action: act(stage, insider, 'unityCatalog.createShare', created, ACCOUNT) },
        {
          afterMs: 10 * MINUTE_MS,
          action: act(stage, insider, 'unityCatalog.updateSharePermissions', granted, ACCOUNT),
        },
        read,
      ];
    },
  },
  recipient_created_and_read: {
    title: 'A new recipient reads within the hour',
    day: 3,
    hour: 9.2,
    rules: ['share_recipient_created_then_queried'],
    steps(stage) {
      const created = {
        name: 'partner_fast',
        authentication_type: 'TOKEN',
        ip_access_list: '{"allowed_ip_addresses":["192.0.2.0/24"]}',
        ...catalogIds(stage),
      };
      return [
        {
          afterMs: 0,
          action: act(stage, stage.insider, 'unityCatalog.createRecipient', created, ACCOUNT),
        },
        {
          afterMs: 40 * MINUTE_MS,
          action: partnerReads(stage, 'partner_fast', 'sales_daily', OUTSIDE[1]),
        },
      ];
    },
  },
  share_read_from_abroad: {
    title: 'A known recipient reads from a country it never read from',
    day: 6,
    hour: 11.3,
    rules: ['share_read_from_new_country'],
    steps: (stage) =>
      burst(5, MINUTE_MS, () => partnerReads(stage, 'partner_retail', 'sales_daily', OUTSIDE[3])),
  },
  audit_tables_read: {
    title: 'Somebody new reads the audit tables',
    day: 4,
    hour: 15.8,
    rules: ['system_tables_first_read'],
    steps: (stage) =>
      burst(3, MINUTE_MS, (at) => {
        const table = ['system.access.audit', 'system.query.history', 'system.access.audit'][at]!;
        const params = { full_name_arg: table, ...catalogIds(stage) };
        return act(stage, stage.insider, 'unityCatalog.getTable', params, ACCOUNT);
      }),
  },
  sensitive_tables_read: {
    title: 'Fifteen hundred reads of the payroll by one person',
    day: 5,
    hour: 17.1,
    rules: ['sensitive_tables_read_unusual'],
    steps: (stage) =>
      burst(1_500, 3 * SECOND_MS, (at) =>
        act(
          stage,
          stage.insider,
          'unityCatalog.generateTemporaryTableCredential',
          {
            credential_type: 'StorageCredential',
            operation: 'READ',
            table_full_name: `hr.payroll.salaries_${at % 12}`,
            ...catalogIds(stage),
          },
          ACCOUNT,
        ),
      ),
  },
};
