/**
 * One MMDB database (MaxMind DB file format 2.0) from its bytes: opened with every check that the
 * reading library leaves out, and asked for addresses. Pure: the bytes are an argument.
 *
 * A file that is no database, or is cut off or damaged where it can be seen, is a reason and not an
 * exception. Damage that shows only in one record makes that record unknown and is counted.
 */
import ipaddr from 'ipaddr.js';
import { Reader } from 'mmdb-lib';
import { counted } from '../../runtime/wording.ts';
import type { Place } from '../fields/place.ts';
import { placeOf } from './layout.ts';

export interface Database {
  /** As the file names itself: `GeoLite2-City`. */
  type: string;
  /** When it was built, epoch ms. */
  builtMs: number;
  ipVersion: 4 | 6;
  /** What the database says of an address; null where that is nothing, or is no address. */
  place(ip: string): Place | null;
  /** Records met so far that could not be read. */
  damaged(): number;
}

export type Opened = { ok: true; database: Database } | { ok: false; reason: string };

/** Stands before the metadata, which ends the file. */
const METADATA_MARK = Buffer.from('\xab\xcd\xefMaxMind.com', 'latin1');
/** The format looks for the metadata in the last 128 KiB. */
const METADATA_BYTES_MAX = 128 * 1024;
/** Zeros between search tree and data. */
const SEPARATOR_BYTES = 16;
const VERSION_SUPPORTED = 2;
/** Asked once on opening: a damaged start of the tree or of the data shows here. */
const PROBES = ['192.0.2.1', '8.0.0.1', '100.0.0.1', '203.0.113.1', '2001:db8::1', '2600::1'];

/** Opens a database; `reason` says what is wrong with a file that is none. */
export function openDatabase(bytes: Buffer): Opened {
  if (bytes.length === 0) return { ok: false, reason: 'the file is empty' };
  const mark = bytes.lastIndexOf(METADATA_MARK);
  if (mark < 0 || bytes.length - mark > METADATA_BYTES_MAX) {
    return { ok: false, reason: 'no MMDB database, or one whose end is missing' };
  }
  let reader: Reader<never>;
  try {
    reader = new Reader<never>(bytes);
  } catch (error) {
    return { ok: false, reason: `the metadata cannot be read: ${messageOf(error)}` };
  }
  const wrong = flawOf(reader, mark);
  if (wrong !== null) return { ok: false, reason: wrong };
  const database = databaseOf(reader);
  for (const ip of PROBES) database.place(ip);
  if (database.damaged() > 0) return { ok: false, reason: 'its records cannot be read' };
  return { ok: true, database };
}

/** What the metadata promises and the file does not hold; null where it holds all. */
function flawOf({ metadata }: Reader<never>, mark: number): string | null {
  const { binaryFormatMajorVersion: version, ipVersion, nodeCount, searchTreeSize } = metadata;
  if (version !== VERSION_SUPPORTED) return `MMDB format ${String(version)} is not known`;
  if (ipVersion !== 4 && ipVersion !== 6) return `IP version ${String(ipVersion)} is not known`;
  if (!Number.isSafeInteger(nodeCount) || nodeCount < 1) return 'the search tree is empty';
  if (searchTreeSize + SEPARATOR_BYTES > mark) {
    return `a part is missing: a search tree of ${counted(nodeCount, 'node')} does not fit`;
  }
  return null;
}

function databaseOf(reader: Reader<never>): Database {
  const { databaseType, buildEpoch, ipVersion } = reader.metadata;
  let damaged = 0;
  return {
    type: String(databaseType),
    builtMs: buildEpoch.getTime(),
    ipVersion: ipVersion as 4 | 6,
    place(ip) {
      const address = plainAddress(ip);
      // The library would walk the IPv4 tree with the first bits of the IPv6 address.
      if (address === null || (ipVersion === 4 && address.includes(':'))) return null;
      try {
        return placeOf(reader.get(address));
      } catch {
        damaged += 1;
        return null;
      }
    },
    damaged: () => damaged,
  };
}

/** The address as the library reads it right: IPv4 where it is one in IPv6's clothes, no zone. */
function plainAddress(ip: string): string | null {
  const bare = ip.replace(/%.*$/, '');
  if (!ipaddr.IPv4.isValidFourPartDecimal(bare) && !ipaddr.IPv6.isValid(bare)) return null;
  return ipaddr.process(bare).toString();
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
