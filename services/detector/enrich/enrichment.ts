/**
 * The operator's MMDB files as a source of places. Files are read whole, once, and again when they
 * have changed. A file that is missing or broken is stated and never guessed around: its fields are
 * absent from events, and `enrichmentStatus` says why. A file that was good and becomes bad leaves
 * the answers of before in force.
 *
 * This is the edge: it reads the file system. It holds no timer: who runs it calls `refresh`.
 */
import { readFileSync, statSync } from 'node:fs';
import { counted, grouped } from '../../runtime/wording.ts';
import type { Place } from '../fields/place.ts';
import { Answers } from './answers.ts';
import { type Database, openDatabase } from './database.ts';

/** What a file is for. `city` says all that `country` says, and coordinates. */
export const DATABASE_KINDS = ['city', 'country', 'asn'] as const;
export type DatabaseKind = (typeof DATABASE_KINDS)[number];

/** Paths of the files; one file may serve as several kinds. */
export type EnrichmentFiles = { readonly [kind in DatabaseKind]?: string | undefined };

/** How one configured file fares. */
export interface EnrichmentState {
  what: DatabaseKind;
  file: string;
  /** Whether it was read as it is now. */
  ok: boolean;
  /** Whether there are answers from it: also true where a good file has become a bad one. */
  answers: boolean;
  /** Kind and age of a good file; what is wrong with a bad one, and what holds meanwhile. */
  detail: string;
}

export interface Enrichment {
  /** What is known of an address; null where that is nothing. */
  place(ip: string): Place | null;
  /** One entry per configured file, in the order of `DATABASE_KINDS`. */
  enrichmentStatus(): EnrichmentState[];
  /** Reads again what has changed on disk. True where any answer may be another from now on. */
  refresh(): boolean;
}

/** Some 30 MB of answers; a company has fewer addresses than this in a month. */
const ANSWERS_MAX = 100_000;
/** City databases have 60 to 150 MB; a larger file is something else. */
const FILE_BYTES_MAX = 1024 ** 3;

interface Source {
  what: DatabaseKind;
  file: string;
  /** Of the file as last tried; null where it was not there. */
  stamp: string | null;
  database: Database | null;
  bytes: number;
  problem: string | null;
}

/** Opens the files that are configured. Never throws for a bad one. */
export function openEnrichment(files: EnrichmentFiles): Enrichment {
  const sources: Source[] = [];
  for (const what of DATABASE_KINDS) {
    const file = files[what];
    if (file === undefined || file === '') continue;
    const source = { what, file, stamp: null, database: null, bytes: 0, problem: null };
    load(source);
    sources.push(source);
  }
  const answers = new Answers(ANSWERS_MAX);
  const find = (ip: string): Place | null => merged(sources, ip);
  return {
    place: (ip) => (sources.length === 0 ? null : answers.get(ip, find)),
    enrichmentStatus: () => sources.map(stateOf),
    refresh() {
      const before = sources.map(({ database }) => database);
      for (const source of sources) if (stampOf(source.file) !== source.stamp) load(source);
      const changed = sources.some(({ database }, at) => database !== before[at]);
      if (changed) answers.clear();
      return changed;
    },
  };
}

/** Takes the file as it is now, or notes why not and keeps what was there. */
function load(source: Source): void {
  const { file } = source;
  // Before reading: a file that changes meanwhile is read once more.
  source.stamp = stampOf(file);
  try {
    const { size } = statSync(file);
    if (size > FILE_BYTES_MAX) {
      source.problem = `too large: ${grouped(size)} bytes, at most ${grouped(FILE_BYTES_MAX)}`;
      return;
    }
    const bytes = readFileSync(file);
    const opened = openDatabase(bytes);
    source.problem = opened.ok ? null : opened.reason;
    if (opened.ok) Object.assign(source, { database: opened.database, bytes: bytes.length });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    source.problem = code === 'ENOENT' ? 'there is no such file' : `cannot be read: ${message}`;
  }
}

/** Another one for another content, for all that a file system tells. */
function stampOf(file: string): string | null {
  const stats = statSync(file, { bigint: true, throwIfNoEntry: false });
  return stats === undefined ? null : `${stats.dev}/${stats.ino}/${stats.size}/${stats.mtimeNs}`;
}

/** Each field from the first file that has it; coordinates only as a pair. */
function merged(sources: readonly Source[], ip: string): Place | null {
  let place: Place | null = null;
  for (const { database } of sources) {
    const found = database?.place(ip) ?? null;
    if (found === null) continue;
    if (place === null) {
      place = found;
      continue;
    }
    const positioned: Place = place.latitude === null ? found : place;
    place = {
      country: place.country ?? found.country,
      city: place.city ?? found.city,
      latitude: positioned.latitude,
      longitude: positioned.longitude,
      asn: place.asn ?? found.asn,
      asOrganisation: place.asOrganisation ?? found.asOrganisation,
    };
  }
  return place;
}

function stateOf({ what, file, database, bytes, problem }: Source): EnrichmentState {
  if (database === null) {
    return { what, file, ok: false, answers: false, detail: problem ?? 'was not read' };
  }
  const built = new Date(database.builtMs).toISOString().slice(0, 10);
  const described = `${database.type} of ${built}, ${grouped(bytes)} bytes, IPv${database.ipVersion}`;
  const state = { what, file, answers: true };
  if (problem !== null) {
    return { ...state, ok: false, detail: `${problem}; still answering: ${described}` };
  }
  const damaged = database.damaged();
  if (damaged === 0) return { ...state, ok: true, detail: described };
  const detail = `${described}; ${counted(damaged, 'record')} could not be read`;
  return { ...state, ok: false, detail };
}
