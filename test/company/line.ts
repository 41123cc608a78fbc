/** One event as a line of the S3 and GCS delivery, keys in the order Databricks writes them. Pure. */
import type { Company, Workspace } from './company.ts';

export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

export interface Response {
  statusCode: number;
  errorMessage?: string | null;
  result?: string | null;
}

/** What happened, before it is placed in time. */
export interface Action {
  service: string;
  action: string;
  /** Account-level events are delivered under workspace 0. */
  account?: boolean;
  /** null: an event without an identity. */
  email: string | null;
  params: { [key: string]: Json };
  /** Default 200. null where the route logs none. */
  response?: Response | null;
  address: string | null;
  userAgent: string | null;
  sessionId?: string | null;
  requestId: string;
}

const OK: Response = { statusCode: 200 };

export function renderLine(
  company: Company,
  workspace: Workspace,
  timestamp: number,
  action: Action,
): string {
  const place = action.account === true ? company.account : workspace;
  const ids =
    place.idShape === 'documented'
      ? { orgId: place.id }
      : { orgId: Number(place.id), workspaceId: place.id };
  return JSON.stringify({
    version: '2.0',
    auditLevel: action.account === true ? 'ACCOUNT_LEVEL' : 'WORKSPACE_LEVEL',
    timestamp,
    ...ids,
    shardName: place.shard,
    accountId: company.accountId,
    sourceIPAddress: action.address,
    userAgent: action.userAgent,
    sessionId: action.sessionId ?? null,
    userIdentity: { email: action.email, subjectName: null },
    serviceName: action.service,
    actionName: action.action,
    requestId: action.requestId,
    requestParams: action.params,
    response: action.response === undefined ? OK : action.response,
    ...(place.idShape === 'documented' ? { MAX_LOG_MESSAGE_LENGTH: 16384 } : {}),
  });
}
