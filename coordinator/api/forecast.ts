// What a text would do, without doing it: its parts in the order in which they begin, each with runs, steps, images and
// multiply-adds, and the worker-seconds of that by what runs took before on each device class. A search is rehearsed by
// its own strategy. Results that would be taken are counted apart. Failures and their repetition are left out.

import { withStandIn } from '../../core/nn/genotype.ts';
import { genotypeOfKey } from '../../core/nn/genotype-code.ts';
import { candidateNetwork, costsOf } from '../../core/nn/space.ts';
import type { NetworkSpec } from '../../core/spec/network.ts';
import {
  isSearched,
  namesOfStudent,
  otherTeacherOf,
  type PlanSpec,
  runOfStudent,
} from '../../core/spec/plan.ts';
import { foundCells, searchRunIn, sweepIn } from '../../core/spec/plan-search.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';
import type { Forecast, ForecastPart, ForecastTime } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import type { CheckedDocument } from '../decisions/inputs.ts';
import { teacherSpec } from '../decisions/plan.ts';
import { needsOf } from '../decisions/pupils.ts';
import type { Needs } from '../decisions/reuse.ts';
import { learnsFromOwn } from '../decisions/teachers.ts';
import { identityOfSpec } from '../model/identity.ts';
import { measuredRuns, type Range } from '../scheduling/measured-times.ts';
import { openSecondsOfRuns } from '../workers/time-board.ts';
import { type About, exactly, type ForecastContext } from './forecast-amounts.ts';
import { runPart } from './forecast-run.ts';
import { searchParts } from './forecast-search.ts';
import { sharingOfRuns, teacherOf, teacherOfSearch } from './forecast-teachers.ts';
import { foreseenRun } from './foreseen.ts';
import { type SharedPasses, sharingIn, teacherOfText } from './shared-passes.ts';
import { wholeDevicesNote } from './whole-devices.ts';

/** The forecast of a whole text. */
export async function forecastOf(
  documents: readonly CheckedDocument[],
  context: ForecastContext,
): Promise<Forecast> {
  const { openTimeOf = () => undefined } = context.observed;
  const open = openSecondsOfRuns(context.state, { of: openTimeOf });
  const measured = measuredRuns(context.state, context.speedOf, open);
  const parts: ForecastPart[] = [];
  const sharing = sharingOfRuns(documents, context);
  for (const at of teachersFirst(documents)) {
    const document = documents[at]!;
    const { facts } = document;
    const about = {
      document: at + 1,
      images: facts.trainingImages,
      measured,
      facts,
    };
    if (document.kind === 'plan')
      parts.push(...(await planParts(document.spec, { ...about, documents }, context)));
    else if (document.kind === 'sweep')
      parts.push(
        ...(
          await searchParts(
            document.spec,
            {
              ...{ ...about, field: '', begins: beginsOfSearch(document.spec) },
              teacher: teacherOfSearch(
                document.spec,
                {
                  data: { data: document.spec.data, digest: facts.digest },
                  images: facts.trainingImages,
                  named: (name) => teacherOf(name, documents, context.state),
                },
                context,
              ),
            },
            context,
          )
        ).parts,
      );
    else parts.push(runByItself(document, documents, { ...about, shared: sharing.get(document) }, context));
  }
  const untimed =
    measured.length === 0 ? 'no run of this fleet is done or trains, so no speed was measured' : '';
  return { parts, times: totalTimes(parts), untimed };
}

/**
 * The places of the documents, each after the teacher of the same text that it learns from; in their order otherwise.
 */
function teachersFirst(documents: readonly CheckedDocument[]): readonly number[] {
  const teachers = new Map<string, number>();
  for (const [at, { kind, spec }] of documents.entries())
    if (kind === 'run' && spec.kind === 'teacher') teachers.set(spec.name, at);
  const pupils = new Map<number, number[]>();
  const others: number[] = [];
  for (const [at, document] of documents.entries()) {
    const teacher = teachers.get(teacherNamedBy(document) ?? '') ?? -1;
    if (teacher < at) others.push(at);
    else {
      const waiting = pupils.get(teacher);
      if (waiting === undefined) pupils.set(teacher, [at]);
      else waiting.push(at);
    }
  }
  return others.flatMap((at) => [at, ...(pupils.get(at) ?? [])]);
}

function teacherNamedBy(document: CheckedDocument): string | undefined {
  if (document.kind === 'run') return document.spec.distillation?.teacher;
  return document.kind === 'sweep' ? document.spec.evaluation.distillation?.teacher : undefined;
}

/** When a search begins whose candidates may learn from a teacher. */
const beginsOfSearch = ({ evaluation: { distillation } }: Pick<SweepSpec, 'evaluation'>): string =>
  distillation === undefined ? 'at once' : `with the first checkpoint of ${distillation.teacher}`;

function runByItself(
  { spec, facts }: Extract<CheckedDocument, { kind: 'run' }>,
  documents: readonly CheckedDocument[],
  about: Omit<About, 'field'> & { readonly shared: SharedPasses | undefined },
  context: ForecastContext,
): ForecastPart {
  const { shared } = about;
  const teacher = spec.distillation && teacherOf(spec.distillation.teacher, documents, context.state);
  const begins = teacher === undefined ? 'at once' : `with the first checkpoint of ${teacher.name}`;
  const network = exactly(costsOf(spec.network).multiplyAdds);
  const needs = spec.kind === 'teacher' ? needsOf(context, { spec, facts }, documents) : [];
  const reused = foreseenRun(context, { spec, facts, teacher: teacher?.identity, needs });
  const run = { ...spec, network, teacher: teacher && teacher.multiplyAdds * (shared?.passes ?? 1) };
  const notes = [wholeDevicesNote(spec, context), shared?.note ?? ''];
  const note = notes.filter((text) => text !== '').join('; ');
  return runPart(run, { ...about, field: '', begins, note, reused });
}

async function planParts(
  spec: PlanSpec,
  { documents, ...about }: Omit<About, 'field'> & { readonly documents: readonly CheckedDocument[] },
  context: ForecastContext,
): Promise<ForecastPart[]> {
  const parts: ForecastPart[] = [];
  const { facts } = about;
  const { teacher } = spec;
  const teacherAdds = teacher && costsOf(teacher.network).multiplyAdds;
  const identity = teacher && identityOfSpec(teacherSpec(spec), facts);
  let best: Range | undefined;
  let winner: NetworkSpec | undefined;
  /** What candidates that learn from the plan's teacher need of it, unless all of them take results. */
  const searchNeeds: Needs[] = [];
  const sweep = sweepIn(spec);
  const cells = searchRunIn(spec);
  if (cells !== undefined) {
    const network = exactly(costsOf(cells.network).multiplyAdds);
    const note = wholeDevicesNote(cells, context);
    parts.push(
      runPart(
        { ...cells, network },
        { ...about, field: 'search', begins: 'at once', note, reused: undefined },
      ),
    );
  }
  if (sweep !== undefined) {
    const reuse = sweep.reuse ?? spec.reuse;
    const own = learnsFromOwn(spec) && teacher !== undefined ? teacher : undefined;
    const learns = teacherOfSearch(
      sweep,
      {
        data: { data: spec.data, digest: facts.digest },
        images: facts.trainingImages,
        named: (name) =>
          own === undefined
            ? teacherOf(name, documents, context.state)
            : {
                ...{ name, identity, multiplyAdds: teacherAdds ?? 0 },
                ...{ stages: own.training.epochs, embedding: own.network.embedding },
              },
      },
      context,
    );
    const search: SweepSpec = {
      ...{ ...sweep, kind: 'sweep', name: 'search', data: spec.data },
      ...(reuse === undefined ? {} : { reuse }),
    };
    const begins = beginsOfSearch(search);
    const searched = await searchParts(
      search,
      { ...about, field: 'search', begins, teacher: learns },
      context,
    );
    parts.push(...searched.parts);
    const isAllThere = searched.parts.every(({ runs, reused }) => reused?.low === runs?.high);
    const { distillation: taught, training } = sweep.evaluation;
    if (own !== undefined && taught !== undefined && !isAllThere)
      searchNeeds.push({ schedule: taught.schedule, epochs: training.epochs, newest: 0 });
    best = searched.network;
    winner = searched.best === undefined ? undefined : candidateNetwork(search, genotypeOfKey(searched.best));
  }
  const afterSearch = spec.search === undefined ? 'at once' : 'when the search has ended';
  const students = spec.students.map((student) => {
    const { network: named } = student;
    const network = named === 'best' ? winner : isSearched(named) ? undefined : withStandIn(named);
    const { distillation } = student;
    const other = otherTeacherOf(spec, student);
    const taught = other === undefined ? identity : teacherOf(other, documents, context.state).identity;
    const run =
      network &&
      runOfStudent(spec, student, {
        network,
        ...(distillation && { distillation: { ...distillation, teacher: 'teacher' } }),
      });
    const isKnown = isSearched(named) || foundCells(spec, named) === undefined;
    return {
      student,
      network,
      isKnown,
      reused:
        isKnown && run
          ? foreseenRun(context, { spec: run, facts, teacher: distillation && taught })
          : undefined,
    };
  });
  if (teacher !== undefined) {
    const begins = teacher.start === 'at-once' ? 'at once' : afterSearch;
    const run = { ...teacher, kind: 'teacher' as const, network: exactly(teacherAdds!) };
    const needs = students.flatMap(({ student, reused }) => {
      const { distillation, training } = student;
      return distillation === undefined || reused !== undefined || otherTeacherOf(spec, student) !== undefined
        ? []
        : [{ schedule: distillation.schedule, epochs: training.epochs, newest: 0 }];
    });
    const reused = foreseenRun(context, {
      ...{ spec: teacherSpec(spec), facts },
      needs: [...needs, ...searchNeeds],
    });
    const note = wholeDevicesNote(teacher, context);
    const part = runPart(run, { ...about, field: 'teacher', begins, note, reused });
    if (teacher.start === 'at-once') parts.unshift(part);
    else parts.push(part);
  }
  const sharing = sharingIn(
    students.flatMap(({ student, network, reused }) => {
      const { distillation, training, workers } = student;
      if (distillation === undefined || reused !== undefined) return [];
      // Passes of another teacher are no passes of the plan's.
      if (otherTeacherOf(spec, student) !== undefined) return [];
      const adds = network === undefined ? best!.likely : costsOf(network).multiplyAdds;
      return namesOfStudent(student).map((name) => ({
        ...{ name, data: spec.data, digest: facts.digest, training, distillation, adds },
        workersMax: workers.max,
      }));
    }),
    teacherOfText(context.state, {
      adds: teacherAdds ?? 0,
      stages: teacher?.training.epochs ?? 0,
      embedding: teacher?.network.embedding ?? 0,
      images: facts.trainingImages,
      observed: context.observed,
    }),
  );
  for (const [at, { student, network, isKnown, reused }] of students.entries()) {
    const isTaught = student.distillation !== undefined;
    const named = otherTeacherOf(spec, student);
    const other = named === undefined ? undefined : teacherOf(named, documents, context.state);
    const begins = isTaught
      ? `${afterSearch}, with the first checkpoint of ${(other ?? teacher)?.name}`
      : afterSearch;
    const notes = [
      network === undefined ? 'the network is one of the candidates' : '',
      isKnown ? '' : 'the cells are those that the search finds; published ones stand for them here',
    ];
    const note = [...notes, wholeDevicesNote(student, context)].filter((text) => text !== '').join('; ');
    for (const name of namesOfStudent(student)) {
      const shared = sharing.get(name);
      const run = {
        ...{ name, training: student.training, kind: 'student' as const },
        network: network === undefined ? best! : exactly(costsOf(network).multiplyAdds),
        teacher: isTaught ? (other?.multiplyAdds ?? teacherAdds ?? 0) * (shared?.passes ?? 1) : undefined,
      };
      const told = [note, shared?.note ?? ''].filter((text) => text !== '').join('; ');
      parts.push(runPart(run, { ...about, field: `students.${at}`, begins, note: told, reused }));
    }
  }
  return parts;
}

function totalTimes(parts: readonly ForecastPart[]): ForecastTime[] {
  const totals = new Map<string, ForecastTime>();
  for (const { times } of parts)
    for (const { deviceClass, workerSeconds, measuredRuns } of times) {
      const before = totals.get(deviceClass);
      const add = (of: keyof Range) => (before?.workerSeconds?.[of] ?? 0) + (workerSeconds?.[of] ?? 0);
      totals.set(deviceClass, {
        ...{ deviceClass, basis: '', measuredRuns: Math.max(before?.measuredRuns ?? 0, measuredRuns) },
        workerSeconds: { low: add('low'), likely: add('likely'), high: add('high') },
      });
    }
  return [...totals.values()];
}
