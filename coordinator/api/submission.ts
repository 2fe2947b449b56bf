// A submitted text as documents of the right shape whose networks can be built: all that can be found out
// about it without the fleet and without its data. Decides every such refusal, with the field, and the line or the
// override that the value came from. It runs in a thread, because its cost is a stranger's choice.

import { isAbsolute, resolve } from 'node:path';
import { FleetError, toFleetError } from '../../core/errors.ts';
import { buildNetwork } from '../../core/nn/build.ts';
import { withStandIn } from '../../core/nn/genotype.ts';
import { canonicalJson } from '../../core/spec/canonical-json.ts';
import {
  FILES_NOT_READ,
  filesAsTeachers,
  isPlanOfFiles,
  nameTeacherRun,
} from '../../core/spec/distillation.ts';
import { type DocumentSpec, documentOf, documentSchema } from '../../core/spec/document.ts';
import { type NetworkSpec, SUPERNET_EMBEDDING } from '../../core/spec/network.ts';
import { isSearched } from '../../core/spec/plan.ts';
import { searchRunIn, sweepIn } from '../../core/spec/plan-search.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';
import { foundText } from '../../core/text/printable.ts';
import { checkShape } from '../../core/text/shape.ts';
import {
  type Origin,
  type ProblemsOptions,
  problemAt,
  problemsError,
  problemsIn,
  type TextProblem,
  type TextSource,
} from '../../core/text/text-problems.ts';
import { type Place, readYaml, readYamlValue, TEXT_BYTES_MAX } from '../../core/text/yaml-text.ts';
import { searchFault } from '../strategies/checks.ts';
import { effectiveText, type Replaced } from './effective-text.ts';

/** A text as it was submitted. */
export interface Submission {
  readonly yaml: string;
  /** Absolute folder that relative data paths start from; empty when the text has none. */
  readonly baseDir: string;
  readonly overrides: Readonly<Record<string, string>>;
  /** Every document is computed anew. */
  readonly fresh?: boolean | undefined;
  /** Runs in place of teachers from files, by canonical JSON of what names the files. */
  readonly imports?: { readonly runIds: Readonly<Record<string, string>> } | undefined;
}

/** A document of a text, with where it and its values came from. */
export interface Located {
  readonly spec: DocumentSpec;
  /** By dotted path: where a field's value came from. */
  readonly origins: Readonly<Record<string, Origin>>;
  /** The text of a plan as it took effect; empty for other documents. */
  readonly text: string;
}

const OVERRIDES_MAX = 256;
const OVERRIDE_PATH_MAX = 512;
/**
 * Fields whose origin is kept for later checks; in longer documents those name the enclosing mapping instead.
 */
const ORIGINS_MAX = 1000;

/** Refuses a text that is too large, its overrides included, before it is copied to a thread or parsed. */
export function assertBounded({ yaml, overrides, imports }: Submission): void {
  const entries = Object.entries(overrides);
  if (entries.length > OVERRIDES_MAX)
    throw new FleetError(
      'invalidArgument',
      `there are ${entries.length} overrides, at most ${OVERRIDES_MAX} are taken; put them into the text`,
    );
  for (const [path] of entries)
    if (path.length > OVERRIDE_PATH_MAX)
      throw new FleetError(
        'invalidArgument',
        `an override's path has ${path.length} characters, at most ${OVERRIDE_PATH_MAX} are taken: ${foundText(path)}`,
      );
  const ofOverrides = entries.reduce((sum, [k, v]) => sum + Buffer.byteLength(k) + Buffer.byteLength(v), 0);
  const ofImports = Object.keys(imports?.runIds ?? {}).reduce((sum, key) => sum + Buffer.byteLength(key), 0);
  const bytes = Buffer.byteLength(yaml) + ofOverrides + ofImports;
  if (bytes > TEXT_BYTES_MAX)
    throw new FleetError(
      'invalidArgument',
      `the text has ${bytes} bytes${ofOverrides > 0 ? `, ${ofOverrides} of them in overrides` : ''}; at most ${TEXT_BYTES_MAX} are taken`,
    );
}

/** The text as refusals name it: by its field of the request. A client that knows the file names that instead. */
const SUBMITTED: TextSource = { name: 'yaml' };

/** Every document of the text, or a FleetError that names each field that is wrong. */
export function readSubmission(submission: Submission): Located[] {
  const documents = readYaml(submission.yaml, SUBMITTED);
  const [first] = documents;
  if (first === undefined)
    throw refused([
      { path: '', reason: 'the text has no document; it needs a plan, a sweep or a run', line: 1, column: 1 },
    ]);
  const givers: Giver[] = [];
  for (const [path, value] of Object.entries(submission.overrides)) {
    givers.push({ path: givenBy(path, first.value), override: path });
    override(first.value, path, value);
  }
  if (submission.fresh) for (const { value } of documents) makeFresh(value);
  for (const document of documents) putImported(document, submission.imports?.runIds ?? {});
  const problems: TextProblem[] = [];
  const shaped: (Pick<Located, 'spec' | 'origins'> & { readonly index: number; readonly value: unknown })[] =
    [];
  for (const [index, { value, placeOf }] of documents.entries()) {
    const origin = (path: readonly PropertyKey[], ofKey?: boolean) =>
      originOf(path, index === 0 ? givers : [], placeOf(path, ofKey));
    const result = checkShape(documentSchema, value);
    if (result.ok)
      shaped.push({ spec: documentOf(result.data), origins: originsOf(value, origin), index, value });
    else
      problems.push(
        ...result.problems.map((problem) => problemAt(problem, origin(problem.path, problem.ofKey))),
      );
  }
  if (problems.length > 0) throw refused(problems);
  const located: Located[] = [];
  refuseTogether(
    shaped.flatMap(({ index, value, ...document }) => [
      () => {
        const spec = withAbsolutePath(document, submission.baseDir);
        const overrides = [
          ...(index === 0 ? Object.keys(submission.overrides) : []),
          ...(submission.fresh ? ['reuse'] : []),
        ];
        const text = spec.kind === 'plan' ? textOf(submission.yaml, index, { value, spec, overrides }) : '';
        located.push({ ...document, spec, text });
      },
      ...networkChecks(document),
    ]),
  );
  return located;
}

/** A refusal of one field, with where the field's value came from. */
export function refusal(
  { origins }: Pick<Located, 'origins'>,
  field: string,
  text: string,
  options: ProblemsOptions = {},
): FleetError {
  const keys = field.split('.');
  let origin: Origin | undefined;
  for (let n = keys.length; n >= 0 && origin === undefined; n--) origin = origins[keys.slice(0, n).join('.')];
  return refused([{ path: field, reason: text, ...origin }], options);
}

const refused = (problems: readonly TextProblem[], options: ProblemsOptions = {}): FleetError =>
  problemsError(problems, SUBMITTED, options);

/**
 * Makes every check, and refuses what they refuse in one error. What is no refusal of a field ends them at once.
 */
export function refuseTogether(checks: Iterable<() => void>): void {
  const errors: FleetError[] = [];
  for (const check of checks) {
    try {
      check();
    } catch (caught) {
      const error = toFleetError(caught);
      if (problemsIn(error).length === 0) throw caught;
      errors.push(error);
    }
  }
  const [first] = errors;
  if (first === undefined) return;
  if (errors.length === 1) throw first;
  // A text that is wrong stays wrong, whatever else may change.
  const code = errors.every((error) => error.code === first.code) ? first.code : 'invalidArgument';
  throw refused(errors.flatMap(problemsIn), { code, cause: first });
}

type OriginOf = (path: readonly PropertyKey[], ofKey?: boolean) => Origin;

/** An override and the place that it gave a value to: all beneath `path` is the override's. */
interface Giver {
  readonly path: string;
  readonly override: string;
}

/**
 * The first key on the way to `path` that the text does not have, because the override makes it too; else the
 * path itself.
 */
function givenBy(path: string, value: unknown): string {
  const keys = path.split('.');
  let at = value;
  for (const [i, key] of keys.entries()) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, key))
      return keys.slice(0, i + 1).join('.');
    at = (at as Readonly<Record<string, unknown>>)[key];
  }
  return path;
}

/** The origin of a value: the override that gave it, or the place where it stands. */
function originOf(path: readonly PropertyKey[], givers: readonly Giver[], place: Place | undefined): Origin {
  const text = path.map(String).join('.');
  const giver = givers.findLast((g) => text === g.path || text.startsWith(`${g.path}.`));
  return giver === undefined ? { ...place } : { override: giver.override };
}

/** The origins of a document's values by dotted path; the path of the document itself is ''. */
function originsOf(value: unknown, origin: OriginOf): Record<string, Origin> {
  const origins: Record<string, Origin> = Object.create(null);
  const open: { readonly path: readonly string[]; readonly value: unknown }[] = [{ path: [], value }];
  for (let i = 0; i < open.length && i < ORIGINS_MAX; i++) {
    const at = open[i]!;
    origins[at.path.join('.')] = origin(at.path);
    if (typeof at.value !== 'object' || at.value === null) continue;
    for (const [key, inner] of Object.entries(at.value)) open.push({ path: [...at.path, key], value: inner });
  }
  return origins;
}

/**
 * A plan's text as it took effect: with a comment at each override, and with the data's path as it was
 * resolved.
 */
function textOf(
  yaml: string,
  index: number,
  document: { readonly value: unknown; readonly spec: DocumentSpec; readonly overrides: readonly string[] },
): string {
  const replaced: Replaced[] = document.overrides.map((path) => ({ path: path.split('.'), why: 'override' }));
  let effective = document.value as { readonly data?: { readonly path?: unknown } };
  const { data } = document.spec;
  if (data.kind !== 'synthetic' && data.path !== effective.data?.path) {
    effective = { ...effective, data: { ...effective.data, path: data.path } };
    replaced.push({ path: ['data', 'path'], why: 'resolved' });
  }
  return effectiveText(yaml, index, effective, replaced);
}

function withAbsolutePath(document: Pick<Located, 'spec' | 'origins'>, baseDir: string): DocumentSpec {
  const { spec } = document;
  const { data } = spec;
  if (data.kind === 'synthetic' || isAbsolute(data.path)) return spec;
  if (!isAbsolute(baseDir))
    throw refusal(
      document,
      'data.path',
      `${foundText(data.path)} is relative, and the request names no folder to start from (base_dir)`,
    );
  return { ...spec, data: { ...data, path: resolve(baseDir, data.path) } };
}

/** Every network of a document by its field. The space of a search is represented by a published genotype. */
function networksOf(spec: DocumentSpec): (readonly [string, NetworkSpec])[] {
  if (spec.kind === 'plan') {
    const students = spec.students.flatMap(({ network }, i) =>
      isSearched(network) ? [] : [[`students.${i}.network`, network] as const],
    );
    const teacher = spec.teacher ? [['teacher.network', spec.teacher.network] as const] : [];
    const sweep = sweepIn(spec);
    const cells = searchRunIn(spec);
    return [
      ...(sweep ? networksOfSweep(sweep, 'search.') : []),
      ...(cells ? [['search.supernet', cells.network] as const] : []),
      ...teacher,
      ...students,
    ];
  }
  if (spec.kind === 'sweep') return networksOfSweep(spec, '');
  return [[spec.kind === 'search' ? 'supernet' : 'network', spec.network]];
}

/** An example of the candidates, and what stands for the networks in which their cells are searched for. */
function networksOfSweep(
  { space, strategy }: Pick<SweepSpec, 'space' | 'strategy'>,
  path: string,
): [string, NetworkSpec][] {
  return [
    [`${path}space`, spaceExample(space)],
    ...(strategy.kind === 'darts'
      ? ([
          [`${path}strategy.supernet`, spaceExample({ ...strategy.supernet, embedding: SUPERNET_EMBEDDING })],
        ] as [string, NetworkSpec][])
      : []),
  ];
}

function spaceExample(space: { channels: number; layers: number; embedding: number }): NetworkSpec {
  const { channels, layers, embedding } = space;
  return { kind: 'pocketnet', channels, layers, embedding, genotype: 'casia' };
}

const FILLED_IN =
  'is filled in from the search that strategy.supernet of a one-shot sweep names, and not taken in a text';

function networkChecks({ spec, origins }: Pick<Located, 'spec' | 'origins'>): (() => void)[] {
  const checks = networksOf(spec).map(([path, network]) => () => {
    try {
      buildNetwork(withStandIn(network));
    } catch (caught) {
      throw refusal({ origins }, path, toFleetError(caught).message, { cause: caught });
    }
  });
  if (spec.kind !== 'plan' && spec.kind !== 'sweep' && spec.imported !== undefined)
    checks.push(() => {
      throw refusal(
        { origins },
        'imported',
        'is filled in by an import of files; a student names them as its distillation.teacher',
      );
    });
  if (spec.kind !== 'plan' && spec.kind !== 'sweep' && spec.kind !== 'search' && spec.search !== undefined)
    checks.push(() => {
      throw refusal({ origins }, 'search', 'is of a document of kind: search, which this is not');
    });
  if (spec.kind !== 'plan' && spec.kind !== 'sweep' && spec.inherits !== undefined)
    checks.push(() => {
      throw refusal({ origins }, 'inherits', FILLED_IN);
    });
  const search = spec.kind === 'plan' ? sweepIn(spec) : spec.kind === 'sweep' ? spec : undefined;
  if (search?.strategy.kind === 'one-shot' && search.strategy.inherits !== undefined)
    checks.push(() => {
      throw refusal({ origins }, `${spec.kind === 'plan' ? 'search.' : ''}strategy.inherits`, FILLED_IN);
    });
  if (search !== undefined)
    checks.push(() => {
      const fault = searchFault(search);
      if (fault === undefined) return;
      throw refusal({ origins }, `${spec.kind === 'plan' ? 'search.' : ''}${fault.field}`, fault.reason);
    });
  if (spec.kind !== 'plan') return checks;
  // The schema of a run refuses this too, but the runs of a plan become runs only later, when it is too late
  // to refuse.
  const runs = [
    ...(spec.teacher ? [['teacher', spec.teacher] as const] : []),
    ...spec.students.map((student, i) => [`students.${i}`, student] as const),
  ];
  const ofWorkers = runs.map(([path, { workers, training }]) => () => {
    if (workers.max > training.shards)
      throw refusal(
        { origins },
        `${path}.workers.max`,
        `${workers.max} workers cannot share ${training.shards} shards`,
      );
  });
  return [...checks, ...ofWorkers];
}

/** Puts the run of a teacher from files where the text names the files. */
function putImported(
  { value, placeOf }: ReturnType<typeof readYaml>[number],
  imports: Readonly<Record<string, string>>,
): void {
  for (const { distillation, path } of filesAsTeachers(value)) {
    const key = canonicalJson(distillation.teacher);
    const runId = Object.hasOwn(imports, key) ? imports[key] : undefined;
    if (isPlanOfFiles(distillation)) {
      if (runId === undefined)
        throw refused([{ path: path.join('.'), reason: FILES_NOT_READ, ...placeOf(path) }]);
      nameTeacherRun(distillation, runId);
    } else if (runId !== undefined) distillation.teacher = runId;
  }
}

/** As `reuse: none` in the text, also where it says otherwise for a search. */
function makeFresh(document: unknown): void {
  if (typeof document !== 'object' || document === null || Array.isArray(document)) return;
  const mapping = document as Record<string, unknown>;
  mapping.reuse = 'none';
  const { search } = mapping;
  if (typeof search === 'object' && search !== null && 'reuse' in search) search.reuse = 'none';
}

function override(document: unknown, path: string, text: string): void {
  const keys = path.split('.');
  const refuse = (why: string) => refused([{ path, reason: why, override: path }]);
  if (keys.some((key) => key === '' || key === '__proto__' || key === 'constructor' || key === 'prototype'))
    throw refuse('is no dotted path such as training.epochs or students.0.workers.max');
  let at: unknown = document;
  for (const [i, key] of keys.entries()) {
    const before = keys.slice(0, i).join('.') || 'the document';
    if (typeof at !== 'object' || at === null)
      throw refuse(`${before} is not a mapping or list, but ${foundText(at)}`);
    if (Array.isArray(at) && !(/^\d{1,9}$/.test(key) && Number(key) < at.length))
      throw refuse(`${before} has ${at.length} entries, none numbered ${key}`);
    const container = at as Record<string, unknown>;
    if (i === keys.length - 1) container[key] = parsedValue(text, refuse);
    else if (!Object.hasOwn(container, key) || container[key] === null) container[key] = {};
    at = container[key];
  }
}

function parsedValue(text: string, refuse: (why: string) => FleetError): unknown {
  try {
    return readYamlValue(text);
  } catch (caught) {
    throw refuse(`its value is ${toFleetError(caught).message}`);
  }
}

/**
 * An error of a field (`details.field`, with which its message begins) as a refusal with its place in the document.
 * `path` is the way to what was checked, with a dot behind it. Other errors stay as they are.
 */
export function refusedField(document: Located, path: string, caught: unknown): FleetError {
  const error = toFleetError(caught);
  const { field } = error.details;
  if (typeof field !== 'string') return error;
  return refusal(document, path + field, error.message.replace(`${field}: `, ''), { cause: caught });
}
