/**
 * SHA-256 (FIPS 180-4) of the inner nodes of a Merkle tree (RFC 6962, section 2.1): 01, left, right, four
 * nodes at a time, one in each lane of a vector.
 *
 * AssemblyScript, compiled to `node-hashes.wasm` by `npm run assemble`. The hashes of a level stand side by
 * side from `HASHES` on, so that a node is made of 64 bytes in a row; what is made of them takes their
 * place, in half of it.
 */
import { HASHES, LEAVES_MAX } from '../node-layout';

/** Behind the hashes, and the lanes that the last group of a level may read without need. */
const WORDS: usize = HASHES + LEAVES_MAX * 32 + 256;

const CONSTANTS: usize = memory.data<u32>([
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
]);

function add(x: v128, y: v128): v128 {
  return i32x4.add(x, y);
}

function xor(x: v128, y: v128): v128 {
  return v128.xor(x, y);
}

function turn(x: v128, bits: i32): v128 {
  return v128.or(i32x4.shr_u(x, bits), i32x4.shl(x, 32 - bits));
}

/** Σ1 and Ch. */
function step(e: v128, f: v128, g: v128): v128 {
  return add(xor(xor(turn(e, 6), turn(e, 11)), turn(e, 25)), v128.bitselect(f, g, e));
}

/** Σ0 and Maj. */
function mix(a: v128, b: v128, c: v128): v128 {
  return add(xor(xor(turn(a, 2), turn(a, 13)), turn(a, 22)), v128.bitselect(c, a, xor(a, b)));
}

/** W of the rounds from 16 on; adds K to what is not needed any more. */
function schedule(): void {
  for (let t: usize = 0; t < 48; t++) {
    const at = WORDS + t * 16;
    const first = v128.load(at);
    const second = v128.load(at, 16);
    const late = v128.load(at, 14 * 16);
    const small = xor(xor(turn(second, 7), turn(second, 18)), i32x4.shr_u(second, 3));
    const large = xor(xor(turn(late, 17), turn(late, 19)), i32x4.shr_u(late, 10));
    v128.store(at, add(add(first, small), add(v128.load(at, 9 * 16), large)), 16 * 16);
    v128.store(at, add(first, v128.load32_splat(CONSTANTS + t * 4)));
  }
  for (let t: usize = 48; t < 64; t++) {
    const at = WORDS + t * 16;
    v128.store(at, add(v128.load(at), v128.load32_splat(CONSTANTS + t * 4)));
  }
}

const STATE: usize = WORDS + 64 * 16;

/** The block whose words are there goes into the state. */
function compress(): void {
  schedule();
  let a = v128.load(STATE);
  let b = v128.load(STATE, 16);
  let c = v128.load(STATE, 32);
  let d = v128.load(STATE, 48);
  let e = v128.load(STATE, 64);
  let f = v128.load(STATE, 80);
  let g = v128.load(STATE, 96);
  let h = v128.load(STATE, 112);
  for (let at: usize = WORDS; at < STATE; at += 16) {
    const one = add(add(h, v128.load(at)), step(e, f, g));
    const two = mix(a, b, c);
    h = g;
    g = f;
    f = e;
    e = add(d, one);
    d = c;
    c = b;
    b = a;
    a = add(one, two);
  }
  v128.store(STATE, add(v128.load(STATE), a));
  v128.store(STATE, add(v128.load(STATE, 16), b), 16);
  v128.store(STATE, add(v128.load(STATE, 32), c), 32);
  v128.store(STATE, add(v128.load(STATE, 48), d), 48);
  v128.store(STATE, add(v128.load(STATE, 64), e), 64);
  v128.store(STATE, add(v128.load(STATE, 80), f), 80);
  v128.store(STATE, add(v128.load(STATE, 96), g), 96);
  v128.store(STATE, add(v128.load(STATE, 112), h), 112);
}

/** Four words of a lane, from big end first. */
function turned(bytes: v128): v128 {
  return v128.shuffle<u8>(bytes, bytes, 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12);
}

/**
 * Lanes to words and back: of 16 bytes at `from`, and at three places each `step` behind the one before, what
 * comes first of all goes to `to`, and what follows `apart` behind it.
 */
function transpose(from: usize, step: usize, to: usize, apart: usize): void {
  const w = turned(v128.load(from));
  const x = turned(v128.load(from + step));
  const y = turned(v128.load(from + 2 * step));
  const z = turned(v128.load(from + 3 * step));
  const wx = v128.shuffle<u32>(w, x, 0, 4, 1, 5);
  const wxHigh = v128.shuffle<u32>(w, x, 2, 6, 3, 7);
  const yz = v128.shuffle<u32>(y, z, 0, 4, 1, 5);
  const yzHigh = v128.shuffle<u32>(y, z, 2, 6, 3, 7);
  v128.store(to, v128.shuffle<u64>(wx, yz, 0, 2));
  v128.store(to + apart, v128.shuffle<u64>(wx, yz, 1, 3));
  v128.store(to + 2 * apart, v128.shuffle<u64>(wxHigh, yzHigh, 0, 2));
  v128.store(to + 3 * apart, v128.shuffle<u64>(wxHigh, yzHigh, 1, 3));
}

/** The four nodes of the 256 bytes at `from`, into the 128 bytes at `to`. */
function four(from: usize, to: usize): void {
  v128.store(STATE, i32x4.splat(0x6a09e667));
  v128.store(STATE, i32x4.splat(0xbb67ae85), 16);
  v128.store(STATE, i32x4.splat(0x3c6ef372), 32);
  v128.store(STATE, i32x4.splat(0xa54ff53a), 48);
  v128.store(STATE, i32x4.splat(0x510e527f), 64);
  v128.store(STATE, i32x4.splat(0x9b05688c), 80);
  v128.store(STATE, i32x4.splat(0x1f83d9ab), 96);
  v128.store(STATE, i32x4.splat(0x5be0cd19), 112);
  // The mark stands before the first byte, so that each word begins one byte earlier.
  for (let part: usize = 0; part < 4; part++) {
    transpose(from + part * 16 - 1, 64, WORDS + part * 64, 16);
  }
  const marked = v128.and(v128.load(WORDS), i32x4.splat(0x00ffffff));
  v128.store(WORDS, v128.or(marked, i32x4.splat(0x01000000)));
  // Before the words are overwritten by what is made of them: the last byte, and the end of the message.
  const last = i32x4(
    ((<i32>load<u8>(from, 63)) << 24) | 0x800000,
    ((<i32>load<u8>(from, 127)) << 24) | 0x800000,
    ((<i32>load<u8>(from, 191)) << 24) | 0x800000,
    ((<i32>load<u8>(from, 255)) << 24) | 0x800000,
  );
  compress();
  memory.fill(WORDS + 16, 0, 14 * 16);
  v128.store(WORDS, last);
  v128.store(WORDS, i32x4.splat(65 * 8), 15 * 16);
  compress();
  for (let half: usize = 0; half < 2; half++) {
    transpose(STATE + half * 64, 16, to + half * 16, 32);
  }
}

/** The root of so many leaf hashes, a power of two, is left at `HASHES`. */
export function reduce(count: usize): void {
  for (let nodes = count >> 1; nodes > 0; nodes >>= 1) {
    const end = HASHES + nodes * 64;
    for (let from = HASHES, to = HASHES; from < end; from += 256, to += 128) four(from, to);
  }
}
