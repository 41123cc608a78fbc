/**
 * People by plan: Monday's downloads, joiners and leavers, those who look where they may not, a
 * forgotten script, a tidy-up. Pure and seeded.
 */
import type { Response } from '../line.ts';
import { machineOf, type Person } from './company.ts';
import {
  ACCOUNT,
  FRIDAY,
  hourMs,
  MINUTE_MS,
  MONDAY,
  put,
  type Routine,
  SECOND_MS,
  tableParams,
  WEDNESDAY,
  weekdayOf,
} from './routine-scene.ts';

const DENIED: Response = { statusCode: 403, errorMessage: 'User does not have USE SCHEMA' };

/** Every Monday: those of finance download their dashboards. */
export function financeMonday(scene: Routine): void {
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
export function joiners(scene: Routine): void {
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
export function offboarding(scene: Routine): void {
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

/** Those who look around run into what they may not see. */
export function explorers(scene: Routine): void {
  const { company, day, random } = scene;
  if (day.weekend) return;
  const curious = company.persons.filter(({ role }) => role === 'explorer').slice(0, 5);
  for (const [at, person] of curious.entries()) {
    const much = at === 0 && weekdayOf(day) === WEDNESDAY;
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
export function expiredTokens(scene: Routine): void {
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
export function tidying(scene: Routine): void {
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
