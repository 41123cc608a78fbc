/** Everything that happens by plan in a day of the company. Pure and seeded. */
import type { Random } from '../random.ts';
import type { WeekCompany } from './company.ts';
import type { DayOf, Planned } from './people.ts';
import {
  backup,
  batches,
  dashboardService,
  deployment,
  migration,
  monitoring,
  partner,
  secretRotation,
} from './routine-machines.ts';
import {
  expiredTokens,
  explorers,
  financeMonday,
  joiners,
  offboarding,
  tidying,
} from './routine-people.ts';
import type { Routine } from './routine-scene.ts';
import { cleanRoom, drift, marketplace, onCall } from './routine-sharing.ts';

const ROUTINES: ReadonlyArray<(routine: Routine) => void> = [
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
  cleanRoom,
  marketplace,
  drift,
  onCall,
];

/** All routines of one day. */
export function routineDay(company: WeekCompany, day: DayOf, random: Random): Planned[] {
  const planned: Planned[] = [];
  for (const [at, routine] of ROUTINES.entries()) {
    routine({ company, day, random: random.fork(`routine ${at}`), planned });
  }
  return planned;
}
