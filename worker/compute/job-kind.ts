// Kinds of jobs of the compute thread, as the metrics name them. A run of a graph has the kind of what the
// graph is for.

import type { JOB_KINDS } from '../../core/metrics/worker-catalogue.ts';

export type JobKind = (typeof JOB_KINDS)[number];
