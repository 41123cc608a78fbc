/** One action of a principal, from where and with what it usually acts. */
import type { Principal } from './company.ts';
import type { Action, Json } from './line.ts';
import type { Random } from './random.ts';

/** `pair` is `service.action`; `more` replaces what the principal would bring by itself. */
export function act(
  { random }: { random: Random },
  who: Principal,
  pair: `${string}.${string}`,
  params: { [key: string]: Json },
  more: Partial<Action> = {},
): Action {
  const [service, action] = pair.split('.') as [string, string];
  return {
    service,
    action,
    email: who.name,
    params,
    address: who.addresses[0] ?? null,
    userAgent: who.userAgent,
    sessionId: who.sessionId,
    requestId: `ServiceMain-${random.hex(15)}`,
    ...more,
  };
}
