/**
 * `npm run demo [-- --keep] [--events N] [--seed N]`: the whole of lakeseal on real servers, in one
 * command. It starts the servers, sets them up, runs archiver and detector as processes of their
 * own, collects a generated company day with told attacks, waits until every event is sealed and
 * every alert acknowledged, starts the detector anew on what it has counted so far, and shows what
 * came out, read back from the stores.
 *
 * It judges itself: exit code 1 when any count disagrees or the archive could be changed.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { describeFailure } from '../../services/runtime/errors.ts';
import { type Stack, startStack } from '../stack/stack.ts';
import { alertsOfAll, expectedAlerts, mostTelling, showAlerts } from './alerts.ts';
import { describeArchive, firstEvent, sealedEverything } from './archive.ts';
import { type DemoAuthority, startAuthority } from './authority.ts';
import { collectDay, type Day, writeDay } from './day.ts';
import { holdCase } from './hold.ts';
import { type Pipeline, runSetup, startPipeline } from './pipeline.ts';
import { showPosture } from './posture.ts';
import { makeKey, proveAlert, verifyArchive } from './proof.ts';
import { createStory, type Story } from './story.ts';
import { forge, tamper } from './tamper.ts';

const HELP = `Usage: npm run demo -- [options]

Runs lakeseal on real servers with a generated company day and shows what it sealed and found.

  --events N   events of the day (default 60000)
  --seed N     another day (default 1)
  --keep       leave servers and services running and print where they are
  --help       this text
`;

const { values } = parseArgs({
  options: {
    events: { type: 'string', default: '60000' },
    seed: { type: 'string', default: '1' },
    keep: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

function wholeNumber(name: string, text: string, min: number): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= min) return value;
  throw new Error(`--${name} takes a whole number from ${min} on, not ${JSON.stringify(text)}`);
}

async function run(
  story: Story,
  stack: Stack,
  folder: string,
  authority: DemoAuthority | null,
): Promise<void> {
  const day: Day = await writeDay(story, join(folder, 'delivery'), {
    events: wholeNumber('events', values.events, 1_000),
    seed: wholeNumber('seed', values.seed, 0),
  });
  story.chapter('Setting up topics, schema, locked bucket and index templates');
  const { keyFile, publicKey } = await makeKey(story, folder);
  const caFile = authority?.caFile ?? null;
  if (caFile === null) story.line('  openssl is not here: time stamps are NOT shown');
  const { env, administrator } = await runSetup(story, stack, folder, keyFile, authority);

  story.chapter('Starting archiver and detector');
  const pipeline: Pipeline = await startPipeline(story, env, folder, values.keep);
  try {
    story.chapter(`Collecting ${day.files.length} delivery files`);
    const collected = await collectDay(story, day, env);

    story.chapter('Waiting until every event is sealed and every alert acknowledged');
    const archive = await sealedEverything(stack, env, pipeline);
    const expected = await expectedAlerts(day, env);
    story.chapter('Starting the detector anew: what waits for time to pass is judged');
    const alerts = await alertsOfAll(env, pipeline, expected);

    story.chapter('What came out');
    describeArchive(story, collected, archive);
    showAlerts(story, alerts, day);
    story.chapter('One event in the archive');
    firstEvent(story, archive);
    story.chapter('One alert proved, from the archive and for a reader without it');
    const alert = mostTelling(alerts);
    const proved = await proveAlert(story, env, folder, alert, publicKey);
    story.chapter('A legal hold on the segments of that alert');
    await holdCase(story, stack, env, archive, alert);
    story.chapter('What protects the bucket, signed, and then less of it');
    await showPosture(story, stack, administrator, publicKey);
    story.chapter('The store administrator tries to change a sealed segment');
    await tamper(story, stack, env, archive);
    story.chapter('The archive verified, every record of it');
    const verified = await verifyArchive(story, env, publicKey, caFile);
    story.chapter(
      'The administrator hides a sealed segment behind a forged one, and it is verified again',
    );
    story.line(`  ${await forge(stack, env, archive)}`);
    const forged = await verifyArchive(story, env, publicKey, caFile);

    story.check('every event collected is in the topic', collected.events === archive.kafkaRecords);
    story.check('every record of the topic is sealed once', archive.exactlyOnce);
    story.check(
      'the alerts are those that an offline scan of the files finds',
      alerts.length === expected.size && alerts.every(({ id }) => expected.has(id)),
    );
    story.check(
      'each of them counts as many events as there',
      alerts.every(({ id, count }) => expected.get(id) === count),
    );
    story.check('the proof of an alert holds with nothing but the public key', proved);
    story.check('the archive verifies', verified.exitCode === 0);
    if (caFile !== null) story.check('a time stamp over its roots counts', verified.stamps > 0);
    const named = ['delete_marker', 'extra_version'].every((code) => forged.codes.has(code));
    story.check('the forgery is found and named', forged.exitCode === 1 && named);
    const missed = day.missed(alerts);
    for (const title of missed) story.line(`  no alert for: ${title}`);
    story.check('every told attack raised an alert of its rule', missed.length === 0);
  } finally {
    if (!values.keep) await pipeline.stop();
  }
  if (!values.keep) return;
  story.addresses(stack, env, pipeline);
  if (authority !== null) story.line('Not running any more: the time stamp authority.');
}

async function main(): Promise<number> {
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const story = createStory();
  const folder = mkdtempSync(join(tmpdir(), 'lakeseal-demo-'));
  mkdirSync(join(folder, 'delivery'));
  story.chapter('Starting Kafka, schema registry, MinIO and OpenSearch');
  const stack = await startStack({ report: (line) => story.line(line), keep: values.keep });
  const authority = await startAuthority();
  try {
    await run(story, stack, folder, authority);
  } finally {
    if (!values.keep) {
      authority?.close();
      await stack.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  }
  return story.end() ? 0 : 1;
}

// Servers and services end with this process; without a handler a signal would skip that.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`${describeFailure('demo', error)}\n`);
    process.exit(1);
  },
);
