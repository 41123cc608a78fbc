/** What routines are written in: one day of the company, and what is put into it. Pure. */
import type { Principal, Workspace } from '../company.ts';
import type { Action, Json } from '../line.ts';
import type { Random } from '../random.ts';
import type { WeekCompany } from './company.ts';
import type { DayOf, Planned } from './people.ts';

type Params = { [key: string]: Json };

export interface Routine {
  company: WeekCompany;
  day: DayOf;
  random: Random;
  planned: Planned[];
}

export const SECOND_MS = 1_000;
export const MINUTE_MS = 60_000;
export const HOUR_MS = 3_600_000;
export const ACCOUNT = { account: true } as const;
export const MONDAY = 1;
export const TUESDAY = 2;
export const WEDNESDAY = 3;
export const THURSDAY = 4;
export const FRIDAY = 5;

/** One event at an hour of the day, UTC. */
export function put(
  { planned, random }: Routine,
  who: Principal,
  workspace: Workspace,
  atMs: number,
  pair: `${string}.${string}`,
  params: Params,
  more: Partial<Action> = {},
): void {
  const [service, action] = pair.split('.') as [string, string];
  planned.push({
    atMs: Math.round(atMs),
    workspace,
    action: {
      service,
      action,
      email: who.name,
      params,
      address: random.pick(who.addresses),
      userAgent: who.userAgent,
      sessionId: null,
      requestId: `ServiceMain-${random.hex(15)}`,
      ...more,
    },
  });
}

export const weekdayOf = ({ startMs }: DayOf): number => new Date(startMs).getUTCDay();
export const hourMs = (day: DayOf, hour: number): number => day.startMs + hour * HOUR_MS;

export function tableParams(
  { company, random }: Routine,
  workspace: Workspace,
  table: string,
): Params {
  return {
    credential_id: random.uuid(),
    credential_type: 'StorageCredential',
    is_permissions_enforcing_client: 'true',
    table_full_name: table,
    table_id: random.uuid(),
    workspace_id: workspace.id,
    metastore_id: company.metastoreId,
  };
}
