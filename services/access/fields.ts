/**
 * Request parameters as the families read them: under every spelling that Databricks uses, opened
 * where they are JSON text, and made safe to be kept. Pure.
 */
import { toUSVString } from 'node:util';
import type { Kind, Op, Replaces, Sense } from '../../schemas/evidence/access-leaf.ts';
import { sha256 } from '../../schemas/evidence/merkle.ts';
import type { AuditEvent } from '../ingest/event.ts';
import { directionOf, type Effect, type Fact, TEXT_CHARS_MAX } from './change.ts';

/** Why an event of a family could not be read. */
export class NotUnderstood extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'NotUnderstood';
  }
}

/** What of one event was done; the reader of a family. @throws NotUnderstood */
export type Reader = (event: AuditEvent) => Effect[];

/** Actions of one service. */
export type Family = Record<string, Record<string, Reader>>;

/** The first of these parameters that is there and not empty. */
export function param({ requestParams }: AuditEvent, ...names: string[]): string | undefined {
  for (const name of names) {
    const value = requestParams[name];
    if (typeof value === 'string' && value !== '') return value;
  }
  return undefined;
}

/** @throws NotUnderstood where none is there. */
export function needed(event: AuditEvent, ...names: string[]): string {
  const value = param(event, ...names);
  if (value === undefined) throw new NotUnderstood(`no ${names[0]}`);
  return value;
}

/** The JSON that a parameter holds as text. @throws NotUnderstood */
export function jsonOf(event: AuditEvent, name: string): unknown {
  const text = needed(event, name);
  try {
    return JSON.parse(text);
  } catch {
    throw new NotUnderstood(`${name} is not JSON, or was cut`);
  }
}

/** A list of objects in JSON text, or one object. @throws NotUnderstood */
export function rowsOf(event: AuditEvent, name: string): Array<Record<string, unknown>> {
  const value = jsonOf(event, name);
  const rows: unknown[] = Array.isArray(value) ? value : [value];
  if (rows.length === 0) throw new NotUnderstood(`${name} is empty`);
  return rows.map((row) => {
    if (isRecord(row)) return row;
    throw new NotUnderstood(`${name} is not a list of objects`);
  });
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A text of a row of JSON. @throws NotUnderstood */
export function textIn(row: Record<string, unknown>, where: string, ...names: string[]): string {
  for (const name of names) {
    const value = row[name];
    if (typeof value === 'string' && value !== '') return value;
    if (typeof value === 'number') return String(value);
  }
  throw new NotUnderstood(`${where} without ${names[0]}`);
}

/** Texts of a row of JSON: a list, or nothing at all. @throws NotUnderstood */
export function textsIn(row: Record<string, unknown>, where: string, name: string): string[] {
  const value = row[name] ?? [];
  if (Array.isArray(value) && value.every((one) => typeof one === 'string')) return value;
  throw new NotUnderstood(`${where}: ${name} is not a list of texts`);
}

/** `["a","b"]`, `[a, b]` or `a,b`. */
export function listOf(text: string): string[] {
  try {
    const value: unknown = JSON.parse(text);
    if (Array.isArray(value) && value.every((one) => typeof one !== 'object')) {
      return value.map(String).filter((one) => one !== '');
    }
  } catch {
    // Not JSON: names with commas between them.
  }
  const plain = text.startsWith('[') && text.endsWith(']') ? text.slice(1, -1) : text;
  return plain
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '');
}

// --- names ---------------------------------------------------------------------------------------

/** Addresses of people differ in case from event to event. */
export function subjectName(text: string): string {
  return text.includes('@') ? text.toLowerCase() : text;
}

/** `ALL PRIVILEGES` and `all_privileges` are one. */
export function privilegeName(text: string): string {
  return text
    .trim()
    .toUpperCase()
    .replaceAll(/[\s-]+/g, '_');
}

/** Who an event of identities is about. @throws NotUnderstood */
export function targetOf(event: AuditEvent): string {
  return subjectName(needed(event, ...TARGET));
}

export const USER_NAMES = ['targetUserName', 'target_user_name'];
export const SERVICE_PRINCIPAL_NAME = 'targetServicePrincipalName';
export const TARGET_IDS = ['targetUserId', 'target_user_id', 'targetServicePrincipalId'];
export const TARGET = [...USER_NAMES, SERVICE_PRINCIPAL_NAME, ...TARGET_IDS];

export const GROUP_NAMES = ['targetGroupName', 'target_group_name', 'group_name'];
export const GROUP_IDS = ['targetGroupId', 'target_group_id'];

export function workspaceScope({ workspaceId, resourceId, accountId }: AuditEvent): string {
  if (workspaceId !== null && workspaceId !== '' && workspaceId !== '0') {
    return `workspace ${workspaceId}`;
  }
  if (resourceId !== null && resourceId !== '') return `resource ${resourceId.toUpperCase()}`;
  return accountScope(accountId);
}

export function accountScope(accountId: string | null | undefined): string {
  return accountId ? `account ${accountId}` : '';
}

/** Of the account that the parameters name, else of that of the event. */
export function namedAccount(event: AuditEvent): string {
  return accountScope(param(event, 'account_id') ?? event.accountId);
}

/** Unity Catalog is of a metastore, which many workspaces share. */
export function metastoreScope(event: AuditEvent): string {
  const metastore = param(event, 'metastore_id', 'metastoreId');
  return metastore === undefined ? accountScope(event.accountId) : `metastore ${metastore}`;
}

// --- effects -------------------------------------------------------------------------------------

export type Named = Partial<Omit<Fact, 'kind'>> & Pick<Fact, 'kind' | 'scope'>;

/** What is left out is empty; `sense` is `permits`. */
export function effect(
  op: Op,
  named: Named,
  more: { replaces?: Replaces; direction?: Effect['direction'] } = {},
): Effect {
  const sense: Sense = named.sense ?? 'permits';
  return {
    kind: named.kind,
    subject: bounded(named.subject ?? ''),
    privilege: bounded(named.privilege ?? ''),
    object: bounded(named.object ?? ''),
    scope: bounded(named.scope),
    sense,
    op,
    replaces: more.replaces ?? 'none',
    direction: more.direction ?? directionOf(op, sense),
  };
}

/** What a subject has on an object from here on, and nothing else of the kind. */
export function level(
  privileges: readonly string[],
  named: { kind: Kind; subject: string; object: string; scope: string },
): Effect[] {
  if (privileges.length === 0) return [effect('clear', named)];
  return privileges.map((one) =>
    effect('give', { ...named, privilege: privilegeName(one) }, { replaces: 'subject' }),
  );
}

/**
 * Keys are joined with line feeds, and a name of another must not take the room of thousands: what
 * cannot be kept as it is ends with its hash.
 */
export function bounded(text: string): string {
  const line = text.replaceAll(/[\n\r]/g, ' ');
  if (line === text && line.length <= TEXT_CHARS_MAX) return line;
  const hash = sha256(Buffer.from(text)).toString('hex').slice(0, HASH_CHARS);
  return `${toUSVString(line.slice(0, TEXT_CHARS_MAX - HASH_CHARS - 1))}…${hash}`;
}

const HASH_CHARS = 16;
