// What `pocketfleet --help` says of each command, in its order. Written by `npm run generate:help` from the commands
// themselves; a test compares.

import type { Summary } from './summary.ts';

/** Of the commands of all groups. */
export const SUMMARIES: readonly Summary[] = [
  {
    usage: 'demo',
    description: 'search, teacher, distillation and verification in minutes, on this machine',
    hasOptions: true,
  },
  {
    usage: 'up',
    description: 'start a fleet on this machine: nats-server, coordinator and workers; Ctrl-C stops it',
    hasOptions: true,
  },
  {
    usage: 'join <file>',
    description:
      'bring workers of this machine into the fleet whose join.json is given, or - for standard input',
    hasOptions: true,
  },
  { usage: 'down', description: 'stop the fleet that `up` started in a folder', hasOptions: true },
  {
    usage: 'submit <file>',
    description: 'submit a plan, sweep or run (YAML; - reads stdin)',
    hasOptions: true,
  },
  {
    usage: 'plan <file>',
    description:
      'what a plan, sweep or run (YAML; - reads stdin) would do: runs, order, images, multiply-adds, worker time',
    hasOptions: true,
  },
  {
    usage: 'watch [id]',
    description:
      'show the fleet as it changes, or one plan, sweep or run until it has ended; then the exit code is 1 when it failed',
    hasOptions: true,
  },
  {
    usage: 'cancel <id>',
    description: 'end a plan, sweep, trial or run and all that belongs to it',
    hasOptions: true,
  },
  {
    usage: 'pause <id>',
    description:
      'stop a plan, sweep, trial or run at its next step until it is resumed, and free its workers',
    hasOptions: true,
  },
  {
    usage: 'priority <id> <number>',
    description: 'give a plan, sweep, trial or run another priority',
    hasOptions: true,
  },
  {
    usage: 'drain <worker>',
    description: 'give a worker no more work; its runs go on elsewhere',
    hasOptions: true,
  },
  {
    usage: 'resume <id>',
    description:
      'continue a plan, sweep, trial or run that failed, was cancelled or paused, with the same bits',
    hasOptions: true,
  },
  {
    usage: 'verify [run]',
    description: "verify a run's checkpoint on a worker, or with --model a model file on this machine",
    hasOptions: true,
  },
  { usage: 'export <run>', description: 'write the network of a run to a file', hasOptions: true },
  {
    usage: 'report <plan>',
    description: 'write an HTML report of a plan, in one file that needs nothing else',
    hasOptions: true,
  },
  { usage: 'plans', description: 'list plans', hasOptions: true },
  { usage: 'sweeps', description: 'list sweeps', hasOptions: true },
  {
    usage: 'trials <sweep>',
    description: 'list the candidates of a sweep in the order of their numbers',
    hasOptions: true,
  },
  {
    usage: 'leaderboard <sweep>',
    description: 'list the finished candidates of a sweep, best first',
    hasOptions: true,
  },
  { usage: 'runs', description: 'list training runs', hasOptions: true },
  { usage: 'workers', description: 'list workers', hasOptions: true },
  { usage: 'checkpoints <run>', description: 'list the checkpoints of a run', hasOptions: true },
  {
    usage: 'logs <run-or-worker>',
    description: 'print the log of a run (of all its workers) or of a worker',
    hasOptions: true,
  },
  {
    usage: 'why <id-or-queue-or-gang> [id]',
    description:
      'the decisions about a plan, sweep, trial, run or worker, and what is so now; `queue`: who waits, in which order; `gang RUN`: who trains it',
    hasOptions: true,
  },
  {
    usage: 'goodput [id]',
    description: 'where worker-seconds went: the fleet, or a plan, sweep, trial, run or worker',
    hasOptions: true,
  },
  {
    usage: 'pareto <sweep>',
    description: 'the finished candidates that no other beats in every objective',
    hasOptions: true,
  },
  {
    usage: 'tau <sweeps...>',
    description: 'how alike sweeps rank the candidates that they have in common',
    hasOptions: true,
  },
  {
    usage: 'genotype <run|trial|sweep|file>',
    description: 'the cells of a network, as text or as a drawing',
    hasOptions: true,
  },
  {
    usage: 'compare <ids...>',
    description:
      'two runs, trials or sweeps: what was asked differently, what came out, what it cost; or sweeps and searches at equal worker-seconds',
    hasOptions: true,
  },
  { usage: 'top', description: 'workers, runs by pace and the queue, as they change', hasOptions: true },
  {
    usage: 'artefacts [id]',
    description:
      'what is stored of plans, sweeps and runs, and who holds it; with -f what a text would store',
    hasOptions: true,
  },
  {
    usage: 'rm <id>',
    description: 'take a plan, a sweep or a run that has ended out of the lists, with all that it has stored',
    hasOptions: true,
  },
  { usage: 'prune', description: 'rm for every plan, sweep and run that has ended', hasOptions: true },
  { usage: 'ledger', description: 'the samples that runs have counted', hasOptions: false },
  {
    usage: 'replay <run>',
    description: 'compute a run again on a worker and compare with what its stages and pauses have stored',
    hasOptions: true,
  },
  {
    usage: 'bisect <run-a> <run-b>',
    description: 'find the first step and tensor where two runs differ',
    hasOptions: true,
  },
  {
    usage: 'journal',
    description: 'the record of all decisions: checked, cut off where it is damaged, copied, put back',
    hasOptions: false,
  },
  {
    usage: 'token',
    description: 'who may call a fleet: tokens with roles, which take effect within two seconds',
    hasOptions: false,
  },
  { usage: 'keys', description: 'certificates of a fleet that encrypts', hasOptions: false },
  {
    usage: 'schema [kind]',
    description: 'print JSON Schema of a plan, a sweep, a search or a run, or of any document',
    hasOptions: true,
  },
  {
    usage: 'completion <shell>',
    description: 'print the completion script of a shell, for its start-up file',
    hasOptions: false,
  },
  { usage: 'model', description: 'look at networks, bring models in and out', hasOptions: false },
  { usage: 'data', description: 'look at data sets', hasOptions: false },
];
