// Jobs of the compute thread as the metrics name them: a run of a graph is what the graph is for.

export const JOB_KINDS = [
  'prove',
  'prepare',
  'train',
  'embed',
  'apply',
  'difference',
  'apply-outer',
] as const;
export type JobKind = (typeof JOB_KINDS)[number];
