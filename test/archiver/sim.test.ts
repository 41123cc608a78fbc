/**
 * A1, A2, A3 and A4 under seeded schedules: the production code of the archiver, several processes
 * that contend, kill -9 and freezing at any await, rebalances learnt late, wrong clocks, Kafka
 * retention running ahead, keys that are lost and found, archives without evidence, and planned
 * faults at each kind of store call. Time is virtual. `sim.full.test.ts` runs thousands.
 *
 * One seed again: LAKESEAL_SIM_SEED=17 node --test test/archiver/sim.test.ts
 * More of them:   LAKESEAL_SIM_SEEDS=20000 node --test test/archiver/sim.test.ts
 */
import { test } from 'node:test';
import { holdsUnder } from './sim/seeds.ts';

test('A1, A2, A3, A4 hold under seeded schedules', (context) => holdsUnder(context, 0, 200));
