/**
 * A second, deliberately plain reading of Sigma for the differential test: no index, no compiling,
 * no shared code with the detector. It reads the rule's own JSON (which is YAML), and an event as a
 * map from field name to text.
 */

export type PlainValue = string | number | boolean | null;
export type PlainItems = Record<string, PlainValue | PlainValue[]>;
export type PlainSelection = PlainItems | Array<PlainItems | string>;
export type PlainDetection = Record<string, PlainSelection | string>;
export type PlainLevel = { level: string; when: string };
export type PlainEvent = Record<string, string | undefined>;

export function plainVerdict(detection: PlainDetection, event: PlainEvent): boolean {
  const words = String(detection.condition).match(/[()]|[^\s()]+/g) ?? [];
  let at = 0;
  const names = Object.keys(detection).filter((name) => name !== 'condition');
  const holds = (name: string): boolean => selection(detection[name] as PlainSelection, event);

  function or(): boolean {
    let result = and();
    while (words[at] === 'or') {
      at += 1;
      const right = and();
      result = result || right;
    }
    return result;
  }
  function and(): boolean {
    let result = not();
    while (words[at] === 'and') {
      at += 1;
      const right = not();
      result = result && right;
    }
    return result;
  }
  function not(): boolean {
    if (words[at] === 'not') {
      at += 1;
      return !not();
    }
    const word = words[at]!;
    at += 1;
    if (word === '(') {
      const inner = or();
      at += 1;
      return inner;
    }
    if (words[at] !== 'of') return holds(word);
    const target = words[at + 1]!;
    at += 2;
    const start = target === 'them' ? '' : target.replace(/\*$/, '');
    const chosen = names.filter((name) => !name.startsWith('_') && name.startsWith(start));
    return word === 'all' ? chosen.every(holds) : chosen.some(holds);
  }
  return or();
}

function selection(what: PlainSelection, event: PlainEvent): boolean {
  if (!Array.isArray(what)) return items(what, event);
  return what.some((one) => (typeof one === 'string' ? keyword(one, event) : items(one, event)));
}

function keyword(text: string, event: PlainEvent): boolean {
  return Object.values(event).some(
    (value) => value !== undefined && glob(`*${text}*`, value, false),
  );
}

function items(what: PlainItems, event: PlainEvent): boolean {
  return Object.entries(what).every(([key, wanted]) => item(key, wanted, event));
}

function item(key: string, wanted: PlainValue | PlainValue[], event: PlainEvent): boolean {
  const [field, ...modifiers] = key.split('|');
  const actual = event[field!];
  const values = Array.isArray(wanted) ? wanted : [wanted];
  const test = (value: PlainValue): boolean => one(value, actual, modifiers, event);
  const result = modifiers.includes('all') ? values.every(test) : values.some(test);
  return modifiers.includes('neq') ? !result : result;
}

function one(
  wanted: PlainValue,
  actual: string | undefined,
  modifiers: string[],
  event: PlainEvent,
): boolean {
  if (modifiers.includes('exists')) return (actual !== undefined) === wanted;
  if (wanted === null) return actual === undefined;
  if (actual === undefined) return false;
  const number = /^-?\d+(\.\d+)?$/.test(actual) ? Number(actual) : Number.NaN;
  if (modifiers.includes('lt')) return number < Number(wanted);
  if (modifiers.includes('lte')) return number <= Number(wanted);
  if (modifiers.includes('gt')) return number > Number(wanted);
  if (modifiers.includes('gte')) return number >= Number(wanted);
  if (modifiers.includes('re')) {
    return new RegExp(String(wanted), modifiers.includes('i') ? 'i' : '').test(actual);
  }
  if (modifiers.includes('cidr')) return inNetwork(actual, String(wanted));
  const cased = modifiers.includes('cased');
  if (modifiers.includes('fieldref')) {
    const other = event[String(wanted)];
    if (other === undefined) return false;
    const [left, right] = cased ? [actual, other] : [actual.toLowerCase(), other.toLowerCase()];
    if (modifiers.includes('contains')) return left.includes(right);
    if (modifiers.includes('startswith')) return left.startsWith(right);
    return left === right;
  }
  const before = modifiers.includes('contains') || modifiers.includes('endswith') ? '*' : '';
  const after = modifiers.includes('contains') || modifiers.includes('startswith') ? '*' : '';
  if (typeof wanted === 'number' && before + after === '') return number === wanted;
  return glob(`${before}${wanted}${after}`, actual, cased);
}

function inNetwork(address: string, network: string): boolean {
  const bits = (text: string): string =>
    text
      .split('.')
      .map((part) => Number(part).toString(2).padStart(8, '0'))
      .join('');
  const [base, length] = network.split('/');
  if (!/^\d+(\.\d+){3}$/.test(address)) return false;
  return bits(address).slice(0, Number(length)) === bits(base!).slice(0, Number(length));
}

/** The level of an alert: the first case that holds, else `usual`. */
export function plainLevel(
  detection: PlainDetection,
  levels: readonly PlainLevel[],
  event: PlainEvent,
  usual: string,
): string {
  const holds = (condition: string): boolean => plainVerdict({ ...detection, condition }, event);
  return levels.find(({ when }) => holds(when))?.level ?? usual;
}

/** The generator writes no backslashes, so a wildcard is always one. */
function glob(pattern: string, value: string, cased: boolean): boolean {
  const source = pattern
    .split('')
    .map((character) => {
      if (character === '*') return '.*';
      return character === '?' ? '.' : character.replace(/[.+^$()|[\]{}/-]/, '\\$&');
    })
    .join('');
  return new RegExp(`^${source}$`, cased ? 's' : 'si').test(value);
}
