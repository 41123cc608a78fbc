/** What the attacks of the week are written in: a stage, steps on it, and who plays. Pure. */
import type { Principal, Workspace } from '../company.ts';
import type { Action, Json, Response } from '../line.ts';

import type { Random } from '../random.ts';
import type { Person, WeekCompany } from './company.ts';

export type Params = { [key: string]: Json };

export interface Step {
  afterMs: number;
  action: Action;
  /** Default: that of the stage. */
  workspace?: Workspace;
}

/** Nothing comes from a workspace for a while. */
export interface Quiet {
  workspaceId: string;
  afterMs: number;
  forMs: number;
}

export interface Stage {
  company: WeekCompany;
  random: Random;
  workspace: Workspace;
  /** Whose account is taken over, as they are on a good day. */
  victim: Principal;
  /** Who does it with an account of their own, from the office. */
  insider: Principal;
  /** Others who play a part. */
  others: readonly Person[];
  /** Of the first event, epoch ms. */
  startMs: number;
}

export interface Scheme {
  title: string;
  /** Days since the week began, and hour of it, UTC. */
  day: number;
  hour: number;
  /** Names of shipped rule files, without ending: an alert of one of them must tell of it. */
  rules: readonly string[];
  steps: (stage: Stage) => Step[];
  quiet?: (stage: Stage) => Quiet;
}

export const SECOND_MS = 1_000;
export const MINUTE_MS = 60_000;
export const HOUR_MS = 3_600_000;

/** Where attackers sit: Singapore, São Paulo, Lagos, Kyiv. */
export const OUTSIDE = ['192.0.2.13', '192.0.2.77', '192.0.2.140', '192.0.2.210'] as const;
export const OUTSIDE_AGENTS = [
  'python-requests/2.31.0',
  'curl/8.5.0',
  'Go-http-client/2.0',
] as const;

/** What every request to the catalog carries. */
export const catalogIds = ({ workspace, company }: Stage): Params => ({
  workspace_id: workspace.id,
  metastore_id: company.metastoreId,
});

export const ACCOUNT = { account: true } as const;
export const failure = (statusCode: number, errorMessage: string): { response: Response } => ({
  response: { statusCode, errorMessage },
});

/** So many like steps, evenly apart. */
export function burst(
  count: number,
  everyMs: number,
  action: (at: number) => Action,
  startMs = 0,
): Step[] {
  return Array.from({ length: count }, (_, at) => ({
    afterMs: startMs + at * everyMs,
    action: action(at),
  }));
}

/** One and the same person from somewhere else. */
export function from(who: Principal, address: string, userAgent: string): Principal {
  return { ...who, addresses: [address], userAgent, sessionId: null };
}
