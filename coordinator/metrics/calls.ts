// Calls of the gRPC server, counted under the names that the community has for them, so that stock dashboards
// work. Every method and code begins at 0 when the server starts.

import { status } from '@grpc/grpc-js';
import type { CallLabels, CallObserver } from '../../core/net/grpc-server.ts';
import { statusName } from '../../core/net/grpc-status.ts';
import type { Registered } from './registered.ts';

const STATUS_NAMES = Object.values(status)
  .filter((code) => typeof code === 'number')
  .map(statusName);

/** What the server reports to. */
export function observeCalls({ families }: Pick<Registered, 'families'>): CallObserver {
  const { callsStarted, callsHandled, callDuration } = families;
  return {
    offered(call) {
      const labels = labelsOf(call);
      callsStarted.inc(labels, 0);
      for (const code of STATUS_NAMES) callsHandled.inc({ ...labels, grpc_code: code }, 0);
      if (call.type === 'unary') callDuration.zero(labels);
    },
    started: (call) => callsStarted.inc(labelsOf(call)),
    handled(call) {
      const labels = labelsOf(call);
      callsHandled.inc({ ...labels, grpc_code: statusName(call.code) });
      // The length of a stream is how long a caller watched, not how long the server took.
      if (call.type === 'unary') callDuration.observe(labels, call.seconds);
    },
  };
}

function labelsOf(call: CallLabels) {
  return { grpc_type: call.type, grpc_service: call.service, grpc_method: call.method };
}
