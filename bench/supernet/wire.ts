// Bytes that the members of a search send in a step, over a real broker, against what the vectors of its rounds and the
// plan of an exchange say. What passes compute does not matter to that, so they are not computed: all vectors are
// filled with one number. The search network is one of 10,572 classes, 4 channels and 4 layers.
//
// An exchange of E values among members that each send one partial sum: a member sends its sum of every slice that
// another one owns, and publishes its own finished slice once. So all N members together send 4 E (N - 1) bytes of sums
// and 4 E of results, 4 E N in all, and a header of 64 bytes with each message. What a member asks for again is a
// message more, hence a goal of 1.01.

import { HEADER_BYTES } from '../../core/allreduce/message.ts';
import { planOf } from '../../core/allreduce/plan.ts';
import { createDataPlane, type DataPlane } from '../../core/allreduce/plane.ts';
import { shardSamples } from '../../core/data/loading/sampler.ts';
import { createLogger } from '../../core/log.ts';
import { layoutOf } from '../../core/nn/layout.ts';
import { ALPHA_COUNT } from '../../core/nn/supernet.ts';
import { sizesOf } from '../../core/search/bilevel.ts';
import { type Order, roundLength, roundsOf, type Variant } from '../../core/search/rounds.ts';
import { membersOf } from '../../test/support/gang.ts';
import { NAMES } from '../../test/support/names.ts';
import { startNats } from '../../test/support/nats.ts';
import { joinSearch, type SearchGangOptions, tinySearch } from '../../test/support/search-gang.ts';
import type { Compute } from '../../worker/compute/client.ts';
import { trainedNetwork } from '../../worker/training/choose-procedure.ts';
import { atMost, type Goal, say } from '../goals.ts';

const CLASSES = 10_572;
/** 24 images in each half. */
const IMAGES = 48;
const SHARDS = 4;
const MEMBERS = [1, 1, 1, 1];
/** On a busy machine members ask for what is merely late, and get it twice. Steps go on until one has sent nothing twice. */
const STEPS_MAX = 24;
/** Gradients of this size change nothing that matters, and their norm is no zero. */
const FILLING = 1e-3;

interface WireRow {
  readonly order: Order;
  readonly variant: Variant;
  /** Values of each round's vector, in order. */
  readonly rounds: readonly number[];
  /** Bytes that each member sends in a step by the plan, data and headers. */
  readonly planned: readonly number[];
  /** Bytes that all have sent, in the step with the fewest. */
  readonly sent: number;
  /** Steps that it took, and messages that were sent again in them because a member had asked. */
  readonly steps: number;
  readonly resends: number;
}

/** The rows of both orders and of the two orders of moves, and the worst of them as a goal. */
export async function measureWire(
  compute: Compute,
): Promise<{ readonly goals: Goal[]; readonly rows: WireRow[] }> {
  const nats = await startNats({ jetstream: false });
  const log = createLogger({ program: 'bench', level: 'silent' });
  const planes: DataPlane[] = [];
  try {
    for (const rank of MEMBERS.keys())
      planes.push(await createDataPlane({ ...nats.access, name: `${rank}`, log, prefixes: NAMES.prefixes }));
    const rows: WireRow[] = [];
    for (const order of ['first', 'second'] as const)
      for (const variant of ['noleak', 'darts'] as const) {
        const row = await measure({ order, variant, planes, compute: unpassed(compute) });
        rows.push(row);
        say(
          `${order} order, ${variant}: vectors of ${row.rounds.join(', ')} values; ${row.sent} bytes a step, ${row.planned.join(' + ')} by the plan; of ${row.steps} steps, with ${row.resends} messages sent again`,
        );
      }
    const worst = Math.max(...rows.map(({ sent, planned }) => sent / sumOf(planned)));
    return {
      goals: [atMost('bytes of a step against the vectors of its rounds', worst, 1.01, 'times')],
      rows,
    };
  } finally {
    for (const plane of planes) await plane.close();
    await nats.stop();
  }
}

const unpassed = (compute: Compute): Compute => ({
  ...compute,
  async runGraph(_graph, _inputs, into) {
    into!.fill(FILLING);
    return [];
  },
});

const loader: SearchGangOptions['loader'] = {
  async batch(request) {
    const samples = shardSamples({ ...request, half: request.half?.half });
    const indices = Uint32Array.from(samples, ({ index }) => index);
    return { images: new Uint8Array(1), indices, labels: Int32Array.from(indices) };
  },
};

async function measure(of: {
  readonly order: Order;
  readonly variant: Variant;
  readonly planes: readonly DataPlane[];
  readonly compute: Compute;
}): Promise<WireRow> {
  const { order, variant, planes, compute } = of;
  const search = { order, variant, epochs: STEPS_MAX, batch: 16, shards: SHARDS };
  const spec = { ...tinySearch(search) };
  spec.search = { ...spec.search!, supernet: { channels: 4, layers: 4 } };
  const gang = await joinSearch({
    ...{ spec, compute, loader, classes: CLASSES, trainingImages: IMAGES },
    planes: (rank) => planes[rank]!,
    counts: MEMBERS,
    runId: `wire-${order}-${variant}`,
  });
  const total = (name: 'bytesSent' | 'resends') =>
    gang.reduce((sum, member) => sum + member.stats().reduce((own, stats) => own + stats[name], 0), 0);
  const sizes = sizesOf(layoutOf(trainedNetwork(spec, CLASSES)), ALPHA_COUNT);
  const rounds = roundsOf({ order, variant }).map((round) => roundLength(sizes, round));
  const byRound = rounds.map(plannedBytes);
  const planned = MEMBERS.map((_, rank) => sumOf(byRound.map((bytes) => bytes[rank]!)));
  const steps: number[] = [];
  let isRepeated = true;
  while (steps.length < STEPS_MAX && isRepeated) {
    const [bytes, before] = [total('bytesSent'), total('resends')];
    await Promise.all(gang.map((member) => member.step()));
    steps.push(total('bytesSent') - bytes);
    isRepeated = total('resends') > before;
  }
  const resends = total('resends');
  for (const member of gang) await member.leave();
  return { order, variant, rounds, planned, sent: Math.min(...steps), steps: steps.length, resends };
}

/** Bytes that each member sends for one sum of so many values. */
function plannedBytes(elements: number): number[] {
  const { nodes, chunks } = planOf({ members: membersOf(MEMBERS), shards: SHARDS, elements });
  return chunks.map((own, rank) => {
    const bytesOf = (of: typeof own) => sumOf(of.map(({ count }) => 4 * count + HEADER_BYTES));
    return bytesOf(own) + nodes[rank]!.length * bytesOf(chunks.filter((_, other) => other !== rank).flat());
  });
}

const sumOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);
