// A sweep over seeds in a forecast: its searches, and the trainings of what they find. Published cells stand for those that
// are not found yet.

import { resolveGenotype } from '../../core/nn/genotype.ts';
import { candidateNetwork, costsOf } from '../../core/nn/space.ts';
import { type SeedSearches, searchOfSeed } from '../../core/spec/seed-searches.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';
import type { ForecastPart } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { attachedWorkers } from '../model/state.ts';
import type { Range } from '../scheduling/measured-times.ts';
import { type About, exactly, type ForecastContext } from './forecast-amounts.ts';
import { runPart } from './forecast-run.ts';
import type { SearchTeacher } from './forecast-teachers.ts';
import { wholeDevicesNote } from './whole-devices.ts';

/** The searches and the trainings of a sweep over seeds, and the multiply-adds of an image in what is trained. */
export function seedParts(
  spec: SweepSpec & SeedSearches,
  about: About & { readonly begins: string; readonly teacher: SearchTeacher | undefined },
  context: ForecastContext,
): { readonly parts: ForecastPart[]; readonly network: Range } {
  const { teacher, begins, ...place } = about;
  const { seeds } = spec.strategy;
  const runs = seeds.length;
  const search = searchOfSeed(spec, seeds[0]!);
  const network = exactly(costsOf(candidateNetwork(spec, resolveGenotype('casia'))).multiplyAdds);
  const atOnce = Math.min(
    spec.parallelism > 0 ? spec.parallelism : Math.max(1, attachedWorkers(context.state)),
    runs,
  );
  const shared = teacher?.passes({ adds: network.likely, atOnce });
  const notes = (...all: string[]) => all.filter((text) => text !== '').join('; ');
  return {
    network,
    parts: [
      runPart(
        {
          name: spec.name,
          kind: 'search',
          training: search.training,
          network: exactly(costsOf(search.network).multiplyAdds),
          runs,
        },
        {
          ...{ ...place, begins: 'at once', reused: undefined },
          note: notes(
            `a search from each of the seeds ${seeds.join(', ')}`,
            wholeDevicesNote(search, context),
          ),
        },
      ),
      runPart(
        {
          ...{ name: spec.name, kind: 'candidate', training: spec.evaluation.training, network, runs },
          teacher: teacher && teacher.multiplyAdds * shared!.passes,
        },
        {
          ...{ ...place, reused: undefined },
          begins:
            begins === 'at once'
              ? 'each when its search has ended'
              : `each when its search has ended, ${begins}`,
          note: notes(
            'the cells are those that the searches find; published ones stand for them here',
            shared?.note ?? '',
          ),
        },
      ),
    ],
  };
}
