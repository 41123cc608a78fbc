/**
 * The condition grammar of Sigma 2.1, total: a tree, or one problem with its place.
 *
 *   or   := and ('or' and)*          and  := not ('and' not)*
 *   not  := 'not' not | primary
 *   primary := '(' or ')' | ('1' | 'any' | 'all') 'of' ('them' | pattern) | identifier
 *
 * `them` and patterns leave out identifiers that start with `_`, unless the pattern does too.
 * Stricter than some tools: a pattern that matches nothing is a problem (it would drop silently out
 * of the condition), and so is an upper-case operator.
 */
import { nearest } from '../../runtime/nearest.ts';
import type { Expression } from './rule.ts';

export type ParsedCondition =
  | { ok: true; expression: Expression; used: Set<string> }
  | { ok: false; at: number; message: string; hint: string };

interface Token {
  text: string;
  at: number;
}

/** Deepest nesting of parentheses and `not`. */
const DEPTH_MAX = 64;

class ConditionError extends Error {
  readonly at: number;
  readonly hint: string;

  constructor(at: number, message: string, hint: string) {
    super(message);
    this.at = at;
    this.hint = hint;
  }
}

/** How problems speak of the names in a condition. */
export interface Vocabulary {
  unknown: (name: string) => string;
  known: (names: readonly string[]) => string;
}

const SELECTIONS: Vocabulary = {
  unknown: (name) =>
    `the condition names ${JSON.stringify(name)}, which the detection does not define`,
  known: (names) => `the selections are ${list(names)}`,
};

/** `names` are the rule's search identifiers. `at` of a problem is an index into `source`. */
export function parseCondition(
  source: string,
  names: readonly string[],
  vocabulary: Vocabulary = SELECTIONS,
): ParsedCondition {
  try {
    const parser = new Parser(tokens(source), names, source.length, vocabulary);
    return { ok: true, expression: parser.whole(), used: parser.used };
  } catch (error) {
    if (!(error instanceof ConditionError)) throw error;
    return { ok: false, at: error.at, message: error.message, hint: error.hint };
  }
}

function tokens(source: string): Token[] {
  const result: Token[] = [];
  const token = /\s+|([()])|([A-Za-z0-9_*.-]+)|(\|)|(.)/gsu;
  for (const match of source.matchAll(token)) {
    const text = match[0];
    if (match[1] ?? match[2]) result.push({ text, at: match.index });
    else if (match[3]) {
      throw new ConditionError(
        match.index,
        'a pipe in a condition (aggregation) is no longer part of Sigma',
        'write a correlation document that refers to this rule',
      );
    } else if (match[4]) {
      throw new ConditionError(
        match.index,
        `unexpected ${JSON.stringify(text)} in the condition`,
        'a condition holds names, "and", "or", "not", "1 of", "any of", "all of" and parentheses',
      );
    }
  }
  return result;
}

class Parser {
  readonly used = new Set<string>();
  readonly #tokens: Token[];
  readonly #names: readonly string[];
  readonly #end: number;
  readonly #vocabulary: Vocabulary;
  #next = 0;
  #depth = 0;

  constructor(list: Token[], names: readonly string[], end: number, vocabulary: Vocabulary) {
    this.#tokens = list;
    this.#names = names;
    this.#end = end;
    this.#vocabulary = vocabulary;
  }

  whole(): Expression {
    if (this.#tokens.length === 0) {
      throw new ConditionError(0, 'the condition is empty', 'name a selection, as in "selection"');
    }
    const expression = this.#or();
    const rest = this.#peek();
    if (rest !== undefined) throw this.#unexpected(rest, 'put "and" or "or" before it');
    return expression;
  }

  #or(): Expression {
    return this.#chain('or', () => this.#and());
  }

  #and(): Expression {
    return this.#chain('and', () => this.#not());
  }

  #chain(kind: 'and' | 'or', operand: () => Expression): Expression {
    const terms = [operand()];
    while (this.#peek()?.text === kind) {
      this.#next += 1;
      terms.push(operand());
    }
    return terms.length === 1 ? terms[0]! : { kind, terms };
  }

  #not(): Expression {
    const token = this.#peek();
    if (token?.text !== 'not') return this.#primary();
    this.#next += 1;
    return this.#nested(token, () => ({ kind: 'not', term: this.#not() }));
  }

  #nested(token: Token, inner: () => Expression): Expression {
    this.#depth += 1;
    if (this.#depth > DEPTH_MAX) {
      throw new ConditionError(
        token.at,
        `the condition nests deeper than ${DEPTH_MAX}`,
        'split it into several selections',
      );
    }
    const expression = inner();
    this.#depth -= 1;
    return expression;
  }

  #primary(): Expression {
    const token = this.#take('a selection, "not" or "("');
    if (token.text === '(') {
      return this.#nested(token, () => {
        const inner = this.#or();
        const close = this.#take('")"');
        if (close.text !== ')') throw this.#unexpected(close, 'close the parenthesis before it');
        return inner;
      });
    }
    const after = this.#peek();
    if (after?.text === 'of') return this.#of(token);
    if (after?.text.toLowerCase() === 'of') throw this.#unexpected(after, operatorHint(after.text));
    return this.#selection(token);
  }

  #of(quantifier: Token): Expression {
    const { text } = quantifier;
    if (text !== '1' && text !== 'any' && text !== 'all') {
      throw new ConditionError(
        quantifier.at,
        `${JSON.stringify(`${text} of`)} is not part of Sigma`,
        'use "1 of", "any of" or "all of"',
      );
    }
    this.#next += 1;
    const target = this.#take('"them" or a pattern such as selection_*');
    const chosen = this.#chosen(target);
    for (const name of chosen) this.used.add(name);
    const terms = chosen.map((name): Expression => ({ kind: 'selection', name }));
    if (terms.length === 1) return terms[0]!;
    return { kind: text === 'all' ? 'and' : 'or', terms };
  }

  #chosen(target: Token): string[] {
    const { text } = target;
    const visible = this.#names.filter((name) => !name.startsWith('_'));
    let chosen = visible;
    if (text !== 'them') {
      if (text === '(' || text === ')') throw this.#unexpected(target, 'name "them" or a pattern');
      const expression = new RegExp(`^${text.split('*').map(escapeExpression).join('.*')}$`, 'su');
      const pool = text.startsWith('_') ? this.#names : visible;
      chosen = pool.filter((name) => expression.test(name));
    }
    if (chosen.length === 0) {
      throw new ConditionError(
        target.at,
        `${JSON.stringify(text)} matches no selection`,
        this.#vocabulary.known(this.#names),
      );
    }
    return chosen;
  }

  #selection(token: Token): Expression {
    if (this.#names.includes(token.text)) {
      this.used.add(token.text);
      return { kind: 'selection', name: token.text };
    }
    if (/^(AND|OR|NOT|OF|ALL|ANY|THEM)$/i.test(token.text)) {
      throw this.#unexpected(token, operatorHint(token.text));
    }
    if (token.text === ')') throw this.#unexpected(token, 'name a selection before it');
    const near = nearest(token.text, this.#names);
    throw new ConditionError(
      token.at,
      this.#vocabulary.unknown(token.text),
      near === null ? this.#vocabulary.known(this.#names) : `did you mean "${near}"?`,
    );
  }

  #unexpected(token: Token, hint: string): ConditionError {
    const mended = /^(AND|OR|NOT|OF|ALL|ANY|THEM)$/.test(token.text)
      ? operatorHint(token.text)
      : hint;
    return new ConditionError(
      token.at,
      `unexpected ${JSON.stringify(token.text)} in the condition`,
      mended,
    );
  }

  #peek(): Token | undefined {
    return this.#tokens[this.#next];
  }

  #take(wanted: string): Token {
    const token = this.#tokens[this.#next];
    if (token === undefined) {
      throw new ConditionError(
        this.#end,
        `the condition ends where ${wanted} should follow`,
        'complete it or remove the last operator',
      );
    }
    this.#next += 1;
    return token;
  }
}

function operatorHint(text: string): string {
  const lower = text.toLowerCase();
  return text === lower
    ? `"${lower}" is an operator and needs its operands around it`
    : `operators are lower case: write "${lower}"`;
}

function escapeExpression(text: string): string {
  return text.replace(/[.\\^$+?()[\]{}|-]/g, (character) => `\\${character}`);
}

function list(names: readonly string[]): string {
  return names.length === 0 ? 'none' : names.map((name) => `"${name}"`).join(', ');
}
