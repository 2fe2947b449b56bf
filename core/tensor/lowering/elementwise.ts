// Lowerings of operations that compute each element alone, with numpy's broadcasting, and of the constants
// made from a shape. Definitions: TensorFlow's math_ops and nn_ops; StableHLO's "Ops" sections of the names
// written below.

import { attributeOf, type Call, type Lowering, type Lowerings, outputOf } from './call.ts';
import { elementOf, type Ref } from './literals.ts';
import type { Binary, Direction } from './module-text.ts';

/** Both inputs in the output's shape. */
function broadcastPair(call: Call): readonly [Ref, Ref] {
  const { shape } = outputOf(call);
  return [call.text.broadcast(call.input(0), shape), call.text.broadcast(call.input(1), shape)];
}

const unary =
  (compute: (call: Call, x: Ref) => Ref): Lowering =>
  (call) => [compute(call, call.input(0))];

const named = (op: string): Lowering => unary(({ text }, x) => text.unary(op, x));

const binary =
  (op: Binary): Lowering =>
  (call) => [call.text.binary(op, ...broadcastPair(call))];

const comparison =
  (direction: Direction): Lowering =>
  (call) => [call.text.compare(direction, ...broadcastPair(call))];

/** A tensor of one number, of x's form. */
const like = ({ text }: Call, x: Ref, value: number): Ref => text.splat(value, x.element, x.shape);

const relu: Lowering = unary((call, x) => call.text.binary('maximum', x, like(call, x, 0)));

const reluGrad: Lowering = (call) => {
  const [dy, features] = [call.input(0), call.input(1)];
  const positive = call.text.compare('GT', features, like(call, features, 0));
  return [call.text.select(positive, dy, like(call, dy, 0))];
};

const squaredDifference: Lowering = (call) => {
  const difference = call.text.binary('subtract', ...broadcastPair(call));
  return [call.text.binary('multiply', difference, difference)];
};

/** Any number but zero is true; a fraction is cut towards zero, as StableHLO's convert does. */
const cast: Lowering = unary((call, x) => {
  const element = elementOf(Number(attributeOf(call, 'DstT')));
  return element === 'i1' ? call.text.compare('NE', x, like(call, x, 0)) : call.text.convert(x, element);
});

/** TensorFlow's Select takes a condition of the branches' shape, a scalar, or one truth value a row. */
const select: Lowering = (call) => {
  const { shape } = outputOf(call);
  const [condition, a, b] = [0, 1, 2].map((index) => call.input(index)) as [Ref, Ref, Ref];
  const whole =
    condition.shape.length === 1 && shape.length > 1 && call.node.op === 'Select'
      ? call.text.broadcastInto(condition, shape, [0])
      : call.text.broadcast(condition, shape);
  return [call.text.select(whole, call.text.broadcast(a, shape), call.text.broadcast(b, shape))];
};

const sum: Lowering = (call) => {
  const [first, ...others] = call.node.inputs.map((_, index) => call.input(index)) as [Ref, ...Ref[]];
  return [others.reduce((total, other) => call.text.binary('add', total, other), first)];
};

const filled: Lowering = (call) => [call.text.broadcast(call.input(1), outputOf(call).shape)];

export const elementwise: Lowerings = {
  Identity: (call) => [call.input(0)],
  Abs: named('abs'),
  Ceil: named('ceil'),
  Cos: named('cosine'),
  Exp: named('exponential'),
  Expm1: named('exponential_minus_one'),
  Floor: named('floor'),
  Log: named('log'),
  Log1p: named('log_plus_one'),
  LogicalNot: named('not'),
  Neg: named('negate'),
  Rsqrt: named('rsqrt'),
  Sigmoid: named('logistic'),
  Sign: named('sign'),
  Sin: named('sine'),
  Sqrt: named('sqrt'),
  Tanh: named('tanh'),
  OnesLike: unary((call, x) => like(call, x, 1)),
  Reciprocal: unary((call, x) => call.text.binary('divide', like(call, x, 1), x)),
  Relu: relu,
  ReluGrad: reluGrad,
  Square: unary(({ text }, x) => text.binary('multiply', x, x)),
  ZerosLike: unary((call, x) => like(call, x, 0)),
  Add: binary('add'),
  AddN: sum,
  AddV2: binary('add'),
  BiasAdd: binary('add'),
  Div: binary('divide'),
  LogicalAnd: binary('and'),
  LogicalOr: binary('or'),
  Maximum: binary('maximum'),
  Minimum: binary('minimum'),
  Mul: binary('multiply'),
  Pow: binary('power'),
  RealDiv: binary('divide'),
  SquaredDifference: squaredDifference,
  Sub: binary('subtract'),
  Equal: comparison('EQ'),
  Greater: comparison('GT'),
  GreaterEqual: comparison('GE'),
  Less: comparison('LT'),
  LessEqual: comparison('LE'),
  NotEqual: comparison('NE'),
  Cast: cast,
  Select: select,
  SelectV2: select,
  BroadcastTo: (call) => [call.text.broadcast(call.input(0), outputOf(call).shape)],
  Fill: filled,
};
