/**
 * Where the addresses of the company are, as GeoIP files would know it: offices, homes, carriers,
 * hotels, the company's VPN, its cloud, and where the attackers sit. Documentation networks only.
 * The same table gives the generator its addresses and the MMDB files their answers.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type MmdbValue, writeMmdb } from '../../detector/enrich/mmdb-writer.ts';
import type { Random } from '../random.ts';

export interface City {
  name: string;
  country: string;
  latitude: number;
  longitude: number;
  /** Of the working day there, from UTC. */
  utcOffsetHours: number;
}

const city = (
  name: string,
  country: string,
  latitude: number,
  longitude: number,
  utcOffsetHours: number,
): City => ({ name, country, latitude, longitude, utcOffsetHours });

export const CITIES = {
  frankfurt: city('Frankfurt', 'DE', 50.11, 8.68, 1),
  mainz: city('Mainz', 'DE', 50.0, 8.27, 1),
  portland: city('Portland', 'US', 45.52, -122.68, -8),
  pune: city('Pune', 'IN', 18.52, 73.86, 5.5),
  amsterdam: city('Amsterdam', 'NL', 52.37, 4.9, 1),
  seattle: city('Seattle', 'US', 47.61, -122.33, -8),
  mumbai: city('Mumbai', 'IN', 19.08, 72.88, 5.5),
  dublin: city('Dublin', 'IE', 53.35, -6.26, 0),
  ashburn: city('Ashburn', 'US', 39.04, -77.49, -5),
  london: city('London', 'GB', 51.51, -0.13, 0),
  madrid: city('Madrid', 'ES', 40.42, -3.7, 1),
  newYork: city('New York', 'US', 40.71, -74.01, -5),
  denver: city('Denver', 'US', 39.74, -104.99, -7),
  singapore: city('Singapore', 'SG', 1.35, 103.82, 8),
  saoPaulo: city('São Paulo', 'BR', -23.55, -46.63, -3),
  lagos: city('Lagos', 'NG', 6.52, 3.38, 1),
  kyiv: city('Kyiv', 'UA', 50.45, 30.52, 2),
} as const satisfies Record<string, City>;

interface Network {
  network: string;
  city: City;
  asn: number;
  organisation: string;
}

const CORPORATE = { asn: 64_496, organisation: 'Example Corporation' };
const VPN = { asn: 64_497, organisation: 'Example Corporation VPN' };
const CLOUD = { asn: 64_498, organisation: 'Example Cloud' };
const HOTELS = { asn: 64_503, organisation: 'Example Guest Wireless' };
const HOSTERS = { asn: 64_509, organisation: 'Example Bulletproof Hosting' };

/** Longer prefixes decide, as in the files. */
export const NETWORKS: readonly Network[] = [
  { network: '203.0.113.0/27', city: CITIES.frankfurt, ...CORPORATE },
  { network: '203.0.113.32/27', city: CITIES.portland, ...CORPORATE },
  { network: '203.0.113.64/27', city: CITIES.pune, ...CORPORATE },
  { network: '203.0.113.96/28', city: CITIES.amsterdam, ...VPN },
  { network: '203.0.113.112/28', city: CITIES.seattle, ...VPN },
  { network: '203.0.113.128/28', city: CITIES.mumbai, ...VPN },
  { network: '203.0.113.144/28', city: CITIES.dublin, ...VPN },
  { network: '203.0.113.160/27', city: CITIES.ashburn, ...CLOUD },
  { network: '203.0.113.192/26', city: CITIES.frankfurt, ...CLOUD },
  { network: '198.51.100.0/24', city: CITIES.mainz, asn: 64_499, organisation: 'Example Telecom' },
  { network: '2001:db8::/32', city: CITIES.mainz, asn: 64_499, organisation: 'Example Telecom' },
  {
    network: '2001:db8:1500::/40',
    city: CITIES.portland,
    asn: 64_500,
    organisation: 'Example Cable',
  },
  { network: '2001:db8:9100::/40', city: CITIES.pune, asn: 64_501, organisation: 'Example Fibre' },
  { network: '2001:db8:4a00::/40', city: CITIES.frankfurt, asn: 64_504, organisation: 'Mobile DE' },
  { network: '2001:db8:1600::/40', city: CITIES.seattle, asn: 64_505, organisation: 'Mobile US' },
  { network: '2001:db8:9200::/40', city: CITIES.mumbai, asn: 64_506, organisation: 'Mobile IN' },
  { network: '2001:db8:a000::/48', city: CITIES.london, ...HOTELS },
  { network: '2001:db8:a001::/48', city: CITIES.madrid, ...HOTELS },
  { network: '2001:db8:a002::/48', city: CITIES.newYork, ...HOTELS },
  { network: '2001:db8:a003::/48', city: CITIES.denver, ...HOTELS },
  { network: '2001:db8:a004::/48', city: CITIES.mumbai, ...HOTELS },
  { network: '192.0.2.0/26', city: CITIES.singapore, ...HOSTERS },
  { network: '192.0.2.64/26', city: CITIES.saoPaulo, asn: 64_507, organisation: 'Example VPS' },
  { network: '192.0.2.128/26', city: CITIES.lagos, asn: 64_508, organisation: 'Example Hosting' },
  { network: '192.0.2.192/26', city: CITIES.kyiv, asn: 64_510, organisation: 'Example Servers' },
];

export interface Region {
  city: City;
  office: readonly string[];
  /** The company's VPN leaves here for them. */
  vpn: readonly string[];
  /** First 40 bits of homes and of the carrier, as text up to the colon. */
  home: string;
  carrier: string;
}

export const REGIONS: readonly Region[] = [
  {
    city: CITIES.frankfurt,
    office: ['203.0.113.10', '203.0.113.11'],
    vpn: ['203.0.113.97', '203.0.113.98'],
    home: '2001:db8:49',
    carrier: '2001:db8:4a',
  },
  {
    city: CITIES.portland,
    office: ['203.0.113.40'],
    vpn: ['203.0.113.113', '203.0.113.114'],
    home: '2001:db8:15',
    carrier: '2001:db8:16',
  },
  {
    city: CITIES.pune,
    office: ['203.0.113.70', '203.0.113.71'],
    vpn: ['203.0.113.129', '203.0.113.130'],
    home: '2001:db8:91',
    carrier: '2001:db8:92',
  },
];

/** Where the VPN leaves while the usual place is down. */
export const VPN_FALLBACK = '203.0.113.145';

/** Networks of hotels, by city: a guest gets an address of it. */
export const HOTEL: Readonly<Record<string, string>> = {
  [CITIES.london.name]: '2001:db8:a000',
  [CITIES.madrid.name]: '2001:db8:a001',
  [CITIES.newYork.name]: '2001:db8:a002',
  [CITIES.denver.name]: '2001:db8:a003',
  [CITIES.mumbai.name]: '2001:db8:a004',
};

/** An address below a prefix of 40 bits (`2001:db8:49`) or 48 bits (`2001:db8:a000`). */
export function addressBelow(prefix: string, random: Random): string {
  const third = prefix.split(':')[2]!;
  const start = third.length === 2 ? `${prefix}${random.hex(2)}` : prefix;
  // No group of zeros, so that the text is the shortest there is.
  return `${start}:${group(random)}:${group(random)}:${group(random)}:${group(random)}:${group(random)}`;
}

const group = (random: Random): string => (0x1000 + random.int(0xf000)).toString(16);

const EARTH_RADIUS_KM = 6_371;

/** Along the great circle. */
export function kilometresBetween(from: City, to: City): number {
  const radians = (degrees: number): number => (degrees * Math.PI) / 180;
  const north = radians(to.latitude - from.latitude);
  const east = radians(to.longitude - from.longitude);
  const h =
    Math.sin(north / 2) ** 2 +
    Math.cos(radians(from.latitude)) * Math.cos(radians(to.latitude)) * Math.sin(east / 2) ** 2;
  return 2 * EARTH_RADIUS_KM * Math.asin(Math.sqrt(h));
}

/** Writes `city.mmdb` and `asn.mmdb`; returns their paths. */
export function writeGeography(folder: string): { city: string; asn: string } {
  const cityRecord = ({ city: place }: Network): MmdbValue => ({
    city: { names: { en: place.name } },
    country: { iso_code: place.country },
    location: { accuracy_radius: 20, latitude: place.latitude, longitude: place.longitude },
  });
  const asnRecord = ({ asn, organisation }: Network): MmdbValue => ({
    autonomous_system_number: asn,
    autonomous_system_organization: organisation,
  });
  const paths = { city: join(folder, 'city.mmdb'), asn: join(folder, 'asn.mmdb') };
  const table = (record: (network: Network) => MmdbValue) =>
    NETWORKS.map((one) => [one.network, record(one)] as const);
  writeFileSync(paths.city, writeMmdb({ type: 'Company-City', networks: table(cityRecord) }));
  writeFileSync(paths.asn, writeMmdb({ type: 'Company-ASN', networks: table(asnRecord) }));
  return paths;
}
