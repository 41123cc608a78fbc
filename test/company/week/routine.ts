/**
 * What happens by plan: nightly batches and backups, deployments, the directory's joiners and
 * leavers, month-end and Monday habits, a migration, and everyday trouble. Much of it looks like an
 * attack to somebody who counts. Pure and seeded.
 */
import type { Principal, Workspace } from '../company.ts';
import type { Action, Json, Response } from '../line.ts';
import type { Random } from '../random.ts';
import { type Machine, machineOf, type Person, type WeekCompany } from './company.ts';
import type { DayOf, Planned } from './people.ts';

type Params = { [key: string]: Json };

interface Scene {
  company: WeekCompany;
  day: DayOf;
  random: Random;
  planned: Planned[];
}

const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DENIED: Response = { statusCode: 403, errorMessage: 'User does not have USE SCHEMA' };
const MONDAY = 1;
const FRIDAY = 5;

/** All routines of one day. */
export function routineDay(company: WeekCompany, day: DayOf, random: Random): Planned[] {
  const planned: Planned[] = [];
  for (const [at, routine] of ROUTINES.entries()) {
    routine({ company, day, random: random.fork(`routine ${at}`), planned });
  }
  return planned;
}

/** One event at an hour of the day, UTC. */
function put(
  { planned, random }: Scene,
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

const ACCOUNT = { account: true } as const;
const weekdayOf = ({ startMs }: DayOf): number => new Date(startMs).getUTCDay();
const hourMs = (day: DayOf, hour: number): number => day.startMs + hour * HOUR_MS;

function tableParams({ company, random }: Scene, workspace: Workspace, table: string): Params {
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

/** Each night: what came in is read, refined and written, and yesterday's staging tables dropped. */
function batches(scene: Scene): void {
  const { company, day, random } = scene;
  for (const machine of company.machines) {
    if (machine.duty !== 'etl') continue;
    const workspace = machine.desks[0]!;
    const tasks = random.between(4, 10);
    let atMs = hourMs(day, 2 - workspace.utcOffsetHours + random.float());
    if (atMs < day.startMs) atMs += 24 * HOUR_MS;
    for (let task = 0; task < tasks; task += 1) {
      atMs = batchTask(scene, machine, workspace, atMs);
    }
    const drops = random.between(3, 14);
    for (let at = 0; at < drops; at += 1) {
      put(
        scene,
        machine,
        workspace,
        atMs + at * 2 * SECOND_MS,
        'unityCatalog.deleteTable',
        {
          full_name_arg: `main.staging.tmp_${random.hex(6)}`,
          workspace_id: workspace.id,
          metastore_id: company.metastoreId,
        },
        ACCOUNT,
      );
    }
  }
}

function batchTask(scene: Scene, machine: Machine, workspace: Workspace, startMs: number): number {
  const { random } = scene;
  let atMs = startMs;
  const next = (): number => (atMs += random.between(1, 9) * SECOND_MS);
  const login = { user: machine.name, authenticationMethod: 'API_EXT_PAT_TOKEN' };
  put(scene, machine, workspace, next(), 'accounts.tokenLogin', {
    ...login,
    tokenId: machine.tokenId,
  });
  for (const [scope, key] of machine.secrets) {
    put(scene, machine, workspace, next(), 'secrets.getSecret', { scope, key });
  }
  const reads = random.between(4, 16);
  const written = random.pick(machine.view.tables);
  for (let at = 0; at < reads; at += 1) {
    const table = random.pick(machine.view.tables);
    const params = tableParams(scene, workspace, table);
    const name = { full_name_arg: table, workspace_id: workspace.id };
    put(scene, machine, workspace, next(), 'unityCatalog.getTable', name, ACCOUNT);
    const read = { ...params, operation: 'READ' };
    put(
      scene,
      machine,
      workspace,
      next(),
      'unityCatalog.generateTemporaryTableCredential',
      read,
      ACCOUNT,
    );
  }
  const write = { ...tableParams(scene, workspace, written), operation: 'READ_WRITE' };
  const pair = 'unityCatalog.generateTemporaryTableCredential';
  put(scene, machine, workspace, next(), pair, write, ACCOUNT);
  return atMs + random.between(1, 6) * MINUTE_MS;
}

/** Each night: the notebooks of everybody, exported as source. */
function backup(scene: Scene): void {
  const { company, day, random } = scene;
  const machine = machineOf(company, 'backup');
  const workspace = machine.desks[0]!;
  const count = random.between(390, 430);
  for (let at = 0; at < count; at += 1) {
    const owner = company.people[at % company.people.length]!;
    put(
      scene,
      machine,
      workspace,
      hourMs(day, 1.5) + at * 5 * SECOND_MS,
      'workspace.workspaceExport',
      {
        workspaceExportFormat: 'SOURCE',
        notebookFullPath: `/Users/${owner.name}/nb-${Math.floor(at / company.people.length)}`,
      },
    );
  }
}

/** Each night: all secrets are held against the vault. */
function secretRotation(scene: Scene): void {
  const { company, day } = scene;
  const machine = machineOf(company, 'vault');
  const workspace = machine.desks[0]!;
  let atMs = hourMs(day, 3.25);
  put(scene, machine, workspace, atMs, 'secrets.listScopes', {});
  for (const [scope, key] of machine.secrets) {
    atMs += 3 * SECOND_MS;
    put(scene, machine, workspace, atMs, 'secrets.getSecret', { scope, key });
  }
}

/** All day long, in every workspace; and once a day a look at the account's own audit table. */
function monitoring(scene: Scene): void {
  const { company, day, random } = scene;
  const machine = machineOf(company, 'monitor');
  const audit = { full_name_arg: 'system.access.audit', metastore_id: company.metastoreId };
  const home = company.workspaces[0]!;
  put(scene, machine, home, hourMs(day, 6), 'unityCatalog.getTable', audit, ACCOUNT);
  for (const workspace of company.workspaces) {
    for (let hour = 0; hour < 24; hour += 1) {
      const atMs = hourMs(day, hour + random.float());
      put(scene, machine, workspace, atMs, 'jobs.list', {});
      put(scene, machine, workspace, atMs + SECOND_MS, 'clusters.list', {});
    }
  }
}

/** Bought dashboards sign in from whichever of their addresses is free. */
function dashboardService(scene: Scene): void {
  const { company, day, random } = scene;
  const machine = machineOf(company, 'dashboards');
  const workspace = machine.desks[0]!;
  for (let minute = 0; minute < 24 * 60; minute += random.between(8, 25)) {
    const atMs = day.startMs + minute * MINUTE_MS;
    put(scene, machine, workspace, atMs, 'accounts.tokenLogin', {
      user: machine.name,
      authenticationMethod: 'API_EXT_PAT_TOKEN',
      tokenId: machine.tokenId,
    });
  }
}

/** Deployments on Tuesday and Thursday: many permissions in a few minutes, and a person who helps. */
function deployment(scene: Scene): void {
  const { company, day, random } = scene;
  if (weekdayOf(day) !== 2 && weekdayOf(day) !== 4) return;
  const machine = machineOf(company, 'terraform');
  for (const workspace of company.workspaces.slice(0, 2)) {
    let atMs = hourMs(day, 9.5 + random.float());
    for (let at = random.between(35, 60); at > 0; at -= 1) {
      atMs += random.between(2, 9) * SECOND_MS;
      permissionChange(scene, machine, workspace, atMs);
    }
  }
  const admin = company.persons.filter(({ role }) => role === 'admin')[day.startMs % 2]!;
  const helper = { ...admin, addresses: [admin.region.office[0]!] };
  for (const workspace of company.workspaces) {
    const atMs = hourMs(day, 10 + 2 * random.float());
    put(scene, helper, workspace, atMs, 'jobs.list', {});
    permissionChange(scene, helper, workspace, atMs + MINUTE_MS);
  }
  deliveryTokens(scene, company.workspaces[0]!);
}

function permissionChange(scene: Scene, who: Principal, workspace: Workspace, atMs: number): void {
  const { company, random } = scene;
  if (random.chance(0.5)) {
    put(scene, who, workspace, atMs, 'jobs.changeJobAcl', {
      resourceId: random.pick(company.jobs),
      aclPermissionSet: '[{"permission":"CAN_MANAGE_RUN"}]',
      targetUserId: random.pick(company.people).userId,
    });
    return;
  }
  const grant = [{ principal: 'analysts', add: ['SELECT', 'USE_SCHEMA'], remove: [] }];
  const params = {
    securable_type: 'SCHEMA',
    securable_full_name: random.pick(company.tables).split('.').slice(0, 2).join('.'),
    changes: JSON.stringify(grant),
    workspace_id: workspace.id,
    metastore_id: company.metastoreId,
  };
  put(scene, who, workspace, atMs, 'unityCatalog.updatePermissions', params, ACCOUNT);
}

/** A pipeline makes itself a token for an hour and uses it from its other address. */
function deliveryTokens(scene: Scene, workspace: Workspace): void {
  const { company, day, random } = scene;
  const machine = machineOf(company, 'delivery');
  for (let run = 0; run < 6; run += 1) {
    const atMs = hourMs(day, 9 + run + random.float());
    const tokenId = random.hex(64);
    put(
      scene,
      { ...machine, addresses: ['203.0.113.200'] },
      workspace,
      atMs,
      'accounts.generateDbToken',
      { userId: machine.userId, tokenHash: tokenId, tokenExpirationTime: atMs + HOUR_MS },
    );
    const login = { user: machine.name, authenticationMethod: 'API_EXT_PAT_TOKEN', tokenId };
    const other = { ...machine, addresses: ['203.0.113.201'] };
    put(scene, other, workspace, atMs + MINUTE_MS, 'accounts.tokenLogin', login);
    put(scene, machine, workspace, atMs + 30 * MINUTE_MS, 'accounts.revokeDbToken', { tokenId });
  }
}

/** Every Monday: those of finance download their dashboards. */
function financeMonday(scene: Scene): void {
  const { company, day, random } = scene;
  if (weekdayOf(day) !== MONDAY) return;
  const finance = company.persons.filter(({ role, trip }) => role === 'finance' && trip === null);
  for (const person of finance.slice(0, 6)) {
    const at = { ...person, addresses: [person.region.office[0]!] };
    const startMs = hourMs(day, 9 - person.region.city.utcOffsetHours + 1.5 * random.float());
    const count = random.between(8, 22);
    for (let file = 0; file < count; file += 1) {
      const atMs = startMs + file * random.between(60, 200) * SECOND_MS;
      if (file % 3 === 2) {
        const params = { dashboardId: random.hex(32) };
        put(scene, at, person.desks[0]!, atMs, 'dashboards.triggerDashboardSnapshot', params);
        continue;
      }
      const params = { queryId: random.uuid(), fileType: random.pick(['csv', 'xlsx', 'arrows']) };
      put(scene, at, person.desks[0]!, atMs, 'databrickssql.downloadQueryResult', params);
    }
  }
}

/** Those who start on Monday get an account and their groups. */
function joiners(scene: Scene): void {
  const { company, day, random } = scene;
  if (day.day !== 0) return;
  const machine = machineOf(company, 'directory');
  for (const person of company.persons.filter(({ firstDay }) => firstDay === 0)) {
    const workspace = person.desks[0]!;
    const target = { targetUserName: person.name, targetUserId: person.userId, endpoint: 'scim' };
    const atMs = hourMs(day, 5 + random.float());
    put(scene, machine, workspace, atMs, 'accounts.add', target, ACCOUNT);
    for (const [at, group] of ['analysts', 'everybody', 'vpn-users'].entries()) {
      const params = { ...target, targetGroupName: group, targetGroupId: random.digits(15) };
      const laterMs = atMs + (at + 1) * 4 * SECOND_MS;
      put(scene, machine, workspace, laterMs, 'accounts.addPrincipalToGroup', params, ACCOUNT);
    }
  }
}

/** On Friday the directory removes thirty who have left, with groups and tokens. */
function offboarding(scene: Scene): void {
  const { company, day, random } = scene;
  if (day.day < 0 || weekdayOf(day) !== FRIDAY) return;
  const machine = machineOf(company, 'directory');
  const workspace = company.workspaces[0]!;
  let atMs = hourMs(day, 15 + random.float());
  for (let at = 0; at < 30; at += 1) {
    atMs += random.between(2, 6) * SECOND_MS;
    const name = `former.${random.hex(5)}@example.com`;
    const target = { targetUserName: name, targetUserId: random.digits(16), endpoint: 'scim' };
    if (at % 3 === 0) {
      const tokenId = random.hex(64);
      put(scene, machine, workspace, atMs, 'accounts.revokeDbToken', { tokenId });
    }
    const group = { ...target, targetGroupName: 'analysts' };
    put(scene, machine, workspace, atMs, 'accounts.removePrincipalFromGroup', group, ACCOUNT);
    put(scene, machine, workspace, atMs + 500, 'accounts.delete', target, ACCOUNT);
  }
}

/** On Wednesday the old warehouse is copied: 500 tables read, as many written. */
function migration(scene: Scene): void {
  const { company, day, random } = scene;
  if (day.day !== 2) return;
  const machine = machineOf(company, 'migration');
  const workspace = machine.desks[0]!;
  const pair = 'unityCatalog.generateTemporaryTableCredential';
  for (let at = 0; at < 500; at += 1) {
    const atMs = hourMs(day, 8) + at * 20 * SECOND_MS + random.int(9_000);
    const name = `t${String(at).padStart(3, '0')}`;
    const table = { full_name_arg: `legacy_dwh.public.${name}`, workspace_id: workspace.id };
    put(scene, machine, workspace, atMs, 'unityCatalog.getTable', table, ACCOUNT);
    const read = {
      ...tableParams(scene, workspace, `legacy_dwh.public.${name}`),
      operation: 'READ',
    };
    put(scene, machine, workspace, atMs + SECOND_MS, pair, read, ACCOUNT);
    const to = {
      ...tableParams(scene, workspace, `main.imported.${name}`),
      operation: 'READ_WRITE',
    };
    put(scene, machine, workspace, atMs + 9 * SECOND_MS, pair, to, ACCOUNT);
  }
}

/** Those who look around run into what they may not see. */
function explorers(scene: Scene): void {
  const { company, day, random } = scene;
  if (day.weekend) return;
  const curious = company.persons.filter(({ role }) => role === 'explorer').slice(0, 5);
  for (const [at, person] of curious.entries()) {
    const much = at === 0 && weekdayOf(day) === 3;
    const count = much ? 22 : random.between(0, 9);
    const startMs = hourMs(day, 13 - person.region.city.utcOffsetHours + 2 * random.float());
    const office = { ...person, addresses: [person.region.office[0]!] };
    const workspace = person.desks[0]!;
    for (let table = 0; table < count; table += 1) {
      const atMs = startMs + table * random.between(20, 150) * SECOND_MS;
      const name = random.pick(company.tables);
      const credentials = random.chance(0.25);
      const params = credentials
        ? { ...tableParams(scene, workspace, name), operation: 'READ' }
        : { full_name_arg: name, workspace_id: workspace.id, metastore_id: company.metastoreId };
      const action = credentials ? 'generateTemporaryTableCredential' : 'getTable';
      const more = { account: true, response: DENIED };
      put(scene, office, workspace, atMs, `unityCatalog.${action}`, params, more);
    }
  }
}

/** A script on somebody's laptop goes on trying with a token that ended in the night. */
function expiredTokens(scene: Scene): void {
  const { company, day, random } = scene;
  if (day.weekend || day.day < 0 || day.day % 2 === 1) return;
  const engineers = company.persons.filter(({ role }) => role === 'engineer');
  const person: Person = engineers[day.day % engineers.length]!;
  const at = {
    ...person,
    addresses: [person.region.office[0]!],
    userAgent: 'python-requests/2.32.3',
  };
  const startMs = hourMs(day, 9 - person.region.city.utcOffsetHours);
  for (let attempt = 0; attempt < 20; attempt += 1) {
    const params = {
      user: person.name,
      authenticationMethod: 'API_EXT_PAT_TOKEN',
      tokenId: person.tokenId,
    };
    const response = { statusCode: 401, errorMessage: 'Token expired' };
    const atMs = startMs + attempt * 5 * MINUTE_MS + random.int(2_000);
    put(scene, at, person.desks[0]!, atMs, 'accounts.tokenLogin', params, { response });
  }
}

/** Somebody tidies up their own folder. */
function tidying(scene: Scene): void {
  const { company, day, random } = scene;
  if (day.weekend || day.day < 0 || day.day % 2 === 0) return;
  const person = company.persons[5 + day.day]!;
  const at = { ...person, addresses: [person.region.office[0]!] };
  const startMs = hourMs(day, 15 - person.region.city.utcOffsetHours);
  for (let notebook = 0; notebook < random.between(20, 40); notebook += 1) {
    const path = `/Users/${person.name}/old-${notebook}`;
    const params = { notebookId: random.digits(16), path };
    const atMs = startMs + notebook * 4 * SECOND_MS;
    put(scene, at, person.desks[0]!, atMs, 'notebook.deleteNotebook', params);
  }
}

/** A partner reads its share, from its own network. */
function partner(scene: Scene): void {
  const { company, day, random } = scene;
  const recipient: Principal = { ...company.people[0]!, addresses: ['198.51.100.7'] };
  for (let query = 0; query < 60; query += 1) {
    const atMs = hourMs(day, 24 * random.float());
    const params = {
      recipient_name: 'partner_retail',
      share: 'sales_daily',
      schema: 'gold',
      name: `t${query % 4}`,
      is_ip_access_denied: 'false',
      metastore_id: company.metastoreId,
      workspace_id: company.workspaces[0]!.id,
    };
    const more = {
      ...ACCOUNT,
      email: null,
      userAgent: 'Delta-Sharing-SparkStructuredStreaming/1.2',
    };
    const pair = 'unityCatalog.deltaSharingQueriedTable';
    put(scene, recipient, company.workspaces[0]!, atMs, pair, params, more);
  }
}

const ROUTINES: ReadonlyArray<(scene: Scene) => void> = [
  batches,
  backup,
  secretRotation,
  monitoring,
  dashboardService,
  deployment,
  financeMonday,
  joiners,
  offboarding,
  migration,
  explorers,
  expiredTokens,
  tidying,
  partner,
];
