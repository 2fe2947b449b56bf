// A whole module around the statements of its one function: arguments, results, and whose memory is donated.

import { FleetError } from '../../errors.ts';
import { type Ref, typeText } from './literals.ts';

/** The whole module. `donated` becomes the aliases that compilers take from TensorFlow's attribute. */
export function moduleText(options: {
  readonly inputs: readonly Ref[];
  readonly outputs: readonly Ref[];
  readonly lines: readonly string[];
  readonly donated: ReadonlyMap<number, number>;
}): string {
  const { inputs, outputs, lines, donated } = options;
  const parameters = inputs.map((input, index) => {
    const result = donated.get(index);
    if (result === undefined) return `${input.name}: ${typeText(input)}`;
    const output = outputs[result];
    if (output === undefined || typeText(output) !== typeText(input))
      throw new FleetError(
        'internal',
        `argument ${index} (${typeText(input)}) is donated to result ${result}, which is ${output === undefined ? 'absent' : typeText(output)}`,
      );
    return `${input.name}: ${typeText(input)} {tf.aliasing_output = ${result} : i32}`;
  });
  const types = outputs.map(typeText);
  return `module @pocketfleet {
  func.func public @main(${parameters.join(', ')}) -> (${types.join(', ')}) {
${lines.map((line) => `    ${line}\n`).join('')}    return ${outputs.map(({ name }) => name).join(', ')} : ${types.join(', ')}
  }
}
`;
}
