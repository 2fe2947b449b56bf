// Kinds of jobs of the compute thread, as the metrics name them. A run of a graph has the kind of what the
// graph is for.

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
