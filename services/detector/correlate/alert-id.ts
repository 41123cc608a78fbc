/**
 * Id of a stateful alert: 43 characters, SHA-256 in base64url, of the rule, the group, the start of
 * the suppression period and, where the kind has one, the value. Nothing else goes in (promise D1).
 */
import { createHash } from 'node:crypto';

/**
 * @param group JSON of the group's values
 * @param value JSON of the values, for kinds that alert once for each
 */
export function statefulAlertId(
  ruleId: string,
  group: string,
  periodMs: number,
  value: string | null,
): string {
  const parts = ['lakeseal-alert-v2', ruleId, group, String(periodMs)];
  if (value !== null) parts.push(value);
  return createHash('sha256').update(parts.join('\n')).digest('base64url');
}
