// What a sum sends through the broker, counted message by message from a plan. Decides nothing that the exchange
// decides: who gives what to whom is asked of the routes.

import { encodedBytes, encodingOf } from '../../core/allreduce/memory.ts';
import { HEADER_BYTES } from '../../core/allreduce/message.ts';
import type { Plan } from '../../core/allreduce/plan.ts';
import { routesOf } from '../../core/allreduce/routes.ts';

export interface Traffic {
  /** Bytes of numbers into the broker. */
  readonly inBytes: number;
  /** Bytes of numbers out of the broker. */
  readonly outBytes: number;
  /** The same with headers and notes. */
  readonly allInBytes: number;
  readonly allOutBytes: number;
}

const NOTE_BYTES = HEADER_BYTES + 8;

/** One step without losses. */
export function trafficOf(plan: Plan): Traffic {
  const ranks = plan.members.map((_, rank) => rank);
  const routes = ranks.map((rank) => routesOf(plan, rank));
  const sent = { inBytes: 0, outBytes: 0, allInBytes: 0, allOutBytes: 0 };
  const send = (receivers: number, bytes: number): void => {
    if (receivers === 0) return;
    sent.inBytes += bytes;
    sent.outBytes += bytes * receivers;
    sent.allInBytes += HEADER_BYTES + bytes;
    sent.allOutBytes += (HEADER_BYTES + bytes) * receivers;
  };
  const note = (receivers: number, messages = receivers): void => {
    sent.allInBytes += NOTE_BYTES * messages;
    sent.allOutBytes += NOTE_BYTES * receivers;
  };

  for (const owner of ranks) {
    const { mates, isTogether } = routes[owner]!;
    const given = ranks.flatMap((source) =>
      ranks.flatMap((to) =>
        routes[source]!.given(source, to, owner).map((node) => ({
          node,
          isMate: routes[source]!.isMate(to),
        })),
      ),
    );
    const brings = ranks.filter((rank) => routes[rank]!.brings(owner));
    for (const { count } of plan.chunks[owner]!) {
      for (const { node, isMate } of given) {
        if (isMate) note(1);
        else send(1, encodedBytes(encodingOf(node, plan), count));
      }
      send(brings.length, encodedBytes(plan.compression, count));
      note(mates.length, isTogether ? Math.min(1, mates.length) : mates.length);
      for (const rank of brings) note(routes[rank]!.mates.length);
    }
  }
  return sent;
}
