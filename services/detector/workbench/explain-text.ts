/**
 * An explanation as lines for people: a tree, ✔ or ✘ in front of each part, the event's value
 * beside what was asked of it. Pure; no line holds a secret or a control character.
 */
import { printable } from '../../runtime/wording.ts';
import type { ExplainedRule, Explanation } from './explain.ts';
import { actualText, patternText, wantedText } from './values.ts';

/** From this many wanted values on only the telling ones are shown. */
const VALUES_SHOWN_MAX = 6;
const INDENT = '  ';

/** The rule's verdict in full: service, condition, filters, level. */
export function explanationLines(explained: ExplainedRule): string[] {
  const { service, condition, filters, levels, level } = explained;
  const lines: string[] = [];
  if (service !== null) {
    const actual = actualText('serviceName', service.actual);
    lines.push(`${mark(service.holds)} log source: service ${service.wanted}, is ${actual}`);
  }
  lines.push(...treeLines('condition', condition));
  for (const { title, holds, term } of filters) {
    const does = holds ? 'lets it pass' : 'excludes it';
    lines.push(...treeLines(`exception "${printable(title)}" ${does}`, term));
  }
  // Of a rule that does not fire nobody asks how grave it would be.
  if (!explained.holds || levels.length === 0) return lines;
  for (const one of levels) lines.push(...treeLines(`level ${one.level}`, one.term));
  lines.push(`${INDENT}level of the alert: ${level}`);
  return lines;
}

/** One tree under a heading of its own. */
export function treeLines(heading: string, tree: Explanation): string[] {
  if (tree.kind === 'and' || tree.kind === 'or') {
    const how = tree.kind === 'and' ? 'all of' : 'any of';
    return [
      `${mark(tree.holds)} ${heading}: ${how}`,
      ...tree.terms.flatMap((term) => indented(partLines(term))),
    ];
  }
  return [`${mark(tree.holds)} ${heading}:`, ...indented(partLines(tree))];
}

function partLines(part: Explanation): string[] {
  switch (part.kind) {
    case 'and':
    case 'or':
      return treeLines(part.kind === 'and' ? 'and' : 'or', part);
    case 'not':
      return notLines(part);
    case 'selection':
      return [`${mark(part.holds)} ${part.name}`, ...indented(insideOf(part.term))];
    case 'keyword': {
      const how = part.cased ? ', in this case' : '';
      return [`${mark(part.holds)} "${printable(patternText(part.pattern))}" anywhere${how}`];
    }
    case 'item':
      return itemLines(part);
  }
}

/** A selection's own AND needs no line of its own. */
function insideOf(term: Explanation): string[] {
  return term.kind === 'and' ? term.terms.flatMap(partLines) : partLines(term);
}

function notLines({ holds, term }: Explanation & { kind: 'not' }): string[] {
  return [`${mark(holds)} not`, ...indented(partLines(term))];
}

function itemLines({ field, holds, actual, values }: Explanation & { kind: 'item' }): string[] {
  const is = `is ${actualText(field, actual)}`;
  const [only] = values;
  if (values.length === 1)
    return [`${mark(holds)} ${field} ${asked(wantedText(only!.test))}, ${is}`];
  const telling = values.filter((value) => value.holds);
  const shown = values.length <= VALUES_SHOWN_MAX ? values : telling.slice(0, VALUES_SHOWN_MAX);
  const rest = values.length - shown.length;
  const wanted = values.length <= VALUES_SHOWN_MAX ? 'one of' : `one of ${values.length} values`;
  return [
    `${mark(holds)} ${field} ${wanted}, ${is}`,
    ...shown.map((value) => `${INDENT}${mark(value.holds)} ${wantedText(value.test)}`),
    ...(shown.length > 0 && rest > 0 ? [`${INDENT}and ${rest} more`] : []),
  ];
}

/** `= "x"`, but `in 192.0.2.0/24` and `≥ 7` have their own word. */
function asked(wanted: string): string {
  return /^["\d/+-]/.test(wanted) ? `= ${wanted}` : wanted;
}

export function mark(holds: boolean): string {
  return holds ? '✔' : '✘';
}

export function indented(lines: readonly string[]): string[] {
  return lines.map((line) => `${INDENT}${line}`);
}

/** What decided, in one line, of a rule that did not fire: `selection: actionName is "login"`. */
export function obstacles(explained: ExplainedRule): string[] {
  if (explained.holds) return [];
  const found: string[] = [];
  if (explained.service?.holds === false) {
    found.push(`the log source wants the service ${explained.service.wanted}`);
  }
  if (!explained.condition.holds) collect(explained.condition, false, [], found);
  for (const { title, holds, term } of explained.filters) {
    if (holds) continue;
    found.push(`the exception "${printable(title)}" excludes it`);
    collect(term, false, [], found);
  }
  return [...new Set(found)];
}

/** Walks to the leaves that made `tree` what it is; `wanted` is the opposite of its verdict. */
function collect(tree: Explanation, verdict: boolean, path: string[], found: string[]): void {
  switch (tree.kind) {
    case 'and':
    case 'or':
      for (const term of tree.terms)
        if (term.holds === verdict) collect(term, verdict, path, found);
      return;
    case 'not':
      collect(tree.term, !verdict, path, found);
      return;
    case 'selection':
      collect(tree.term, verdict, [tree.name], found);
      return;
    case 'keyword': {
      const text = `"${printable(patternText(tree.pattern))}" is ${verdict ? '' : 'not '}in the event`;
      found.push([...path, text].join(': '));
      return;
    }
    case 'item':
      found.push([...path, decidedBy(tree, verdict)].join(': '));
  }
}

/** Most wanted values that are named in one line. */
const TOLD_MAX = 3;

function decidedBy(
  { field, actual, values }: Explanation & { kind: 'item' },
  verdict: boolean,
): string {
  const told = verdict ? values.filter((value) => value.holds) : values;
  const texts = told.slice(0, TOLD_MAX).map((value) => wantedText(value.test));
  const more = told.length > TOLD_MAX ? ` or ${told.length - TOLD_MAX} more` : '';
  const is = actualText(field, actual);
  const wanted = `${texts.join(' or ')}${more}`;
  if (!verdict) return `${field} is ${is}, not ${wanted}`;
  return is === wanted ? `${field} is ${is}` : `${field} is ${is}, which is what ${wanted} asks`;
}
