/**
 * Rule documents into drafts, each once: a document that was read before, with the same lists, is
 * not read again, so that a reload costs what has changed. Pure but for what it remembers.
 */
import type { RuleDocument } from './documents.ts';
import { Findings } from './findings.ts';
import type { Lists } from './placeholder.ts';
import type { Problem } from './problem.ts';
import { type RuleDraft, readCorrelationRule, readDetectionRule } from './rule-document.ts';

/** How rule documents are read. */
export interface ReadOptions {
  /** Values of placeholders, by name. */
  lists: Lists;
  /** Whether the tests of rules are read, and so checked; without, rules have none. */
  tests: boolean;
}

interface Read {
  draft: RuleDraft | null;
  problems: readonly Problem[];
}

export class Drafts {
  /** Of the documents that somebody still holds. */
  #read = new WeakMap<RuleDocument, Read>();
  #options: ReadOptions | null = null;

  /** null where the document has an error. Problems are told each time. */
  of(document: RuleDocument, options: ReadOptions, findings: Findings): RuleDraft | null {
    if (this.#options?.lists !== options.lists || this.#options.tests !== options.tests) {
      this.#read = new WeakMap();
      this.#options = options;
    }
    let read = this.#read.get(document);
    if (read === undefined) {
      read = readRule(document, options);
      this.#read.set(document, read);
    }
    findings.take(read.problems);
    return read.draft;
  }
}

function readRule(document: RuleDocument, options: ReadOptions): Read {
  const findings = new Findings('');
  const read = document.kind === 'correlation' ? readCorrelationRule : readDetectionRule;
  const draft = read(document, findings, options);
  return { draft, problems: findings.problems };
}
