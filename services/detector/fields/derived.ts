/**
 * Fields that no route carries and that are worked out of those it does: which workspace an event is
 * of, what kind of address and what kind of client it came from, where the address is, how long a
 * new token lives.
 *
 * Pure; where an address is, a `PlaceSource` says. A field that cannot be worked out is absent, so
 * that a rule without a database behind it is silent instead of wrong.
 */
import ipaddr from 'ipaddr.js';
import type { AuditEvent } from '../../ingest/event.ts';
import { paramKey, paramOf } from '../../ingest/event-view.ts';
import { remembered } from './memo.ts';
import type { Place, PlaceSource } from './place.ts';

type DerivedReader = (event: AuditEvent, places: PlaceSource) => string | number | null;

/** By name. Every reader reads only what its name says, so a rule set pays for what it uses. */
export const DERIVED: ReadonlyMap<string, DerivedReader> = new Map<string, DerivedReader>([
  ['lakeseal.workspace', (event) => workspaceOf(event)],
  ['lakeseal.tokenLifetimeHours', (event) => tokenLifetimeHours(event)],
  ['lakeseal.source.class', (event) => addressClass(event.sourceIp)],
  ['lakeseal.source.country', (event, places) => placeOf(event, places)?.country ?? null],
  ['lakeseal.source.city', (event, places) => placeOf(event, places)?.city ?? null],
  ['lakeseal.source.latitude', (event, places) => placeOf(event, places)?.latitude ?? null],
  ['lakeseal.source.longitude', (event, places) => placeOf(event, places)?.longitude ?? null],
  ['lakeseal.source.asn', (event, places) => placeOf(event, places)?.asn ?? null],
  [
    'lakeseal.source.asOrganisation',
    (event, places) => placeOf(event, places)?.asOrganisation ?? null,
  ],
  ['lakeseal.agent.class', (event) => agentClass(event.userAgent)],
  ['lakeseal.agent.family', (event) => agentFamily(event.userAgent)],
]);

/**
 * The workspace of an event, whichever route it took: its id, `0` for the account, else the Azure
 * resource id as far as the workspace's name, in lower case. Null where the event names neither.
 *
 * Azure's diagnostic logs give no workspace id; resource ids are of the form
 * `/SUBSCRIPTIONS/…/RESOURCEGROUPS/…/PROVIDERS/MICROSOFT.DATABRICKS/WORKSPACES/NAME`. The name alone
 * would not do: it is unique within its resource group only. Azure compares them without case.
 */
export function workspaceOf(event: AuditEvent): string | null {
  const { workspaceId } = event;
  if (workspaceId !== null && workspaceId !== '') return workspaceId;
  const { resourceId } = event;
  return resourceId === null ? null : workspaceOfResource(resourceId);
}

const AZURE_WORKSPACE = /^.*\/microsoft\.databricks\/workspaces\/[^/]+/;

const workspaceOfResource = remembered(
  (resourceId: string): string | null =>
    AZURE_WORKSPACE.exec(resourceId.toLowerCase())?.[0] ?? null,
);

function placeOf(event: AuditEvent, places: PlaceSource): Place | null {
  return event.sourceIp === null ? null : places.place(event.sourceIp);
}

const HOUR_MS = 3_600_000;
const EXPIRATION = paramKey('tokenExpirationTime');
const EXPIRATION_SNAKE = paramKey('token_expiration_time');
const TOKEN_ACTION = 'generatedbtoken';

/** Hours from the event to the token's end; null where there is no end, or another action. */
export function tokenLifetimeHours(event: AuditEvent): number | null {
  if (event.actionName.toLowerCase() !== TOKEN_ACTION) return null;
  const text = paramOf(event, EXPIRATION) ?? paramOf(event, EXPIRATION_SNAKE);
  if (text === undefined || !/^\d{1,16}$/.test(text)) return null;
  const endMs = Number(text);
  return endMs > 0 ? (endMs - event.eventTime) / HOUR_MS : null;
}

export type AddressClass =
  | 'public'
  | 'private'
  | 'loopback'
  | 'link_local'
  | 'unspecified'
  | 'reserved';

/** Names of `ipaddr.js`, after the IANA registries of special addresses. Others are reserved. */
const CLASSES: Record<string, AddressClass> = {
  unicast: 'public',
  // Ways of IPv4 through IPv6: the far end is a public address.
  '6to4': 'public',
  teredo: 'public',
  rfc6052: 'public',
  private: 'private',
  uniqueLocal: 'private',
  carrierGradeNat: 'private',
  loopback: 'loopback',
  linkLocal: 'link_local',
  unspecified: 'unspecified',
};

/** Networks for examples; in them rules can be tried and shown as if they were public. */
const DOCUMENTATION = ['192.0.2.0/24', '198.51.100.0/24', '203.0.113.0/24', '2001:db8::/32'].map(
  (network) => ipaddr.parseCIDR(network),
);

/** Null where there is no address. An IPv4 address mapped into IPv6 counts as itself. */
export function addressClass(ip: string | null): AddressClass | null {
  return ip === null ? null : classOfAddress(ip);
}

const classOfAddress = remembered((ip: string): AddressClass | null => {
  if (!ipaddr.isValid(ip)) return null;
  const address = ipaddr.process(ip);
  for (const [network, bits] of DOCUMENTATION) {
    if (network.kind() === address.kind() && address.match(network, bits)) return 'public';
  }
  return CLASSES[address.range()] ?? 'reserved';
});

/** Databricks' own programs, which sign in all day with the identities they work for. */
const SERVICE_AGENTS = [
  'databricks-service/driver',
  'databricks-runtime',
  'delta-sharing-sparkstructuredstreaming',
  'rawdbhttpclient',
  'mlflow-python',
  'obssdk-scala',
  'wsfs',
  'feature-store',
];
/** Programs that try whether credentials they found are good. */
const SCANNER_AGENTS = ['trufflehog', 'gitleaks', 'secretscan', 'detect-secrets'];

export type AgentClass = 'service' | 'scanner' | 'client';

/**
 * What a user agent says of itself, which anybody can write: good to leave noise out, not to trust.
 * A scanner that also names a service is a scanner.
 */
export function agentClass(userAgent: string | null): AgentClass | null {
  return userAgent === null || userAgent === '' ? null : classOfAgent(userAgent);
}

const classOfAgent = remembered((userAgent: string): AgentClass => {
  const lower = userAgent.toLowerCase();
  if (SCANNER_AGENTS.some((name) => lower.includes(name))) return 'scanner';
  return SERVICE_AGENTS.some((name) => lower.includes(name)) ? 'service' : 'client';
});

/** The program's name: what comes before the first `/` or blank, in lower case. */
export function agentFamily(userAgent: string | null): string | null {
  return userAgent === null ? null : familyOfAgent(userAgent);
}

const familyOfAgent = remembered((userAgent: string): string | null => {
  const end = userAgent.search(/[/\s]/);
  const family = (end < 0 ? userAgent : userAgent.slice(0, end)).toLowerCase();
  return family === '' ? null : family;
});
