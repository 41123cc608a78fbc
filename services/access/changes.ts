/**
 * From one audit event to what it changed about who may do what, or null where it changed nothing
 * of it. What failed counts for nothing. Pure.
 *
 * What looks like a change of access and cannot be read (another action of these families, or
 * parameters that are broken, cut or new, or no answer whether it succeeded) is a change of kind `unknown`: it is listed and has to be
 * approved like the others, so nothing is left out unseen.
 *
 * Source: Databricks' audit log reference for services, actions and parameters.
 */
import type { AuditEvent } from '../ingest/event.ts';
import type { AccessEvent, Effect, Place } from './change.ts';
import { CATALOG } from './families/catalog.ts';
import { IDENTITY } from './families/identity.ts';
import { WORKSPACE } from './families/workspace.ts';
import { bounded, effect, NotUnderstood, type Reader, workspaceScope } from './fields.ts';
import { pairingsOf } from './pairings.ts';

const READERS = new Map<string, Reader>();
for (const family of [CATALOG, IDENTITY, WORKSPACE]) {
  for (const [service, actions] of Object.entries(family)) {
    for (const [action, reader] of Object.entries(actions)) {
      READERS.set(`${service}.${action}`, reader);
    }
  }
}

/** Pairs that are read, for tests and for who wants to know. */
export const READ_ACTIONS: readonly string[] = [...READERS.keys()].sort();

/** False where an event of this service and action never changes access: it need not be decoded. */
export function mayChangeAccess(serviceName: string, actionName: string): boolean {
  return READERS.has(`${serviceName}.${actionName}`) || isOfFamily(serviceName, actionName);
}

export function accessEventOf(event: AuditEvent, at: Place): AccessEvent | null {
  if (event.outcome === 'failure') return null;
  const read = effectsOf(event);
  const effects =
    event.outcome === 'success' || read.length === 0
      ? read
      : [unknown(event, 'whether it succeeded is not told')];
  if (effects.length === 0) return null;
  return {
    eventId: bounded(event.eventId),
    timeMs: event.eventTime,
    by: bounded(event.actor.name),
    action: bounded(`${event.serviceName}.${event.actionName}`),
    at,
    effects,
  };
}

function effectsOf(event: AuditEvent): Effect[] {
  const { serviceName, actionName } = event;
  const reader = READERS.get(`${serviceName}.${actionName}`);
  if (reader === undefined) {
    if (!isOfFamily(serviceName, actionName)) return [];
    return [unknown(event, 'an action that is not known')];
  }
  // Values that were cut may hide what they end with, also where what is left can be read.
  if (event.requestParamsTruncated) return [unknown(event, 'its parameters were cut')];
  try {
    // A new name counts for what else the event says.
    return [...pairingsOf(event), ...reader(event)];
  } catch (error) {
    if (!(error instanceof NotUnderstood)) throw error;
    return [unknown(event, error.message)];
  }
}

function unknown(event: AuditEvent, why: string): Effect {
  const object = `${event.serviceName}.${event.actionName}`;
  const named = { kind: 'unknown', privilege: why, object, scope: workspaceScope(event) } as const;
  return effect('touch', named);
}

const FAMILY =
  /Acls?$|Permissions?$|PermissionAssignment|RoleAssignment|RuleSet|Principals?(To|From)Group|Admin$|Owner(ship)?$|(Db)?Token$|ServicePrincipal|Share$|SharePermissions|Recipient|IpAccessList|StorageCredential|ExternalLocation|WorkspaceBindings|^(create|update|delete)(Credential|Connection|Policy|Group|.*FederationPolicy|.*AppIntegration|.*AccessSettings|NetworkPolicy)$|^(enable|disable)\w*Acls$/;

/** Reading, and what only tells or lends: sessions and short-lived credentials are no grants. */
const READING =
  /^(get|list|show|search|check|generateTemporary|deltaSharing|retrieve|mint|request|query|load)|Login$|^(oidc|account|workspaceInHouse|accountInHouse)\w*Token/;

/** Services in which these words mean something else: versions of models, Git, and assets. */
const ELSEWHERE = new Set(['gitCredentials', 'RemoteHistoryService', 'marketplaceConsumer']);

/** `sqlPermissions` are grants of the legacy metastore, whose parameters no reference describes. */
function isOfFamily(serviceName: string, actionName: string): boolean {
  if (READING.test(actionName) || ELSEWHERE.has(serviceName)) return false;
  if (serviceName === 'sqlPermissions' || serviceName === 'accountsAccessControl') return true;
  return serviceName === 'servicePrincipalCredentials' || FAMILY.test(actionName);
}
