// JSON Schema of the documents, checked with a validator of others.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { jsonSchemaOf, SCHEMA_KINDS, schemaText } from '../../../core/spec/json-schema.ts';
import { PACKAGE_ROOT } from '../../../core/system/places.ts';
import { readYaml } from '../../../core/text/yaml-text.ts';

const textOf = (path: string): string => readFileSync(join(PACKAGE_ROOT, path), 'utf8');
const ajv = new Ajv2020({ allErrors: true, strict: true, strictTuples: false, formats: { base64: true } });

interface Schema {
  readonly description?: string;
  readonly const?: unknown;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly [key: string]: unknown;
}

test('the files of schema/ are what the schemas say', () => {
  assert.deepEqual(
    readdirSync(join(PACKAGE_ROOT, 'schema')).sort(),
    SCHEMA_KINDS.map((k) => `${k}.json`).sort(),
  );
  for (const kind of SCHEMA_KINDS)
    assert.equal(
      textOf(`schema/${kind}.json`),
      schemaText(kind),
      `schema/${kind}.json is stale; run \`npm run generate:schema\` and commit`,
    );
});

test('every field has a description, unless it is a fixed word', () => {
  const missing: string[] = [];
  const walk = (schema: Schema, path: string): void => {
    for (const [name, field] of Object.entries(schema.properties ?? {})) {
      if (field.description === undefined && field.const === undefined) missing.push(`${path}.${name}`);
      walk(field, `${path}.${name}`);
    }
    for (const key of ['items', 'anyOf', 'oneOf', 'prefixItems'])
      for (const inner of [schema[key] ?? []].flat()) walk(inner as Schema, path);
  };
  for (const kind of SCHEMA_KINDS) walk(jsonSchemaOf(kind), kind);
  assert.deepEqual(missing, []);
});

test('each example names the schema that it satisfies, and fails it with a key or a value that is wrong', () => {
  const examples = readdirSync(join(PACKAGE_ROOT, 'examples')).filter((name) => name.endsWith('.yaml'));
  assert.ok(examples.length > 3);
  const anyDocument = ajv.compile(jsonSchemaOf());
  // Compiling one takes longer than all documents that it is asked about.
  const validators = new Map<string, ReturnType<typeof ajv.compile>>();
  for (const name of examples) {
    const text = textOf(`examples/${name}`);
    const path = /^# yaml-language-server: \$schema=\.\.\/(\S+)\n/.exec(text)?.[1];
    assert.ok(path !== undefined, `${name} does not begin with its schema`);
    const isValid = validators.get(path) ?? ajv.compile(JSON.parse(textOf(path)) as object);
    validators.set(path, isValid);
    for (const { value } of readYaml(text)) {
      assert.ok(isValid(value), `${name}: ${ajv.errorsText(isValid.errors)}`);
      assert.ok(anyDocument(value), `${name}: ${ajv.errorsText(anyDocument.errors)}`);
      const document = value as Record<string, unknown>;
      for (const wrong of [
        { priorty: 1 },
        { name: 'Two Words' },
        { data: { kind: 'films' } },
        { kind: 'flan' },
      ])
        assert.ok(!isValid({ ...document, ...wrong }), `${name} with ${JSON.stringify(wrong)}`);
    }
  }
});
