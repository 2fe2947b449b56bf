// What a coordinator does in a Kubernetes cluster beside its work: it follows the pods of the workers, shows who
// leads, and scales the workers. Decides which of these a configuration asks for. The client is loaded only where
// one is, because loading it takes longer than all the rest.

import type { Clock } from '../core/clock.ts';
import type { CoordinatorConfig } from '../core/config.ts';
import { FleetError } from '../core/errors.ts';
import type { Logger } from '../core/log.ts';
import type { Desk } from './decisions/desk.ts';
import type { Driver } from './journal/driver.ts';
import type { PodWatch } from './kubernetes/pods.ts';
import { isPodOf } from './kubernetes/scaling.ts';
import type { Metrics } from './metrics/metrics.ts';
import { valuesOf } from './model/persistent-map.ts';
import { workersDesired } from './scheduling/demand.ts';
import { waitsOf } from './scheduling/waits.ts';
import { createVerdicts } from './workers/verdicts.ts';

/** What each part needs. */
interface Place {
  readonly config: CoordinatorConfig;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** The pods of the workers, where `podSelector` names them. */
export async function followPods(
  place: Place & { readonly onChange: () => void },
): Promise<PodWatch | undefined> {
  const { podSelector: selector, podNamespace: namespace } = place.config;
  if (selector === '') return undefined;
  const { watchPods } = await import('./kubernetes/pods.ts');
  return watchPods({ ...place, selector, namespace, onRequest: place.metrics.kubernetesRequest });
}

/** Who leads, where `podName` names the pod of this coordinator. The result ends it. */
export async function showLead(
  place: Place & { readonly driver: Pick<Driver, 'leads' | 'onChange'> },
): Promise<{ readonly close: () => Promise<void> } | undefined> {
  const { config, clock, log, metrics, driver } = place;
  const { podName, podNamespace: namespace, leaseName } = config;
  if (podName === '') return undefined;
  const { mirrorLead } = await import('./kubernetes/lead-mirror.ts');
  const mirror = mirrorLead({
    ...{ namespace, podName, leaseName, clock, log },
    onRequest: metrics.kubernetesRequest,
  });
  mirror.show(driver.leads);
  const release = driver.onChange(() => mirror.show(driver.leads));
  return {
    async close() {
      release();
      await mirror.close();
    },
  };
}

/** How many workers the open runs could use: of the pods that are scaled, where some are, otherwise of any. */
export function demandOf(
  { board }: Desk,
  { scaleWorkers: name }: Pick<CoordinatorConfig, 'scaleWorkers'>,
): number {
  return workersDesired(board, waitsOf(board), name === '' ? undefined : (id) => isPodOf(name, id));
}

/** The number of workers, where `scaleWorkers` names their StatefulSet. The result ends it. */
export async function scaleWorkers(
  place: Place & { readonly driver: Driver; readonly desk: Desk },
): Promise<{ readonly close: () => Promise<void> } | undefined> {
  const { config, clock, log, metrics, driver, desk } = place;
  const { scaleWorkers: name, scaleMin: min, scaleMax: max, scaleDownAfterMs: downAfterMs } = config;
  if (name === '') return undefined;
  if (max < min)
    throw new FleetError('invalidArgument', `scaleMax is ${max}, which is below scaleMin, ${min}`);
  const { startScaler } = await import('./kubernetes/scaler.ts');
  return startScaler({
    ...{ name, namespace: config.podNamespace, limits: { min, max, downAfterMs }, clock, log },
    view() {
      if (!driver.leads || driver.halted !== undefined) return undefined;
      return { demand: demandOf(desk, config), workers: valuesOf(driver.state.workers) };
    },
    submit: createVerdicts(driver.submit).submitNew,
    onRequest: metrics.kubernetesRequest,
    onStep: metrics.scalerStep,
  });
}
