/**
 * What is inside an encrypted segment, read by code that is not lakeseal's: from the page of the
 * format alone. Bytes that are not encrypted are what they are.
 */
import { createDecipheriv, hkdfSync } from 'node:crypto';
import { wrappingKey } from '../../../schemas/wrapping-key.ts';

const SECRET = Buffer.alloc(32, 9);
/** With which some archives of the simulator are encrypted. */
export const ENVELOPE_KEY = wrappingKey(SECRET);

const CHUNK_BYTES = 64 * 1024;
const TAG_BYTES = 16;

/** Objects never change, so each is opened once. */
const known = new WeakMap<Buffer, Buffer>();

export function openedBytes(stored: Buffer): Buffer {
  if (stored.toString('latin1', 0, 8) !== 'LAKESEAL') return stored;
  const before = known.get(stored);
  if (before !== undefined) return before;
  const end = 12 + stored.readUInt32BE(8);
  const { plainSha256, slot } = JSON.parse(stored.toString('utf8', 12, end)) as {
    plainSha256: string;
    slot: string;
  };
  const info = `lakeseal envelope data\n${slot}`;
  const key = Buffer.from(hkdfSync('sha256', SECRET, Buffer.from(plainSha256, 'hex'), info, 32));
  const parts: Buffer[] = [];
  for (let at = end, chunk = 0; at < stored.length; at += CHUNK_BYTES + TAG_BYTES, chunk++) {
    const part = stored.subarray(at, at + CHUNK_BYTES + TAG_BYTES);
    const isLast = at + part.length === stored.length;
    const nonce = Buffer.from(
      `${'00'.repeat(7)}${chunk.toString(16).padStart(8, '0')}0${isLast ? 1 : 0}`,
      'hex',
    );
    const cipher = createDecipheriv('aes-256-gcm', key, nonce);
    cipher.setAAD(stored.subarray(0, end));
    cipher.setAuthTag(part.subarray(-TAG_BYTES));
    parts.push(cipher.update(part.subarray(0, -TAG_BYTES)), cipher.final());
  }
  const opened = Buffer.concat(parts);
  known.set(stored, opened);
  return opened;
}
