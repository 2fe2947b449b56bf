// The metrics of a worker. A run is a label from the time that the worker takes it until it was scraped after
// its end.

import { counter, gauge, geometric, histogram } from './description.ts';
import { sharedMetrics } from './shared-catalogue.ts';

const STEP_BUCKETS = geometric(0.002, 2, 14);
const ALLREDUCE_BUCKETS = geometric(0.0005, 2, 15);
const LONG_BUCKETS = geometric(1, 2, 13);

/** Parts of a step, in their order. */
export const STEP_PHASES = ['data', 'teacher', 'teacher_pass', 'compute', 'allreduce', 'optimizer'] as const;
/** Kinds of jobs of the compute thread. A run of a graph has the kind of what the graph is for. */
export const JOB_KINDS = [
  'prove',
  'prepare',
  'train',
  'embed',
  'apply',
  'difference',
  'apply-outer',
  'score',
] as const;
/** Where a student's teacher embeddings come from. */
const TEACHER_SOURCES = ['computed', 'shared', 'fetched', 'kept'] as const;
/** What happened to a block of embeddings in the stream that students share. */
const BLOCK_EVENTS = ['published', 'unpublished', 'damaged', 'taken_over'] as const;
const CHECKPOINT_OPERATIONS = ['save', 'load'] as const;

const run = { run: 'open' } as const;
const training = { subject: 'training', labels: run } as const;
const exchange = { subject: 'exchange', labels: run } as const;

/** With a series for each run that the worker holds. */
const RUN_METRICS = {
  steps: counter('pocketfleet_train_steps_total', {
    help: 'Optimiser steps.',
    unit: 'count',
    ...training,
  }),
  samples: counter('pocketfleet_train_samples_total', {
    help: 'Images consumed by this worker.',
    unit: 'count',
    ...training,
  }),
  stepDuration: histogram('pocketfleet_train_step_duration_seconds', {
    help: 'Whole step.',
    buckets: STEP_BUCKETS,
    ...training,
  }),
  phase: counter('pocketfleet_train_phase_seconds_total', {
    help: 'Time in each phase of a step; phases may overlap.',
    unit: 'seconds',
    subject: 'training',
    labels: { ...run, phase: STEP_PHASES },
  }),
  ownSpeed: gauge('pocketfleet_train_own_samples_per_second', {
    help: 'Images a second that this worker computes for the run, its waits for others left out.',
    unit: 'rate',
    ...training,
  }),
  globalStep: gauge('pocketfleet_train_global_step', {
    help: 'Committed steps.',
    unit: 'number',
    ...training,
  }),
  epoch: gauge('pocketfleet_train_epoch', { help: 'Epoch, fractional.', unit: 'number', ...training }),
  loss: gauge('pocketfleet_train_loss', { help: 'Loss of the last step.', unit: 'number', ...training }),
  learningRate: gauge('pocketfleet_train_learning_rate', {
    help: 'Learning rate.',
    unit: 'number',
    ...training,
  }),
  gradientNorm: gauge('pocketfleet_train_gradient_norm', {
    help: 'Global gradient norm before clipping.',
    unit: 'number',
    ...training,
  }),
  differenceError: gauge('pocketfleet_search_difference_error', {
    help: 'Of the newest probed step of a search: relative difference of its finite difference and the one with half of the radius.',
    unit: 'number',
    ...training,
  }),
  nonfinite: counter('pocketfleet_train_nonfinite_total', {
    help: 'Losses or gradients that were not finite.',
    unit: 'count',
    ...training,
  }),
  dataWait: counter('pocketfleet_data_wait_seconds_total', {
    help: 'Time that steps waited for data.',
    unit: 'seconds',
    ...training,
  }),
  teacherWait: counter('pocketfleet_distillation_wait_seconds_total', {
    help: 'Time that steps waited for a checkpoint of the teacher; it grows while a wait lasts.',
    unit: 'seconds',
    ...training,
  }),
  teacherImages: counter('pocketfleet_teacher_images_total', {
    help: "Images of which a student took its teacher's embeddings: computed for it here, shared with another student of its order here, fetched from the stream of the fleet, or kept here by image. What is computed counts whole passes.",
    unit: 'count',
    subject: 'training',
    labels: { ...run, source: TEACHER_SOURCES },
  }),
  teacherBlocks: counter('pocketfleet_teacher_blocks_total', {
    help: 'Blocks of embeddings that this run computed for all students of an order: published or not, because what was there was damaged, or taken over from somebody who did not finish.',
    unit: 'count',
    subject: 'training',
    labels: { ...run, event: BLOCK_EVENTS },
  }),
  allreduceDuration: histogram('pocketfleet_allreduce_duration_seconds', {
    help: 'One sum over the gang, waiting for peers included.',
    buckets: ALLREDUCE_BUCKETS,
    ...exchange,
  }),
  allreduceWait: counter('pocketfleet_allreduce_wait_seconds_total', {
    help: 'Time in sums by rank, waiting for peers included: the rank with the least is the one waited for.',
    unit: 'seconds',
    subject: 'exchange',
    labels: { ...run, rank: 'open' },
  }),
  allreduceRounds: counter('pocketfleet_allreduce_rounds_total', {
    help: 'Sums that were completed.',
    unit: 'count',
    ...exchange,
  }),
  allreduceBytes: counter('pocketfleet_allreduce_bytes_total', {
    help: 'Bytes on the wire; shared: bytes that workers of the same machine read where they lie.',
    unit: 'bytes',
    subject: 'exchange',
    labels: { ...run, direction: ['sent', 'received', 'shared'] },
  }),
  allreduceTensorBytes: counter('pocketfleet_allreduce_tensor_bytes_total', {
    help: 'Gradient bytes summed, before the wire.',
    unit: 'bytes',
    ...exchange,
  }),
  allreduceRetransmits: counter('pocketfleet_allreduce_retransmits_total', {
    help: 'Messages: asked for by this worker because they had not come, and sent again because a peer asked.',
    unit: 'count',
    subject: 'exchange',
    labels: { ...run, kind: ['asked', 'sent'] },
  }),
  worldSize: gauge('pocketfleet_allreduce_world_size', {
    help: 'Workers in the gang.',
    unit: 'count',
    ...exchange,
  }),
  reformations: counter('pocketfleet_allreduce_reformations_total', {
    help: 'Generations joined: each is a gang with other members.',
    unit: 'count',
    ...exchange,
  }),
  checkpointLast: gauge('pocketfleet_checkpoint_last_success_timestamp_seconds', {
    help: 'When this worker last stored or loaded a checkpoint of the run.',
    unit: 'timestamp',
    subject: 'checkpoints',
    labels: run,
  }),
} as const;

/** All metrics of a worker. */
export const WORKER_METRICS = {
  ...sharedMetrics('worker'),
  ...RUN_METRICS,
  attached: gauge('pocketfleet_worker_attached', {
    help: '1 while the stream to the coordinator is up.',
    unit: 'flag',
    subject: 'workers',
  }),
  attaches: counter('pocketfleet_worker_attach_total', {
    help: 'Streams opened to the coordinator.',
    unit: 'count',
    subject: 'workers',
  }),
  heldRuns: gauge('pocketfleet_worker_runs', {
    help: 'Runs that this worker holds.',
    unit: 'count',
    subject: 'workers',
  }),
  drainDuration: histogram('pocketfleet_worker_drain_duration_seconds', {
    help: 'From SIGTERM until all runs are given away.',
    buckets: LONG_BUCKETS,
    subject: 'workers',
  }),
  queuedJobs: gauge('pocketfleet_compute_queue_jobs', {
    help: 'Jobs asked of the compute thread and not answered.',
    unit: 'count',
    subject: 'training',
  }),
  computeBusy: counter('pocketfleet_compute_busy_seconds_total', {
    help: 'Time of the compute thread by kind of job.',
    unit: 'seconds',
    subject: 'training',
    labels: { kind: JOB_KINDS },
  }),
  tensors: gauge('pocketfleet_tfjs_tensors', {
    help: 'Tensors alive.',
    unit: 'count',
    subject: 'training',
  }),
  tensorBytes: gauge('pocketfleet_tfjs_bytes', {
    help: 'Bytes of tensors alive.',
    unit: 'bytes',
    subject: 'training',
    labels: { kind: ['tensors'] },
  }),
  compiledGraphs: gauge('pocketfleet_compiled_graphs', {
    help: 'Compiled graphs kept.',
    unit: 'count',
    subject: 'training',
  }),
  evaluationDuration: histogram('pocketfleet_evaluation_duration_seconds', {
    help: 'One verification of a network.',
    buckets: LONG_BUCKETS,
    subject: 'training',
  }),
  checkpointDuration: histogram('pocketfleet_checkpoint_duration_seconds', {
    help: 'Storing or loading a checkpoint.',
    buckets: STEP_BUCKETS,
    subject: 'checkpoints',
    labels: { op: CHECKPOINT_OPERATIONS, outcome: ['ok', 'error'] },
  }),
  checkpointBytes: counter('pocketfleet_checkpoint_bytes_total', {
    help: 'Bytes of checkpoints stored and loaded.',
    unit: 'bytes',
    subject: 'checkpoints',
    labels: { op: CHECKPOINT_OPERATIONS },
  }),
} as const;
