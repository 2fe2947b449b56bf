// The part of a forecast that is runs of one spec: its steps, images and multiply-adds, and the times of that.

import { scheduleOf } from '../../core/spec/schedule.ts';
import type { TrainingSpec } from '../../core/spec/training.ts';
import type { ForecastPart } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { type MeasuredRun, type Range, timesOf, withTeacher } from '../scheduling/measured-times.ts';
import { type About, exactly, forecastTime, plus, scaled } from './forecast-amounts.ts';

/** A run in a forecast, or so many of them that compute alike. */
export function runPart(
  run: {
    readonly name: string;
    readonly kind: MeasuredRun['kind'];
    readonly training: TrainingSpec;
    /** Multiply-adds of an image. */
    readonly network: Range;
    readonly teacher?: number | undefined;
    /** 1 where it is absent. */
    readonly runs?: number;
  },
  about: About & { readonly begins: string; readonly note?: string; readonly reused: string | undefined },
): ForecastPart {
  const { document, field, begins, note = '', measured, reused } = about;
  const { name, kind, training, network, teacher, runs = 1 } = run;
  if (reused !== undefined)
    return {
      ...{
        document,
        field,
        name,
        kind,
        begins: 'at once',
        note: `its result is there, and taken: ${reused}`,
      },
      ...{ runs: exactly(1), reused: exactly(1), steps: exactly(0), images: exactly(0) },
      ...{ multiplyAdds: exactly(0), times: [] },
    };
  const steps = runs * scheduleOf(training, about.images).stepsTotal;
  const images = steps * training.batch;
  const timeOf = (of: keyof Range) => {
    const multiplyAdds = withTeacher(network[of], teacher);
    return timesOf(measured, { kind, runs, work: multiplyAdds * images, multiplyAdds });
  };
  const [low, likely, high] = [timeOf('low'), timeOf('likely'), timeOf('high')];
  return {
    ...{ document, field, name, kind, begins, note },
    ...{ runs: exactly(runs), reused: exactly(0), steps: exactly(steps), images: exactly(images) },
    multiplyAdds: scaled(plus(network, teacher ?? 0), images),
    times: likely.map((time, at) => forecastTime([low[at]!, time, high[at]!], time)),
  };
}
