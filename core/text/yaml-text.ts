// YAML as plain values, with the line and column of each: documents that people write, and flags that hold
// YAML. Decides what is readable (syntax, depth, keys) and in which words it is refused. A text may come from
// a stranger, so its cost is bounded by its size: depth is checked before anything recurses, and keys are
// compared by a set.

import {
  Composer,
  type Document,
  isAlias,
  isCollection,
  isMap,
  isPair,
  isScalar,
  Lexer,
  LineCounter,
  type Node,
  Parser,
  type YAMLParseError,
} from 'yaml';
import { FleetError, toFleetError } from '../errors.ts';
import { foundText } from './printable.ts';
import { problemsError, problemsIn, type TextSource } from './text-problems.ts';

/** One document: its value, and where each part of it stands in the text. */
export interface YamlDocument {
  readonly value: unknown;
  /**
   * The place of a path's value or of its key; for a path that is not there, that of the nearest mapping
   * around it.
   */
  placeOf(path: readonly PropertyKey[], ofKey?: boolean): Place | undefined;
}

/** Counted from 1. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

/**
 * Limit of a submitted text with its overrides, which the journal keeps in one message; real plans have a few
 * kilobytes.
 */
export const TEXT_BYTES_MAX = 256 * 1024;
/** Levels of nesting; a plan with its genotypes written out has 10. */
const DEPTH_MAX = 64;
/** Each alias searches the whole document for its anchor. */
const ALIASES_MAX = 256;
const DOCUMENTS_MAX = 256;

/** Every document of the text that is not empty, in order. A refusal names the text by its source. */
export function readYaml(text: string, source: TextSource = UNNAMED): YamlDocument[] {
  const lines = new LineCounter();
  const refuse: Refuse = (offset, reason, options) => {
    const { line, col } = lines.linePos(offset);
    return problemsError([{ path: '', reason, ...(line > 0 && { line, column: col }) }], source, options);
  };
  const documents = composed(text, lines, refuse);
  if (documents.length > DOCUMENTS_MAX)
    throw refuse(
      documents[DOCUMENTS_MAX]?.range[0] ?? 0,
      `the text has ${documents.length} documents, at most ${DOCUMENTS_MAX} are taken`,
    );
  return documents.flatMap((document) => {
    const error = firstOf(document.errors);
    if (error) throw refuse(error.pos[0], `not YAML: ${wordsOf(error)}`);
    checkNodes(document, (offset, problem) => refuse(offset, `not YAML: ${problem}`));
    const value = plainOf(document, refuse);
    if (value === null || value === undefined) return [];
    return [{ value, placeOf: (path, ofKey = false) => placeIn(document, lines, path, ofKey) }];
  });
}

const UNNAMED: TextSource = { name: 'text' };

/** The refusal of what begins at this character of the text. */
type Refuse = (offset: number, reason: string, options?: { readonly cause: unknown }) => FleetError;

/** A text that is one value, for instance that of a flag. Throws `invalidArgument` with the reason alone. */
export function readYamlValue(text: string): unknown {
  let documents: readonly YamlDocument[];
  try {
    documents = readYaml(text);
  } catch (caught) {
    const error = toFleetError(caught);
    throw new FleetError(error.code, problemsIn(error)[0]?.reason ?? error.message, { cause: caught });
  }
  if (documents.length > 1)
    throw new FleetError('invalidArgument', `it has ${documents.length} documents, one is expected`);
  return documents[0]?.value ?? null;
}

function composed(text: string, lines: LineCounter, refuse: Refuse): Document.Parsed[] {
  lines.addNewLine(0);
  const parser = new Parser(lines.addNewLine);
  const tokens = [];
  for (const lexeme of new Lexer().lex(text)) {
    for (const token of parser.next(lexeme)) tokens.push(token);
    // The stack holds the document and the collections that are open.
    if (parser.stack.length > DEPTH_MAX + 2)
      throw refuse(parser.offset, `not YAML: lists and mappings are nested more than ${DEPTH_MAX} deep`);
  }
  for (const token of parser.end()) tokens.push(token);
  // The library's own search for equal keys compares each with each, which is quadratic.
  const composer = new Composer({ uniqueKeys: false, logLevel: 'error' });
  return [...composer.compose(tokens, true, text.length)];
}

/** Refuses keys that are neither text nor number, keys that occur twice in a mapping, and unknown tags. */
function checkNodes(document: Document.Parsed, refuse: Refuse): void {
  const [warning] = document.warnings;
  if (warning?.code === 'TAG_RESOLVE_FAILED') throw refuse(warning.pos[0], 'a tag that is not known here');
  let aliases = 0;
  const open: unknown[] = [document.contents];
  for (let node = open.pop(); node !== undefined; node = open.pop()) {
    if (isAlias(node)) {
      aliases += 1;
      if (aliases > ALIASES_MAX) throw refuse(rangeOf(node) ?? 0, `more than ${ALIASES_MAX} aliases (*name)`);
      const target = node.resolve(document);
      if (target === undefined)
        throw refuse(rangeOf(node) ?? 0, 'an alias (*name) that leads to no anchor (&name) before it');
      if (isWithin(node, target))
        throw refuse(rangeOf(node) ?? 0, 'an alias (*name) inside of what it names');
    }
    if (!isCollection(node)) continue;
    const keys = new Set<string>();
    for (const item of node.items) {
      if (!isPair(item)) {
        open.push(item ?? null);
        continue;
      }
      const { key, value } = item;
      const offset = rangeOf(key) ?? rangeOf(node) ?? 0;
      if (!isScalar(key)) throw refuse(offset, 'a key that is no text');
      const name = String(key.value);
      if (keys.has(name)) throw refuse(offset, `the key ${foundText(name)} stands there twice`);
      keys.add(name);
      if (value !== null) open.push(value);
    }
  }
}

function plainOf(document: Document.Parsed, refuse: Refuse): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 }) as unknown;
  } catch (cause) {
    throw refuse(rangeOf(document.contents) ?? 0, 'its aliases (*name) repeat too much', { cause });
  }
}

function placeIn(
  document: Document.Parsed,
  lines: LineCounter,
  path: readonly PropertyKey[],
  ofKey: boolean,
): Place | undefined {
  let node: unknown = document.contents;
  let offset = rangeOf(node);
  for (const [i, step] of path.entries()) {
    if (isAlias(node)) node = node.resolve(document);
    if (!isCollection(node)) break;
    const pair = isMap(node)
      ? node.items.find(({ key }) => isScalar(key) && String(key.value) === String(step))
      : undefined;
    const next: unknown = isMap(node) ? pair?.value : node.items[Number(step)];
    if (pair === undefined && next === undefined) break;
    const last = i === path.length - 1;
    offset = (last && ofKey ? rangeOf(pair?.key) : rangeOf(next)) ?? rangeOf(pair?.key) ?? offset;
    node = next;
  }
  if (offset === undefined) return undefined;
  const { line, col } = lines.linePos(offset);
  return line === 0 ? undefined : { line, column: col };
}

/** Whether one node stands inside of another in the text. */
function isWithin({ range: inner }: Pick<Node, 'range'>, { range: outer }: Pick<Node, 'range'>): boolean {
  return inner && outer ? outer[0] <= inner[0] && inner[1] <= outer[1] : false;
}

function rangeOf(node: unknown): number | undefined {
  return (node as Node | null | undefined)?.range?.[0];
}

/**
 * Chooses one of several errors at one place: a missing bracket is the cause of the wrong indentation after
 * it.
 */
function firstOf(errors: readonly YAMLParseError[]): YAMLParseError | undefined {
  const [first] = errors;
  return errors.find(({ code, pos }) => code === 'MISSING_CHAR' && pos[0] === first?.pos[0]) ?? first;
}

/** The parser's error in words for a person; its codes are a closed list. */
function wordsOf(error: YAMLParseError): string {
  switch (error.code) {
    case 'TAB_AS_INDENT':
      return 'a tab where spaces are expected; YAML indents with spaces';
    case 'BAD_INDENT':
    case 'BLOCK_IN_FLOW':
      return 'the indentation does not fit what is around it';
    case 'MISSING_CHAR':
      return 'a closing bracket, quote, comma, colon or space is missing';
    case 'MULTILINE_IMPLICIT_KEY':
    case 'BLOCK_AS_IMPLICIT_KEY':
    case 'KEY_OVER_1024_CHARS':
      return 'a key is expected on one line, followed by a colon and a space';
    case 'BAD_SCALAR_START':
      return 'a value cannot begin with this character; put it into quotes';
    case 'BAD_DQ_ESCAPE':
      return 'this escape is not known; \\\\ stands for a backslash in double quotes';
    case 'BAD_ALIAS':
      return 'an alias (*name) that leads to no anchor (&name) before it';
    case 'BAD_DIRECTIVE':
    case 'TAG_RESOLVE_FAILED':
      return 'a directive or tag that is not known here';
    case 'RESOURCE_EXHAUSTION':
      return 'its aliases (*name) repeat too much';
    default:
      return 'this cannot be read here';
  }
}
