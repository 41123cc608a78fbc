/**
 * A bucket with versions and Object Lock, in memory and pure: time is an argument of the maker, no
 * I/O, no randomness. It does what AWS documents, and for what the documents leave open what MinIO
 * does; `test/contract/` holds both to the same suite.
 */

export type LockMode = 'COMPLIANCE' | 'GOVERNANCE';

export interface Retention {
  mode: LockMode;
  untilMs: number;
}

export interface Version {
  key: string;
  versionId: string;
  /** Null for a delete marker. */
  bytes: Buffer | null;
  retention: Retention | null;
  legalHold: boolean;
  lastModifiedMs: number;
}

export interface BucketOptions {
  nowMs: () => number;
  /** Days and mode that a version gets which comes with none. */
  defaultRetention?: { mode: LockMode; days: number };
}

/** As S3 would answer: an HTTP status and an error code. */
export class Refusal extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message = code) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

const DAY_MS = 86_400_000;
const LIST_KEYS_MAX = 1000;

export class Bucket {
  readonly #options: BucketOptions;
  /** Versions of each key, oldest first. */
  readonly #keys = new Map<string, Version[]>();
  /** The same keys, in byte order. */
  readonly #order: string[] = [];
  #sequence = 0;

  constructor(options: BucketOptions) {
    this.#options = options;
  }

  /** Writes a new version; with `ifAbsent` only where the current version is no object. */
  put(
    key: string,
    bytes: Buffer,
    options: { ifAbsent?: boolean; retention?: Retention | null; legalHold?: boolean } = {},
  ): Version {
    if (options.ifAbsent === true && this.current(key) !== null) {
      throw new Refusal(412, 'PreconditionFailed');
    }
    const nowMs = this.#options.nowMs();
    const given = options.retention ?? null;
    if (given !== null && given.untilMs <= nowMs) {
      throw new Refusal(400, 'InvalidArgument', 'the retain until date must be in the future');
    }
    const { defaultRetention } = this.#options;
    const inherited =
      defaultRetention === undefined
        ? null
        : { mode: defaultRetention.mode, untilMs: nowMs + defaultRetention.days * DAY_MS };
    return this.#append(key, {
      bytes: Buffer.from(bytes),
      retention: given ?? inherited,
      legalHold: options.legalHold ?? false,
    });
  }

  #append(key: string, part: Pick<Version, 'bytes' | 'retention' | 'legalHold'>): Version {
    this.#sequence++;
    const versionId = `v${String(this.#sequence).padStart(8, '0')}`;
    const version = { key, versionId, ...part, lastModifiedMs: this.#options.nowMs() };
    const versions = this.#keys.get(key);
    if (versions === undefined) {
      this.#keys.set(key, [version]);
      this.#order.splice(this.#placeOf(key), 0, key);
    } else versions.push(version);
    return version;
  }

  /** The object that a plain GET gives, or null: none, or a delete marker on top. */
  current(key: string): Version | null {
    const last = this.#keys.get(key)?.at(-1);
    return last === undefined || last.bytes === null ? null : last;
  }

  version(key: string, versionId: string): Version {
    const found = this.#keys.get(key)?.find((one) => one.versionId === versionId);
    if (found === undefined) throw new Refusal(404, 'NoSuchVersion');
    return found;
  }

  /** Without a version: a delete marker, which no lock prevents. With one: for good, if allowed. */
  remove(key: string, versionId?: string, options: { bypassGovernance?: boolean } = {}): Version {
    if (versionId === undefined) {
      return this.#append(key, { bytes: null, retention: null, legalHold: false });
    }
    const version = this.version(key, versionId);
    this.#assertUnlocked(version, options.bypassGovernance ?? false);
    const rest = this.#keys.get(key)!.filter((one) => one !== version);
    if (rest.length === 0) {
      this.#keys.delete(key);
      this.#order.splice(this.#placeOf(key), 1);
    } else this.#keys.set(key, rest);
    return version;
  }

  #assertUnlocked({ retention, legalHold }: Version, bypassGovernance: boolean): void {
    const locked = retention !== null && retention.untilMs > this.#options.nowMs();
    const bypassed = bypassGovernance && retention?.mode === 'GOVERNANCE';
    if (legalHold || (locked && !bypassed)) throw new Refusal(403, 'AccessDenied');
  }

  setRetention(
    key: string,
    versionId: string,
    retention: Retention,
    options: { bypassGovernance?: boolean } = {},
  ): void {
    const version = this.version(key, versionId);
    if (version.bytes === null) throw new Refusal(405, 'MethodNotAllowed');
    const before = version.retention;
    if (before !== null && before.untilMs > this.#options.nowMs()) {
      const weaker = retention.untilMs < before.untilMs || retention.mode !== before.mode;
      const stronger = before.mode === 'GOVERNANCE' && retention.mode === 'COMPLIANCE';
      const bypassed = options.bypassGovernance === true && before.mode === 'GOVERNANCE';
      if (weaker && !bypassed && !(stronger && retention.untilMs >= before.untilMs)) {
        throw new Refusal(403, 'AccessDenied');
      }
    }
    version.retention = retention;
  }

  setLegalHold(key: string, versionId: string, on: boolean): void {
    this.version(key, versionId).legalHold = on;
  }

  /** Keys with a current object, in byte order. */
  list(prefix: string, startAfter: string | undefined, max: number): string[] {
    const found: string[] = [];
    for (const key of this.#keysUnder(prefix, startAfter)) {
      if (found.length >= Math.min(max, LIST_KEYS_MAX)) break;
      if (this.current(key) !== null) found.push(key);
    }
    return found;
  }

  /** Every version and marker, keys in byte order, newest first within a key. */
  versions(prefix: string): Array<Version & { isLatest: boolean }> {
    return [...this.#keysUnder(prefix)].flatMap((key) =>
      [...this.#keys.get(key)!].reverse().map((one, index) => ({ ...one, isLatest: index === 0 })),
    );
  }

  *#keysUnder(prefix: string, startAfter?: string): Generator<string, void> {
    const isBehind = startAfter !== undefined && bytewise(startAfter, prefix) >= 0;
    const from = this.#placeOf(isBehind ? startAfter : prefix);
    for (let at = from; at < this.#order.length; at++) {
      const key = this.#order[at]!;
      if (!key.startsWith(prefix)) return;
      if (key !== startAfter) yield key;
    }
  }

  /** Where the key is in the order, or would be. */
  #placeOf(key: string): number {
    let low = 0;
    let high = this.#order.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (bytewise(this.#order[middle]!, key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Plain ASCII, which most keys are, compares as its bytes do. */
function bytewise(left: string, right: string): number {
  if (left === right) return 0;
  if (!isAscii(left) || !isAscii(right)) {
    return Buffer.compare(Buffer.from(left), Buffer.from(right));
  }
  return left < right ? -1 : 1;
}

function isAscii(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: all of ASCII is meant.
  return /^[\x00-\x7f]*$/.test(text);
}
