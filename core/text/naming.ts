// Which thing of the fleet a person's word names, and the refusals: nothing has the word, a thing of another
// kind has it, or several things have it as their name. Coordinator and command line choose by this rule and
// refuse in these words.

import { FleetError } from '../errors.ts';

/** The kinds of things that a word can name, in the order in which they are searched. */
export const NOUNS = ['plan', 'sweep', 'trial', 'run', 'worker'] as const;
/** One of these kinds. */
export type Noun = (typeof NOUNS)[number];

/** Things that a word may mean: some of them, and how many there are. */
export interface Meanings<T> {
  readonly found: readonly T[];
  readonly total: number;
}

/**
 * The one thing that is meant. Throws `notFound` when there is none, and `invalidArgument` with the ids when
 * several have the name. `others` are things of other kinds that have the word; they explain a refusal.
 */
export function onlyOne<T extends { readonly id: string }>(
  { found, total }: Meanings<T>,
  word: string,
  nouns: readonly Noun[],
  others: readonly { readonly kind: string }[] = [],
): T {
  const [only] = found;
  const [other] = others;
  if (only === undefined && other !== undefined)
    throw new FleetError(
      'notFound',
      `${shown(word)} is a ${other.kind}, and a ${listed(nouns, 'or a')} is asked for; ${whereToLook(nouns)}`,
    );
  if (only === undefined)
    throw new FleetError(
      'notFound',
      `no ${listed(nouns, 'or')} is called ${shown(word)}; ${whereToLook(nouns)}`,
    );
  if (total > 1) {
    const what = nouns.length === 1 ? `${nouns[0]}s` : 'things';
    const left = total > found.length ? ` and ${total - found.length} more` : '';
    throw new FleetError(
      'invalidArgument',
      `${total} ${what} are named ${shown(word)}; give one of their ids: ${found.map(({ id }) => id).join(', ')}${left}`,
    );
  }
  return only;
}

function whereToLook(nouns: readonly Noun[]): string {
  const lists = nouns.map((noun) => (noun === 'trial' ? '`trials SWEEP`' : `\`${noun}s\``));
  return lists.length === 1
    ? `\`pocketfleet ${lists[0]!.slice(1)} lists what there is`
    : `the commands ${listed(lists, 'and')} list what there is`;
}

/** Longer words are cut, because they come from outside and become a part of a sentence. */
const WORD_MAX = 80;

/** A name as it is; any other text in quotes. */
function shown(word: string): string {
  const cut = word.length > WORD_MAX ? `${word.slice(0, WORD_MAX)}…` : word;
  return /^[\w.-]+$/.test(cut) ? cut : JSON.stringify(cut);
}

function listed(words: readonly string[], joined: string): string {
  const last = words.at(-1)!;
  return words.length === 1 ? last : `${words.slice(0, -1).join(', ')} ${joined} ${last}`;
}
