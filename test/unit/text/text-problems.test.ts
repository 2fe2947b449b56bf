import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FleetError } from '../../../core/errors.ts';
import { fromServiceError, toStatus } from '../../../core/net/grpc-status.ts';
import { namedProblems, problemsError, problemsIn } from '../../../core/text/text-problems.ts';
import { readYaml } from '../../../core/text/yaml-text.ts';

/** The error as it arrives at a client of gRPC. */
function overTheWire(error: FleetError): FleetError {
  const status = toStatus(error);
  return fromServiceError(Object.assign(new Error('3 INVALID_ARGUMENT'), status));
}

test('problems cross the wire as data and are named by the file, in its order, with the line and a mark', () => {
  const text = 'kind: sweep\nstrategy: { trials: many }\nname: 日本語 x\r\n';
  const refused = problemsError(
    [
      { path: 'training.batch', reason: 'expected a whole number', override: 'training.batch' },
      { path: 'training.epochs', reason: 'is missing', override: 'training' },
      { path: 'name', reason: 'has a space', line: 3, column: 11 },
      { path: 'strategy.trials', reason: 'expected a whole number, found "many"', line: 2, column: 21 },
      { path: 'strategy.trials', reason: 'is a word', line: 2, column: 21 },
    ],
    { name: 'yaml' },
  );
  assert.equal(
    refused.message.split('\n')[0],
    'yaml:2:21: strategy.trials: expected a whole number, found "many"',
  );
  const arrived = overTheWire(refused);
  assert.deepEqual(problemsIn(arrived), problemsIn(refused));
  const named = namedProblems(arrived, { name: 'stdin', text, overrides: '--set' });
  assert.equal(named.details.file, 'stdin');
  assert.equal(
    named.message,
    [
      'stdin:2:21: strategy.trials: expected a whole number, found "many"',
      'stdin:2:21: strategy.trials: is a word',
      '  strategy: { trials: many }',
      '                      ^',
      'stdin:3:11: name: has a space',
      '  name: 日本語 x',
      // Each of the three characters takes two columns of a terminal.
      `  ${' '.repeat(13)}^`,
      '--set training.batch: expected a whole number',
      '--set training: training.epochs: is missing',
    ].join('\n'),
  );
});

test('as many problems travel as a header takes, the others are counted, and a long line is shown in part', () => {
  const problems = Array.from({ length: 300 }, (_, i) => ({
    path: `training.field${i}`,
    reason: `${'é'.repeat(150)} unknown key`,
    line: 300 - i,
    column: 1,
  }));
  const arrived = overTheWire(problemsError(problems, { name: 'yaml' }));
  const kept = problemsIn(arrived);
  assert.ok(kept.length >= 5 && kept.length <= 20, `${kept.length} problems`);
  assert.deepEqual(kept[0], problems.at(-1));
  assert.ok(arrived.message.length <= 16_000);
  assert.match(
    namedProblems(arrived, { name: 'f.yaml' }).message,
    new RegExp(`\nand ${300 - kept.length} more, shown when these are mended$`),
  );
  const long = `name: ${'a'.repeat(500)}\u001b[31m!`;
  const { message } = namedProblems(
    problemsError([{ path: 'name', reason: 'is long', line: 1, column: 512 }], { name: 'f' }),
    { name: 'f', text: long },
  );
  const [, shown, mark] = message.split('\n');
  assert.ok(shown!.length < 140 && shown!.includes('\\u001b[31m!'), shown);
  assert.equal(shown![mark!.indexOf('^')], '!');
});

test('an error without problems gets the name in front, and foreign details are no problems', () => {
  const plain = new FleetError('invalidArgument', 'the fleet is full');
  assert.equal(namedProblems(plain, { name: 'f.yaml' }).message, 'f.yaml: the fleet is full');
  const foreign = new FleetError('invalidArgument', 'no', { details: { problems: ['a', { path: 3 }] } });
  assert.deepEqual(problemsIn(foreign), []);
});

test('a text that is no YAML is refused by its source with the line, of a bracket that is missing too', () => {
  const told = (text: string) => {
    try {
      readYaml(text, { name: 'plan.yaml', text });
    } catch (caught) {
      return (caught as FleetError).message;
    }
    return assert.fail('it was taken');
  };
  assert.equal(
    told('kind: sweep\n\tname: x\n'),
    'plan.yaml:2:1: not YAML: a tab where spaces are expected; YAML indents with spaces\n  \\tname: x\n  ^',
  );
  assert.match(told('a: [1, 2'), /^plan\.yaml:1:9: not YAML: .+\n {2}a: \[1, 2\n {10}\^$/);
  assert.equal(
    told('--- a\n'.repeat(300)).split('\n')[0],
    'plan.yaml:257:1: the text has 300 documents, at most 256 are taken',
  );
});
