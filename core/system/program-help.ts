// What a program prints for --help and --version instead of starting. The list of settings is made from the
// schema that checks them, so that help and behaviour cannot differ.

import { z } from 'zod';
import { camelToEnv, camelToFlag, flagTokens } from '../config.ts';
import { packageVersion } from './version.ts';

/** The text to print; undefined where the program has to start. */
export function programAnswer(
  argv: readonly string[],
  about: { readonly program: string; readonly schema: z.ZodObject },
): string | undefined {
  const tokens = flagTokens(argv, Object.keys(about.schema.shape));
  const asks = (name: string) => tokens.some((token) => token.kind === 'option' && token.name === name);
  if (asks('help')) return helpText(about);
  if (asks('version')) return `${packageVersion()}\n`;
  return undefined;
}

function helpText({ program, schema }: { readonly program: string; readonly schema: z.ZodObject }): string {
  const { properties = {}, required = [] } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  const settings = Object.entries(properties).map(([key, property]) => {
    const about = typeof property === 'boolean' ? {} : property;
    const words = [about.description ?? '', boundsText(about), defaultText(about, required.includes(key))];
    return `  --${camelToFlag(key)}\n      ${words.filter((word) => word !== '').join('; ')}\n      ${camelToEnv(key)}\n`;
  });
  return [
    `Usage: ${program} [--config FILE] [--SETTING VALUE]...\n`,
    `pocketfleet ${packageVersion()}. A setting is a flag (--nats-url VALUE or --nats-url=VALUE), a variable of the environment, or a key`,
    `of the YAML file that --config names (natsUrl there); a flag goes before the environment, and that before the file.\n`,
    ...settings,
    '  -V, --version\n      print the version',
    '  -h, --help\n      print this\n',
  ].join('\n');
}

type Property = Exclude<NonNullable<z.core.JSONSchema.BaseSchema['properties']>[string], boolean>;

function boundsText({ enum: choices, minimum, maximum }: Property): string {
  if (choices !== undefined) return `one of ${choices.join(', ')}`;
  // A whole number without a limit in the schema has that of exact integers, which help does not print.
  const limit = (value: number | undefined) =>
    value === undefined || Math.abs(value) >= Number.MAX_SAFE_INTEGER ? undefined : value;
  const [least, most] = [limit(minimum), limit(maximum)];
  if (least !== undefined && most !== undefined) return `${least} to ${most}`;
  return least === undefined ? '' : `at least ${least}`;
}

function defaultText(property: Property, isRequired: boolean): string {
  if (property.default === undefined) return isRequired ? 'required' : '';
  const isEmpty =
    property.default === '' ||
    (typeof property.default === 'object' && Object.keys(property.default ?? {}).length === 0);
  return isEmpty ? 'default empty' : `default ${String(property.default)}`;
}
