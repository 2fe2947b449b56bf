// What the coordinator asks of the Kubernetes API, seen one request at a time for the metrics. Decides how an
// answer counts; watches are none of these, since they have no end.

import { ApiException } from '@kubernetes/client-node';
import type { KubernetesRequest } from '../../core/metrics/coordinator-catalogue.ts';

/** Asks, and reports how that ended. */
export type Ask = <T>(
  verb: KubernetesRequest['verb'],
  resource: KubernetesRequest['resource'],
  request: () => Promise<T>,
) => Promise<T>;

/** `onRequest` sees every request once, after its end. */
export function observedRequests(onRequest: (request: KubernetesRequest) => void): Ask {
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
export function outcomeOf(caught: unknown): KubernetesRequest['outcome'] {
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
