/**
 * Collection: reads files, standard input and delivery buckets, and has every event on Kafka.
 *
 * Promises: what the report counts as records is acknowledged by all in-sync replicas; an object is
 * remembered only after that; a bad line costs that line, a damaged file what lies behind the
 * damage; memory is bounded whatever the input. Delivery is at least once: after a crash, lines may
 * be sent again with the same event ids, which is what everything downstream knows an event by.
 */
import type { Readable } from 'node:stream';
import { Failure } from '../runtime/errors.ts';
import type { ServiceContext } from '../runtime/service.ts';
import type { CollectOptions, CollectReport, CollectUi } from './collect-types.ts';
import { collectDelivery } from './delivery.ts';
import { expandInputs, type FileSource } from './files.ts';
import type { PipelineLimits } from './pipeline.ts';
import { createDelivery, type Delivery, type DeliveryPlace, parseDeliveryUrl } from './s3.ts';
import { Session } from './session.ts';
import { discard, type OpenTarget, openKafkaTarget } from './target.ts';

/** What a collection touches outside itself. Tests put doubles here. */
export interface CollectEdges {
  stdin: Readable;
  openTarget: OpenTarget;
  openDelivery: (place: DeliveryPlace) => Delivery;
  /** How much is under way at once. */
  limits: PipelineLimits;
  /** How many names of new objects are held at once. */
  pendingMax: number;
}

/**
 * Resolves when every input is collected, or the signal came and what was begun is durable.
 * Throws `Failure` where it cannot begin (COLLECT_NO_INPUT, COLLECT_INPUT_MISSING naming all that
 * is missing, registry and Kafka codes) or cannot go on; what was acknowledged until then stays.
 */
export async function collect(
  options: CollectOptions,
  context: ServiceContext,
  ui: CollectUi,
  edges: Partial<CollectEdges> = {},
): Promise<CollectReport> {
  const { files, places } = await findInputs(options, edges.stdin ?? process.stdin);
  const openTarget = edges.openTarget ?? openKafkaTarget;
  const openDelivery =
    edges.openDelivery ??
    ((place) => createDelivery(place, options.delivery ?? {}, context.clock, context.random));
  // A dry run asks Kafka only for its cluster id, and only where a ledger is to be read.
  const needsKafka = !options.dryRun || places.length > 0;
  const target = needsKafka ? await openTarget(context, options.dryRun) : discard;
  const session = new Session(options, context, ui, target, edges.limits);
  try {
    for (const file of files) session.expect(file.bytes);
    for (const file of files) {
      if (!context.signal.aborted) await session.readFile(file);
      else session.stopBefore(file.name);
    }
    if (places.length > 0) {
      await collectDelivery(places, openDelivery, session, edges.pendingMax);
    }
    await session.finish();
  } finally {
    await session.close();
    await target.close();
  }
  return session.report();
}

interface FoundInputs {
  files: FileSource[];
  places: DeliveryPlace[];
}

async function findInputs(options: CollectOptions, stdin: Readable): Promise<FoundInputs> {
  if (options.inputs.length === 0) {
    throw new Failure('nothing to collect', {
      code: 'COLLECT_NO_INPUT',
      hint: 'name files, folders, "-" for standard input, or s3://bucket/prefix',
    });
  }
  const urls = options.inputs.filter((input) => input.startsWith('s3://'));
  const names = options.inputs.filter((input) => !input.startsWith('s3://'));
  if (options.follow && urls.length === 0) {
    throw new Failure('only a delivery bucket can be followed', {
      code: 'COLLECT_NOTHING_TO_FOLLOW',
      hint: 'name an s3://bucket/prefix, or leave --follow out',
    });
  }
  const { sources, missing } = await expandInputs(names, stdin);
  const places: DeliveryPlace[] = [];
  for (const url of urls) {
    const place = parseDeliveryUrl(url);
    if (place === null) missing.push(`${url}: not of the form s3://bucket/prefix`);
    else places.push(place);
  }
  if (missing.length > 0) throw missingInputs(missing);
  return { files: sources, places };
}

function missingInputs(missing: string[]): Failure {
  const what =
    missing.length === 1 ? missing[0] : `${missing.length} inputs:\n  ${missing.join('\n  ')}\n`;
  return new Failure(`cannot collect ${what}`, {
    code: 'COLLECT_INPUT_MISSING',
    hint: 'nothing was sent; mend the names and collect again',
  });
}
