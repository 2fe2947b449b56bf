import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse, parseAllDocuments } from 'yaml';
import { readSubmission } from '../../../../coordinator/api/submission.ts';

const PLAN = `# Two epochs are enough to see it.
kind: plan
name: small
data: { kind: folder, path: faces, holdout: 4 } # ours
teacher:
  name: teacher
  network: { kind: pocketnet, channels: 2, layers: 4, embedding: 16 }
  training: &short
    epochs: 2 # few
    batch: 16
students:
  - name: one
    network: { kind: pocketnet, channels: 2, layers: 4, embedding: 16 }
    training: *short
`;

const textOf = (yaml: string, overrides: Record<string, string> = {}) =>
  readSubmission({ yaml, baseDir: '/home/me', overrides }).map(({ text }) => text);

test('a plan that took effect as it was written keeps its text, byte for byte', () => {
  const plain = PLAN.replace('path: faces', 'path: /faces');
  assert.deepEqual(textOf(plain), [plain]);
});

test('overrides and resolved paths stand in their places, named beside what the text has', () => {
  const [text] = textOf(PLAN, {
    'students.0.training': '{ epochs: 50, batch: 16 }',
    'data.holdout': '6',
    'teacher.priority': '3',
  });
  assert.deepEqual(parse(text!), {
    ...parse(PLAN),
    data: { kind: 'folder', path: '/home/me/faces', holdout: 6 },
    students: [{ ...parse(PLAN).students[0], training: { epochs: 50, batch: 16 } }],
    teacher: { ...parse(PLAN).teacher, priority: 3 },
  });
  assert.match(text!, /^# Two epochs are enough to see it\.$/m);
  assert.match(text!, /path: \/home\/me\/faces.*# resolved; the text has "faces"$/m);
  assert.match(text!, /holdout: 6.*# override; the text has 4$/m);
  assert.match(text!, /priority: 3 # override; the text has none$/m);
  assert.match(text!, /epochs: 2 # few/);
});

test('an override of what an alias shares holds where it took effect, and nowhere else is shown', () => {
  const values = readSubmission({ yaml: PLAN, baseDir: '/', overrides: { 'teacher.training.epochs': '50' } });
  const [{ spec, text }] = values as [(typeof values)[number]];
  assert.ok(spec.kind === 'plan');
  const shown = parse(text);
  assert.equal(shown.teacher.training.epochs, spec.teacher?.training.epochs);
  assert.equal(shown.students[0].training.epochs, spec.students[0]?.training.epochs);
  assert.match(text, /teacher\.training\.epochs|# override; the text has 2/);
});

test('of several documents each plan has its own text', () => {
  const texts = textOf(`${PLAN}---\n${PLAN.replace('small', 'second')}`, { name: 'first' });
  assert.deepEqual(
    texts.map((text) =>
      parseAllDocuments(text).map((document) => (document.toJS() as { name: string }).name),
    ),
    [['first'], ['second']],
  );
});
