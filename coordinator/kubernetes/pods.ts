// The pods of the workers as Kubernetes sees them: a worker whose pod is evicted, deleted or failed leaves
// its gangs at once, before any heartbeat is missed. Decides what a pod's state means for its worker, and
// keeps the watch over the pods alive. Which worker a pod is follows from the uid that the worker reports
// when it attaches, and not from the pod's name, which its successor has too.

import { CoreV1Api, makeInformer, type V1Pod } from '@kubernetes/client-node';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../../core/clock.ts';
import type { Logger } from '../../core/log.ts';
import type { KubernetesRequest } from '../../core/metrics/coordinator-catalogue.ts';
import { delayMs, WAIT_FOR_ROOM } from '../../core/retry.ts';
import type { WorkerState } from '../model/state.ts';
import type { Verdict } from '../workers/verdicts.ts';
import { kubernetesConfig, namespaceOf } from './kube-config.ts';
import { observedRequests } from './requests.ts';

/** `leaving`: its processes may still run, and are being ended; `gone`: none runs. */
export interface PodVerdict {
  readonly kind: 'leaving' | 'gone';
  readonly reason: string;
}

/** The pods as they were last seen. */
export interface PodWatch {
  /** What the state of their pods means for these workers, as inputs of the core. */
  judge(workers: Iterable<WorkerState>): Verdict[];
  close(): Promise<void>;
}

/** Verdicts kept: of more pods than this the oldest are forgotten. */
const VERDICTS_MAX = 10_000;

/** What a pod's state means, or undefined while nothing is wrong with it. */
export function verdictOf({ metadata, status }: V1Pod): PodVerdict | undefined {
  const { phase, reason, message } = status ?? {};
  if (phase === 'Failed' || phase === 'Succeeded')
    return { kind: 'gone', reason: `its pod ended as ${phase}${inBrackets(reason, message)}` };
  const disruption = status?.conditions?.find(
    (condition) => condition.type === 'DisruptionTarget' && condition.status === 'True',
  );
  if (disruption !== undefined)
    return {
      kind: 'leaving',
      reason: `its pod is evicted${inBrackets(disruption.reason, disruption.message)}`,
    };
  return metadata?.deletionTimestamp === undefined
    ? undefined
    : { kind: 'leaving', reason: 'its pod is being deleted' };
}

/**
 * What follows for workers from the verdicts on pods, by metadata.uid. A worker belongs to the pod whose uid
 * it reported, whatever pod has that name now.
 */
export function inputsFrom(
  verdicts: Pick<ReadonlyMap<string, PodVerdict>, 'get'>,
  workers: Iterable<WorkerState>,
): Verdict[] {
  return [...workers].flatMap((worker): Verdict[] => {
    const verdict = worker.podUid === '' ? undefined : verdicts.get(worker.podUid);
    if (verdict === undefined || worker.state === 'lost') return [];
    const { id: workerId, incarnation } = worker;
    const { kind, reason } = verdict;
    if (kind === 'gone') return [{ kind: 'lost', workerId, incarnation, cause: 'pod_ended', reason }];
    return worker.state === 'attached' ? [{ kind: 'leaving', workerId, incarnation, reason }] : [];
  });
}

/**
 * Follows the pods with these labels. Throws FleetError `failedPrecondition` when there is no Kubernetes
 * configuration (KUBECONFIG, or that of a pod).
 */
export function watchPods(options: {
  readonly selector: string;
  /** Empty: that of the configuration. */
  readonly namespace: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Called when there may be something new to judge. */
  readonly onChange: () => void;
  readonly onRequest: (request: KubernetesRequest) => void;
}): PodWatch {
  const { selector, clock, log, onChange } = options;
  const config = kubernetesConfig(
    'podSelector is set, but there is no Kubernetes configuration: set KUBECONFIG, run in a pod with a service account token, or leave podSelector empty',
  );
  const namespace = options.namespace || namespaceOf(config);
  const api = config.makeApiClient(CoreV1Api);
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods`;
  const ask = observedRequests(options.onRequest);
  const list = () => ask('list', 'pods', () => api.listNamespacedPod({ namespace, labelSelector: selector }));
  const informer = makeInformer(config, path, list, selector);
  const stopping = new AbortController();
  const verdicts = new LRUCache<string, PodVerdict>({ max: VERDICTS_MAX });
  /** Pods by name: one that was deleted and made anew while nobody watched has another uid. */
  const uids = new Map<string, string>();

  const judge = (uid: string, verdict: PodVerdict | undefined) => {
    if (verdict === undefined || verdicts.peek(uid)?.kind === 'gone') return;
    verdicts.set(uid, verdict);
    onChange();
  };
  const see = (pod: V1Pod) => {
    const { name = '', uid = '' } = pod.metadata ?? {};
    const before = uids.get(name);
    uids.set(name, uid);
    if (before !== undefined && before !== uid) judge(before, DELETED);
    judge(uid, verdictOf(pod));
  };
  informer.on('add', see);
  informer.on('update', see);
  informer.on('delete', ({ metadata }: V1Pod) => {
    const { name = '', uid = '' } = metadata ?? {};
    uids.delete(name);
    judge(uid, DELETED);
  });
  let again = Promise.resolve();
  informer.on('error', (caught: unknown) => {
    if (stopping.signal.aborted) return;
    log.warn({ error: String(caught) }, 'the pods of workers are not watched; begins again');
    again = clock.sleep(delayMs(WAIT_FOR_ROOM, 1), stopping.signal).then(
      () => informer.start(),
      () => undefined,
    );
  });
  const started = informer.start();
  log.info({ namespace, selector }, 'the pods of workers are watched');
  return {
    judge: (workers) => inputsFrom(verdicts, workers),
    async close() {
      stopping.abort();
      await informer.stop();
      await Promise.all([started, again]);
      await informer.stop();
    },
  };
}

const DELETED: PodVerdict = { kind: 'gone', reason: 'its pod was deleted' };

function inBrackets(reason: string | undefined, message: string | undefined): string {
  const text = [reason, message].filter((part) => part !== undefined && part !== '').join(': ');
  return text === '' ? '' : ` (${text})`;
}
