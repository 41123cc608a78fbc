/**
 * The order in which delivery files are read. Databricks lays them out by workspace first
 * (`PREFIX/workspaceId=ID/date=YYYY-MM-DD/auditlogs_ID.json`), so that by their names the whole past
 * of one workspace would come before the first day of the next. Rules over many events judge in event
 * time and wait only so long for what comes late: so days come one after the other, and within a day
 * the files in the order in which they were delivered, whichever workspace they are of. Pure.
 *
 * Layout: https://docs.databricks.com/aws/en/admin/account-settings/audit-log-delivery
 */

export interface Delivered {
  /** Key of an object, or name of a file. */
  path: string;
  /** When it was written, ms since the epoch; null where that is not known. */
  deliveredMs: number | null;
}

const DATE = /(?:^|\/)date=(\d{4}-\d{2}-\d{2})\//;

/** Order by date, delivery, and the bytes of the path; paths without a date first, by their bytes. */
export function byDelivery(one: Delivered, other: Delivered): number {
  const [date, otherDate] = [dateOf(one), dateOf(other)];
  if (date !== otherDate) return date < otherDate ? -1 : 1;
  const apart = date === '' ? 0 : (one.deliveredMs ?? 0) - (other.deliveredMs ?? 0);
  return apart || Buffer.compare(Buffer.from(one.path), Buffer.from(other.path));
}

function dateOf({ path }: Delivered): string {
  return DATE.exec(path)?.[1] ?? '';
}

/** The first of many in order of delivery, without holding the others. */
export class Earliest<Item extends Delivered> {
  readonly #max: number;
  readonly #after: Delivered | null;
  #items: Item[] = [];
  #more = false;

  /** At most `max`, of those behind `after`. */
  constructor(max: number, after: Delivered | null) {
    this.#max = max;
    this.#after = after;
  }

  add(item: Item): void {
    if (this.#after !== null && byDelivery(item, this.#after) <= 0) return;
    this.#items.push(item);
    if (this.#items.length >= 2 * this.#max) this.#cut();
  }

  /** In order; `more`: there were others behind them. */
  take(): { items: Item[]; more: boolean } {
    this.#cut();
    return { items: this.#items, more: this.#more };
  }

  #cut(): void {
    this.#items.sort(byDelivery);
    if (this.#items.length <= this.#max) return;
    this.#items.length = this.#max;
    this.#more = true;
  }
}
