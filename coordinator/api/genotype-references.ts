// Networks of a text, and bases of grids, whose cells a search of this fleet has found: `RUN` or `RUN@EPOCH`. Decides which
// stage such a name means, and puts its genotype into the document, so that what is journalled names the network
// completely, whatever becomes of the search. So is the search put there whose weights candidates inherit.

import { isReference } from '../../core/nn/genotype.ts';
import { genotypeOfText } from '../../core/nn/genotype-code.ts';
import type { DocumentSpec } from '../../core/spec/document.ts';
import type { Genotype, NetworkSpec } from '../../core/spec/network.ts';
import { isSearched } from '../../core/spec/plan.ts';
import { foundCells, sweepIn } from '../../core/spec/plan-search.ts';
import { stageFound } from '../decisions/found.ts';
import { find } from '../model/find.ts';
import { type State, wholeRunWith } from '../model/state.ts';
import { type Searched, searchFault } from '../strategies/checks.ts';
import { inheritsOf } from './inherited-weights.ts';
import { type Located, refusal, refuseTogether } from './submission.ts';

/** The documents with the genotypes that they name; a FleetError that names each field that means none. */
export function withGenotypes(documents: readonly Located[], state: State): Located[] {
  const resolved: Located[] = [];
  refuseTogether(
    documents.map((document) => () => {
      resolved.push({ ...document, spec: resolvedSpec(document, state) });
    }),
  );
  return resolved;
}

function resolvedSpec(document: Located, state: State): DocumentSpec {
  const { spec } = document;
  const of = (network: NetworkSpec, path: string): NetworkSpec => {
    if (network.kind !== 'pocketnet' || !isReference(network.genotype)) return network;
    const genotype = genotypeOf(document, { named: network.genotype, path: `${path}.genotype` }, state);
    return { ...network, genotype };
  };
  const ofSweep = <S extends Searched>(sweep: S, path: string): S => {
    const { strategy } = sweep;
    if (strategy.kind === 'one-shot') {
      const inherits = inheritsOf(document, { strategy, path: `${path}strategy.`, data: spec.data }, state);
      return { ...sweep, strategy: { ...strategy, inherits } };
    }
    if (strategy.kind !== 'grid' || strategy.base === undefined || !isReference(strategy.base)) return sweep;
    const base = genotypeOf(document, { named: strategy.base, path: `${path}strategy.base` }, state);
    const resolved = { ...sweep, strategy: { ...strategy, base } };
    const fault = searchFault(resolved);
    if (fault !== undefined) throw refusal(document, path + fault.field, fault.reason);
    return resolved;
  };
  if (spec.kind === 'search') return spec;
  if (spec.kind === 'sweep') return ofSweep(spec, '');
  if (spec.kind !== 'plan') return { ...spec, network: of(spec.network, 'network') };
  const sweep = sweepIn(spec);
  return {
    ...spec,
    ...(sweep && { search: ofSweep(sweep, 'search.') }),
    ...(spec.teacher && {
      teacher: { ...spec.teacher, network: of(spec.teacher.network, 'teacher.network') },
    }),
    students: spec.students.map((student, i) => ({
      ...student,
      // What the plan's own search finds is known when that has ended.
      network:
        isSearched(student.network) || foundCells(spec, student.network)
          ? student.network
          : of(student.network, `students.${i}.network`),
    })),
  };
}

function genotypeOf(
  document: Located,
  { named, path }: { readonly named: string; readonly path: string },
  state: State,
): Genotype {
  const refuse = (why: string) => refusal(document, path, why);
  const [word = '', at] = named.split('@');
  const { found, total } = find(state, word, ['run']);
  if (total > 1)
    throw refuse(
      `${total} runs are named ${word}; give the id of one, e.g. ${found.map(({ id }) => id).join(', ')}`,
    );
  const run = found[0] && wholeRunWith(state, found[0].id);
  if (run === undefined)
    throw refuse(`${word} is neither a published genotype (casia, cifar10) nor a search of this fleet`);
  if (run.job.kind !== 'search') throw refuse(`${run.id} is a ${run.job.kind}, and a search has genotypes`);
  const stage = stageFound(run, at === undefined ? undefined : Number(at));
  if (typeof stage === 'string') throw refuse(stage);
  return genotypeOfText(stage.genotype);
}
