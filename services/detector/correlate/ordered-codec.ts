/** Groups of ordered rules as bytes. Reading is total: it marks the reader failed, and never throws. */
import type { Reader, Writer } from './bytes.ts';
import { readEntries, writeEntries } from './entry.ts';
import { deadlineOf, OrderedGroup, type OrderedRule, settle } from './ordered.ts';
import { readOrderedAlert, writeOrderedAlert } from './ordered-alert.ts';

export function writeOrdered(writer: Writer, group: OrderedGroup): void {
  writer.since(group.judgedTo);
  writer.since(group.newest);
  writer.text(group.context);
  writeEntries(writer, group.pending);
  for (const byKey of group.states) {
    writer.count(byKey.size);
    for (const [key, state] of byKey) {
      writer.text(key);
      state.write(writer);
    }
  }
  writer.count(group.alerts.length);
  for (const alert of group.alerts) writeOrderedAlert(writer, alert);
  writer.count(group.judged.length);
  let before = 0;
  for (const { time, hash } of group.judged) {
    writer.whole(time - before);
    writer.count(hash);
    before = time;
  }
}

export function readOrdered(reader: Reader, rule: OrderedRule): OrderedGroup {
  const group = new OrderedGroup(rule.nodes.length);
  group.judgedTo = reader.since();
  group.newest = reader.since();
  group.context = reader.text();
  group.pending = readEntries(reader, rule.leaves.size);
  if (group.pending.some(({ time }) => time <= group.judgedTo)) reader.refuse();
  for (const { at, kind } of rule.nodes) {
    for (let n = reader.length(); n > 0 && !reader.failed; n -= 1) {
      group.states[at]!.set(reader.text(), kind.read(reader));
    }
  }
  for (let n = reader.length(); n > 0 && !reader.failed; n -= 1) {
    group.alerts.push(readOrderedAlert(reader));
  }
  let time = 0;
  for (let n = reader.length(); n > 0 && !reader.failed; n -= 1) {
    time += reader.whole();
    group.judged.push({ time, hash: reader.count() });
  }
  if (!reader.failed) {
    group.deadline = deadlineOf(group);
    settle(rule, group);
  }
  return group;
}
