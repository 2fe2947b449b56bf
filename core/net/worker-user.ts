// A worker as a user of the broker. The worker makes a key when it starts and keeps the seed in its memory; the
// coordinator signs, for the public half, which rights the user with that key has (rights.ts). So no secret
// travels, the broker has no list of workers, and one that was never attached has no rights at all. Decides for
// how long a signature holds and when it is renewed.

import { createUser, encodeUser, fromPublic, fromSeed, type KeyPair } from '@nats-io/jwt';
import type { Clock } from '../clock.ts';
import { FleetError } from '../errors.ts';
import { workerRights } from './rights.ts';
import type { Names } from './subjects.ts';

/** The form of the public half of a user's key. */
export const USER_KEY = /^U[A-Z2-7]{55}$/;

/**
 * How long a worker may go without its coordinator and still come back to the broker, milliseconds. A
 * connection that is older is ended by the broker and made again with a newer signature.
 */
const USER_LIFE_MS = 7 * 86_400_000;
/** A worker that is attached gets a new signature so often, milliseconds. */
const USER_RENEWAL_MS = 86_400_000;

/** The key of a worker's process; plain data, which the worker gives to its data thread. */
export interface UserKey {
  readonly publicKey: string;
  readonly seed: string;
}

/** A new key. */
export function createUserKey(): UserKey {
  const key = createUser();
  return { publicKey: key.getPublicKey(), seed: new TextDecoder().decode(key.getSeed()) };
}

/** A user's JWT, and when it was signed, milliseconds since the epoch. */
export interface SignedUser {
  readonly jwt: string;
  readonly signedAtMs: number;
}

/** Makes users of workers. */
export interface WorkerUsers {
  /**
   * A user with this key and the rights of this worker, from now on for USER_LIFE_MS. Throws `invalidArgument`
   * for a key that is none.
   */
  sign(worker: { readonly workerId: string; readonly publicKey: string }): Promise<SignedUser>;
  /** Whether it is time to sign again. */
  isDue(signed: SignedUser): boolean;
}

/** Signs with the seed of the workers' account; throws `invalidArgument` where that is none. */
export function createWorkerUsers(options: {
  readonly seed: string;
  /** Where the seed was read, for the refusal. */
  readonly from: string;
  readonly names: Names;
  readonly clock: Pick<Clock, 'now'>;
}): WorkerUsers {
  const { names, clock } = options;
  const account = accountOf(options.seed, options.from);
  return {
    async sign({ workerId, publicKey }) {
      const { publish, subscribe, responses } = workerRights(names, workerId);
      const signedAtMs = clock.now();
      const jwt = await encodeUser(
        workerId,
        keyOf(publicKey),
        account,
        {
          pub: { allow: [...publish] },
          sub: { allow: [...subscribe] },
          resp: { max: responses.max, ttl: responses.withinMs * 1e6 },
        },
        { exp: Math.floor((signedAtMs + USER_LIFE_MS) / 1000) },
      );
      return { jwt, signedAtMs };
    },
    isDue: ({ signedAtMs }) => clock.now() - signedAtMs >= USER_RENEWAL_MS,
  };
}

/** A text of the right form may still be none: it carries a checksum. */
function keyOf(publicKey: string): KeyPair {
  try {
    return fromPublic(publicKey);
  } catch (cause) {
    throw new FleetError('invalidArgument', 'hello.broker_key is no public key of a user', { cause });
  }
}

function accountOf(text: string, from: string): KeyPair {
  const seed = text.trim();
  // The first two letters of a seed tell its kind: SA is an account's.
  if (seed.startsWith('SA'))
    try {
      return fromSeed(new TextEncoder().encode(seed));
    } catch {
      // The refusal below shows nothing of the text, which may be another secret.
    }
  throw new FleetError(
    'invalidArgument',
    `${from} holds no seed of an account (SA...), with which the rights of workers are signed`,
  );
}
