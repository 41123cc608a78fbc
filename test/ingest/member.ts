/**
 * A consumer group member as a process of its own, for tests that stop and continue it.
 * Arguments: brokers (comma-separated), topic, group. Tells what happens as JSON lines; takes
 * `{"commit": OFFSET, "partition": N, "generation": N}` lines and answers each.
 */
import { createInterface } from 'node:readline';
import { createConsumer } from '../../services/ingest/consume.ts';
import { log, testConfig } from './kafka-stack.ts';

const [brokers, topic, groupId] = process.argv.slice(2) as [string, string, string];
const tell = (line: object): void => {
  process.stdout.write(`${JSON.stringify(line)}\n`);
};

const consumer = createConsumer({
  config: testConfig(brokers.split(',')),
  groupId,
  topics: [topic],
  startAt: 'earliest',
  log,
});

createInterface({ input: process.stdin }).on('line', async (line) => {
  const { commit, partition, generation } = JSON.parse(line) as Record<string, number>;
  const offsets = [{ topic, partition: partition!, offset: BigInt(commit!) }];
  tell({ committed: await consumer.commit(offsets, generation!) });
});

await consumer
  .run({
    assigned: async (assignments, generation) => {
      tell({ assigned: assignments.map(({ partition }) => partition), generation });
      return [];
    },
    batch: async (batch) => {
      tell({ partition: batch.partition, records: batch.records.length });
    },
  })
  .catch((error: Error) => {
    tell({ failed: error.message });
    process.exit(1);
  });
