/** Regular expressions of rules, which are RE2's: in linear time, whatever the text. */
import { RE2JS } from 're2js';
import type { ValueTest } from './rule.ts';

/** Throws what RE2 says of an expression that it refuses; one of a loaded rule is not refused. */
export function compileRegex(value: ValueTest & { kind: 'regex' }): RE2JS {
  return RE2JS.compile(
    value.source,
    (value.ignoreCase ? RE2JS.CASE_INSENSITIVE : 0) |
      (value.multiline ? RE2JS.MULTILINE : 0) |
      (value.dotAll ? RE2JS.DOTALL : 0),
  );
}
