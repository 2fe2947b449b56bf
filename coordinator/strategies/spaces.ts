// What strategies need of search spaces before they decide, made off the decisions and in slices: decisions take
// no turn of the event loop that other calls feel. A space that was not prepared is made when it is asked for.

import { prepareCosts } from '../../core/nn/cell-costs.ts';
import type { DocumentSpec } from '../../core/spec/document.ts';

/** Makes the cost tables of all spaces that these documents search. */
export async function prepareSpaces(documents: Iterable<DocumentSpec>): Promise<void> {
  for (const document of documents) {
    if (document.kind === 'sweep') await prepareCosts(document.space);
    else if (document.kind === 'plan' && document.search !== undefined)
      await prepareCosts(document.search.space);
  }
}
