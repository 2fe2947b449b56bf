// What the coordinator asks of the Kubernetes API, seen one request at a time for the metrics. Decides how an
// answer counts; watches are none of these, since they have no end.

import { ApiException } from '@kubernetes/client-node';
import type {
  REQUEST_OUTCOMES,
  REQUEST_RESOURCES,
  REQUEST_VERBS,
} from '../../core/metrics/coordinator-catalogue.ts';

/** One request that was answered, or not. */
export interface SeenRequest {
  readonly verb: (typeof REQUEST_VERBS)[number];
  readonly resource: (typeof REQUEST_RESOURCES)[number];
  readonly outcome: RequestOutcome;
}

/** How it ended. */
export type RequestOutcome = (typeof REQUEST_OUTCOMES)[number];

/** Asks, and reports how that ended. */
export type Ask = <T>(
  verb: SeenRequest['verb'],
  resource: SeenRequest['resource'],
  request: () => Promise<T>,
) => Promise<T>;

/** `onRequest` sees every request once, after its end. */
export function observedRequests(onRequest: (request: SeenRequest) => void): Ask {
  return async (verb, resource, request) => {
    try {
      const answer = await request();
      onRequest({ verb, resource, outcome: 'ok' });
      return answer;
    } catch (caught) {
      onRequest({ verb, resource, outcome: outcomeOf(caught) });
      throw caught;
    }
  };
}

/** How a request that was rejected counts. */
export function outcomeOf(caught: unknown): RequestOutcome {
  switch (caught instanceof ApiException ? caught.code : undefined) {
    case 404:
      return 'missing';
    case 409:
      return 'conflict';
    case 401:
    case 403:
      return 'refused';
    default:
      return 'failed';
  }
}
