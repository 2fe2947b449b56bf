// A worker on a stream of real links, whose hello the real core has decided and answered.

import { step } from '../../coordinator/decisions/decide.ts';
import type { WorkerHello } from '../../coordinator/decisions/inputs.ts';
import type { State } from '../../coordinator/model/state.ts';
import type { Links, Stream } from '../../coordinator/workers/links.ts';

/** Takes the stream and answers the hello; returns the state after it. */
export function attached(links: Links, state: State, hello: WorkerHello, stream: Stream): State {
  links.attach(hello, stream);
  const decision = step(state, { kind: 'attached', hello }, { now: 0, connected: links.connected });
  for (const effect of decision.effects)
    if (effect.kind === 'send') links.send(effect.workerId, effect.command);
  return decision.state;
}
