/**
 * Audit events as lines that no writer would send, and some that one might: odd spacing, escapes in
 * keys and values, repeated and nested keys, other shapes and envelopes, JSON inside text, values
 * of wrong types, and damage to the bytes. Seeded, and cheap enough for a million lines.
 */

/** A small generator: numbers from 0 to below 1 would be slower than is wanted here. */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 1;
  }

  /** A whole number from 0 to below `sides`. */
  below(sides: number): number {
    let state = this.#state;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.#state = state;
    return (state >>> 0) % sides;
  }

  one<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }

  chance(oneIn: number): boolean {
    return this.below(oneIn) === 0;
  }
}

const TEXTS = [
  '',
  'a',
  'alice@example.com',
  'login',
  'LOGIN',
  'accounts',
  '203.0.113.7',
  '203.0.113.7:443',
  '10.0.0.1',
  '2001:db8::1',
  '[2001:db8::1]:80',
  'not an address',
  'TruffleHog/3',
  'Mozilla/5.0 (X11)',
  'é',
  'ſecret',
  '\u{1f600}',
  'x'.repeat(200),
  'é'.repeat(40),
  'cut... truncated',
  '... truncated',
  'a "quoted" \\ text\n',
  '\u2028',
  '\u0000',
  '{"a":1}',
  '{"b":{"c":[1,2]}}',
  '[["k","v"]]',
  'null',
  '200',
  '-1',
  '1.50',
  '9007199254740993',
  '2026-11-28T09:30:15.123Z',
  '2026-11-28 09:30:15',
];

const ADDRESSES = ['203.0.113.7', '10.0.0.1', '203.0.113.7:443', '2001:db8::1', ''];

const KEYS = [
  'user',
  'path',
  'commandText',
  'target_user_name',
  'tokenExpirationTime',
  'TRUNCATED',
  '__proto__',
  'actionName',
  'serviceName',
  'é',
  'Ã©',
  'a.b',
  'recipient_name',
  '0',
];

type Value = string | number | boolean | null | readonly Value[] | { [key: string]: Value };

/** JSON text of a number as no `JSON.stringify` would write it. */
const NUMBERS = [
  '0',
  '-0',
  '1',
  '-1',
  '1e3',
  '1E+2',
  '0.5',
  '1.0',
  '200',
  '403',
  '401.0',
  '1795512600000',
  '1795512600',
  '179551260000000000',
  '9007199254740993',
  '8999999999999999',
  '12345678901234567890',
  '1e400',
];

const TIMES = [
  '1795512600000',
  '1795512600',
  '"2026-11-28T09:30:15Z"',
  '0',
  '-5',
  '1.795512600000e12',
];

const GOOD_TIMES = [
  '1795512600000',
  '1795512600',
  '"2026-11-28T09:30:15Z"',
  '"2026-11-28 09:30:15"',
];

function anyValue(dice: Dice, depth: number): string {
  switch (dice.below(depth > 2 ? 6 : 9)) {
    case 0:
      return 'null';
    case 1:
      return dice.one(['true', 'false']);
    case 2:
      return dice.one(NUMBERS);
    case 6:
      return `{${dice.chance(3) ? '' : `${text(dice, dice.one(KEYS))}:${anyValue(dice, depth + 1)}`}}`;
    case 7:
      return `[${dice.chance(3) ? '' : anyValue(dice, depth + 1)}]`;
    case 8:
      return text(dice, JSON.stringify({ [dice.one(KEYS)]: dice.one(TEXTS) } as Value));
    default:
      return text(dice, dice.one(TEXTS));
  }
}

/** A JSON string, now and then with escapes that nobody needs. */
function text(dice: Dice, value: string): string {
  const json = JSON.stringify(value);
  if (!dice.chance(12) || value === '') return json;
  if (dice.chance(4)) return `"${json.slice(1, -1)}\\ud83d"`;
  const code = value.charCodeAt(0).toString(16).padStart(4, '0');
  return `"\\u${code}${JSON.stringify(value.slice(1)).slice(1)}`;
}

/** Keys are seldom escaped: one such key is enough to leave a line to decoding. */
function keyText(dice: Dice, key: string): string {
  return dice.chance(20) ? text(dice, key) : JSON.stringify(key);
}

function space(dice: Dice): string {
  return dice.chance(40) ? dice.one([' ', '\t', '\n', '\r\n', '  ']) : '';
}

type Entry = readonly [key: string, value: string];

function object(dice: Dice, entries: readonly Entry[]): string {
  const parts = entries.map(
    ([key, value]) =>
      `${space(dice)}${keyText(dice, key)}${space(dice)}:${space(dice)}${value}${space(dice)}`,
  );
  return `{${parts.join(',')}${parts.length === 0 ? space(dice) : ''}}`;
}

/** Now and then another order, an entry that comes twice, one that is missing or one too many. */
function disturbed(dice: Dice, entries: Entry[]): Entry[] {
  if (dice.chance(8))
    entries.splice(dice.below(entries.length + 1), 0, [dice.one(KEYS), anyValue(dice, 0)]);
  if (dice.chance(10) && entries.length > 0) {
    const [key] = dice.one(entries);
    entries.splice(dice.below(entries.length + 1), 0, [key, anyValue(dice, 0)]);
  }
  if (dice.chance(12)) entries.splice(dice.below(entries.length + 1), 1);
  if (dice.chance(5) && entries.length > 1) entries.reverse();
  if (dice.chance(5) && entries.length > 0) {
    const at = dice.below(entries.length);
    entries[at] = [entries[at]![0], anyValue(dice, 0)];
  }
  return entries;
}

const SERVICES = ['accounts', 'unityCatalog', 'clusters', 'Accounts'];
const ACTIONS = ['login', 'tokenLogin', 'getTable', 'create', 'commandSubmit', 'generateDbToken'];

function params(dice: Dice): string {
  const entries: Entry[] = [];
  for (let count = dice.below(5); count > 0; count -= 1) {
    entries.push([
      dice.one(KEYS),
      dice.chance(3) ? anyValue(dice, 1) : text(dice, dice.one(TEXTS)),
    ]);
  }
  const json = object(dice, disturbed(dice, entries));
  return dice.chance(15) ? text(dice, json) : json;
}

function row(dice: Dice): Entry[] {
  const snake = dice.chance(4);
  const name = (camel: string, other: string): string => (snake ? other : camel);
  const status = dice.one(['200', '401', '403', '"200"', 'null', '0', '1e2']);
  return [
    ['version', '"2.0"'],
    [name('auditLevel', 'audit_level'), '"WORKSPACE_LEVEL"'],
    [name('timestamp', 'event_time'), dice.one(dice.chance(8) ? TIMES : GOOD_TIMES)],
    [
      name('workspaceId', 'workspace_id'),
      dice.one(['"12"', '12', 'null', '""', '6051921418418893']),
    ],
    [name('orgId', 'org_id'), dice.one(['7', 'null', '"7"', '12345678901234567890'])],
    [
      name('sourceIPAddress', 'source_ip_address'),
      text(dice, dice.one(dice.chance(8) ? TEXTS : ADDRESSES)),
    ],
    [name('userAgent', 'user_agent'), text(dice, dice.one(TEXTS))],
    [name('sessionId', 'session_id'), dice.one(['null', '"s"', '""'])],
    [
      name('userIdentity', 'user_identity'),
      object(
        dice,
        disturbed(dice, [
          ['email', text(dice, dice.one(TEXTS))],
          ['subjectName', 'null'],
        ]),
      ),
    ],
    [name('serviceName', 'service_name'), keyText(dice, dice.one(SERVICES))],
    [name('actionName', 'action_name'), keyText(dice, dice.one(ACTIONS))],
    [name('requestId', 'request_id'), dice.one(['"r-1"', 'null', '17'])],
    [name('requestParams', 'request_params'), params(dice)],
    [
      'response',
      dice.chance(6)
        ? dice.one(['null', '""', '"{\\"statusCode\\":403}"', '[]'])
        : object(dice, disturbed(dice, [[name('statusCode', 'status_code'), status]])),
    ],
    ...(snake ? [['event_id', '"e-1"'] as const] : []),
    ...(snake && dice.chance(2)
      ? [
          [
            'identity_metadata',
            object(
              dice,
              disturbed(dice, [
                ['run_by', '"bob@example.com"'],
                ['run_as', 'null'],
              ]),
            ),
          ] as const,
        ]
      : []),
  ];
}

function enveloped(dice: Dice, line: string): string {
  switch (dice.below(60)) {
    case 0:
      return `{"records":[${line}]}`;
    case 1:
      return `[${line}]`;
    case 2:
      return `{"jsonPayload":${line}}`;
    case 3:
      return JSON.stringify(line);
    case 4:
      return `\ufeff${line}`;
    case 5:
      return `${space(dice)}${line}\n`;
    case 6:
      return `{"a":${'['.repeat(dice.one([10, 63, 64, 65, 130]))}${']'.repeat(64)},${line.slice(1)}`;
    default:
      return line;
  }
}

const BYTES = [0x22, 0x5c, 0x7b, 0x7d, 0x5b, 0x5d, 0x2c, 0x3a, 0x30, 0x00, 0x1f, 0x7f, 0x80, 0xff];

/** Bytes of one line, most of them still an event. */
export function anyLine(dice: Dice): Buffer {
  return Buffer.from(enveloped(dice, object(dice, disturbed(dice, row(dice)))));
}

/** A line and lines made of it, cheaply: parts moved, doubled or left out, and damage. */
export function* linesLike(dice: Dice, line: Buffer, count: number): Generator<Buffer> {
  yield line;
  const text = line.toString('latin1');
  const commas: number[] = [];
  for (let at = text.indexOf(',"'); at >= 0; at = text.indexOf(',"', at + 1)) commas.push(at);
  for (let n = 1; n < count; n += 1) {
    if (commas.length < 3 || dice.chance(3)) {
      yield damaged(dice, line);
      continue;
    }
    const first = dice.below(commas.length - 1);
    const from = commas[first]!;
    const to = commas[first + 1]!;
    const part = text.slice(from, to);
    const place = dice.one(commas);
    let other = text;
    if (dice.chance(2)) other = text.slice(0, from) + text.slice(to);
    if (dice.chance(2)) other = other.slice(0, place) + part + other.slice(place);
    yield Buffer.from(other, 'latin1');
  }
}

/** A byte changed, added or taken away, or the end cut off. */
export function damaged(dice: Dice, bytes: Buffer): Buffer {
  if (bytes.length === 0) return bytes;
  const at = dice.below(bytes.length);
  const byte = dice.chance(2) ? dice.one(BYTES) : dice.below(256);
  switch (dice.below(4)) {
    case 0:
      return bytes.subarray(0, at);
    case 1:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)]);
    case 2:
      return Buffer.concat([bytes.subarray(0, at), Buffer.from([byte]), bytes.subarray(at)]);
    default: {
      const copy = Buffer.from(bytes);
      copy[at] = byte;
      return copy;
    }
  }
}
