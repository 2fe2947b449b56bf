// Every NATS name in one place: subjects, streams and buckets, each with what it carries and who writes it.

import { token } from '../text/wire-text.ts';

/**
 * The journal of the coordinator. The leader appends with the expected last sequence; nothing is ever
 * removed.
 */
export const JOURNAL_STREAM = 'PF_JOURNAL';
/** The groups of events, in the journal's stream. */
export const JOURNAL_SUBJECT = 'pf.journal';
/**
 * Marks of `journal truncate`, in the same stream and sequence. A mark names the messages before it that no
 * longer count.
 */
export const JOURNAL_MARK_SUBJECT = 'pf.journal.truncated';

/** KV bucket with facts about the journal that must outlive it: that there is one, and how far it reached. */
export const FLEET_BUCKET = 'pf-fleet';
/** The key in that bucket: how far the journal reached. */
export const JOURNAL_KEY = 'journal';

/**
 * Chunks of artefacts (checkpoints, evaluation reports), 512 KiB a message, written before their manifest.
 */
export const ARTEFACT_STREAM = 'PF_ARTEFACTS';
/** The subject of one chunk; `*` stands for every digest or chunk. */
export const artefactChunkSubject = (digest: string, chunk: number | '*'): string =>
  `pf.artefact.${tokenOrAll('digest', digest)}.${chunk}`;

/**
 * KV bucket of manifests: which artefacts exist, with digest and size. A key appears when every chunk is
 * stored.
 */
export const MANIFEST_BUCKET = 'pf-manifests';
/** The stream behind that bucket under the name that NATS gives it. */
export const MANIFEST_STREAM = `KV_${MANIFEST_BUCKET}`;
/** The key of a stage's checkpoint. */
export const checkpointKey = (runId: string, stage: number): string =>
  `checkpoint.${token('run_id', runId)}.${stage}`;
/** The key of a run's evaluation report. */
export const evaluationKey = (runId: string): string => `evaluation.${token('run_id', runId)}`;

/**
 * Step points of a run in batches (record-batch.ts), written by rank 0, the newest again by every member of a
 * new generation; readers drop what is there twice.
 */
export const HISTORY_STREAM = 'PF_HISTORY';
/** The step points of a run, or of every run for `*`. */
export const historySubject = (runId: string): string => `pf.history.${tokenOrAll('run_id', runId)}`;

/** Log lines in batches (record-batch.ts), written by every worker. */
export const LOG_STREAM = 'PF_LOGS';
/** The lines of a worker about a run; `*` stands for every run or worker. */
export const logSubject = (runId: string, workerId: string): string =>
  `pf.logs.${tokenOrAll('run_id', runId)}.${tokenOrAll('worker_id', workerId)}`;

/**
 * Gradient exchange of one generation, over core NATS: messages to one rank, and from the owner of a slice to
 * all.
 */
export const rankSubject = (runId: string, generation: number, rank: number): string =>
  `pf.ar.${token('run_id', runId)}.${generation}.r.${rank}`;
/** Messages from the owner of a slice to every member of a generation. */
export const gangSubject = (runId: string, generation: number): string =>
  `pf.ar.${token('run_id', runId)}.${generation}.all`;

/**
 * Answered by the worker process itself; without a subscriber the broker reports at once that there is none.
 */
export const presenceSubject = (workerId: string, incarnation: string): string =>
  `pf.presence.${token('worker_id', workerId)}.${token('incarnation', incarnation)}`;

/** A reader's filter has `*` in place of a token. */
const tokenOrAll = (field: string, text: string): string => (text === '*' ? text : token(field, text));
