/**
 * Source addresses as Databricks writes them: bare, with a port (`18.193.11.166:0`), with a zone
 * (`0:0:0:0:0:0:0:1%0`), in brackets, empty. Pure.
 */
import { isIPv6 } from 'node:net';

export interface SourceAddress {
  /** Without port, brackets and zone, spelled as written. */
  ip: string;
  port: number | null;
}

const COLON = 0x3a;
const DOT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const PORT_MAX = 65_535;
/** No address is written longer, zone and port included. */
const ADDRESS_UNITS_MAX = 128;

/** The parts of an address, or null where the text is none. */
export function splitAddress(text: string): SourceAddress | null {
  if (text.length > ADDRESS_UNITS_MAX) return null;
  const ipv4End = endOfIpv4(text);
  if (ipv4End === text.length) return { ip: text, port: null };
  if (ipv4End > 0) {
    if (text.charCodeAt(ipv4End) !== COLON) return null;
    return withPort(text.slice(0, ipv4End), text.slice(ipv4End + 1));
  }
  if (!text.startsWith('[')) return ipv6(text, null);
  const close = text.indexOf(']');
  if (close < 0) return null;
  const rest = text.slice(close + 1);
  const address = ipv6(text.slice(1, close), null);
  if (address === null || rest === '') return address;
  return rest.startsWith(':') ? withPort(address.ip, rest.slice(1)) : null;
}

function ipv6(text: string, port: number | null): SourceAddress | null {
  const zone = text.indexOf('%');
  const ip = zone < 0 ? text : text.slice(0, zone);
  return isIPv6(ip) ? { ip, port } : null;
}

function withPort(ip: string, text: string): SourceAddress | null {
  if (!/^\d{1,5}$/.test(text)) return null;
  const port = Number(text);
  return port <= PORT_MAX ? { ip, port } : null;
}

/** Where a leading dotted IPv4 address ends, or -1. No leading zeros: readers disagree on them. */
function endOfIpv4(text: string): number {
  let at = 0;
  for (let part = 0; part < 4; part++) {
    if (part > 0 && text.charCodeAt(at++) !== DOT) return -1;
    const start = at;
    let value = 0;
    while (at - start < 3) {
      const code = text.charCodeAt(at);
      if (!(code >= ZERO && code <= NINE)) break;
      value = value * 10 + (code - ZERO);
      at++;
    }
    const digits = at - start;
    if (digits === 0 || value > 255) return -1;
    if (digits > 1 && text.charCodeAt(start) === ZERO) return -1;
  }
  return at;
}
