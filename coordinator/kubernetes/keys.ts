// The secrets of a fleet in a cluster: tokens, each by itself, and the keys of its broker, which belong
// together. Decides what is missing and makes that alone, from the system's random source; a value that is
// there is never replaced, whoever wrote it and whenever. Needs the rights to get, create and patch these
// secrets.

import {
  ApiException,
  CoreV1Api,
  type KubeConfig,
  PatchStrategy,
  setHeaderOptions,
  type V1Secret,
} from '@kubernetes/client-node';
import type { Clock } from '../../core/clock.ts';
import { FleetError } from '../../core/errors.ts';
import { BROKER_KEYS, type BrokerKeys, makeBrokerKeys } from '../../core/net/broker-keys.ts';
import type { Role } from '../../core/net/roles.ts';
import { newToken } from '../../core/net/token-file.ts';
import { retrying, WAIT_FOR_ROOM } from '../../core/retry.ts';
import { randomHex, randomId } from '../../core/rng.ts';

/** Which keys were made, and which were there. */
export interface KeysOutcome {
  readonly made: readonly string[];
  readonly kept: readonly string[];
}

/** A secret that must have certain keys. */
export interface WantedSecret {
  readonly secret: string;
  readonly keys: readonly string[];
  /** The values of keys that it lacks; throws where these alone cannot be made. */
  readonly make: (missing: readonly string[]) => Promise<Readonly<Record<string, string>>>;
}

/** Tokens under these names. */
export const tokensIn = (secret: string, keys: readonly string[]): WantedSecret => ({
  ...{ secret, keys },
  make: async (missing) => Object.fromEntries(missing.map((key) => [key, tokenFor(key)])),
});

/** The keys of a broker: all of them or none. */
export function brokerKeysIn(secret: string): WantedSecret {
  const keys = Object.values(BROKER_KEYS);
  return {
    ...{ secret, keys },
    async make(missing) {
      if (missing.length < keys.length)
        throw new FleetError(
          'failedPrecondition',
          `the secret ${secret} lacks ${missing.join(' and ')}, which belong to what it has; put them back, or delete the secret and restart broker and coordinator, which keeps the fleet's data`,
        );
      const made = await makeBrokerKeys();
      return Object.fromEntries(
        Object.entries(BROKER_KEYS).map(([name, key]) => [key, made[name as keyof BrokerKeys]]),
      );
    },
  };
}

const TOKEN_BYTES = 32;
/**
 * An attempt that takes longer has met a server that took the connection and does not answer, milliseconds.
 */
const ATTEMPT_MS = 15_000;

/**
 * Makes the keys of the secret that are not there. Tries again for `waitMs` while the API server does not
 * answer.
 */
export async function ensureKeys(
  options: WantedSecret & {
    readonly config: KubeConfig;
    readonly namespace: string;
    readonly clock: Clock;
    readonly waitMs: number;
  },
): Promise<KeysOutcome> {
  const { clock, waitMs } = options;
  const api = options.config.makeApiClient(CoreV1Api);
  return retrying(() => within(clock, attempt(api, options)), {
    backoff: WAIT_FOR_ROOM,
    clock,
    withinMs: waitMs,
    finalError: (caught, isLate) => {
      const error = explain(caught, options);
      return !error.retryable || isLate ? error : undefined;
    },
  });
}

async function within<T>(clock: Clock, attempted: Promise<T>): Promise<T> {
  const ending = new AbortController();
  const tooLong = clock.sleep(ATTEMPT_MS, ending.signal).then(() => {
    throw new FleetError(
      'unavailable',
      `the Kubernetes API took a request and did not answer in ${ATTEMPT_MS} ms`,
    );
  });
  try {
    return await Promise.race([attempted, tooLong]);
  } finally {
    tooLong.catch(() => undefined);
    ending.abort();
  }
}

interface Wanted extends WantedSecret {
  readonly namespace: string;
}

async function attempt(api: CoreV1Api, wanted: Wanted): Promise<KeysOutcome> {
  const { namespace, secret, keys, make } = wanted;
  const found = await read(api, wanted);
  const missing = missingKeys(found, wanted);
  if (missing.length > 0) {
    const made = await make(missing);
    // An apply without force, by a manager that nobody else is, conflicts with every value that is there: of
    // two that do this at once the second one is refused, reads again and finds the keys of the first one.
    await api.patchNamespacedSecret(
      {
        name: secret,
        namespace,
        fieldManager: `pocketfleet-keys-${randomId()}`,
        force: false,
        body: {
          apiVersion: 'v1',
          kind: 'Secret',
          metadata: { name: secret },
          data: Object.fromEntries(Object.entries(made).map(([key, text]) => [key, base64(text)])),
        },
      },
      setHeaderOptions('Content-Type', PatchStrategy.ServerSideApply),
    );
  }
  return { made: missing, kept: keys.filter((key) => !missing.includes(key)) };
}

async function read(
  api: CoreV1Api,
  { namespace, secret }: Pick<Wanted, 'namespace' | 'secret'>,
): Promise<V1Secret | undefined> {
  try {
    return await api.readNamespacedSecret({ name: secret, namespace });
  } catch (caught) {
    if (caught instanceof ApiException && caught.code === 404) return undefined;
    throw caught;
  }
}

/**
 * Keys that the secret lacks. An empty value is not replaced and not accepted: a fleet with it would ask for
 * no token.
 */
export function missingKeys(
  found: V1Secret | undefined,
  { namespace, secret, keys }: Omit<Wanted, 'make'>,
): string[] {
  const empty = keys.filter((key) => found?.data?.[key] === '');
  if (empty.length > 0)
    throw new FleetError(
      'failedPrecondition',
      `the secret ${secret} of namespace ${namespace} has an empty value under ${empty.join(' and ')}; give it one, or delete the key and one is made`,
    );
  return keys.filter((key) => found?.data?.[key] === undefined);
}

/** The role of the callers' tokens by their keys; any other key is a secret of another program. */
const ROLES: Readonly<Record<string, Role>> = { token: 'admin', 'worker-token': 'worker' };

function tokenFor(key: string): string {
  const role = ROLES[key];
  return role === undefined ? randomHex(TOKEN_BYTES) : newToken(role);
}
const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** A refusal of the API as a sentence; what may pass by itself is retryable. */
function explain(caught: unknown, { namespace, secret, keys }: Omit<Wanted, 'make'>): FleetError {
  if (caught instanceof FleetError) return caught;
  const where = `the secret ${secret} of namespace ${namespace}`;
  if (!(caught instanceof ApiException))
    return new FleetError(
      'unavailable',
      `the Kubernetes API does not answer (${caught instanceof Error ? caught.message : String(caught)}); ${where} cannot be read`,
      { cause: caught },
    );
  switch (caught.code) {
    case 401:
    case 403:
      return new FleetError(
        'permissionDenied',
        `this service account may not make ${where}; it needs the verbs get, create and patch on that name, which the chart's Role gives`,
        { cause: caught },
      );
    case 404:
      return new FleetError(
        'notFound',
        `there is no namespace ${namespace}, in which ${secret} could be made`,
        { cause: caught },
      );
    case 409:
      return new FleetError('aborted', `${where} was written by somebody else at the same time`, {
        cause: caught,
      });
    case 422:
      return new FleetError(
        'failedPrecondition',
        `${where} lacks one of the keys ${keys.join(', ')} and does not take it (is it immutable?); make it anew with all of them`,
        { cause: caught },
      );
    default:
      return new FleetError('unavailable', `the Kubernetes API answers ${caught.code} for ${where}`, {
        cause: caught,
      });
  }
}
