// What the broker lets a program do: the subjects of a worker, and what passes between the account of the
// workers and that of the fleet. Decides the least with which a worker trains, stores, reads, verifies and
// repairs; everything that is not named is refused. Pure.
//
//   account of the fleet      the streams and buckets; the coordinator, which may do everything there
//   account of the workers    gradients and presence; each worker with the rights below
//
// A right to publish is a right to choose where the answer goes: a stream acknowledges to any subject that the
// message names as its reply, whoever may publish there. In one account a worker could so append the
// acknowledgement of its own log line to the journal. Between two accounts the answer comes back to the account
// of the asker and no further, and there is no journal. A consumer of a stream is no right of a worker for the
// same reason: it delivers to any subject of the stream's account.

import { type Names, namesOf, PREFIXES_OF_OLD } from './subjects.ts';

/** Subjects that a program may use; nothing else. */
export interface Rights {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
  /** How many answers to each message that it receives, at most, and within which time, milliseconds. */
  readonly responses: { readonly max: number; readonly withinMs: number };
}

/**
 * The rights of one worker of the journal that these names are of. Other runs of this journal are not told
 * apart: their gradients, chunks and manifests are within these rights, because a worker gets the next run
 * without a new connection.
 */
export function workerRights(names: Names, workerId: string): Rights {
  const manifests = (key: string) => `$KV.${names.manifestBucket}.${key}`;
  const keys = [names.checkpointKey('*', '*'), names.evaluationKey('*')].map(manifests);
  return {
    publish: [
      names.exchangeSubjects,
      names.chunkSubjects,
      names.historySubject('*'),
      names.logSubject('*', workerId),
      names.blockSubjects,
      names.blockPlaceSubjects,
      names.rowsSubjects,
      ...keys,
      `$JS.API.DIRECT.GET.${names.artefactStream}.${names.chunkSubjects}`,
      ...keys.map((key) => `$JS.API.DIRECT.GET.${names.manifestStream}.${key}`),
      `$JS.API.DIRECT.GET.${names.embeddingStream}.${names.blockSubjects}`,
    ],
    subscribe: [
      names.exchangeSubjects,
      names.blockPlaceSubjects,
      names.rowsSubjects,
      ...keys,
      names.presenceSubject(workerId, '*'),
      `${names.inboxPrefix(workerId)}.>`,
    ],
    responses: { max: 1, withinMs: 60_000 },
  };
}

/** Names of fleets of this release and of earlier ones, with a `*` for each part that differs. */
const OF_ANY_FLEET: readonly Names[] = [
  namesOf({ streams: '*_', subjects: 'pf.*.', keys: '*.' }),
  namesOf(PREFIXES_OF_OLD),
];

/** What the account of the fleet does for that of the workers: requests that its streams take and answer. */
export const SERVICES_OF_FLEET: readonly string[] = [
  ...OF_ANY_FLEET.flatMap(({ chunkSubjects, historySubjects, logSubjects, anyBlockSubjects }) => [
    chunkSubjects,
    historySubjects,
    logSubjects,
    anyBlockSubjects,
  ]),
  '$KV.*.>',
  '$JS.API.DIRECT.GET.*.>',
];

/** What the account of the workers does for that of the fleet: each worker answers that it is there. */
export const SERVICES_OF_WORKERS: readonly string[] = OF_ANY_FLEET.map(({ presenceSubject }) =>
  presenceSubject('*', '*'),
);
