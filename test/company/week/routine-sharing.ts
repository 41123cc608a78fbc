/**
 * What the company does with others and with its account by plan: a clean room with a partner, the
 * marketplace, infrastructure kept as code, and somebody on call. Pure and seeded.
 */
import { machineOf } from './company.ts';
import {
  ACCOUNT,
  hourMs,
  MINUTE_MS,
  put,
  type Routine,
  SECOND_MS,
  THURSDAY,
  TUESDAY,
  weekdayOf,
} from './routine-scene.ts';

/** A room with a partner that has been there for long: looked at daily, a table renewed on Tuesday. */
export function cleanRoom(scene: Routine): void {
  const { company, day, random } = scene;
  if (day.weekend) return;
  const engineer = company.persons.find(({ role, trip }) => role === 'engineer' && trip === null)!;
  const at = { ...engineer, addresses: [engineer.region.office[0]!] };
  const room = { clean_room_name: 'retail_media' };
  const startMs = hourMs(day, 9 - engineer.region.city.utcOffsetHours + random.float());
  const looks = ['getCleanRoom', 'listCleanRoomAssets', 'listCleanRoomNotebookTaskRuns'];
  if (weekdayOf(day) === TUESDAY) looks.push('updateCleanRoomAsset');
  for (const [step, action] of looks.entries()) {
    const atMs = startMs + step * random.between(20, 90) * SECOND_MS;
    put(scene, at, engineer.desks[0]!, atMs, `clean-room.${action}`, room, ACCOUNT);
  }
}

/** Analysts look at what others offer; on Thursday the company's own free listing gets a new text. */
export function marketplace(scene: Routine): void {
  const { company, day, random } = scene;
  if (day.weekend) return;
  const analysts = company.persons.filter(({ role, trip }) => role === 'analyst' && trip === null);
  for (let look = 0; look < 6; look += 1) {
    const person = random.pick(analysts);
    const at = { ...person, addresses: [person.region.office[0]!] };
    const atMs = hourMs(day, 10 - person.region.city.utcOffsetHours + 6 * random.float());
    const params = { listing_id: random.uuid() };
    put(scene, at, person.desks[0]!, atMs, 'marketplaceConsumer.getListing', params, ACCOUNT);
  }
  if (weekdayOf(day) !== THURSDAY) return;
  const owner = analysts[0]!;
  const at = { ...owner, addresses: [owner.region.office[0]!] };
  const atMs = hourMs(day, 14 - owner.region.city.utcOffsetHours + random.float());
  const own = { listing_id: '00000000-0000-4000-8000-00000000001a' };
  put(scene, at, owner.desks[0]!, atMs, 'marketplaceProvider.updateListing', own, ACCOUNT);
}

/** Terraform reads the whole account before it changes a little of it, and each night for drift. */
export function drift(scene: Routine): void {
  const { company, day, random } = scene;
  const machine = machineOf(company, 'terraform');
  const home = company.workspaces[0]!;
  const account = { account_id: company.accountId };
  const reads = [
    'accountsManager.getCustomerManagedKeyConfiguration',
    'accountsManager.getNetworkConfiguration',
    'accountsManager.getStorageConfiguration',
    'accountsManager.getPrivateAccessSettings',
    'logDelivery.getLogDeliveryConfiguration',
  ] as const;
  let atMs = hourMs(day, 4 + random.float());
  for (const pair of reads) {
    atMs += random.between(1, 4) * SECOND_MS;
    put(scene, machine, home, atMs, pair, account, ACCOUNT);
  }
}

/** Somebody on call is woken by a failed job, looks at it from home and lets a colleague see it. */
export function onCall(scene: Routine): void {
  const { company, day, random } = scene;
  if (!random.chance(0.3)) return;
  const admins = company.persons.filter(({ role }) => role === 'admin');
  const admin = random.pick(admins);
  const workspace = random.pick(company.workspaces);
  const startMs = hourMs(day, random.between(20, 23) + random.float());
  const job = { job_id: random.pick(company.jobs) };
  for (const [step, action] of ['get', 'list', 'runNow'].entries()) {
    put(scene, admin, workspace, startMs + step * MINUTE_MS, `jobs.${action}`, job);
  }
  put(scene, admin, workspace, startMs + 9 * MINUTE_MS, 'jobs.changeJobAcl', {
    resourceId: job.job_id,
    aclPermissionSet: '[{"permission":"CAN_VIEW"}]',
    targetUserId: random.pick(company.people).userId,
  });
}
