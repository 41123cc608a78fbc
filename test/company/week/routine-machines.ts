/**
 * Machines by plan: nightly batches, backups and secrets, deployments, a migration. Much of it looks
 * like an attack to somebody who counts. Pure and seeded.
 */
import type { Principal, Workspace } from '../company.ts';
import { type Machine, machineOf } from './company.ts';
import {
  ACCOUNT,
  HOUR_MS,
  hourMs,
  MINUTE_MS,
  put,
  type Routine,
  SECOND_MS,
  THURSDAY,
  TUESDAY,
  tableParams,
  weekdayOf,
} from './routine-scene.ts';

/** Each night: what came in is read, refined and written, and yesterday's staging tables dropped. */
export function batches(scene: Routine): void {
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

function batchTask(
  scene: Routine,
  machine: Machine,
  workspace: Workspace,
  startMs: number,
): number {
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
export function backup(scene: Routine): void {
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
export function secretRotation(scene: Routine): void {
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
export function monitoring(scene: Routine): void {
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
export function dashboardService(scene: Routine): void {
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
export function deployment(scene: Routine): void {
  const { company, day, random } = scene;
  if (weekdayOf(day) !== TUESDAY && weekdayOf(day) !== THURSDAY) return;
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

function permissionChange(
  scene: Routine,
  who: Principal,
  workspace: Workspace,
  atMs: number,
): void {
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
function deliveryTokens(scene: Routine, workspace: Workspace): void {
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

/** On Wednesday the old warehouse is copied: 500 tables read, as many written. */
export function migration(scene: Routine): void {
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

/** A partner reads its share, from its own network. */
export function partner(scene: Routine): void {
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
