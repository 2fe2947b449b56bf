// What strategies need of search spaces before they decide, made off the decisions and in slices: decisions take
// no turn of the event loop that other calls feel. A space that was not prepared is made when it is asked for.

import { prepareCosts } from '../../core/nn/cell-costs.ts';
import type { DocumentSpec } from '../../core/spec/document.ts';
import { sweepIn } from '../../core/spec/plan-search.ts';

/** Makes the cost tables of all spaces that these documents search. */
export async function prepareSpaces(documents: Iterable<DocumentSpec>): Promise<void> {
  for (const document of documents) {
    const sweep =
      document.kind === 'plan' ? sweepIn(document) : document.kind === 'sweep' ? document : undefined;
    if (sweep !== undefined) await prepareCosts(sweep.space);
  }
}
