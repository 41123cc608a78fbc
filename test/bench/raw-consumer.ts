/**
 * The floor under everything that reads Kafka: plain kafkajs `eachBatch`, nothing done with a
 * record but counting it. A process of its own, as the services are.
 *
 *   node test/bench/raw-consumer.ts BROKERS TOPIC RECORDS
 *
 * Prints one JSON object; the time runs from joining the group to the last record.
 */
import { randomUUID } from 'node:crypto';
import kafkajs from 'kafkajs';

const [brokers, topic, wanted] = process.argv.slice(2) as [string, string, string];
const target = Number(wanted);

process.env.KAFKAJS_NO_PARTITIONER_WARNING = '1';
process.removeAllListeners('warning');

const kafka = new kafkajs.Kafka({
  brokers: brokers.split(','),
  clientId: 'bench',
  logLevel: kafkajs.logLevel.NOTHING,
});
const consumer = kafka.consumer({ groupId: `bench-${randomUUID()}`, maxWaitTimeInMs: 250 });
let startedAt = 0n;
let cpuBefore = process.cpuUsage();
let records = 0;
let bytes = 0;
consumer.on(consumer.events.GROUP_JOIN, () => {
  startedAt = process.hrtime.bigint();
  cpuBefore = process.cpuUsage();
});
await consumer.connect();
await consumer.subscribe({ topic, fromBeginning: true });
const done = new Promise<void>((resolve, reject) => {
  consumer
    .run({
      autoCommit: false,
      eachBatch: async ({ batch }) => {
        for (const { value } of batch.messages) {
          records += 1;
          bytes += value?.length ?? 0;
        }
        if (records >= target) resolve();
      },
    })
    .catch(reject);
});
await done;
const seconds = Number(process.hrtime.bigint() - startedAt) / 1e9;
const cpu = process.cpuUsage(cpuBefore);
process.stdout.write(
  JSON.stringify({ records, bytes, seconds, cpuSeconds: (cpu.user + cpu.system) / 1e6 }),
);
await consumer.disconnect();
process.exit(0);
