// The command that prints JSON Schema of what may be submitted.

import { Argument, type Command } from 'commander';
import type { SchemaKind } from '../../../core/spec/json-schema.ts';
import { print } from '../screen/output.ts';

export function addSchemaCommand(program: Command): void {
  program
    .command('schema')
    .description('print JSON Schema of a plan, a sweep, a search or a run, or of any document')
    .addArgument(
      new Argument('[kind]').choices(['plan', 'sweep', 'search', 'run'] satisfies readonly SchemaKind[]),
    )
    .option('--json', 'print JSON, as without it')
    .action(async (kind: SchemaKind | undefined) => {
      const { schemaText } = await import('../../../core/spec/json-schema.ts');
      print(schemaText(kind));
    });
}
