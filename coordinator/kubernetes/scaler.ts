// The leader sets how many pods the StatefulSet of the workers has. Decides when the cluster is asked, and that
// an API server that is away changes nothing but the time at which a step is taken.

import { AppsV1Api, PatchStrategy, setHeaderOptions } from '@kubernetes/client-node';
import type { Clock } from '../../core/clock.ts';
import { toFleetError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import type { KubernetesRequest, ScalerStep } from '../../core/metrics/coordinator-catalogue.ts';
import type { WorkerState } from '../model/state.ts';
import type { Verdict } from '../workers/verdicts.ts';
import { kubernetesConfig, namespaceOf } from './kube-config.ts';
import { observedRequests } from './requests.ts';
import { type ScaleLimits, type ScaleMemory, scaleStep } from './scaling.ts';

/** Between two looks, milliseconds. */
const LOOK_MS = 2_000;

/** Begins; the result ends it. Throws FleetError `failedPrecondition` without a Kubernetes configuration. */
export function startScaler(options: {
  /** Name of the StatefulSet. */
  readonly name: string;
  /** Empty: that of the configuration. */
  readonly namespace: string;
  readonly limits: ScaleLimits;
  /** The fleet as it is; undefined: this coordinator does not lead, and leaves the cluster alone. */
  readonly view: () => { readonly demand: number; readonly workers: Iterable<WorkerState> } | undefined;
  readonly submit: (verdicts: readonly Verdict[]) => void;
  readonly clock: Clock;
  readonly log: Logger;
  readonly onRequest: (request: KubernetesRequest) => void;
  readonly onStep: (step: ScalerStep) => void;
}): { close(): Promise<void> } {
  const { name, limits, view, clock, log } = options;
  const config = kubernetesConfig(
    'scaleWorkers is set, but there is no Kubernetes configuration: set KUBECONFIG, run in a pod with a service account token, or leave scaleWorkers empty',
  );
  const namespace = options.namespace || namespaceOf(config);
  const api = config.makeApiClient(AppsV1Api);
  const ask = observedRequests(options.onRequest);
  const stopping = new AbortController();
  let memory: ScaleMemory = {};
  let reported = '';

  async function look(): Promise<void> {
    const seen = view();
    if (seen === undefined) {
      memory = {};
      return;
    }
    const { spec } = await ask('get', 'statefulsets', () =>
      api.readNamespacedStatefulSetScale({ name, namespace }),
    );
    const now = { ...seen, name, replicas: spec?.replicas ?? 0, nowMs: clock.monotonic() };
    const decided = scaleStep(memory, now, limits);
    memory = decided.memory;
    const { step } = decided;
    if (step === undefined) return;
    log.info({ step: step.kind }, `scaling the workers: ${step.reason}`);
    const { reason } = step;
    if ('workers' in step) {
      const how =
        step.kind === 'keep' ? ({ kind: 'staying' } as const) : ({ kind: 'leaving', mayStay: true } as const);
      options.submit(step.workers.map((one) => ({ ...one, ...how, reason })));
    } else
      await ask('patch', 'statefulsets', () =>
        api.patchNamespacedStatefulSetScale(
          { name, namespace, body: { spec: { replicas: step.replicas } } },
          setHeaderOptions('Content-Type', PatchStrategy.MergePatch),
        ),
      );
    options.onStep(step.kind);
  }

  const looking = (async () => {
    while (!stopping.signal.aborted) {
      try {
        await look();
        reported = '';
      } catch (caught) {
        const { message } = toFleetError(caught, `scaling the workers (${name})`);
        if (reported !== message) log.warn(message);
        reported = message;
      }
      await clock.sleep(LOOK_MS, stopping.signal).catch(() => undefined);
    }
  })();
  return {
    async close() {
      stopping.abort();
      await looking;
    },
  };
}
