// Who may call what. Decides the roles that a token can have, which verb each method of the two services is,
// and which roles a verb takes. Every check of a right asks `may`; nothing else compares roles.

import type { FleetServiceService } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import type { WorkerServiceService } from '../../proto/gen/pocketfleet/v1/worker.ts';

/**
 * What a token is for. `admin` may do everything; `submit` starts work, ends it and takes results; `read`
 * looks; `worker` attaches to the fleet and does nothing else.
 */
export const ROLES = ['admin', 'submit', 'read', 'worker'] as const;
/** One of these roles. */
export type Role = (typeof ROLES)[number];

/**
 * Why calls are refused, as a closed list of codes. `none`: without a token; `role`: with one whose role does not
 * take it.
 */
export const REFUSALS = ['none', 'unknown', 'expired', 'revoked', 'role'] as const;
/** One of these reasons. */
export type Refusal = (typeof REFUSALS)[number];

/** Who makes a call, as its token says. */
export interface Principal {
  /** The name of the token, unique among those that are accepted. */
  readonly name: string;
  readonly role: Role;
  /** The first 12 hex digits of the SHA-256 of the token. */
  readonly fingerprint: string;
}

/**
 * What a call does: `read` looks at the fleet; `submit` costs time of workers, ends work or takes results out;
 * `administer` cannot be undone, or hands out the whole journal; `attach` is a worker's stream; `describe` asks
 * what the server offers.
 */
export type Verb = 'read' | 'submit' | 'administer' | 'attach' | 'describe';

const ROLES_OF: Readonly<Record<Verb, readonly Role[]>> = {
  describe: ROLES,
  read: ['admin', 'submit', 'read'],
  submit: ['admin', 'submit'],
  administer: ['admin'],
  attach: ['admin', 'worker'],
};

type Methods = typeof FleetServiceService & typeof WorkerServiceService;

const VERBS: Readonly<Record<keyof Methods, Verb>> = {
  submit: 'submit',
  importTeacher: 'submit',
  importStage: 'submit',
  inspect: 'submit',
  find: 'read',
  getPlan: 'read',
  getSweep: 'read',
  getTrial: 'read',
  getRun: 'read',
  getWorker: 'read',
  listPlans: 'read',
  listSweeps: 'read',
  listTrials: 'read',
  leaderboard: 'read',
  listRuns: 'read',
  listWorkers: 'read',
  listCheckpoints: 'read',
  watch: 'read',
  logs: 'read',
  history: 'read',
  cancel: 'submit',
  resume: 'submit',
  pause: 'submit',
  prioritise: 'submit',
  drain: 'administer',
  verify: 'submit',
  getEvaluation: 'read',
  export: 'submit',
  getLedger: 'read',
  replay: 'submit',
  why: 'read',
  getGoodput: 'read',
  listArtefacts: 'read',
  keepCheckpoint: 'submit',
  deleteArtefacts: 'administer',
  remove: 'administer',
  getStore: 'read',
  checkJournal: 'read',
  exportJournal: 'administer',
  importJournal: 'administer',
  truncateJournal: 'administer',
  attach: 'attach',
};

/** Services of other protocols that a server offers besides ours. */
const REFLECTION = /^\/grpc\.reflection\./;

/** The verb of a method by its path, `/package.Service/Method`. One that no table names takes an admin. */
export function verbOf(path: string): Verb {
  if (REFLECTION.test(path)) return 'describe';
  const method = path.slice(path.lastIndexOf('/') + 1);
  const key = `${method.slice(0, 1).toLowerCase()}${method.slice(1)}`;
  return Object.hasOwn(VERBS, key) ? VERBS[key as keyof Methods] : 'administer';
}

/** Whether somebody with this role may do this. */
export const may = ({ role }: Pick<Principal, 'role'>, verb: Verb): boolean => ROLES_OF[verb].includes(role);

/** The roles that a verb takes, for a refusal: `admin or submit`. */
export const rolesText = (verb: Verb): string => ROLES_OF[verb].join(' or ');

/** Somebody in a sentence: `ci (submit, 1a2b3c4d5e6f)`. */
export const principalText = ({
  name,
  role,
  fingerprint,
}: Readonly<Record<keyof Principal, string>>): string => `${name} (${role}, ${fingerprint})`;
