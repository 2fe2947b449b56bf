// Where the Kubernetes API is, and as whom it is asked: KUBECONFIG, else the service account of the pod.
// Decides what counts as no configuration at all.

import { KubeConfig } from '@kubernetes/client-node';
import { FleetError } from '../../core/errors.ts';

/** Throws FleetError `failedPrecondition` with the given sentence when there is no configuration. */
export function kubernetesConfig(sentence: string): KubeConfig {
  const config = new KubeConfig();
  let failure: unknown;
  try {
    config.loadFromDefault();
  } catch (caught) {
    failure = caught;
  }
  // Where it finds nothing the library falls back to an unencrypted server on this machine, which nobody
  // means.
  const server = config.getCurrentCluster()?.server ?? '';
  if (failure === undefined && server !== '' && server !== 'http://localhost:8080') return config;
  throw new FleetError('failedPrecondition', sentence, { cause: failure });
}

/** The namespace that the configuration names. */
export function namespaceOf(config: KubeConfig): string {
  return config.getContextObject(config.getCurrentContext())?.namespace || 'default';
}
