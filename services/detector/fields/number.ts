/** Numbers in the text of a field: audit routes disagree whether 200 is a number or a text. */

const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;

/** Digits of a number that is found without the engine: status codes and other small ones. */
const FEW_DIGITS = 9;

/** A decimal number, or NaN (with which no comparison holds). */
export function numberOf(text: string): number {
  if (text.length <= FEW_DIGITS) {
    let value = 0;
    for (let at = 0; at < text.length; at += 1) {
      const digit = text.charCodeAt(at) - 0x30;
      if (!(digit >= 0 && digit <= 9)) return decimal(text);
      value = value * 10 + digit;
    }
    return text === '' ? Number.NaN : value;
  }
  return decimal(text);
}

function decimal(text: string): number {
  return NUMBER.test(text) ? Number(text) : Number.NaN;
}
