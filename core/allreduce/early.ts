// Contributions that come before this member knows the groups, from members that know them already. Decides how much
// is kept until then; what is beyond that is dropped, and asked for later.

import type { Header } from './message.ts';

/** What the window lets others have under way to one member fits (plan.ts). */
const BYTES_MAX = 64 * 1024 * 1024;

export interface Early {
  /** False when there is no room. */
  keep(header: Header, data: Uint8Array): boolean;
  /** Gives all that is kept, in the order in which it came, and forgets it. */
  release(take: (header: Header, data: Uint8Array) => void): void;
}

export function createEarly(): Early {
  const kept: { readonly header: Header; readonly data: Uint8Array }[] = [];
  let bytes = 0;
  return {
    keep(header, data) {
      bytes += data.length;
      if (bytes > BYTES_MAX) return false;
      kept.push({ header, data });
      return true;
    },
    release(take) {
      for (const { header, data } of kept.splice(0)) take(header, data);
    },
  };
}
