/** `lakeseal rules explain`: why a rule fires on events of a file, or why it does not. */
import { basename } from 'node:path';
import type { Match } from '../detector/correlate/types.ts';
import { openEnrichment } from '../detector/enrich/enrichment.ts';
import type { PlaceSource } from '../detector/fields/place.ts';
import type { RuleSet, StatefulRule } from '../detector/sigma/rule.ts';
import { Engine } from '../detector/stream/engine.ts';
import { Explainer } from '../detector/workbench/explain.ts';
import { explanationJson } from '../detector/workbench/explain-json.ts';
import { explanationLines, indented, mark } from '../detector/workbench/explain-text.ts';
import { Judge } from '../detector/workbench/judge.ts';
import { kindOf } from '../detector/workbench/list.ts';
import { reachLines } from '../detector/workbench/reach.ts';
import { type Selected, selectedOf } from '../detector/workbench/selected.ts';
import { DECODE_LIMITS, decodeJson } from '../ingest/decode.ts';
import type { AuditEvent } from '../ingest/event.ts';
import type { Config } from '../runtime/config.ts';
import { Failure } from '../runtime/errors.ts';
import { nearest } from '../runtime/nearest.ts';
import { counted } from '../runtime/wording.ts';
import { type EventPlace, eventLines, eventPlace } from './rules-files.ts';
import { type LayerFlags, layersOf, loadOrTell } from './rules-load.ts';
import { paint, printable, type Terminal, toJson } from './terminal.ts';

export interface ExplainRequest {
  /** Id, name, title or file name. */
  rule: string;
  /** `FILE` or `FILE:LINE`. */
  events: string;
  /** Rule layers beside the shipped ones. */
  paths: readonly string[];
}

/** An event and where it is. */
interface Placed {
  event: AuditEvent;
  line: number;
}

export async function explainRule(
  terminal: Terminal,
  request: ExplainRequest,
  flags: LayerFlags & { json?: true },
  config: () => Config,
  nowMs: number,
): Promise<number> {
  const set = loadOrTell(terminal, layersOf(request.paths, flags, config), nowMs);
  if (set === null) return 1;
  const selected = selectedOf(set, idOf(set, request.rule))!;
  const places = openEnrichment(config().enrich);
  const place = eventPlace(request.events);
  const task = { terminal, selected, place, places, json: flags.json === true };
  return selected.stateful === null
    ? explainSingle(task)
    : explainStateful(task, selected.stateful);
}

interface Task {
  terminal: Terminal;
  selected: Selected;
  place: EventPlace;
  places: PlaceSource;
  json: boolean;
}

async function explainSingle({ terminal, selected, place, places, json }: Task): Promise<number> {
  const [first, more] = await eventsAt(place, 2);
  const explainer = new Explainer(selected.rule!, places);
  const { event } = first!;
  const explained = explainer.explain(event);
  if (json) {
    terminal.out(toJson({ ...placeJson(place, first!), ...explanationJson(explained) }));
    return 0;
  }
  const { title } = selected.rule!;
  tellVerdict(
    terminal,
    explained.holds,
    explained.holds ? `${title} fires` : `${title} does not fire`,
  );
  terminal.out(`  on ${eventText(place, first!)}`);
  terminal.out(explanationLines(explained).map(printable).join('\n'));
  if (more !== undefined) {
    const hint = `${place.file}:LINE explains another event of the file`;
    terminal.out(paint(terminal, 'quiet', `\n${printable(hint)}`));
  }
  return 0;
}

/** Events of a file that are judged for an explanation; a person looks for something certain. */
const EVENTS_MAX = 100_000;

/** One event: what each detection rule says of it. A file: what the groups came to. */
async function explainStateful(task: Task, rule: StatefulRule): Promise<number> {
  const { terminal, selected, place, places, json } = task;
  const events = await eventsAt(place, EVENTS_MAX);
  const engine = new Engine(selected.set, places);
  const judge = new Judge(engine);
  const matches: Match[] = [];
  for (const { event, line } of events) {
    const address = { topic: place.file, partition: 0, offset: BigInt(line) };
    matches.push(...engine.matchesOf(engine.matcher.match(event), event, address));
    judge.event(event, address);
  }
  const { alerts } = judge.end(null);
  const { fields } = engine.plans.get(rule.id)!;
  const single = events.length === 1 ? events[0]! : null;
  const explained =
    single === null
      ? []
      : selected.set.rules.map((leaf) => new Explainer(leaf, places).explain(single.event));
  if (json) {
    terminal.out(
      toJson({
        file: place.file,
        rule: { id: rule.id, title: rule.title, kind: kindOf(rule) },
        events: events.length,
        matches: matches.map(({ context: _, ...match }) => ({ ...match, fields })),
        alerts: alerts.map(({ level, alert: { context: _, ...alert } }) => ({ ...alert, level })),
        explained: explained.map(explanationJson),
      }),
    );
    return 0;
  }
  const count = counted(alerts.length, 'alert');
  tellVerdict(terminal, alerts.length > 0, `${rule.title} (${kindOf(rule)}) raises ${count}`);
  const first = events.length === EVENTS_MAX ? 'the first ' : '';
  terminal.out(`  ${first}${counted(events.length, 'event')} of ${printable(place.file)} judged`);
  for (const { alert } of alerts) {
    const who = alert.group.map(([name, value]) => `${name} = ${JSON.stringify(value)}`).join(', ');
    terminal.out(printable(`  ${who === '' ? 'alert' : who}: ${alert.reason}`));
  }
  const titles = new Map(selected.set.rules.map(({ id, title }) => [id, title]));
  const reached = reachLines(matches, { rule, fields, titles });
  terminal.out(indented(reached.length > 0 ? reached : ['no event counts']).join('\n'));
  for (const one of explained) {
    const lines = [`${mark(one.holds)} ${one.rule.title}`, ...indented(explanationLines(one))];
    terminal.out(lines.map(printable).join('\n'));
  }
  return 0;
}

function tellVerdict(terminal: Terminal, good: boolean, text: string): void {
  terminal.out(`${paint(terminal, good ? 'good' : 'attention', mark(good))} ${printable(text)}`);
}

function eventText({ file }: EventPlace, { event, line }: Placed): string {
  const time = new Date(event.eventTime).toISOString();
  const what = `${event.serviceName}/${event.actionName} by ${event.actor.name}`;
  return printable(`${file}:${line}  ${time}  ${what}`);
}

function placeJson({ file }: EventPlace, { event, line }: Placed): object {
  return { file, line, eventId: event.eventId };
}

/** Throws `Failure` RULE_UNKNOWN, with the nearest there is. */
function idOf({ rules, stateful }: RuleSet, wanted: string): string {
  const all = [...stateful, ...rules];
  const lower = wanted.toLowerCase();
  const exact = all.filter(({ id, name, title }) =>
    [id, name, title].some((one) => one?.toLowerCase() === lower),
  );
  const found = exact.length > 0 ? exact : all.filter(({ file }) => isFileOf(file, wanted));
  // Of a file with several documents the one that alerts is meant.
  const ids = new Set(
    (found.some(({ alerts }) => alerts) ? found.filter(({ alerts }) => alerts) : found).map(
      ({ id }) => id,
    ),
  );
  const [id, other] = ids;
  if (id !== undefined && other === undefined) return id;
  if (id !== undefined) {
    throw new Failure(`${JSON.stringify(wanted)} is ${ids.size} rules: ${[...ids].join(', ')}`, {
      code: 'RULE_AMBIGUOUS',
      hint: 'name one by its id',
    });
  }
  const names = all.flatMap(({ name, title, file }) => [name ?? title, title, stem(file)]);
  const near = nearest(wanted, names);
  throw new Failure(`no rule has the id, name, title or file ${JSON.stringify(wanted)}`, {
    code: 'RULE_UNKNOWN',
    hint: near === null ? 'lakeseal rules list shows them all' : `did you mean "${near}"?`,
  });
}

function isFileOf(file: string, wanted: string): boolean {
  return file === wanted || basename(file) === wanted || stem(file) === wanted;
}

function stem(file: string): string {
  return basename(file).replace(/\.ya?ml$/i, '');
}

/**
 * At most so many events of the place, in order. A file that is one JSON text over many lines is
 * read as that. Throws `Failure` where there is none, or the line that was named is none.
 */
async function eventsAt(place: EventPlace, eventsMax: number): Promise<Placed[]> {
  const found: Placed[] = [];
  let bad: string | null = null;
  const whole: Buffer[] = [];
  let wholeBytes = 0;
  for await (const { number, bytes } of eventLines(place.file)) {
    if (place.line !== null && number !== place.line) continue;
    const decoded = decodeJson(bytes);
    if (decoded.ok) {
      found.push(...decoded.events.map((event) => ({ event, line: number })));
    } else {
      bad ??= `line ${number}: ${decoded.reason}: ${decoded.detail}`;
      if (found.length === 0 && wholeBytes <= DECODE_LIMITS.bytesMax)
        whole.push(Buffer.from(bytes));
      wholeBytes += bytes.length;
    }
    if (found.length >= eventsMax || number === place.line) break;
  }
  if (found.length === 0 && whole.length > 1) {
    const decoded = decodeJson(Buffer.concat(whole));
    if (decoded.ok) return decoded.events.map((event) => ({ event, line: 1 }));
  }
  if (found.length > 0) return found.slice(0, eventsMax);
  const where = place.line === null ? place.file : `${place.file}:${place.line}`;
  throw new Failure(`${where} holds no audit event${bad === null ? '' : ` (${bad})`}`, {
    code: 'EVENTS_NONE',
    hint: 'name a file with one event a line, and a line that is not empty: FILE:LINE',
  });
}
