import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { assertBounded, readSubmission, type Submission } from '../../../../coordinator/api/submission.ts';
import { createSubmissionReader } from '../../../../coordinator/api/submission-reader.ts';
import { FleetError } from '../../../../core/errors.ts';
import { canonicalJson } from '../../../../core/spec/canonical-json.ts';
import { jsonSchemaOf } from '../../../../core/spec/json-schema.ts';
import { readYaml, TEXT_BYTES_MAX } from '../../../../core/text/yaml-text.ts';

const RUN = `kind: teacher
name: t
network: { kind: pocketnet, channels: 2, layers: 4, embedding: 16 }
data: { kind: synthetic, identities: 12, images: 8, holdout: 4 }
training:
  epochs: 2
  batch: 16
`;
// What texts cost is tested, and how much of a processor others leave is not.
const reader = createSubmissionReader(300_000);
after(() => reader.close());

function submission(yaml: string, overrides: Record<string, string> = {}): Submission {
  return { yaml, baseDir: '/faces', overrides };
}

function refusal(yaml: string, overrides: Record<string, string> = {}): string {
  try {
    assertBounded(submission(yaml, overrides));
    readSubmission(submission(yaml, overrides));
  } catch (caught) {
    assert.ok(caught instanceof FleetError, String(caught));
    assert.equal(caught.code, 'invalidArgument');
    return caught.message;
  }
  return assert.fail('it was taken');
}

test('overrides count toward the limit of the text, in number, in bytes and in the length of their paths', () => {
  assert.equal(
    refusal(RUN, { 'data.path': '['.repeat(4_000_000) }),
    `the text has ${4_000_000 + 9 + RUN.length} bytes, 4000009 of them in overrides; at most 262144 are taken`,
  );
  const many = Object.fromEntries(Array.from({ length: 257 }, (_, i) => [`a${i}`, '1']));
  assert.match(refusal(RUN, many), /^there are 257 overrides, at most 256 are taken/);
  assert.match(
    refusal(RUN, { ['a.'.repeat(300)]: '1' }),
    /^an override's path has 600 characters, at most 512/,
  );
  const padded = `${RUN}#${'x'.repeat(TEXT_BYTES_MAX - RUN.length)}`;
  assert.match(refusal(padded), /^the text has 262145 bytes; at most 262144 are taken$/);
  assert.equal(readSubmission(submission(padded.slice(0, -1))).length, 1);
});

test('nesting is bounded in the text and in an override, whatever it is made of', () => {
  const deep = /lists and mappings are nested more than 64 deep/;
  const mapping = Array.from({ length: 400 }, (_, i) => `${' '.repeat(i)}a:`).join('\n');
  for (const text of [
    '['.repeat(200_000),
    '{a: '.repeat(60_000),
    '- '.repeat(100_000),
    '? '.repeat(100_000),
    mapping,
  ]) {
    assert.match(refusal(text), deep);
    assert.match(refusal(RUN, { training: text }), deep);
  }
  assert.match(
    refusal(RUN, { training: '['.repeat(200_000) }),
    /^override training: its value is not YAML: lists/,
  );
});

test('texts that once took seconds are read within their limits, and others are answered meanwhile', async () => {
  const keys = Array.from({ length: 20_000 }, (_, i) => `k${i}: ${i}`).join('\n');
  const aliases = Array.from({ length: 9000 }, (_, i) => `- &a${i} [*a${Math.max(0, i - 1)}]`).join('\n');
  const bomb = `a: &a [1,1,1,1,1,1,1,1,1]\n${[...'bcdefghij'].map((c, i) => `${c}: &${c} [${Array(9).fill(`*${'abcdefghij'[i]}`).join(',')}]`).join('\n')}`;
  let turns = 0;
  const beat = setInterval(() => {
    turns += 1;
  }, 1);
  try {
    await assert.rejects(reader.read(submission(keys)), /kind: is missing|expected a mapping/);
    assert.ok(turns > 10, `${turns} turns of the event loop while a text was read`);
    await assert.rejects(reader.read(submission(aliases)), /more than 256 aliases/);
    await assert.rejects(
      reader.read(submission(bomb)),
      /^FleetError: yaml:1:1: its aliases \(\*name\) repeat too much/,
    );
    await assert.rejects(
      reader.read(submission('--- a\n'.repeat(40_000))),
      /has 40000 documents, at most 256/,
    );
  } finally {
    clearInterval(beat);
  }
  assert.equal((await reader.read(submission(RUN))).length, 1);
});

test('a network that would take the memory of the machine is refused by its fields', () => {
  for (const network of ['blocks: [1000000000, 1, 1, 1]', 'blocks: [1, 1, 1, 1], stem: 1000000000'])
    assert.match(
      refusal(RUN, { network: `{ kind: iresnet, embedding: 16, ${network} }` }),
      /^override network: network\.(blocks\.0|stem): expected at most \d+, found 1000000000$/,
    );
});

test('a problem names its line and column, in flow and in block, or the override that it came from', () => {
  assert.equal(
    refusal(RUN.replace('batch: 16', 'batch: sixty')),
    'yaml:7:10: training.batch: expected a whole number, found "sixty"',
  );
  assert.equal(
    refusal(RUN.replace('epochs', 'epoch')),
    'yaml:6:3: training.epochs: is missing (a whole number)\nyaml:6:3: training.epoch: unknown key; did you mean epochs?',
  );
  assert.equal(
    refusal(RUN.replace('layers: 4', 'layers: 3')),
    'yaml:3:50: network.layers: expected at least 4, found 3',
  );
  assert.equal(
    refusal(RUN, { 'training.batch': '300k' }),
    'override training.batch: expected a whole number, found "300k"',
  );
  // A key that the text does not have is the override's, though its value is a mapping that nobody wrote.
  assert.match(refusal(RUN, { 'nope.x.y': '1' }), /^override nope\.x\.y: nope: unknown key; known here: /);
  assert.equal(
    refusal(RUN, { 'training.optimizer.learnigRate': '1' }),
    'override training.optimizer.learnigRate: unknown key; did you mean learningRate?',
  );
  assert.equal(
    refusal(`${RUN}---\n${RUN.replace('epochs: 2', 'epochs: 0')}`),
    'yaml:14:11: training.epochs: expected at least 1, found 0',
  );
});

test('what is no YAML is told in our words, with line and column', () => {
  assert.equal(
    refusal('kind: sweep\n\tname: x\n'),
    'yaml:2:1: not YAML: a tab where spaces are expected; YAML indents with spaces',
  );
  assert.match(refusal('a: 1\na: 2'), /^yaml:2:1: not YAML: the key "a" stands there twice$/);
  assert.match(refusal('a: [1, 2'), /^yaml:1:9: not YAML: /);
  assert.match(refusal('a: "\\q"'), /^yaml:1:\d+: not YAML: this escape is not known/);
  assert.match(
    refusal('a: !!python/object:os.system x'),
    /^yaml:1:\d+: not YAML: a tag that is not known here/,
  );
  assert.match(refusal('? {a: 1}\n: 2'), /^yaml:1:\d+: not YAML: a key that is no text/);
  assert.match(refusal('a: *b'), /^yaml:1:\d+: not YAML: an alias \(\*name\) that leads to no anchor/);
  assert.match(refusal(''), /^yaml:1:1: the text has no document/);
  assert.match(refusal('\ufffd\ufffd'), /^yaml:1:1: expected a mapping, found/);
  // Nothing of the text is obeyed by a terminal.
  assert.doesNotMatch(refusal('a: "\u001b[31m\u202e" "'), /\u202e|(?!\n)\p{Cc}/u);
});

test('a teacher from files has its run put in wherever a document may name a teacher, and editors take it there too', () => {
  const files = { import: 'files/*backbone.pth', stages: 'by-number' };
  const imports = { runIds: { [canonicalJson(files)]: 'run-9' } };
  const teacher = `distillation: { teacher: ${JSON.stringify(files)} }`;
  const head = 'name: x\ndata: { kind: synthetic, identities: 12, images: 8, holdout: 4 }\n';
  const search = `space: { channels: 2, layers: 4, embedding: 16 }, strategy: { trials: 2 }, evaluation: { training: { epochs: 2, batch: 16 }, ${teacher} }`;
  const student =
    'name: s, network: { kind: pocketnet, channels: 2, layers: 4, embedding: 16 }, training: { epochs: 2, batch: 16 }';
  const texts = [
    `${RUN.replace('kind: teacher', 'kind: student')}${teacher}\n`,
    `kind: sweep\n${head}${search.replaceAll(/, (strategy|evaluation):/g, '\n$1:')}\n`,
    `kind: plan\n${head}search: { ${search} }\n`,
    `kind: plan\n${head}students: [{ ${student}, ${teacher} }]\n`,
    `kind: plan\n${head}teacher: ${JSON.stringify(files)}\nstudents: [{ ${student}, distillation: {} }]\n`,
  ];
  const ajv = new Ajv2020({ strict: false, formats: { base64: true } });
  const [run, sweep, plan] = (['run', 'sweep', 'plan'] as const).map((kind) =>
    ajv.compile(jsonSchemaOf(kind)),
  );
  const isTakenByEditors = (yaml: string) => {
    const { value } = readYaml(yaml)[0]!;
    return { sweep, plan }[(value as { kind: string }).kind as 'sweep' | 'plan']?.(value) ?? run!(value);
  };
  for (const yaml of texts) {
    assert.ok(isTakenByEditors(yaml), yaml);
    const wrong = yaml.replace('by-number', 'by-name');
    assert.ok(!isTakenByEditors(wrong), wrong);
    assert.throws(() => readSubmission({ ...submission(wrong), imports }));
    const [only] = readSubmission({ ...submission(yaml), imports });
    assert.match(JSON.stringify(only!.spec), /"teacher":"run-9"/);
    assert.match(refusal(yaml), /teacher: files of a teacher are read where the text is submitted/);
  }
});
