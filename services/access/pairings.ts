/**
 * What an event tells of names: that a name and an id are of one principal. Told as effects of their
 * own, so that snapshots keep them. Pure.
 */
import type { AuditEvent } from '../ingest/event.ts';
import type { Effect } from './change.ts';
import {
  effect,
  GROUP_IDS,
  GROUP_NAMES,
  param,
  SERVICE_PRINCIPAL_NAME,
  subjectName,
  TARGET_IDS,
  USER_NAMES,
  workspaceScope,
} from './fields.ts';

/** Which name it is: of a group; what a user or service principal signs in as; or is shown as. */
export const GROUP_NAME = 'GROUP_NAME';
export const USER_NAME = 'USER_NAME';
export const DISPLAY_NAME = 'DISPLAY_NAME';

const ID = 'id ';

/** Of the object of such an effect. */
export function idOf(object: string): string {
  return object.slice(ID.length);
}

export function pairingsOf(event: AuditEvent): Effect[] {
  const scope = workspaceScope(event);
  const pair = (privilege: string, name: string | undefined, id: string | undefined): Effect[] => {
    if (name === undefined || id === undefined || name === id) return [];
    const kind = privilege === GROUP_NAME ? 'group' : 'identity';
    const named = { kind, subject: subjectName(name), privilege, object: `${ID}${id}` } as const;
    return [effect('name', { ...named, scope, sense: 'either' })];
  };
  const target = param(event, ...TARGET_IDS);
  return [
    ...pair(GROUP_NAME, param(event, ...GROUP_NAMES), param(event, ...GROUP_IDS)),
    ...pair(USER_NAME, param(event, ...USER_NAMES), target),
    ...pair(DISPLAY_NAME, param(event, SERVICE_PRINCIPAL_NAME), target),
  ];
}
