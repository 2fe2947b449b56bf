// Where a coordinator stands: what it knows of the fleet, and what keeps it from deciding. The parts of the
// driver share it, and each of them sees a change at once. Decides that inputs do not wait where nothing is
// decided: whoever sent one is better off with another coordinator, or repeats it when it dials again.

import { FleetError } from '../../core/errors.ts';
import type { State } from '../model/state.ts';
import type { Inbox } from './inbox.ts';

/** What a coordinator is to its fleet now. Each but the lead comes with the reason for whoever calls. */
export type Post =
  /** The journal is being read, or cannot be: it is away or damaged. */
  | { readonly kind: 'reading'; readonly error: FleetError }
  /** Another coordinator leads; this one follows the journal. */
  | { readonly kind: 'standby'; readonly error: FleetError }
  /** `claimed`: its first append is stored, so that nobody else leads. */
  | { readonly kind: 'leading'; readonly claimed: boolean }
  /** It leads as far as it knows, and the broker has not answered for so long that another one may lead. */
  | { readonly kind: 'cutOff'; readonly error: FleetError }
  /** It was closed, or cannot go on. */
  | { readonly kind: 'ended'; readonly error: FleetError };

/** The seat of one coordinator. */
export interface Seat {
  readonly post: Post;
  /** Why nothing is decided now; undefined while this coordinator leads. */
  readonly halted: FleetError | undefined;
  /** Undefined before anything was read. */
  readonly state: State | undefined;
  /** Shows this state from now on; the listeners hear of it with the next change. */
  know(state: State): void;
  /** Takes a post, and rejects what waits unless it is the lead. */
  take(post: Post): void;
  /** Calls the listeners. */
  changed(): void;
  /** The listener is called after each change. Returns the end of that. */
  onChange(listener: () => void): () => void;
}

/** The seat of a coordinator that has just started. */
export function createSeat(inbox: Pick<Inbox, 'reject'>): Seat {
  const listeners = new Set<() => void>();
  let state: State | undefined;
  let post: Post = { kind: 'reading', error: STARTING };
  const changed = () => {
    for (const listener of listeners) listener();
  };
  return {
    get post() {
      return post;
    },
    get halted() {
      return post.kind === 'leading' ? undefined : post.error;
    },
    get state() {
      return state;
    },
    know(next) {
      state = next;
    },
    take(next) {
      // What has ended stays so, whatever was still under way.
      if (post.kind === 'ended') return;
      post = next;
      if (next.kind !== 'leading') inbox.reject(next.error);
      changed();
    },
    changed,
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** The state, or why there is none yet. */
export function knownTo({ state, halted }: Pick<Seat, 'state' | 'halted'>): State {
  if (state !== undefined) return state;
  throw halted ?? STARTING;
}

/** `standby`: another coordinator may answer, or this one in a moment. */
const STARTING = new FleetError('unavailable', 'the journal is being read', { details: { standby: true } });
