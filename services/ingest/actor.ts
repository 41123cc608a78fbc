/** Who acted: which of the identities an event carries is its name, and what kind it is. Pure. */
import type { Actor, ActorType } from './event.ts';

/** Actor name of automated work: autoscaling, scheduled jobs, the end of a statement. */
const SYSTEM_USER = 'System-User';
export const UNKNOWN_ACTOR = 'unknown';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/**
 * The name of an actor: the person who authenticated, before the identity that a job ran as,
 * before what the request says about itself. `user` and `recipient` are request parameters.
 */
export function actorName(
  actor: Pick<Actor, 'runBy' | 'email' | 'subjectName'>,
  user: string | undefined,
  recipient: string | undefined,
): string {
  return actor.runBy || actor.email || actor.subjectName || user || recipient || UNKNOWN_ACTOR;
}

/**
 * What kind of identity a name is. Service principals sign with their application id, a UUID;
 * every person has an e-mail address. `unknown`, `__REDACTED__` and share recipients are unknown.
 */
export function actorType(name: string): ActorType {
  if (name.includes('@')) return 'user';
  if (name.length === 36 && UUID.test(name)) return 'service_principal';
  return name === SYSTEM_USER ? 'system' : 'unknown';
}
