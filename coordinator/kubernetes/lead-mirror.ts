// Who leads, as Kubernetes shows it: a label on the leader's pod, by which the Service finds it, and a Lease
// object for people and tools. A mirror alone: nothing here decides who leads, and a coordinator leads as well
// while the API server is away. Decides that the leader takes the label off every other pod, because the one
// that had it may stand still and cannot.

import {
  CoordinationV1Api,
  CoreV1Api,
  PatchStrategy,
  setHeaderOptions,
  V1MicroTime,
} from '@kubernetes/client-node';
import type { Clock } from '../../core/clock.ts';
import { toFleetError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import type { KubernetesRequest } from '../../core/metrics/coordinator-catalogue.ts';
import { kubernetesConfig, namespaceOf } from './kube-config.ts';
import { observedRequests, outcomeOf } from './requests.ts';

/** The mirror of one coordinator. */
export interface LeadMirror {
  /** This coordinator leads from now on, or does not. */
  show(leads: boolean): void;
  close(): Promise<void>;
}

/** `true` on the pod of the leader. */
export const LEADS_LABEL = 'pocketfleet.io/leads';
/** Between two renewals of the Lease, milliseconds. */
const RENEW_MS = 5_000;
/** What a reader of the Lease goes by, seconds: after that its holder may be gone. */
const LEASE_SECONDS = 15;

/** Throws FleetError `failedPrecondition` when there is no Kubernetes configuration. */
export function mirrorLead(options: {
  /** Empty: that of the configuration. */
  readonly namespace: string;
  /** The pod of this coordinator. */
  readonly podName: string;
  /** Name of the Lease object; empty: none is written. */
  readonly leaseName: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly onRequest: (request: KubernetesRequest) => void;
}): LeadMirror {
  const ask = observedRequests(options.onRequest);
  const { podName, leaseName, clock, log } = options;
  const config = kubernetesConfig(
    'podName is set, but there is no Kubernetes configuration: set KUBECONFIG, run in a pod with a service account token, or leave podName empty',
  );
  const namespace = options.namespace || namespaceOf(config);
  const pods = config.makeApiClient(CoreV1Api);
  const leases = config.makeApiClient(CoordinationV1Api);
  const stopping = new AbortController();
  let leads = false;
  let reported = '';
  let wake: () => void = () => undefined;

  const label = (name: string, value: string) =>
    ask('patch', 'pods', () =>
      pods.patchNamespacedPod(
        { name, namespace, body: { metadata: { labels: { [LEADS_LABEL]: value } } } },
        setHeaderOptions('Content-Type', PatchStrategy.MergePatch),
      ),
    );

  async function write(): Promise<void> {
    if (!leads) {
      await label(podName, 'false');
      return;
    }
    const { items } = await ask('list', 'pods', () =>
      pods.listNamespacedPod({ namespace, labelSelector: `${LEADS_LABEL}=true` }),
    );
    for (const { metadata } of items)
      if (metadata?.name !== undefined && metadata.name !== podName) await label(metadata.name, 'false');
    await label(podName, 'true');
    if (leaseName !== '') await renew();
  }

  async function renew(): Promise<void> {
    const now = new V1MicroTime(clock.now());
    const read = () => leases.readNamespacedLease({ name: leaseName, namespace });
    const found = await ask('get', 'leases', read).catch((caught) => {
      if (outcomeOf(caught) === 'missing') return undefined;
      throw caught;
    });
    const before = found?.spec;
    const isNew = before === undefined || before.holderIdentity !== podName;
    const spec = {
      ...{ holderIdentity: podName, leaseDurationSeconds: LEASE_SECONDS, renewTime: now },
      acquireTime: isNew ? now : (before.acquireTime ?? now),
      leaseTransitions: (before?.leaseTransitions ?? 0) + (isNew && found !== undefined ? 1 : 0),
    };
    if (found === undefined)
      await ask('create', 'leases', () =>
        leases.createNamespacedLease({ namespace, body: { metadata: { name: leaseName }, spec } }),
      );
    else
      await ask('update', 'leases', () =>
        leases.replaceNamespacedLease({ name: leaseName, namespace, body: { ...found, spec } }),
      );
  }

  const writing = (async () => {
    while (!stopping.signal.aborted) {
      const shown: boolean = leads;
      try {
        await write();
        reported = '';
      } catch (caught) {
        const { message } = toFleetError(caught, 'showing who leads in Kubernetes');
        if (reported !== message) log.warn(message);
        reported = message;
      }
      if (shown !== leads) continue;
      const woken = new Promise<void>((resolve) => {
        wake = resolve;
      });
      await Promise.race([clock.sleep(RENEW_MS, stopping.signal).catch(() => undefined), woken]);
    }
  })();

  return {
    show(now) {
      if (now === leads) return;
      leads = now;
      wake();
    },
    async close() {
      stopping.abort();
      wake();
      await writing;
    },
  };
}
