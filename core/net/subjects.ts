// Every NATS name in one place: subjects, streams, buckets and keys, each with what it carries and who writes
// it. All names of a fleet are made of three prefixes, so that two fleets can share a broker and a fleet that
// begins anew finds nothing of the one before. A fleet whose journal was begun before names had them keeps
// the names that it had.

import { token } from '../text/wire-text.ts';

/** What the names of a fleet begin with; plain data, which the coordinator gives to its workers. */
export interface Prefixes {
  /** Of streams, and in lower case with `-` for `_` of buckets, e.g. `PF_LOCAL_`. */
  readonly streams: string;
  /** Of subjects, e.g. `pf.local.`. */
  readonly subjects: string;
  /**
   * Of what belongs to runs: keys of manifests, and the last part of subjects of the exchange, history and
   * logs. It is the journal's uid and a dot, because ids of runs are unique in one journal alone.
   */
  readonly keys: string;
}

/** The names of one fleet. */
export interface Names {
  readonly prefixes: Prefixes;
  /** Uid of the journal; undefined where names do not carry it. */
  readonly journalUid: string | undefined;
  /**
   * The journal of the coordinator. The leader appends with the expected last sequence; nothing is ever
   * removed.
   */
  readonly journalStream: string;
  /** The groups of events, in the journal's stream. */
  readonly journalSubject: string;
  /**
   * Marks of `journal truncate`, in the same stream and sequence. A mark names the messages before it that no
   * longer count.
   */
  readonly journalMarkSubject: string;
  /** A journal that is being imported, and its messages; marks have `.truncated` behind that. */
  readonly importStream: string;
  readonly importSubject: string;
  /** Snapshots of the coordinator's state, each in one of two places. */
  readonly snapshotStream: string;
  /** A chunk at a place, or its head, which is written last; `*` stands for all of both. */
  snapshotSubject(place: number | '*', part: number | 'head' | '*'): string;
  /** KV bucket with facts about the fleet that must outlive its journal: that there is one, and its length. */
  readonly fleetBucket: string;
  /** The key in that bucket: uid of the journal, and how far it reached. */
  readonly journalKey: string;
  /**
   * Chunks of artefacts (checkpoints, evaluation reports), 512 KiB a message, written before their manifest.
   */
  readonly artefactStream: string;
  /** The subject of a chunk of a run by the SHA-256 of its bytes; `*` stands for every chunk. */
  chunkSubject(runId: string, chunk: string): string;
  /** The run whose chunk has this subject; undefined for one of another journal, or of a blob. */
  runOfChunk(subject: string): string | undefined;
  /** The subject of a chunk as earlier releases stored it: by the digest of the whole, and its place. */
  blobChunkSubject(digest: string, chunk: number): string;
  /** The chunks of any journal that this fleet has had: what the stream takes. */
  readonly chunkSubjects: string;
  /**
   * KV bucket of manifests: which artefacts exist, with digest and size. A key appears when every chunk is
   * stored.
   */
  readonly manifestBucket: string;
  /** The stream behind that bucket under the name that NATS gives it. */
  readonly manifestStream: string;
  /** The key of a stage's checkpoint; `*` stands for every run or stage. */
  checkpointKey(runId: string, stage: number | '*'): string;
  /** The key of the checkpoint of a step within a stage, which a pause has stored. Filters of stages take it too. */
  pausedKey(runId: string, step: number): string;
  /** Every key of this journal's runs. */
  readonly manifestKeys: string;
  /** The key of a run's evaluation report; `*` stands for every run. */
  evaluationKey(runId: string): string;
  /**
   * Step points of a run in batches (record-batch.ts), written by rank 0, the newest again by every member of
   * a new generation; readers drop what is there twice.
   */
  readonly historyStream: string;
  /** The step points of a run, or of every run for `*`. */
  historySubject(runId: string): string;
  /** The step points of every run of any journal that this fleet has had: what the stream takes. */
  readonly historySubjects: string;
  /** Log lines in batches (record-batch.ts), written by every worker. */
  readonly logStream: string;
  /** The lines of a worker about a run; `*` stands for every run or worker. */
  logSubject(runId: string, workerId: string): string;
  /** The lines of any journal that this fleet has had: what the stream takes. */
  readonly logSubjects: string;
  /**
   * Blocks of teacher embeddings that students of one order share, in memory: the oldest go first, and all of
   * them can be computed again. It is there while students share.
   */
  readonly embeddingStream: string;
  /**
   * A block, or the claim of whoever computes it. `order` and `network` are hexadecimal
   * (worker/run/block-stream.ts).
   */
  blockSubject(order: string, network: string, step: number, shard: number): string;
  /** The blocks of this journal. */
  readonly blockSubjects: string;
  /** The blocks of any journal that this fleet has had: what the stream takes. */
  readonly anyBlockSubjects: string;
  /** How far a student of an order is, over core NATS; `*` stands for every student. */
  blockPlaceSubject(order: string, runId: string): string;
  /** The places of this journal. */
  readonly blockPlaceSubjects: string;
  /** Rows of single images of one stage, over core NATS; `rows` is hexadecimal (worker/run/row-sharing.ts). */
  rowsSubject(rows: string): string;
  /** The rows of this journal. */
  readonly rowsSubjects: string;
  /** Gradient exchange of every run of this journal, over core NATS. */
  readonly exchangeSubjects: string;
  /** Of one generation: messages to one rank. */
  rankSubject(runId: string, generation: number, rank: number): string;
  /** Messages of a member to every member of a generation. */
  gangSubject(runId: string, generation: number): string;
  /** Results of a rank to one member of each other host, which brings them to the others of its host. */
  hostsSubject(runId: string, generation: number, rank: number): string;
  /**
   * Answered by the worker process itself; without a subscriber the broker reports at once that there is
   * none. `*` stands for every worker or process.
   */
  presenceSubject(workerId: string, incarnation: string): string;
  /** What the subjects begin with at which a worker gets the answers to its requests. */
  inboxPrefix(workerId: string): string;
}

/** The prefixes of a fleet with this name whose journal has this uid. */
export const prefixesOf = (fleet: string, uid: string): Prefixes => ({
  streams: `PF_${token('fleet', fleet).toUpperCase()}_`,
  subjects: `pf.${fleet}.`,
  keys: `${token('journal', uid)}.`,
});

/** The prefixes of a fleet whose journal was begun before names carried the fleet's name and a uid. */
export const PREFIXES_OF_OLD: Prefixes = { streams: 'PF_', subjects: 'pf.', keys: '' };

/** The names that these prefixes give. */
export function namesOf(prefixes: Prefixes): Names {
  const { streams, subjects, keys } = prefixes;
  const bucket = (noun: string) => `${streams.toLowerCase().replaceAll('_', '-')}${noun}`;
  const ofRuns = (noun: string) => `${subjects}${noun}.${keys}`;
  const ofAnyJournal = (noun: string) => `${subjects}${noun}.${keys === '' ? '' : '*.'}`;
  const artefact = `${subjects}artefact.`;
  // One token with the run, because the stream of an earlier release takes subjects of two.
  const owner = keys.replace('.', '-');
  const ofGeneration = (runId: string, generation: number) =>
    `${ofRuns('ar')}${token('run_id', runId)}.${generation}`;
  return {
    prefixes,
    journalUid: keys === '' ? undefined : keys.slice(0, -1),
    journalStream: `${streams}JOURNAL`,
    journalSubject: `${subjects}journal`,
    journalMarkSubject: `${subjects}journal.truncated`,
    importStream: `${streams}IMPORT`,
    importSubject: `${subjects}import`,
    snapshotStream: `${streams}SNAPSHOTS`,
    snapshotSubject: (place, part) => `${subjects}snapshot.${place}.${part}`,
    fleetBucket: bucket('fleet'),
    journalKey: 'journal',
    artefactStream: `${streams}ARTEFACTS`,
    chunkSubject: (runId, chunk) =>
      `${artefact}${owner}${token('run_id', runId)}.${tokenOrAll('chunk', chunk)}`,
    runOfChunk: (subject) => {
      const [, runId] = subject.startsWith(artefact + owner)
        ? (CHUNK_OF_RUN.exec(subject.slice(artefact.length + owner.length)) ?? [])
        : [];
      return runId;
    },
    blobChunkSubject: (digest, chunk) => `${artefact}${token('digest', digest)}.${chunk}`,
    chunkSubjects: `${artefact}*.*`,
    manifestBucket: bucket('manifests'),
    manifestStream: `KV_${bucket('manifests')}`,
    checkpointKey: (runId, stage) => `${keys}checkpoint.${tokenOrAll('run_id', runId)}.${stage}`,
    pausedKey: (runId, step) => `${keys}checkpoint.${token('run_id', runId)}.s${step}`,
    manifestKeys: `${keys}>`,
    evaluationKey: (runId) => `${keys}evaluation.${tokenOrAll('run_id', runId)}`,
    historyStream: `${streams}HISTORY`,
    historySubject: (runId) => `${ofRuns('history')}${tokenOrAll('run_id', runId)}`,
    historySubjects: `${ofAnyJournal('history')}*`,
    logStream: `${streams}LOGS`,
    logSubject: (runId, workerId) =>
      `${ofRuns('logs')}${tokenOrAll('run_id', runId)}.${tokenOrAll('worker_id', workerId)}`,
    logSubjects: `${ofAnyJournal('logs')}*.*`,
    embeddingStream: `${streams}EMBEDDINGS`,
    blockSubject: (order, network, step, shard) =>
      `${ofRuns('embeddings')}block.${token('order', order)}.${token('network', network)}.${step}.${shard}`,
    blockSubjects: `${ofRuns('embeddings')}${BLOCK}`,
    anyBlockSubjects: `${ofAnyJournal('embeddings')}${BLOCK}`,
    blockPlaceSubject: (order, runId) =>
      `${ofRuns('embeddings')}place.${token('order', order)}.${tokenOrAll('run_id', runId)}`,
    blockPlaceSubjects: `${ofRuns('embeddings')}place.*.*`,
    rowsSubject: (rows) => `${ofRuns('embeddings')}rows.${token('rows', rows)}`,
    rowsSubjects: `${ofRuns('embeddings')}rows.*`,
    exchangeSubjects: `${ofRuns('ar')}>`,
    rankSubject: (runId, generation, rank) => `${ofGeneration(runId, generation)}.r.${rank}`,
    gangSubject: (runId, generation) => `${ofGeneration(runId, generation)}.all`,
    hostsSubject: (runId, generation, rank) => `${ofGeneration(runId, generation)}.h.${rank}`,
    presenceSubject: (workerId, incarnation) =>
      `${subjects}presence.${tokenOrAll('worker_id', workerId)}.${tokenOrAll('incarnation', incarnation)}`,
    inboxPrefix: (workerId) => `_INBOX.${subjects}${tokenOrAll('worker_id', workerId)}`,
  };
}

/** Order, network, step and shard of a block. */
const BLOCK = 'block.*.*.*.*';

/** A run, and the digest of a chunk of it. */
const CHUNK_OF_RUN = /^([^.]+)\.[0-9a-f]{64}$/;

/** A reader's filter has `*` in place of a token. */
const tokenOrAll = (field: string, text: string): string => (text === '*' ? text : token(field, text));
