// Checks margin and distillation losses, their gradients and the margin loss's behaviour at cosines of +1 and -1 against
// their fixtures. Tolerances are the fixtures' (README 6).

import { arcfaceLogits, arcfaceLoss, type Margin } from '../../core/loss/arcface.ts';
import { distillationLoss } from '../../core/loss/distillation.ts';
import { oneHot } from '../../core/loss/softmax.ts';
import { unitAlong } from '../../core/loss/unit.ts';
import { gradientsOf, type TensorFunction } from '../../core/nn/step-function.ts';
import { type Tensor, tf } from '../../core/tensor/tf.ts';
import { goldenEngine } from './engine.ts';
import { prepare, type Way, waysOf } from './execute.ts';
import { absolute, type Fixture, floats, integers, meta, relative, stored } from './fixture.ts';
import { type CheckRow, row } from './verification.ts';

/** Losses use plain tfjs operations only, so there is no composed form of them to check apart. */
const WAYS: readonly Way[] = ['eager', 'compiled'];

export async function checkArcface(fixture: Fixture, scale: number): Promise<CheckRow[]> {
  const margin = { scale: Number(meta(fixture, 's')), margin: Number(meta(fixture, 'm')) };
  const rows: CheckRow[] = [];
  for (const way of waysOf(WAYS))
    for (const prefix of ['', 'edge/']) {
      // README 6: wider at the edges, where a logit's slope in the cosine is steep.
      const [logits, loss, gradient] = prefix === '' ? [2e-5, 2e-5, 5e-6] : [5e-4, 1e-5, 1e-5];
      const got = await runArcface(fixture, prefix, margin, way);
      const add = (check: string, measured: number, tolerance: number) =>
        rows.push(row(fixture.file, `${prefix}${check}, ${way}`, measured, tolerance * scale));
      const expected = floats(fixture, `${prefix}logits`);
      if (goldenEngine().name === 'pjrt' && prefix === '') {
        const { others, targets } = bySlope(fixture, margin, got.logits, expected);
        add('logits of other classes', others, logits);
        add('cosines of targets', targets, logits / margin.scale);
      } else add('logits', absolute(got.logits, expected), logits);
      const wanted = floats(fixture, `${prefix}loss`);
      add('loss', prefix === '' ? absolute(got.loss, wanted) : relative(got.loss, wanted), loss);
      add('grad_embeddings', relative(got.embeddings, floats(fixture, `${prefix}grad_embeddings`)), gradient);
      add('grad_kernel', relative(got.kernel, floats(fixture, `${prefix}grad_kernel`)), gradient);
    }
  return rows;
}

/**
 * How far logits are off: of other classes, s c, as they are; of targets, s cos(t + m), in the cosine c that they are computed
 * from. A plugin's compiler adds in orders of its own, and what its roundings leave in a cosine, a few 2^-24 in either, is
 * multiplied by s in the former and by s (cos m + c sin m / sqrt(1 - c^2)) in the latter, up to 231 in this fixture. The
 * tolerance is one for both: README 6's of a logit, as an error of the cosine.
 */
function bySlope(fixture: Fixture, { scale, margin }: Margin, got: ArrayLike<number>, wanted: Float32Array) {
  const [embeddings, kernel] = [floats(fixture, 'embeddings'), floats(fixture, 'kernel')];
  const labels = integers(fixture, 'labels');
  const classes = wanted.length / labels.length;
  const size = embeddings.length / labels.length;
  const largest = { others: 0, targets: 0 };
  for (const [at, value] of wanted.entries()) {
    const error = Math.abs(got[at]! - value);
    const [row, column] = [Math.floor(at / classes), at % classes];
    if (column !== labels[row]) {
      largest.others = Math.max(largest.others, error);
      continue;
    }
    const e = embeddings.subarray(row * size, (row + 1) * size);
    const k = Float64Array.from(e, (_, i) => kernel[i * classes + column]!);
    const c = e.reduce((sum, x, i) => sum + x * k[i]!, 0) / Math.hypot(...e) / Math.hypot(...k);
    const isInside = c > -Math.cos(margin);
    const slope = isInside ? Math.cos(margin) + (c * Math.sin(margin)) / Math.sqrt(1 - c * c) : 1;
    largest.targets = Math.max(largest.targets, error / (scale * slope));
  }
  return largest;
}

async function runArcface(fixture: Fixture, prefix: string, margin: Margin, way: Way) {
  const [rows = 0, embedding = 0] = stored(fixture, `${prefix}embeddings`).shape;
  const [, classes = 0] = stored(fixture, `${prefix}kernel`).shape;
  const execution = await prepare(way, `${fixture.file}/${prefix}`, {
    inputs: [
      { name: 'embeddings', dtype: 'float32', shape: [rows, embedding] },
      { name: 'kernel', dtype: 'float32', shape: [embedding, classes] },
      { name: 'labels', dtype: 'int32', shape: [rows] },
    ],
    build: ([embeddings, kernel, labels]) => {
      const targets = oneHot(labels as Tensor, classes);
      const logits = arcfaceLogits(unitAlong(embeddings as Tensor, 1), kernel as Tensor, targets, margin);
      const { gradients, kept } = gradientsOf({
        tensors: [embeddings as Tensor, kernel as Tensor],
        trainable: [true, true],
        run: ([e, k]) => {
          const loss = arcfaceLoss(unitAlong(e as Tensor, 1), k as Tensor, labels as Tensor, margin);
          return { loss, keep: [loss] };
        },
      });
      return [logits, ...released(kept), ...gradients];
    },
  });
  const [logits = [], loss = [], embeddings = [], kernel = []] = execution.run([
    floats(fixture, `${prefix}embeddings`),
    floats(fixture, `${prefix}kernel`),
    integers(fixture, `${prefix}labels`),
  ]);
  execution.close();
  return { logits, loss, embeddings, kernel };
}

export async function checkKd(fixture: Fixture, scale: number): Promise<CheckRow[]> {
  const weight = Number(meta(fixture, 'weight'));
  const groups = [...fixture.tensors.keys()].filter((name) => name.endsWith('/student'));
  const rows: CheckRow[] = [];
  for (const way of waysOf(WAYS))
    for (const name of groups) {
      const group = name.slice(0, -'student'.length);
      const got = await runKd(fixture, group, weight, way);
      const add = (check: string, measured: number, tolerance: number) =>
        rows.push(row(fixture.file, `${group}${check}, ${way}`, measured, tolerance * scale));
      add('loss', relative(got.loss, floats(fixture, `${group}loss`)), 2e-6);
      add('grad_student', relative(got.student, floats(fixture, `${group}grad_student`)), 2e-6);
      add('grad_student_unit', relative(got.unit, floats(fixture, `${group}grad_student_unit`)), 2e-6);
    }
  return rows;
}

async function runKd(fixture: Fixture, group: string, weight: number, way: Way) {
  const shape = [...stored(fixture, `${group}student`).shape];
  const build: TensorFunction['build'] = ([student, teacher]) => {
    const gradient = (x: Tensor, loss: (x: Tensor) => Tensor) => {
      const { gradients, kept } = gradientsOf({
        tensors: [x],
        trainable: [true],
        run: ([varied]) => {
          const value = loss(varied as Tensor);
          return { loss: value, keep: [value] };
        },
      });
      return [...released(kept), ...gradients];
    };
    const [loss, raw] = gradient(student as Tensor, (x) =>
      distillationLoss(unitAlong(x, 1), teacher as Tensor, weight),
    );
    const [, unit] = gradient(unitAlong(student as Tensor, 1), (x) =>
      distillationLoss(x, teacher as Tensor, weight),
    );
    return [loss as Tensor, raw as Tensor, unit as Tensor];
  };
  const execution = await prepare(way, `${fixture.file}/${group}`, {
    inputs: [
      { name: 'student', dtype: 'float32', shape },
      { name: 'teacher', dtype: 'float32', shape },
    ],
    build,
  });
  const [loss = [], student = [], unit = []] = execution.run([
    floats(fixture, `${group}student`),
    floats(fixture, `${group}teacher`),
  ]);
  execution.close();
  return { loss, student, unit };
}

/** Kept tensors as ordinary ones, which the caller's tidy frees. */
function released(kept: readonly Tensor[]): Tensor[] {
  const copies = kept.map((tensor) => tf.clone(tensor));
  tf.dispose([...kept]);
  return copies;
}
