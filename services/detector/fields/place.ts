/** Where an address is, as rules may ask it. Who knows is somebody else: a database, or a test. */

/** What is known of an address beside the address itself. */
export interface Place {
  /** ISO 3166-1 alpha-2. */
  country: string | null;
  city: string | null;
  /** Degrees; null where only the country is known. */
  latitude: number | null;
  longitude: number | null;
  asn: number | null;
  asOrganisation: string | null;
}

/** Places by address, as they are known now. */
export interface PlaceSource {
  /** Null where the address is in no database, or there is none. */
  place(ip: string): Place | null;
}

export const NO_PLACES: PlaceSource = { place: () => null };
