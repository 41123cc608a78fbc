/** Addresses in the text of a field. */
import ipaddr from 'ipaddr.js';

/** Big-endian bytes of an address (4 or 16; IPv4-mapped IPv6 gives 4), or null. */
export function addressBytes(text: string): number[] | null {
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return ipaddr.IPv4.parse(text).toByteArray();
  if (!text.includes(':') || !ipaddr.IPv6.isValid(text)) return null;
  return ipaddr.process(text).toByteArray();
}
