// The lease of the lead: a key beside the journal that the leader renews each second and the others look at.
// Decides when another coordinator may try to take the lead: when the key is absent, or has not changed for
// LEASE_MS of this machine's own time. What others call the time counts nothing.
//
// It is no fence. Two coordinators may both believe that they hold it for a moment; which one leads is decided
// by the journal, where an append names the sequence that it expects to be the last.

import { z } from 'zod';
import type { Clock } from '../../core/clock.ts';
import { FleetError, toFleetError } from '../../core/errors.ts';
import { openBucket, streamClient } from '../../core/net/jetstream.ts';
import type { NatsConnection } from '../../core/net/nats.ts';
import { randomId } from '../../core/rng.ts';

const holderSchema = z.looseObject({
  /** Random at each start of a coordinator. */
  holder: z.string(),
  /** host:port at which it takes calls. */
  address: z.string(),
  /** Of the lead that it has, or is about to claim. */
  epoch: z.int().min(0),
  /** Of its program. */
  version: z.string(),
});
/** Who holds the lease, in its own words. */
export type Holder = Readonly<z.infer<typeof holderSchema>>;

/** What one look at the key has found and done. */
export type Hold =
  /** This coordinator holds it. */
  | { readonly kind: 'ours' }
  /** Another one does, as far as is known; undefined: the key cannot be read. */
  | { readonly kind: 'other'; readonly holder: Holder | undefined }
  /** Nobody seems to, and the store has no room to write that down. */
  | { readonly kind: 'unwritable' };

/** The lease as one coordinator sees it. */
export interface Lease {
  /**
   * Renews it, takes it when nobody holds it, and otherwise names who does. Rejects when the broker does not
   * answer; time in which it did not is nobody's silence.
   */
  hold(epoch: number): Promise<Hold>;
  /**
   * false: another coordinator may have taken it by now. It is true for a little less than LEASE_MS after each
   * renewal, and where the store has no room for one.
   */
  readonly isFresh: boolean;
  /** Gives it back, if it is held, so that another coordinator need not wait for its end. */
  release(): Promise<void>;
}

/** How often the leader renews it, milliseconds. */
export const LEASE_RENEW_MS = 1_000;
/** How long it may stand unchanged before another coordinator tries to take it, milliseconds. */
export const LEASE_MS = 3_000;
/** What is left of LEASE_MS for effects to leave after a look at it, milliseconds. */
const MARGIN_MS = 250;
/** The key in the fleet's bucket. */
export const LEASE_KEY = 'lead';
/** How long the broker may take to answer, milliseconds. */
const REQUEST_MS = 1_000;

/** The key as it was found. */
export interface FoundLease {
  /** Undefined: it is absent or deleted. */
  readonly value: string | undefined;
  /** 0 when there was never one. */
  readonly revision: number;
}

/** Where the lease is kept; each call rejects when the broker does not answer or has no room. */
export interface LeaseKey {
  find(): Promise<FoundLease>;
  /** Compare-and-swap: the new revision, or undefined when the key is not at `revision` any more. */
  write(value: string, revision: number): Promise<number | undefined>;
  remove(revision: number): Promise<void>;
}

/** A lease on this key. `address`: where this coordinator takes calls, once it does. */
export function openLease(options: {
  readonly key: LeaseKey;
  readonly address: Promise<string>;
  readonly version: string;
  readonly clock: Pick<Clock, 'monotonic'>;
}): Lease {
  const { key, version, clock } = options;
  const own = randomId();
  /** The revision that this coordinator wrote last, while it holds the lease. */
  let held: number | undefined;
  /** When the last renewal began: nobody else has seen its revision before. */
  let renewedMs = Number.NEGATIVE_INFINITY;
  let isUnwritable = false;
  let hasLooked = false;
  let seen: { readonly revision: number; readonly sinceMs: number } | undefined;

  /** Undefined when somebody else was first, or an answer of ours was lost. */
  async function write(epoch: number, revision: number): Promise<number | undefined> {
    const address = await options.address;
    const begunMs = clock.monotonic();
    const written = await key.write(
      JSON.stringify({ holder: own, address, epoch, version } satisfies Holder),
      revision,
    );
    if (written !== undefined) renewedMs = begunMs;
    return written;
  }

  /** Whether a key that another one has written may be taken: it is absent, stale, or of an earlier process. */
  function isFree({ value, revision }: FoundLease, holder: Holder | undefined, address: string): boolean {
    const isFirstLook = !hasLooked;
    hasLooked = true;
    if (seen?.revision !== revision) seen = { revision, sinceMs: clock.monotonic() };
    if (value === undefined) return true;
    // Nobody else can take calls at this address: an earlier process of this coordinator has written it.
    if (isFirstLook && holder?.address === address) return true;
    return clock.monotonic() - seen.sinceMs >= LEASE_MS;
  }

  async function look(epoch: number): Promise<Hold> {
    if (held !== undefined) {
      held = await write(epoch, held);
      if (held !== undefined) return { kind: 'ours' };
    }
    const found = await key.find();
    const holder = holderOf(found.value);
    if (holder?.holder === own || isFree(found, holder, await options.address)) {
      held = await write(epoch, found.revision);
      if (held !== undefined) return { kind: 'ours' };
      return { kind: 'other', holder: holderOf((await key.find()).value) };
    }
    return { kind: 'other', holder };
  }

  return {
    async hold(epoch) {
      try {
        const hold = await look(epoch);
        isUnwritable = false;
        return hold;
      } catch (caught) {
        const error = toFleetError(caught);
        isUnwritable = error.code === 'resourceExhausted';
        if (isUnwritable) return { kind: 'unwritable' };
        seen = undefined;
        throw error;
      }
    },
    get isFresh() {
      return isUnwritable || clock.monotonic() - renewedMs < LEASE_MS - MARGIN_MS;
    },
    async release() {
      if (held === undefined) return;
      const revision = held;
      held = undefined;
      await key.remove(revision);
    },
  };
}

/** The key in this bucket, which must exist when it is used. */
export function leaseKeyOf(connection: NatsConnection, bucket: string): LeaseKey {
  const client = streamClient(connection, { timeoutMs: REQUEST_MS });
  const open = () => openBucket(client, bucket, { direct: false });
  return {
    async find() {
      const entry = await (await open()).get(LEASE_KEY);
      if (entry === null) return { value: undefined, revision: 0 };
      return { value: entry.operation === 'PUT' ? entry.string() : undefined, revision: entry.revision };
    },
    async write(value, previousSeq) {
      try {
        return await (await open()).put(LEASE_KEY, value, { previousSeq, timeout: REQUEST_MS });
      } catch (caught) {
        const error = toFleetError(caught, 'renewing the lease of the lead');
        if (error.code === 'aborted') return undefined;
        throw error;
      }
    },
    remove: async (previousSeq) => (await open()).delete(LEASE_KEY, { previousSeq }),
  };
}

function holderOf(value: string | undefined): Holder | undefined {
  if (value === undefined) return undefined;
  try {
    return holderSchema.parse(JSON.parse(value));
  } catch {
    // Somebody has damaged the entry. It counts as held until it has stood unchanged for long enough.
    return undefined;
  }
}

/** The error of a call that only the leader can answer; `details.leader` is where that one takes calls. */
export function standbyError(holder: Holder | undefined): FleetError {
  return new FleetError(
    'unavailable',
    holder === undefined
      ? 'this coordinator is a standby, and which one leads is not known yet; try again in a moment'
      : `this coordinator is a standby; the leader is at ${holder.address}`,
    { details: { standby: true, ...(holder === undefined ? {} : { leader: holder.address }) } },
  );
}
