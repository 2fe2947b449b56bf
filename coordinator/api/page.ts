// One page of a list: how many items it takes and where the next page begins. Decides that no page gets near
// the 4 MiB that a gRPC client takes by default, and that a token belongs to one list in one order: with any
// other it is refused instead of giving a wrong page.

import { FleetError } from '../../core/errors.ts';

/** The fields of every paged request, under their names on the wire. */
export interface PageRequest {
  readonly pageSize?: number | undefined;
  readonly pageToken?: string | undefined;
}

/** A page that is being filled. */
export interface Page<T> {
  /** Key of the last item of the page before; undefined on the first. */
  readonly after: string | undefined;
  readonly items: T[];
  /**
   * The same for a list whose keys are numbers; undefined on the first page. Throws `invalidArgument` where the
   * token has no whole number from 0 on.
   */
  afterNumber(): number | undefined;
  /** Adds an item, or returns false: the page is full, and the item belongs to the next page. */
  take(key: string, item: T): boolean;
  /** Empty unless the page was full. */
  readonly nextPageToken: string;
}

/** Items of a page when the request names no number, and at most. */
const SIZE_DEFAULT = 1_000;
const SIZE_MAX = 10_000;
/**
 * Bytes of a page's encoded items. One item has 1 MiB at most, because a view clips its texts, so that a page
 * stays well below 4 MiB.
 */
const PAGE_BYTES_MAX = 2 * 1024 * 1024;

/**
 * Begins a page after the item that the token of the page before names. Throws on a token of another list.
 */
export function openPage<T>(options: {
  /** Names the list with everything that selects from it; a token of another list is refused. */
  readonly list: string;
  readonly request: PageRequest;
  readonly bytesOf: (item: T) => number;
}): Page<T> {
  const { list, request, bytesOf } = options;
  const sizeMax = Math.min(SIZE_MAX, request.pageSize || SIZE_DEFAULT);
  const items: T[] = [];
  let bytes = 0;
  let last = '';
  let nextPageToken = '';
  const after = afterOf(list, request.pageToken ?? '');
  return {
    after,
    items,
    afterNumber() {
      if (after === undefined) return undefined;
      if (!/^\d{1,15}$/.test(after)) throw foreignToken();
      return Number(after);
    },
    get nextPageToken() {
      return nextPageToken;
    },
    take(key, item) {
      const size = bytesOf(item);
      if (items.length > 0 && (items.length >= sizeMax || bytes + size > PAGE_BYTES_MAX)) {
        nextPageToken = Buffer.from(JSON.stringify([list, last])).toString('base64url');
        return false;
      }
      bytes += size;
      last = key;
      items.push(item);
      return true;
    },
  };
}

/** Places 1 to `total` after `from`, the last of the page before, upwards or from the newest down. */
export function* places(
  total: number,
  from: number | undefined,
  newestFirst: boolean | undefined,
): Generator<number> {
  if (newestFirst)
    for (let place = Math.min(total, (from ?? total + 1) - 1); place >= 1; place--) yield place;
  else for (let place = (from ?? 0) + 1; place <= total; place++) yield place;
}

function afterOf(list: string, token: string): string | undefined {
  if (token === '') return undefined;
  try {
    const parsed = JSON.parse(Buffer.from(token, 'base64url').toString('utf8')) as unknown;
    if (Array.isArray(parsed) && parsed[0] === list && typeof parsed[1] === 'string') return parsed[1];
  } catch {
    // What cannot be read was not made here; the refusal below is right for it too.
  }
  throw foreignToken();
}

const foreignToken = () =>
  new FleetError(
    'invalidArgument',
    'page_token: it is not of this list; take next_page_token of the answer before, and repeat all other fields of its request',
  );

/** The number of bytes that a message takes within another one, with its tag and length. */
export function bytesOf<T>(type: { encode(message: T): { finish(): Uint8Array } }): (item: T) => number {
  return (item) => type.encode(item).finish().length + TAG_BYTES;
}
const TAG_BYTES = 6;
