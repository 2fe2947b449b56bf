// Which of several coordinators is dialled next. One of them leads and the others answer with its address, or
// not at all; a client that knows some of them finds the leader by their answers. Pure.

import type { FleetError } from '../errors.ts';
import { refusalOfAddress } from '../text/host-port.ts';

/** The way of one client through the addresses that it was given. */
export interface Route {
  /** host:port to dial now. */
  readonly current: string;
  /**
   * A call there has failed with this error. Chooses where to dial next, and returns whether that is the
   * leader as the answer named it: it need not be waited for.
   */
  failed(error: FleetError): boolean;
}

/** Starts with the first of `addresses`, of which there is at least one. */
export function createRoute(addresses: readonly string[]): Route {
  let index = 0;
  /** The leader that an answer named, until a call there fails. */
  let leader: string | undefined;
  return {
    get current() {
      return leader ?? addresses[index % addresses.length]!;
    },
    failed(error) {
      const named = error.details.leader;
      const before = this.current;
      const isKnown = typeof named === 'string' && refusalOfAddress(named, 1) === undefined;
      if (isKnown && named !== before) {
        leader = named;
        return true;
      }
      // The one that was named does not lead or does not answer: the others may know more by now.
      leader = undefined;
      if (addresses[index % addresses.length] === before) index += 1;
      return false;
    },
  };
}
