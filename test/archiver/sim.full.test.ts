/** As `sim.test.ts`, over thousands of other seeds: a quarter of an hour on two cores. */
import { test } from 'node:test';
import { holdsUnder } from './sim/seeds.ts';

test('A1, A2, A3, A4 hold under thousands of seeded schedules', (context) =>
  holdsUnder(context, 1_000, 5_000));
