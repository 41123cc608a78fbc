/**
 * Delivery buckets: what is new under each prefix is read, and remembered once it is durable.
 *
 * Safe to run twice and to kill at any moment: an object enters the ledger only after Kafka has
 * acknowledged everything in it. An object that Databricks overwrote is read again; of the lines
 * collected before, those that have not changed are left out.
 */
import { Failure } from '../runtime/errors.ts';
import { isDeliveryName } from './files.ts';
import { isCollected, type Ledger, type LedgerEntry, ledgerFile, openLedger } from './ledger.ts';
import { NOTHING_DONE } from './resume.ts';
import type { Delivery, DeliveryObject, DeliveryPlace, OpenedObject } from './s3.ts';
import type { Session } from './session.ts';

/** Objects up to this size are fetched ahead, since a bucket answers slowly and in parallel. */
const AHEAD_OBJECT_BYTES_MAX = 1024 * 1024;
const AHEAD_OBJECTS_MAX = 8;

interface Feed {
  place: DeliveryPlace;
  delivery: Delivery;
  ledger: Ledger;
  /** Durable on Kafka, not yet in the ledger. */
  ready: LedgerEntry[];
}

/** One pass over every place, or with `follow` passes until the signal. */
export async function collectDelivery(
  places: DeliveryPlace[],
  openDelivery: (place: DeliveryPlace) => Delivery,
  session: Session,
): Promise<void> {
  const { options, context } = session;
  const feeds: Feed[] = [];
  try {
    for (const place of places) feeds.push(await openFeed(place, openDelivery(place), session));
    for (;;) {
      for (const feed of feeds) await passOver(feed, session);
      await session.drain();
      for (const feed of feeds) await remember(feed);
      if (!options.follow || context.signal.aborted) return;
      context.health.ready('collect', true);
      await context.clock.sleep(context.config.collect.pollMs, context.signal);
    }
  } finally {
    for (const feed of feeds) {
      await remember(feed).finally(() => feed.ledger.close());
      feed.delivery.close();
    }
  }
}

async function openFeed(place: DeliveryPlace, delivery: Delivery, session: Session): Promise<Feed> {
  const { options, context, target } = session;
  const { endpoint } = options.delivery ?? {};
  const subject = {
    clusterId: target.clusterId,
    topic: context.config.topics.events,
    bucket: place.bucket,
    storeHost: endpoint === undefined ? undefined : new URL(endpoint).host,
  };
  const path = ledgerFile(context.config.collect.ledger ?? options.stateFolder, subject);
  const ledger = await openLedger(path, options.dryRun);
  if (ledger.damaged > 0) {
    const fields = { ledger: path, lines: ledger.damaged };
    context.log.warn(fields, 'unreadable ledger lines dropped: their objects are read again');
  }
  return { place, delivery, ledger, ready: [] };
}

async function passOver(feed: Feed, session: Session): Promise<void> {
  const { options, context } = session;
  let fresh: DeliveryObject[];
  try {
    fresh = await listFresh(feed, session);
  } catch (error) {
    if (context.signal.aborted) return;
    if (!options.follow || !(error instanceof Failure) || !error.retryable) throw error;
    context.log.warn(
      { err: error },
      'the delivery bucket could not be listed; the next poll tries again',
    );
    context.health.ready('collect', false, 'the delivery bucket cannot be listed');
    return;
  }
  for await (const { object, opened } of openAhead(fresh, feed.delivery, context.signal)) {
    if (context.signal.aborted) return session.stopBefore(nameOf(feed, object.key));
    await readObject(feed, object, opened, session);
    if (feed.ready.length > 0) await remember(feed);
  }
}

async function listFresh(feed: Feed, session: Session): Promise<DeliveryObject[]> {
  const fresh: DeliveryObject[] = [];
  for await (const object of feed.delivery.list(session.context.signal)) {
    if (!isDeliveryName(object.key)) session.skip('ignored');
    else if (isCollected(feed.ledger.get(object.key), object)) session.skip('known');
    else fresh.push(object);
  }
  for (const object of fresh) session.expect(object.bytes);
  return fresh;
}

type Opened = () => Promise<OpenedObject | null>;

/** In the order given; small objects are fetched ahead, large ones opened when it is their turn. */
async function* openAhead(
  objects: DeliveryObject[],
  delivery: Delivery,
  signal: AbortSignal,
): AsyncGenerator<{ object: DeliveryObject; opened: Opened }> {
  const ahead: Array<{ object: DeliveryObject; opened: Opened }> = [];
  for (const object of objects) {
    const open: Opened = () => delivery.open(object.key, signal);
    ahead.push({ object, opened: object.bytes > AHEAD_OBJECT_BYTES_MAX ? open : fetchNow(open) });
    if (ahead.length >= AHEAD_OBJECTS_MAX) yield ahead.shift()!;
  }
  yield* ahead;
}

function fetchNow(open: Opened): Opened {
  const fetching = open().then(async (opened) => {
    if (opened === null || opened.bytes > AHEAD_OBJECT_BYTES_MAX) return opened;
    const chunks: Buffer[] = [];
    for await (const chunk of opened.chunks) chunks.push(chunk);
    return { ...opened, chunks: replay(chunks) };
  });
  // Thrown where it is awaited; until then it is nobody's unhandled rejection.
  fetching.catch(() => {});
  return () => fetching;
}

async function* replay(chunks: Buffer[]): AsyncGenerator<Buffer> {
  yield* chunks;
}

async function readObject(
  feed: Feed,
  object: DeliveryObject,
  opened: Opened,
  session: Session,
): Promise<void> {
  const name = nameOf(feed, object.key);
  try {
    const first = await opened();
    if (first === null) return;
    const before = feed.ledger.get(object.key) ?? NOTHING_DONE;
    let source = first;
    let outcome = await session.read({ name, chunks: source.chunks, before });
    if (outcome.end === 'changed') {
      const again = await feed.delivery.open(object.key, session.context.signal);
      if (again === null) return;
      source = again;
      outcome = await session.read({ name, chunks: source.chunks, before: NOTHING_DONE });
    }
    if (outcome.end !== 'read' || session.options.dryRun) return;
    const entry = { key: source.key, etag: source.etag, bytes: source.bytes, ...outcome.done };
    session.mark(() => feed.ready.push(entry));
  } catch (error) {
    if (!isObjectFailure(error)) throw error;
    session.unreadable(name, error);
  }
}

function nameOf(feed: Feed, key: string): string {
  return `s3://${feed.place.bucket}/${key}`;
}

/** What is wrong with one object, not with the bucket, Kafka or the disk. */
function isObjectFailure(error: unknown): boolean {
  return error instanceof Failure && error.code.startsWith('DELIVERY_');
}

async function remember(feed: Feed): Promise<void> {
  const entries = feed.ready;
  feed.ready = [];
  await feed.ledger.add(entries);
}
