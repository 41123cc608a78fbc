/**
 * What a collection is asked to do and what it answers: data only, so that the command line, the
 * demo and the tests can speak about it without loading a client library.
 */

/** Where a Databricks delivery bucket is and how to speak to it. */
export interface DeliveryOptions {
  /** Unset: what the AWS configuration of the environment says. */
  region?: string;
  /** Unset for AWS. */
  endpoint?: string;
  pathStyle?: boolean;
  /** Unset: the default AWS chain. Never the archive's credential, which cannot read elsewhere. */
  credentials?: { accessKeyId: string; secretAccessKey: string; sessionToken?: string };
}

export interface CollectOptions {
  /** Files, globs, folders, `-` for standard input, `s3://bucket/prefix`. At least one. */
  inputs: string[];
  /** Keep listing the `s3://` inputs until the signal. */
  follow: boolean;
  /** Read and decode everything, send nothing, remember nothing, need no server but the bucket. */
  dryRun: boolean;
  /** Parent folder of the ledger where `collect.ledger` is not configured. */
  stateFolder: string;
  delivery?: DeliveryOptions;
  /** A longer line is dead-lettered by its first part. Default `LINE_BYTES_MAX`. */
  lineBytesMax?: number;
}

/** A snapshot for a progress display. */
export interface CollectProgress {
  /** The file or object being read, empty between two. */
  source: string;
  sourcesDone: number;
  sourcesTotal: number;
  /** Bytes of input as stored (compressed). */
  bytesRead: number;
  /** null where an input has no size (standard input). */
  bytesTotal: number | null;
  lines: number;
  events: number;
  deadLetters: number;
  elapsedMs: number;
}

/** What the shell shows while a collection runs. */
export interface CollectUi {
  /** One line about one bad line or file: `FILE:LINE: reason: detail`. Already capped. */
  problem(text: string): void;
  /** Called often; the display decides how often it draws. */
  progress(now: CollectProgress): void;
  /** Once, when no more `progress` comes. */
  done(): void;
}

/** A file or object that could not be read to its end. What was read before is collected. */
export interface BrokenSource {
  name: string;
  /** Lines taken from it before it broke. */
  lines: number;
  reason: string;
}

export interface CollectReport {
  dryRun: boolean;
  follow: boolean;
  /** Files and objects read to their end. */
  sources: number;
  broken: BrokenSource[];
  /** Objects that the ledger says were collected before, unchanged. */
  objectsKnown: number;
  /** Objects under the prefix whose name is none of a delivery file. */
  objectsIgnored: number;
  /** Lines of overwritten objects that were collected before and have not changed. */
  linesKnown: number;
  /** Bytes of input as stored (compressed). */
  bytes: number;
  /** Lines read, blank and broken ones included, known ones not. */
  lines: number;
  events: number;
  /** Records acknowledged by Kafka (events; dead letters are counted apart). In a dry run: would. */
  records: number;
  /** Lines dead-lettered, by reason. */
  deadLetters: Record<string, number>;
  /** Events by record key: a workspace id, an account id, or `(none)`. The first 1,000 keys. */
  keys: Record<string, number>;
  elapsedMs: number;
  /** The signal came before everything was read; where reading stopped, `NAME:LINE`. */
  stoppedAt: string | null;
}
