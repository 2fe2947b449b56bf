// What a run computes as a key: it changes with each part of a spec that decides bits, and with no other.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Decided, Event } from '../../../../coordinator/model/events.ts';
import { evolve } from '../../../../coordinator/model/evolve.ts';
import { identityOf, identityOfSpec, identityText } from '../../../../coordinator/model/identity.ts';
import { initialState, runOf } from '../../../../coordinator/model/state.ts';
import { channelsAt } from '../../../../coordinator/strategies/fidelity.ts';
import { canonicalGenotype, genotypeKey } from '../../../../core/nn/genotype-code.ts';
import { candidateNetwork } from '../../../../core/nn/space.ts';
import type { DataSpec } from '../../../../core/spec/data.ts';
import { type RunSpec, runSchema } from '../../../../core/spec/run.ts';
import { student, sweep } from '../../../sim/specs.ts';
import { FACTS } from '../../../sim/world.ts';
import { genotypes } from '../../../support/any-genotype.ts';
import { drawn, recorded } from '../../../support/state.ts';

const facts = { ...FACTS, digest: 'd' };
const TEACHER = { group: 'g', member: 'm' };
const textOf = (spec: RunSpec, teacher = TEACHER, digest = 'd') =>
  identityText(identityOfSpec(spec, { ...FACTS, digest }, teacher)!);

/** Every field that a run of a folder may have. */
const FULL: RunSpec = runSchema.parse({
  ...student('run-1', { distillation: { teacher: 'run-1', adapter: 'linear', teacherEmbedding: 16 } }),
  data: {
    ...{ kind: 'folder', path: '/faces', holdout: 4, onCorrupt: 'skip' },
    skipped: { count: 1, digest: '0'.repeat(64), list: 'AAAA' },
  },
  training: {
    ...{
      epochs: 2,
      batch: 16,
      shards: 8,
      head: 'sharded',
      negatives: 0.5,
      recompute: true,
      fraction: 0.5,
      optimizer: { milestones: [1] },
    },
  },
  checkpoints: { keep: 'all' },
  verification: { latency: true },
  weight: 2,
  reuse: 'any',
  require: { memoryMin: 1, labels: { gpu: 'a100' }, deviceKind: 'cuda', device: 'exclusive' },
});

/** What a result does not depend on: names, places, shares, measurements; the teacher counts by what it computes. */
const NO_PART =
  /^(kind|name|data\.(path|onCorrupt|skipped\.(count|list))|training\.recompute|verification\.latency|workers\..*|checkpoints\..*|priority|weight|reuse|require\..*|distillation\.(teacher|teacherEmbedding|share))$/;

/** Each field with another value, by its dotted path. */
function* changed(value: unknown, path: string[] = []): Generator<readonly [path: string, value: unknown]> {
  if (typeof value !== 'object' || value === null) {
    yield [path.join('.'), other(value)];
    return;
  }
  for (const [key, inner] of Object.entries(value))
    for (const [where, changedInner] of changed(inner, [...path, key])) {
      const whole = Array.isArray(value) ? [...value] : { ...value };
      yield [where, Object.assign(whole, { [key]: changedInner })];
    }
}

function other(value: unknown): unknown {
  if (value === 'casia') return 'cifar10';
  if (typeof value === 'number') return value + 1;
  return typeof value === 'boolean' ? !value : `${String(value)}x`;
}

test('each field of a spec either decides what is computed or is known not to', () => {
  const before = textOf(FULL);
  const seen = new Set([before]);
  let parts = 0;
  for (const [path, spec] of changed(FULL)) {
    const text = textOf(spec as RunSpec);
    if (NO_PART.test(path)) assert.equal(text, before, path);
    else {
      parts += 1;
      seen.add(text);
      assert.notEqual(text, before, path);
    }
  }
  assert.equal(seen.size, parts + 1, 'no two changes give one key');
  assert.ok(parts > 25, `${parts} parts`);
});

test('the teacher, the data and the seed are parts of what a student computes', () => {
  const texts = new Set([
    textOf(FULL),
    textOf(FULL, { ...TEACHER, member: 'n' }),
    textOf(FULL, { ...TEACHER, group: 'h' }),
    textOf(FULL, TEACHER, 'e'),
    textOf({ ...FULL, training: { ...FULL.training, seed: 2 } }),
    textOf({ ...FULL, training: { ...FULL.training, seed: 2 ** 32 - 1 } }),
  ]);
  assert.equal(texts.size, 6);
  assert.equal(identityOfSpec(FULL, facts), undefined, 'without what its teacher computes');
  assert.equal(identityOfSpec(FULL, FACTS, TEACHER), undefined, 'without a digest of its data');
});

test('a teacher from files counts by its files, whatever stands for its data', () => {
  const of = (digest: string, more: object = {}) =>
    identityText(
      identityOfSpec({ ...FULL, ...more, imported: { from: '*.pth', digest, stages: [] } }, FACTS)!,
    );
  assert.equal(of('a'), of('a', { name: 'other', data: { ...FULL.data, path: '/elsewhere' } }));
  assert.notEqual(of('a'), of('b'));
});

test('strict labels are those of a pack that says nothing of labels', () => {
  const data: DataSpec = { kind: 'recordio', path: '/pack', holdout: 4 };
  const of = (more: object) => textOf({ ...FULL, data: { ...data, ...more } });
  assert.equal(of({ labels: 'strict' }), of({}));
  assert.notEqual(of({ labels: 'renumber' }), of({}));
});

test('isomorphic cells are one key, other ones are others', () => {
  const network = (genotype: Parameters<typeof genotypeKey>[0]) =>
    textOf({ ...FULL, network: candidateNetwork(sweep(), genotype) });
  fc.assert(
    fc.property(genotypes, genotypes, (a, b) => {
      assert.equal(network(a), network(canonicalGenotype(a)));
      assert.equal(network(a) === network(b), genotypeKey(a) === genotypeKey(b));
    }),
    { numRuns: 20 },
  );
});

test('a candidate computes what a run of its network, its epochs and its seed computes', () => {
  const spec = sweep({ space: { channels: 8, layers: 4, embedding: 16 } });
  const { event, digest } = recorded(spec);
  const cell = canonicalGenotype(fc.sample(genotypes, { numRuns: 1, seed: 1 })[0]!);
  const costs = { parameters: 1, mflops: 1, multiplyAdds: 1 };
  const events: Decided[] = [
    event,
    { kind: 'sweep.submitted', sweepId: 'sweep-1', spec: digest, facts },
    {
      ...{ kind: 'trial.proposed', trialId: 'trial-1', sweepId: 'sweep-1', number: 1, costs },
      ...{ genotype: genotypeKey(cell), cursor: drawn(1) },
    },
    {
      ...{ kind: 'trial.attempted', trialId: 'trial-1', runId: 'run-1', attempt: 3, reason: '' },
      haltStage: 1,
    },
  ];
  let state = initialState;
  for (const one of events) state = evolve(state, { ...one, atMs: 1 } as Event);
  const candidate = identityOf(state, runOf(state, 'run-1'));
  const { training, verification } = spec.evaluation;
  const alone = runSchema.parse({
    ...{
      kind: 'teacher',
      name: 'alone',
      network: candidateNetwork(spec, cell),
      data: spec.data,
      verification,
    },
    training: { ...training, epochs: 1, seed: 3 },
  });
  assert.deepEqual(candidate, identityOfSpec(alone, facts));
  // With a part of the images, or of the channels, it computes what a run with that part does, and nothing else.
  const identities = [{ images: 0.25 }, { width: 0.5 }].map((fidelity) => {
    const run = { ...runOf(state, 'run-1'), fidelity, haltStage: training.epochs };
    return identityOf(state, run);
  });
  const { epochs } = training;
  const part = runSchema.parse({ ...alone, training: { ...alone.training, epochs, fraction: 0.25 } });
  assert.deepEqual(identities[0], identityOfSpec(part, facts));
  // A sweep of the same spec over a set that has changed since.
  const changed = { ...facts, digest: 'other' };
  let later = evolve(state, {
    ...{ kind: 'sweep.submitted', sweepId: 'sweep-2', spec: digest, facts: changed, atMs: 2 },
  } as Event);
  for (const one of events.slice(2)) {
    const ids = { trialId: 'trial-2', sweepId: 'sweep-2', runId: 'run-2' };
    later = evolve(later, { ...one, ...ids, atMs: 2 } as unknown as Event);
  }
  const again = { ...runOf(later, 'run-2'), fidelity: { images: 0.25 }, haltStage: training.epochs };
  assert.deepEqual(identityOf(later, again), identityOfSpec(part, changed));
  const channels = channelsAt(spec.space.channels, 0.5);
  const network = candidateNetwork({ space: { ...spec.space, channels } }, cell);
  const narrow = runSchema.parse({ ...alone, network, training: { ...alone.training, epochs } });
  assert.deepEqual(identities[1], identityOfSpec(narrow, facts));
});
