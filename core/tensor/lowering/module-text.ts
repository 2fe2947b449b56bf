// The text of a StableHLO module, statement by statement. Decides how types, constants and the statements that
// several lowerings share are written. The forms are those of the specification
// (https://openxla.org/stablehlo/spec); operations with attributes are written in MLIR's generic form, which
// compilers of different ages read alike.

import { type Element, integers, numberText, pairs, type Ref, typeText } from './literals.ts';

/** Names of two-valued operations whose result has the type of their operands. */
export type Binary =
  | 'add'
  | 'subtract'
  | 'multiply'
  | 'divide'
  | 'maximum'
  | 'minimum'
  | 'power'
  | 'remainder'
  | 'atan2'
  | 'and'
  | 'or'
  | 'xor'
  | 'shift_right_logical';

/** Operations that reduce one axis or several; and, or are of truth values. */
export type Reducer = 'add' | 'multiply' | 'maximum' | 'minimum' | 'and' | 'or';

/** How a comparison is written. */
export type Direction = 'EQ' | 'NE' | 'GE' | 'GT' | 'LE' | 'LT';

/** Writes the body of one function. Equal statements are written once: every operation here is pure. */
export class ModuleText {
  readonly #lines: string[] = [];
  readonly #known = new Map<string, Ref>();

  /** The statements so far, in order. */
  get lines(): readonly string[] {
    return this.#lines;
  }

  /** Adds a statement with one result. `text` is all behind the equals sign. */
  statement(text: string, element: Element, shape: readonly number[]): Ref {
    const known = this.#known.get(text);
    if (known !== undefined) return known;
    const ref: Ref = { name: `%${this.#lines.length}`, element, shape: [...shape] };
    this.#lines.push(`${ref.name} = ${text}`);
    this.#known.set(text, ref);
    return ref;
  }

  /** An operation in the generic form, attributes as MLIR writes them. */
  generic(options: {
    op: string;
    operands: readonly Ref[];
    attributes: Readonly<Record<string, string>>;
    element: Element;
    shape: readonly number[];
    /** A region, with its braces. */
    region?: string;
  }): Ref {
    const { op, operands, attributes, element, shape, region } = options;
    const written = Object.entries(attributes).map(([name, value]) => `${name} = ${value}`);
    const types = operands.map(typeText).join(', ');
    return this.statement(
      `"stablehlo.${op}"(${operands.map(({ name }) => name).join(', ')})${region === undefined ? '' : ` (${region})`} {${written.join(', ')}} : (${types}) -> ${typeText({ element, shape })}`,
      element,
      shape,
    );
  }

  /** A tensor of one repeated number. */
  splat(value: number, element: Element, shape: readonly number[] = []): Ref {
    return this.statement(
      `stablehlo.constant dense<${numberText(value, element)}> : ${typeText({ element, shape })}`,
      element,
      shape,
    );
  }

  /** A tensor of given numbers, in row-major order. */
  constant(values: ArrayLike<number>, element: Element, shape: readonly number[]): Ref {
    const { length } = values;
    if (length > 0 && Array.from(values).every((value) => Object.is(value, values[0])))
      return this.splat(values[0]!, element, shape);
    if (length === 0)
      return this.statement(`stablehlo.constant dense<> : ${typeText({ element, shape })}`, element, shape);
    const flat = this.statement(
      `stablehlo.constant dense<[${Array.from(values, (value) => numberText(value, element)).join(', ')}]> : ${typeText({ element, shape: [length] })}`,
      element,
      [length],
    );
    return this.reshape(flat, shape);
  }

  unary(op: string, x: Ref): Ref {
    return this.statement(`stablehlo.${op} ${x.name} : ${typeText(x)}`, x.element, x.shape);
  }

  /** Of two tensors of one type. */
  binary(op: Binary, a: Ref, b: Ref): Ref {
    return this.statement(`stablehlo.${op} ${a.name}, ${b.name} : ${typeText(a)}`, a.element, a.shape);
  }

  /** Truth values of a comparison of two tensors of one type. */
  compare(direction: Direction, a: Ref, b: Ref): Ref {
    return this.generic({
      op: 'compare',
      operands: [a, b],
      attributes: { comparison_direction: `#stablehlo<comparison_direction ${direction}>` },
      element: 'i1',
      shape: a.shape,
    });
  }

  /** `a` where the condition holds, `b` elsewhere; the three have one shape. */
  select(condition: Ref, a: Ref, b: Ref): Ref {
    return this.statement(
      `stablehlo.select ${condition.name}, ${a.name}, ${b.name} : ${typeText(condition)}, ${typeText(a)}`,
      a.element,
      a.shape,
    );
  }

  convert(x: Ref, element: Element): Ref {
    if (x.element === element) return x;
    return this.statement(
      `stablehlo.convert ${x.name} : (${typeText(x)}) -> ${typeText({ element, shape: x.shape })}`,
      element,
      x.shape,
    );
  }

  reshape(x: Ref, shape: readonly number[]): Ref {
    if (x.shape.join() === shape.join()) return x;
    return this.statement(
      `stablehlo.reshape ${x.name} : (${typeText(x)}) -> ${typeText({ element: x.element, shape })}`,
      x.element,
      shape,
    );
  }

  /** Axis i of `x` becomes axis axes[i] of the result; axes of size 1 are repeated. */
  broadcastInto(x: Ref, shape: readonly number[], axes: readonly number[]): Ref {
    if (x.shape.join() === shape.join()) return x;
    return this.generic({
      op: 'broadcast_in_dim',
      operands: [x],
      attributes: { broadcast_dimensions: integers(axes) },
      element: x.element,
      shape,
    });
  }

  /** By numpy's rule, aligned at the last axis. */
  broadcast(x: Ref, shape: readonly number[]): Ref {
    const skipped = shape.length - x.shape.length;
    return this.broadcastInto(
      x,
      shape,
      x.shape.map((_, axis) => axis + skipped),
    );
  }

  transpose(x: Ref, axes: readonly number[]): Ref {
    if (axes.every((axis, i) => axis === i)) return x;
    return this.generic({
      op: 'transpose',
      operands: [x],
      attributes: { permutation: integers(axes) },
      element: x.element,
      shape: axes.map((axis) => x.shape[axis]!),
    });
  }

  /** Rows along one axis by number, of any shape. A number outside the axis takes its nearest row. */
  gather(x: Ref, indices: Ref, axis: number): Ref {
    const rank = indices.shape.length;
    const shape = [...x.shape.slice(0, axis), ...indices.shape, ...x.shape.slice(axis + 1)];
    const offsets = shape.map((_, i) => i).filter((i) => i < axis || i >= axis + rank);
    return this.generic({
      op: 'gather',
      operands: [x, indices],
      attributes: {
        dimension_numbers: `#stablehlo.gather<offset_dims = [${offsets}], collapsed_slice_dims = [${axis}], start_index_map = [${axis}], index_vector_dim = ${rank}>`,
        slice_sizes: integers(x.shape.with(axis, 1)),
      },
      element: x.element,
      shape,
    });
  }

  /** Elements [begin, end) of each axis in steps of `strides`. */
  slice(
    x: Ref,
    begin: readonly number[],
    end: readonly number[],
    strides: readonly number[] = x.shape.map(() => 1),
  ): Ref {
    const shape = begin.map((from, axis) => Math.ceil((end[axis]! - from) / strides[axis]!));
    if (shape.join() === x.shape.join()) return x;
    return this.generic({
      op: 'slice',
      operands: [x],
      attributes: {
        start_indices: integers(begin),
        limit_indices: integers(end),
        strides: integers(strides),
      },
      element: x.element,
      shape,
    });
  }

  /** `inside` values stand between two neighbours; negative `low` and `high` cut. */
  pad(
    x: Ref,
    value: Ref,
    { low, high, inside }: { low: readonly number[]; high: readonly number[]; inside?: readonly number[] },
  ): Ref {
    const between = inside ?? low.map(() => 0);
    const shape = x.shape.map(
      (size, axis) => size + Math.max(0, size - 1) * between[axis]! + low[axis]! + high[axis]!,
    );
    if (low.every((n) => n === 0) && shape.join() === x.shape.join()) return x;
    return this.generic({
      op: 'pad',
      operands: [x, value],
      attributes: {
        edge_padding_low: integers(low),
        edge_padding_high: integers(high),
        interior_padding: integers(between),
      },
      element: x.element,
      shape,
    });
  }

  concatenate(parts: readonly Ref[], axis: number): Ref {
    const [first] = parts as readonly [Ref, ...Ref[]];
    if (parts.length === 1) return first;
    return this.generic({
      op: 'concatenate',
      operands: parts,
      attributes: { dimension: `${axis} : i64` },
      element: first.element,
      shape: first.shape.with(
        axis,
        parts.reduce((sum, part) => sum + part.shape[axis]!, 0),
      ),
    });
  }

  /** Reduces these axes, which the result lacks. */
  reduce(op: Reducer, x: Ref, axes: readonly number[]): Ref {
    if (axes.length === 0) return x;
    const shape = x.shape.filter((_, axis) => !axes.includes(axis));
    const start = this.#neutral(op, x.element);
    return this.statement(
      `stablehlo.reduce(${x.name} init: ${start.name}) applies stablehlo.${op} across dimensions = [${axes.join(', ')}] : (${typeText(x)}, ${typeText(start)}) -> ${typeText({ element: x.element, shape })}`,
      x.element,
      shape,
    );
  }

  /** Reduces windows: sizes, strides and paddings by axis. */
  reduceWindow(
    op: 'add' | 'maximum',
    x: Ref,
    window: {
      sizes: readonly number[];
      strides: readonly number[];
      paddings: readonly (readonly [number, number])[];
      shape: readonly number[];
    },
  ): Ref {
    const scalar = typeText({ element: x.element, shape: [] });
    return this.generic({
      op: 'reduce_window',
      operands: [x, this.#neutral(op, x.element)],
      region: `{ ^bb0(%l: ${scalar}, %r: ${scalar}): %s = stablehlo.${op} %l, %r : ${scalar} "stablehlo.return"(%s) : (${scalar}) -> () }`,
      attributes: {
        window_dimensions: integers(window.sizes),
        window_strides: integers(window.strides),
        padding: pairs(window.paddings),
      },
      element: x.element,
      shape: window.shape,
    });
  }

  /** The number of the place along an axis, at each place. */
  iota(axis: number, element: Element, shape: readonly number[]): Ref {
    return this.statement(`stablehlo.iota dim = ${axis} : ${typeText({ element, shape })}`, element, shape);
  }

  /** What a reduction begins with: its neutral element. */
  #neutral(op: Reducer, element: Element): Ref {
    switch (op) {
      case 'add':
      case 'or':
        return this.splat(0, element);
      case 'multiply':
      case 'and':
        return this.splat(1, element);
      case 'maximum':
        return this.splat(Number.NEGATIVE_INFINITY, element);
      case 'minimum':
        return this.splat(Number.POSITIVE_INFINITY, element);
    }
  }
}
