/**
 * One principal under its many names. Events name people now by e-mail address, now by id, groups and
 * service principals likewise; and names change. Where an event tells a name and an id together, all
 * events speak of one principal from there on, and before, back to where the name meant another. Pure.
 *
 * An id is one principal for good: Databricks gives each an id of its own. A name is one only for a
 * time and, unless it is an address or an application id, only in the scope where it was told. What
 * could be two principals stays two, under the names that the events use.
 */
import type { Kind } from '../../schemas/evidence/access-leaf.ts';
import { compareText } from '../runtime/order.ts';
import type { AccessEvent, Effect } from './change.ts';
import { GROUP_NAME, idOf, USER_NAME } from './pairings.ts';

export interface Principal {
  /** As it is called in facts: by its newest name; with an id where two would have the same. */
  label: string;
  ids: string[];
  /** Newest first. */
  names: string[];
}

export interface Resolved {
  /** In the order that they came in; without those that only tell names. */
  events: AccessEvent[];
  /** Those that go by more than one text, by their labels. */
  principals: Principal[];
  /** Names that could be of more than one principal where they were used; they were left as told. */
  doubtful: string[];
}

/** @param events in order */
export function resolveNames(events: readonly AccessEvent[]): Resolved {
  const book = new NameBook();
  for (const [at, event] of events.entries()) book.hear(event, at);
  const told: AccessEvent[] = [];
  for (const [at, event] of events.entries()) {
    const effects = event.effects.filter(({ op }) => op !== 'name');
    if (effects.length === 0) continue;
    told.push({ ...event, effects: effects.map((effect) => book.resolve(effect, at)) });
  }
  return { events: told, principals: book.principals(), doubtful: [...book.doubtful].sort() };
}

/** A digit string, as ids are: told where no event gives it a name. */
export function isBareId(text: string): boolean {
  return /^\d+$/.test(text);
}

type Class = 'group' | 'identity';

interface Entity {
  class: Class;
  /** In the order in which they were told. */
  ids: string[];
  spans: Span[];
}

/** A name means an entity for events from one place in their order on, and before another. */
interface Span {
  entity: Entity;
  name: string;
  slot: Slot;
  from: number;
  to: number;
}

/** The spans of one name in one scope, in order, and before where it surely meant another. */
interface Meaning {
  scope: string;
  spans: Span[];
  floor: number;
}

/** Facts of these are about principals. */
const OF_PRINCIPALS: ReadonlySet<Kind> = new Set<Kind>([
  ...(['acl', 'admin', 'grant', 'group', 'identity'] as const),
  ...(['owner', 'role', 'secret', 'token'] as const),
]);

/** Of these the subject is a name, never an id: a group may be called 7. */
const BY_NAME: ReadonlySet<Kind> = new Set<Kind>(['grant', 'owner']);

const GROUP = 'group ';
const CREATING = /\.(add|createGroup|createServicePrincipal)$/;

/** Names of one slot follow each other; those of different ones are held at the same time. */
type Slot = 'group' | 'display' | 'address' | 'application';

/** What a display name looks like says nothing: whoever may make one could write another's address. */
function slotOf(told: string, name: string): Slot {
  if (told === GROUP_NAME) return 'group';
  if (told !== USER_NAME) return 'display';
  return name.includes('@') ? 'address' : UUID.test(name) ? 'application' : 'display';
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** The same wherever it is told. */
const isStable = (slot: Slot): boolean => slot === 'address' || slot === 'application';

class NameBook {
  readonly #byId = new Map<string, Entity>();
  /** By class and name; each list is of scopes. */
  readonly #byName = new Map<string, Meaning[]>();
  readonly #entities: Entity[] = [];
  readonly #labels = new Map<Entity, string>();
  readonly doubtful = new Set<string>();

  // --- hearing -----------------------------------------------------------------------------------

  /** What the event tells of names, and who is gone after it. */
  hear(event: AccessEvent, at: number): void {
    for (const effect of event.effects) {
      if (effect.op === 'name') this.#told(effect, at, CREATING.test(event.action));
    }
    for (const effect of event.effects) if (effect.op === 'drop') this.#gone(effect, at + 1);
  }

  #told({ subject: name, privilege, object, scope }: Effect, at: number, isNew: boolean): void {
    const id = idOf(object);
    const slot = slotOf(privilege, name);
    const of: Class = slot === 'group' ? 'group' : 'identity';
    const meaning = this.#meaning(of, name, isStable(slot) ? '' : scope);
    const open = meaning.spans.findLast(({ to }) => to === Number.POSITIVE_INFINITY);
    let entity = this.#byId.get(id);
    // One address under two ids: of the account and of a workspace. A group with another id is another.
    if (entity === undefined && isStable(slot)) entity = open?.entity;
    if (entity === undefined) {
      entity = { class: of, ids: [], spans: [] };
      this.#entities.push(entity);
    }
    if (!entity.ids.includes(id)) entity.ids.push(id);
    this.#byId.set(id, entity);
    if (open?.entity === entity) return;
    if (open !== undefined) open.to = at;
    const before = entity.spans.filter((one) => one.slot === slot && one.name !== name);
    for (const one of before) one.to = Math.min(one.to, at);
    const isFirst = before.length === 0 && meaning.spans.length === 0 && !isNew;
    const span = { entity, name, slot, from: isFirst ? meaning.floor : at, to: Infinity };
    meaning.spans.push(span);
    entity.spans.push(span);
  }

  #gone({ kind, subject, object, scope }: Effect, at: number): void {
    if (kind !== 'group' && kind !== 'identity') return;
    const name = object.startsWith(GROUP) ? object.slice(GROUP.length) : subject;
    for (const meaning of [this.#meaning(kind, name, ''), this.#meaning(kind, name, scope)]) {
      meaning.floor = at;
      const open = meaning.spans.findLast(({ to }) => to === Number.POSITIVE_INFINITY);
      const entity = this.#byId.get(name) ?? open?.entity;
      for (const span of entity?.spans ?? []) span.to = Math.min(span.to, at);
    }
  }

  #meaning(of: Class, name: string, scope: string): Meaning {
    const key = `${of}\n${name}`;
    let meanings = this.#byName.get(key);
    if (meanings === undefined) {
      meanings = [];
      this.#byName.set(key, meanings);
    }
    let meaning = meanings.find((one) => one.scope === scope);
    if (meaning === undefined) {
      meaning = { scope, spans: [], floor: 0 };
      meanings.push(meaning);
    }
    return meaning;
  }

  // --- resolving ---------------------------------------------------------------------------------

  resolve(effect: Effect, at: number): Effect {
    const { kind, subject, object, scope } = effect;
    if (!OF_PRINCIPALS.has(kind)) return effect;
    const who = this.#find(['group', 'identity'], subject, scope, at, !BY_NAME.has(kind));
    const isGroup = kind === 'group' && object.startsWith(GROUP);
    const group = isGroup
      ? this.#find(['group'], object.slice(GROUP.length), scope, at, true)
      : null;
    if (who === null && group === null) return effect;
    return {
      ...effect,
      subject: who === null ? subject : this.#labelOf(who),
      object: group === null ? object : `${GROUP}${this.#labelOf(group)}`,
      toldAs: {
        subject: who === null ? [subject] : [subject, ...namesAt(who, at)],
        object:
          group === null ? [object] : [object, ...namesAt(group, at).map((one) => GROUP + one)],
      },
    };
  }

  /** Null where nothing, or more than one thing, is known by that text there and then. */
  #find(
    classes: readonly Class[],
    text: string,
    scope: string,
    at: number,
    mayBeId: boolean,
  ): Entity | null {
    if (text === '') return null;
    const meanings = classes.flatMap((of) => this.#byName.get(`${of}\n${text}`) ?? []);
    const own = entitiesAt(meanings, at, (told) => told === scope || told === '');
    // A group of one workspace is none of another, nor what a catalogue grants to; one of the
    // account may be used everywhere.
    const wide = (told: string): boolean => told.startsWith('account ');
    const found = own.size > 0 ? own : entitiesAt(meanings, at, wide);
    const byId = mayBeId ? this.#byId.get(text) : undefined;
    if (byId !== undefined && classes.includes(byId.class)) found.add(byId);
    if (found.size > 1) this.doubtful.add(text);
    const [one = null] = found;
    return found.size === 1 ? one : null;
  }

  #labelOf(entity: Entity): string {
    if (this.#labels.size === 0) this.#makeLabels();
    return this.#labels.get(entity)!;
  }

  #makeLabels(): void {
    const uses = new Map<string, number>();
    const plain = this.#entities.map((entity) => ({ entity, label: plainLabel(entity) }));
    for (const { label } of plain) uses.set(label, (uses.get(label) ?? 0) + 1);
    for (const { entity, label } of plain) {
      const isAlone = uses.get(label) === 1;
      this.#labels.set(entity, isAlone ? label : `${label} (id ${entity.ids[0]})`);
    }
  }

  principals(): Principal[] {
    return this.#entities
      .map((entity) => ({
        label: this.#labelOf(entity),
        ids: [...entity.ids],
        names: namesOf(entity),
      }))
      .sort((one, other) => compareText(one.label, other.label));
  }
}

/** Whom the name means at that place, in scopes that are wanted. */
function entitiesAt(
  meanings: readonly Meaning[],
  at: number,
  wants: (scope: string) => boolean,
): Set<Entity> {
  const found = new Set<Entity>();
  for (const { scope, spans } of meanings) {
    if (!wants(scope)) continue;
    for (const { entity, from, to } of spans) if (from <= at && at < to) found.add(entity);
  }
  return found;
}

function namesAt({ spans }: Entity, at: number): string[] {
  return [
    ...new Set(spans.filter(({ from, to }) => from <= at && at < to).map(({ name }) => name)),
  ];
}

function namesOf({ spans }: Entity): string[] {
  return [...new Set(spans.toReversed().map(({ name }) => name))];
}

/** The newest address or name; a service principal's with its application id, which grants name. */
function plainLabel({ spans }: Entity): string {
  const newest = (slot: Slot) => spans.findLast((span) => span.slot === slot)?.name;
  const name = newest('group') ?? newest('address');
  const [display, application] = [newest('display'), newest('application')];
  if (name !== undefined) return name;
  if (display !== undefined && application !== undefined) return `${display} (${application})`;
  return display ?? application!;
}
