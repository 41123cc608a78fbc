/**
 * Delivery buckets: what is new under all prefixes is read in order of delivery, and remembered once
 * it is durable.
 *
 * Safe to run twice and to kill at any moment: an object enters the ledger only after Kafka has
 * acknowledged everything in it. An object that Databricks overwrote is read again; of the lines
 * collected before, those that have not changed are left out.
 */
import { Failure } from '../runtime/errors.ts';
import { isDeliveryName } from './files.ts';
import { isCollected, type Ledger, type LedgerEntry, ledgerFile, openLedger } from './ledger.ts';
import { type Delivered, Earliest } from './order.ts';
import { NOTHING_DONE } from './resume.ts';
import type { Delivery, DeliveryObject, DeliveryPlace, OpenedObject } from './s3.ts';
import type { Session } from './session.ts';

/** Objects up to this size are fetched ahead, since a bucket answers slowly and in parallel. */
const AHEAD_OBJECT_BYTES_MAX = 1024 * 1024;
const AHEAD_OBJECTS_MAX = 8;
/** Objects of which the names are held at once: some 20 MB. Of a longer backlog the bucket is listed again. */
export const PENDING_MAX = 50_000;

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
  pendingMax = PENDING_MAX,
): Promise<void> {
  const { options, context } = session;
  const feeds: Feed[] = [];
  try {
    for (const place of places) feeds.push(await openFeed(place, openDelivery(place), session));
    context.health.ready('collect', true);
    for (;;) {
      await passOver(feeds, session, pendingMax);
      await settle(feeds, session);
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

/** An object that is to be read. */
interface Pending extends Delivered {
  feed: Feed;
  object: DeliveryObject;
}

/** Reads what is new, a part of a long backlog at a time. */
async function passOver(feeds: Feed[], session: Session, pendingMax: number): Promise<void> {
  const { signal } = session.context;
  let last: Pending | null = null;
  for (;;) {
    const { items, more } = await listPending(feeds, session, last, pendingMax);
    for await (const { pending, opened } of openAhead(items, signal)) {
      if (signal.aborted) return session.stopBefore(nameOf(pending));
      await readObject(pending, opened, session);
      if (pending.feed.ready.length > 0) await remember(pending.feed);
    }
    if (!more || signal.aborted) return;
    await settle(feeds, session);
    last = items.at(-1)!;
  }
}

/** The first of all that is new behind `last`, over all feeds that can be listed. */
async function listPending(
  feeds: Feed[],
  session: Session,
  last: Pending | null,
  max: number,
): Promise<{ items: Pending[]; more: boolean }> {
  const earliest = new Earliest<Pending>(max, last);
  let more = false;
  for (const feed of feeds) {
    const found = await listFeed(feed, session, last, max);
    for (const item of found.items) earliest.add(item);
    more ||= found.more;
  }
  const { items, more: cut } = earliest.take();
  return { items, more: more || cut };
}

/** Nothing where the bucket cannot be listed and there will be another pass. */
async function listFeed(
  feed: Feed,
  session: Session,
  last: Pending | null,
  max: number,
): Promise<{ items: Pending[]; more: boolean }> {
  const { options, context } = session;
  const earliest = new Earliest<Pending>(max, last);
  try {
    for await (const { modifiedMs, ...object } of feed.delivery.list(context.signal)) {
      const done = doneWith(feed, object);
      if (done === null) {
        earliest.add({ feed, object, path: object.key, deliveredMs: modifiedMs });
      }
      // Told once, however often the bucket is listed.
      if (last !== null) continue;
      if (done === null) session.expect(object.bytes);
      else session.skip(done);
    }
    return earliest.take();
  } catch (error) {
    if (context.signal.aborted) return { items: [], more: false };
    if (!options.follow || !(error instanceof Failure) || !error.retryable) throw error;
    context.log.warn(
      { err: error },
      'the delivery bucket could not be listed; the next poll tries again',
    );
    context.health.ready('collect', false, 'the delivery bucket cannot be listed');
    return { items: [], more: false };
  }
}

/** Why an object needs no reading, or null. */
function doneWith(feed: Feed, object: DeliveryObject): 'ignored' | 'known' | null {
  if (!isDeliveryName(object.key)) return 'ignored';
  return isCollected(feed.ledger.get(object.key), object) ? 'known' : null;
}

type Opened = () => Promise<OpenedObject | null>;

/** In the order given; small objects are fetched ahead, large ones opened when it is their turn. */
async function* openAhead(
  items: Pending[],
  signal: AbortSignal,
): AsyncGenerator<{ pending: Pending; opened: Opened }> {
  const ahead: Array<{ pending: Pending; opened: Opened }> = [];
  for (const pending of items) {
    const { feed, object } = pending;
    const open: Opened = () => feed.delivery.open(object.key, signal);
    ahead.push({ pending, opened: object.bytes > AHEAD_OBJECT_BYTES_MAX ? open : fetchNow(open) });
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

async function readObject(pending: Pending, opened: Opened, session: Session): Promise<void> {
  const { feed, object } = pending;
  const name = nameOf(pending);
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

function nameOf({ feed, object }: Pending): string {
  return `s3://${feed.place.bucket}/${object.key}`;
}

/** What is wrong with one object, not with the bucket, Kafka or the disk. */
function isObjectFailure(error: unknown): boolean {
  return error instanceof Failure && error.code.startsWith('DELIVERY_');
}

/** Until everything that was read is durable and remembered. */
async function settle(feeds: Feed[], session: Session): Promise<void> {
  await session.drain();
  for (const feed of feeds) await remember(feed);
}

async function remember(feed: Feed): Promise<void> {
  const entries = feed.ready;
  feed.ready = [];
  await feed.ledger.add(entries);
}
