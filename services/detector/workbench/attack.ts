/** ATT&CK tactics and techniques as rules name them: Sigma tags `attack.…`. Pure. */

const PREFIX = 'attack.';
const TECHNIQUE = /^t\d{4}(?:\.\d{3})?$/;
const TACTIC = /^[a-z][a-z_-]*$/;

/** Ids of the techniques and sub-techniques, as ATT&CK writes them: `T1562.008`. */
export function techniquesOf(tags: readonly string[]): string[] {
  return attackNames(tags)
    .filter((name) => TECHNIQUE.test(name))
    .map((name) => name.toUpperCase());
}

/** Tactics by name: `credential-access`. */
export function tacticsOf(tags: readonly string[]): string[] {
  return attackNames(tags)
    .filter((name) => TACTIC.test(name))
    .map((name) => name.replaceAll('_', '-'));
}

function attackNames(tags: readonly string[]): string[] {
  return tags.filter((tag) => tag.startsWith(PREFIX)).map((tag) => tag.slice(PREFIX.length));
}
