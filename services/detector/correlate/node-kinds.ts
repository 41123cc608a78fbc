/** Which machine judges a node of an ordered rule. */
import { absence } from './absence.ts';
import { baseline } from './baseline.ts';
import { firstSeen } from './first-seen.ts';
import type { NodeKind } from './node-state.ts';
import { isGrowing, type PlanNode } from './plan.ts';
import { silence } from './silence.ts';
import { slidingCondition, slidingFigures } from './sliding.ts';
import { temporalExpression } from './temporal-expression.ts';
import { isMonotone } from './thresholds.ts';
import { travel } from './travel.ts';
import { tumbling } from './tumbling.ts';

export function kindOf(node: PlanNode, entriesMax: number): NodeKind {
  if (isGrowing(node)) return slidingCondition(node, entriesMax);
  const { stateful } = node;
  switch (stateful.kind) {
    case 'aggregate':
      return isMonotone(stateful.thresholds) ? slidingFigures(node) : tumbling(node);
    case 'temporal':
      return tumbling(node);
    case 'temporal_expression':
      return temporalExpression(node);
    case 'first_seen':
      return firstSeen(node);
    case 'baseline':
      return baseline(node);
    case 'travel':
      return travel(node);
    case 'absence':
      return absence(node);
    case 'silence':
      return silence(node);
  }
}

/** Whether it decides when time has passed, and not at the event that decides. */
export function isDelayed(node: PlanNode): boolean {
  if (isGrowing(node)) return false;
  const { stateful } = node;
  switch (stateful.kind) {
    case 'aggregate':
      return !isMonotone(stateful.thresholds);
    case 'temporal':
    case 'temporal_expression':
    case 'absence':
    case 'silence':
      return true;
  }
  return false;
}
