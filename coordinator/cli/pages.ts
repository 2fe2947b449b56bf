// Paged lists of the fleet as one list: all of it, or its first items. The coordinator decides how much a
// page holds.

/** What a paged request takes to get one page. */
export interface PageFields {
  readonly pageSize: number;
  readonly pageToken: string;
}

export interface Listed<T> {
  readonly items: T[];
  /** Number of items in the whole list, counted by the coordinator. */
  readonly total: number;
}

/** Items asked for at once where all are wanted; a page that gets too large ends earlier. */
const PAGE_SIZE = 5_000;

/**
 * The items of a list in its order, `max` at most: `listAll((page) => client.ask(..., page), ({ runs }) =>
 * runs)`.
 */
export async function listAll<R extends { readonly nextPageToken: string; readonly total?: number }, T>(
  ask: (page: PageFields) => Promise<R>,
  itemsOf: (answer: R) => readonly T[],
  max = Number.POSITIVE_INFINITY,
): Promise<Listed<T>> {
  const items: T[] = [];
  let pageToken = '';
  for (;;) {
    const answer = await ask({ pageSize: Math.min(PAGE_SIZE, max - items.length), pageToken });
    for (const item of itemsOf(answer)) items.push(item);
    pageToken = answer.nextPageToken;
    if (pageToken === '' || items.length >= max) return { items, total: answer.total ?? items.length };
  }
}

/** The newest `limit` items, oldest first; the whole list where there is no limit. */
export async function listNewest<R extends { readonly nextPageToken: string; readonly total?: number }, T>(
  limit: number,
  ask: (page: PageFields & { readonly newestFirst: boolean }) => Promise<R>,
  itemsOf: (answer: R) => readonly T[],
): Promise<Listed<T>> {
  const newestFirst = Number.isFinite(limit);
  const { items, total } = await listAll((page) => ask({ ...page, newestFirst }), itemsOf, limit);
  return { items: newestFirst ? items.slice(0, limit).reverse() : items, total };
}
