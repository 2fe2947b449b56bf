// What a document may be as JSON Schema, for editors and other programs. Follows from the schemas of what a person writes;
// what they refuse by a rule over several fields is refused at submit only.

import { z } from 'zod';
import { teacherFilesSchema } from './distillation.ts';
import { documentSchema } from './document.ts';
import { planSchema } from './plan.ts';
import { runSchema } from './run.ts';
import { searchSchema } from './search.ts';
import { sweepSchema } from './sweep.ts';

/** The kinds of documents that have a schema of their own. A run is a teacher, a student or a candidate. */
export const SCHEMA_KINDS = ['plan', 'sweep', 'search', 'run'] as const;
/** One of these kinds. */
export type SchemaKind = (typeof SCHEMA_KINDS)[number];

const SCHEMAS: Readonly<Record<SchemaKind, z.ZodType>> = {
  plan: planSchema,
  sweep: sweepSchema,
  search: searchSchema,
  run: runSchema,
};

/** JSON Schema (draft 2020-12) of what a person writes; fields with a default may be left out. Without a kind: of all. */
export function jsonSchemaOf(kind?: SchemaKind): Record<string, unknown> {
  const { $schema, ...rest } = z.toJSONSchema(kind === undefined ? documentSchema : SCHEMAS[kind], {
    ...WRITTEN,
    override({ zodSchema, jsonSchema }) {
      if (zodSchema === planSchema.shape.teacher) orFiles(jsonSchema);
    },
  });
  return { $schema, title: `Pocketfleet ${kind ?? 'document'}`, ...rest };
}

const WRITTEN = { io: 'input', target: 'draft-2020-12', unrepresentable: 'throw' } as const;

/**
 * A plan's own teacher may be files, for which a run stands before the plan is checked (`nameTeacherRun`), so that its
 * schema has none.
 */
function orFiles(teacher: Record<string, unknown>): void {
  const { description, ...run } = teacher;
  const { $schema: _schema, ...files } = z.toJSONSchema(teacherFilesSchema, WRITTEN);
  for (const key of Object.keys(run)) delete teacher[key];
  Object.assign(teacher, { description: `${description}, or files that were one`, anyOf: [run, files] });
}

/** The same as text: a file of `schema/`, and what the command prints. */
export const schemaText = (kind?: SchemaKind): string => `${JSON.stringify(jsonSchemaOf(kind), null, 2)}\n`;
