/**
 * Which events a rule can possibly match, as far as their service and action tell: the witness by
 * which the index sends events to rules. Sound, not complete: an event that no witness admits
 * cannot match; one that is admitted is still evaluated whole.
 */

import type { Expression, Rule } from '../sigma/rule.ts';
import { uncasedLiteral } from './compile.ts';

/** Lower-cased names; null is "any". */
export interface Witness {
  service: string | null;
  action: string | null;
}

/** Beyond this many alternatives a rule's witness is "any event". */
const WITNESSES_MAX = 256;

const ANY: Witness = { service: null, action: null };

/** An event can match only if one of these admits it. Empty: the rule can match nothing. */
export function witnesses(rule: Rule): Witness[] {
  const inner = of(rule.condition, rule);
  const confined: Witness[] =
    rule.service === null ? [ANY] : [{ service: rule.service.toLowerCase(), action: null }];
  return both(confined, inner);
}

function of(expression: Expression, rule: Rule): Witness[] {
  switch (expression.kind) {
    case 'and':
      return expression.terms
        .map((term) => of(term, rule))
        .reduce((left, right) => both(left, right));
    case 'or':
      return either(expression.terms.flatMap((term) => of(term, rule)));
    case 'selection':
      return of(rule.selections.get(expression.name)!, rule);
    case 'item':
      return ofItem(expression);
    case 'not':
    case 'keyword':
      return [ANY];
  }
}

function ofItem(item: Expression & { kind: 'item' }): Witness[] {
  const service = item.field === 'serviceName' || item.field === 'service_name';
  const action = item.field === 'actionName' || item.field === 'action_name';
  if (!service && !action) return [ANY];
  const each = item.values.map((value): Witness => {
    const literal = uncasedLiteral(value);
    if (literal === null) return ANY;
    return service ? { service: literal, action: null } : { service: null, action: literal };
  });
  return either(each);
}

function either(all: Witness[]): Witness[] {
  const distinct = new Map(all.map((one) => [JSON.stringify([one.service, one.action]), one]));
  if (distinct.size > WITNESSES_MAX) return [ANY];
  return all.some((one) => one.service === null && one.action === null)
    ? [ANY]
    : [...distinct.values()];
}

function both(left: Witness[], right: Witness[]): Witness[] {
  if (left.length * right.length > WITNESSES_MAX * 4) {
    return left.length < right.length ? left : right;
  }
  const result: Witness[] = [];
  for (const a of left) {
    for (const b of right) {
      const service = agreed(a.service, b.service);
      const action = agreed(a.action, b.action);
      if (service !== undefined && action !== undefined) result.push({ service, action });
    }
  }
  return either(result);
}

/** The name both admit; undefined where they exclude each other. */
function agreed(a: string | null, b: string | null): string | null | undefined {
  if (a === null) return b;
  return b === null || a === b ? a : undefined;
}
