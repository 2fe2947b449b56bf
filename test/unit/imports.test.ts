// Who may import whom, and where each outside thing has its door. The tables below are the rule; a module
// that breaks it is named with the way that it took. What a table allows and nobody needs any more is a fault
// too, so that the tables stay true.

import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import {
  circlesOf,
  codeOf,
  type Imports,
  importsOf,
  type Texts,
  textsOf,
  wayTo,
} from '../support/imports.ts';

/**
 * A room is a folder, or one file with a row of its own. Every room may import these three, and they one
 * another.
 */
const LEAVES = 'core core/text core/system';

/**
 * What each room may import beside itself and the leaves; rows from below to above, so that an arrow points
 * upwards here.
 */
const ROOMS: Readonly<Record<string, string>> = {
  // What both programs stand on.
  core: '',
  'core/text': '',
  'core/system': '',
  'core/spec': '',
  'core/net': 'proto/gen',
  'core/metrics': 'core/net',
  'core/tensor': '',
  'core/tensor/ops': 'core/tensor',
  'core/tensor/recording': 'core/tensor core/tensor/ops',
  'core/tensor/lowering': 'core/tensor/ops core/tensor/recording',
  'core/tensor/passes': 'core/tensor/ops core/tensor/recording',
  'core/tensor/pjrt': 'proto/gen',
  'core/tensor/graph':
    'core/spec core/tensor core/tensor/lowering core/tensor/ops core/tensor/passes core/tensor/pjrt core/tensor/recording proto/gen',
  'core/loss': 'core/tensor core/tensor/ops',
  'core/nn': 'core/loss core/spec core/tensor core/tensor/ops core/tensor/passes',
  'core/optim': 'core/nn core/tensor/graph core/tensor/lowering',
  'core/screening': 'core/nn core/spec core/tensor core/tensor/graph core/tensor/ops',
  'core/search': 'core/loss core/nn core/optim core/spec core/tensor',
  'core/data': 'core/search core/spec',
  'core/verify': 'core/data',
  'core/report': 'core/search core/spec core/verify proto/gen',
  'core/model': 'core/nn core/spec proto/gen',
  'core/checkpoint': 'core/model core/net core/spec proto/gen',
  'core/allreduce/kernels': '',
  'core/allreduce': 'core/allreduce/kernels core/net',
  'core/head':
    'core/allreduce core/loss core/nn core/optim core/tensor core/tensor/graph core/tensor/lowering',

  // The coordinator: what is known, what is decided, what makes it last, and the three sides that talk to the
  // outside.
  'coordinator/strategies': 'core/nn core/search core/spec',
  'coordinator/model': 'coordinator/strategies core/nn core/spec',
  'coordinator/scheduling': 'coordinator/model core/spec',
  'coordinator/decisions':
    'coordinator/model coordinator/scheduling coordinator/strategies core/nn core/search core/spec',
  'coordinator/journal':
    'coordinator/decisions coordinator/model coordinator/strategies core/net core/nn core/spec',
  'coordinator/store': 'coordinator/decisions coordinator/journal coordinator/model core/checkpoint core/net',
  'coordinator/workers':
    'coordinator/decisions coordinator/journal coordinator/model coordinator/strategies core/data core/net core/nn core/spec proto/gen',
  'coordinator/kubernetes': 'coordinator/model coordinator/workers core/metrics core/net',
  'coordinator/api':
    'coordinator/decisions coordinator/journal coordinator/model coordinator/scheduling coordinator/store coordinator/strategies coordinator/workers core/checkpoint core/data core/head core/model core/net core/nn core/search core/spec core/verify proto/gen',
  'coordinator/metrics':
    'coordinator/decisions coordinator/model coordinator/scheduling coordinator/store core/metrics core/net core/spec',
  coordinator:
    'coordinator/api coordinator/decisions coordinator/journal coordinator/kubernetes coordinator/metrics coordinator/model coordinator/scheduling coordinator/store coordinator/strategies coordinator/workers core/checkpoint core/net proto/gen',

  // The command line: a gRPC client like any other. Nothing of the coordinator is in these rows.
  'coordinator/cli': 'coordinator/cli/local coordinator/cli/screen core/net core/report core/spec proto/gen',
  'coordinator/cli/screen': 'coordinator/cli core/data core/report core/search proto/gen',
  'coordinator/cli/local': 'coordinator/cli core/net proto/gen',
  'coordinator/cli/proof': 'coordinator/cli core/data core/nn core/search core/spec proto/gen',
  'coordinator/cli/verify':
    'coordinator/cli coordinator/cli/local coordinator/cli/screen core/model core/report core/spec core/verify',
  'coordinator/cli/commands':
    'coordinator/cli coordinator/cli/local coordinator/cli/proof coordinator/cli/screen coordinator/cli/verify core/checkpoint core/data core/model core/net core/nn core/report core/spec proto/gen',
  'coordinator/cli/program.ts': 'coordinator/cli coordinator/cli/commands',
  'coordinator/cli/main.ts': 'coordinator/cli coordinator/cli/program.ts coordinator/cli/screen',

  // The worker: the device, one step, one run, one request, the stream to the coordinator.
  'worker/compute':
    'core/head core/metrics core/nn core/optim core/screening core/search core/spec core/tensor core/tensor/graph core/tensor/pjrt proto/gen',
  'worker/metrics.ts': 'core/metrics',
  'worker/verification':
    'core/data core/model core/nn core/spec core/tensor/graph core/verify proto/gen worker/compute',
  'worker/training':
    'core/allreduce core/data core/head core/nn core/search core/spec proto/gen worker/compute',
  'worker/run':
    'core/allreduce core/checkpoint core/data core/metrics core/model core/net core/nn core/search core/spec core/verify proto/gen worker/compute worker/metrics.ts worker/training worker/verification',
  'worker/requests':
    'core/allreduce core/checkpoint core/data core/screening core/spec proto/gen worker/run worker/training worker/verification',
  'worker/fleet': 'core/net proto/gen worker/requests worker/run',
  worker:
    'core/allreduce core/checkpoint core/data core/net core/tensor/pjrt worker/compute worker/fleet worker/metrics.ts worker/run worker/training',
};

interface Door {
  /** Files that use the thing: by a package that they import, or by words in their code. */
  readonly package?: RegExp;
  readonly words?: RegExp;
  /** The file or folder that alone may use it. */
  readonly at: string;
  /** Files that use it too, each with the reason. */
  readonly except: Readonly<Record<string, string>>;
}

const DOORS: Readonly<Record<string, Door>> = {
  TensorFlow: { package: /^@tensorflow\//, at: 'core/tensor/tf.ts', except: {} },
  NATS: { package: /^@nats-io\//, at: 'core/net', except: {} },
  Kubernetes: { package: /^@kubernetes\//, at: 'coordinator/kubernetes', except: {} },
  environment: { words: /\bprocess\.env\b/, at: 'core/config.ts', except: {} },
  clock: {
    words:
      /\bDate\.now\b|\bnew Date\(\)|\bperformance\.(?:now|timeOrigin)\b|\bhrtime\b|(?<![\w.])set(?:Timeout|Interval)\b/,
    at: 'core/clock.ts',
    except: {},
  },
  chance: {
    words: /\bMath\.random\b|\brandom(?:UUID|Bytes|Int|FillSync)\b|\bgetRandomValues\b/,
    at: 'core/rng.ts',
    except: {},
  },
};

/**
 * Programs that run without TensorFlow, with every thread and process that they start by a module beside
 * them.
 */
const LIGHT = [
  'coordinator/main.ts',
  'coordinator/cli/main.ts',
  'coordinator/kubernetes/adopt-store-main.ts',
  'coordinator/kubernetes/keys-main.ts',
  'core/data/inspection/inspect-process.ts',
];
/** Processes that compute and have nobody to talk to but their parent. */
const ALONE = [
  'worker/verification/verify-file.ts',
  'worker/requests/score-network.ts',
  'worker/compute/prove-process.ts',
  'worker/compute/thread.ts',
];

const roomOf = (file: string): string | undefined =>
  file.startsWith('proto/gen/')
    ? 'proto/gen'
    : Object.keys(ROOMS)
        .filter((room) => file === room || file.startsWith(`${room}/`))
        .sort((a, b) => b.length - a.length)[0];

interface Arrow {
  readonly from: string;
  readonly to: string;
  readonly seen: string;
}

/** Imports that cross from one room to another, but for those of the leaves, which every room may import. */
const arrowsOf = (imports: Imports): Arrow[] =>
  [...imports].flatMap(([file, list]) =>
    list
      .filter(({ to }) => to.endsWith('.ts'))
      .map(({ to }) => ({ from: roomOf(file) ?? file, to: roomOf(to) ?? to, seen: `${file} imports ${to}` }))
      .filter(({ from, to }) => from !== to && !LEAVES.split(' ').includes(to)),
  );

const isAllowed = ({ from, to }: Arrow): boolean => (ROOMS[from] ?? '').split(' ').includes(to);

const wrongArrows = (imports: Imports): string[] =>
  arrowsOf(imports)
    .filter((arrow) => !isAllowed(arrow))
    .map(({ from, to, seen }) => `${seen}, but ${from} may not import ${to}`);

/** Files that use a thing beside its door. */
const usersOf = ({ package: wanted, words, at }: Door, texts: Texts, imports: Imports): string[] =>
  [...texts.keys()].filter(
    (file) =>
      file !== at &&
      !file.startsWith(`${at}/`) &&
      ((wanted !== undefined && imports.get(file)!.some(({ to }) => wanted.test(to))) ||
        words?.test(codeOf(texts.get(file)!))),
  );

const wrongUsers = (texts: Texts, imports: Imports): string[] =>
  Object.entries(DOORS).flatMap(([thing, door]) =>
    usersOf(door, texts, imports)
      .filter((file) => !(file in door.except))
      .map((file) => `${file} uses ${thing}, whose door is ${door.at}`),
  );

const texts = textsOf(['core', 'coordinator', 'worker']);
const imports = importsOf(texts);

test('a room imports what its row allows, and each row allows what is imported', () => {
  deepEqual(wrongArrows(imports), []);
  const used = new Set(arrowsOf(imports).map(({ from, to }) => `${from} > ${to}`));
  const rows = Object.entries(ROOMS).flatMap(([from, row]) =>
    row.split(' ').flatMap((to) => (to === '' ? [] : [`${from} > ${to}`])),
  );
  deepEqual(
    rows.filter((arrow) => !used.has(arrow)),
    [],
    'arrows that nothing needs',
  );
});

test('no rooms import each other, but for those of the command line', () => {
  const order = ['proto/gen', ...Object.keys(ROOMS)];
  const isCli = (room: string) => room.startsWith('coordinator/cli');
  const downwards = Object.entries(ROOMS).flatMap(([from, row]) =>
    row
      .split(' ')
      .filter((to) => to !== '' && order.indexOf(to) > order.indexOf(from) && !(isCli(from) && isCli(to)))
      .map((to) => `${from} > ${to}`),
  );
  deepEqual(downwards, []);
});

test('each outside thing has one door, and each exception is needed', () => {
  deepEqual(wrongUsers(texts, imports), []);
  for (const [thing, door] of Object.entries(DOORS)) {
    const users = usersOf(door, texts, imports);
    deepEqual(
      Object.keys(door.except).filter((file) => !users.includes(file)),
      [],
      `exceptions for ${thing} that are not needed`,
    );
  }
});

test('no import circle, those of types counted', () => {
  deepEqual(circlesOf(imports), []);
});

test('nothing that the coordinator or the command line reaches loads TensorFlow', () => {
  for (const program of LIGHT) {
    ok(texts.has(program), program);
    equal(wayTo(imports, program, (to) => to.startsWith('@tensorflow/'))?.join(' > '), undefined);
  }
});

test('the coordinator decodes no image: workers have the data', () => {
  equal(wayTo(imports, 'coordinator/main.ts', (to) => to === 'sharp')?.join(' > '), undefined);
  ok(wayTo(imports, 'worker/main.ts', (to) => to === 'sharp'));
});

test('what computes alone reaches TensorFlow and no network', () => {
  for (const program of ALONE) {
    ok(
      wayTo(imports, program, (to) => to.startsWith('@tensorflow/')),
      program,
    );
    equal(
      wayTo(imports, program, (to) => /^@(?:nats-io|grpc|kubernetes)\//.test(to))?.join(' > '),
      undefined,
    );
  }
});

/** What is wrong with a module that were in the tree, by everything above. */
function faultsOf(file: string, text: string): readonly string[] {
  const own: Texts = new Map([[file, text]]);
  const found = importsOf(own);
  const circles = circlesOf(new Map([...imports, ...found])).map((way) => way.join(' > '));
  return [...wrongArrows(found), ...wrongUsers(own, found), ...circles];
}

test('a wrong module is found, however it imports', () => {
  const leaf = 'core/made-up.ts';
  for (const text of [
    "import type { A } from '../coordinator/model/state.ts';",
    "import {\n  type A,\n  b,\n} from '../coordinator/model/state.ts';",
    "import '../coordinator/model/state.ts';",
    "export { a } from '../coordinator/model/state.ts';",
    "const a = await import('../coordinator/model/state.ts');",
    "startThread(new URL('../coordinator/model/state.ts', import.meta.url));",
  ])
    deepEqual(faultsOf(leaf, text), [
      `${leaf} imports coordinator/model/state.ts, but core may not import coordinator/model`,
    ]);
  equal(faultsOf('coordinator/cli/made-up.ts', "import { a } from '../api/page.ts';").length, 1);
  equal(faultsOf('coordinator/model/made-up.ts', "import { a } from '../scheduling/blame.ts';").length, 1);
  equal(faultsOf('worker/run/made-up.ts', "import { a } from '../support/fleet.ts';").length, 1);
  deepEqual(faultsOf(leaf, "// import { a } from '../worker/main.ts';"), []);
});

test('a use beside a door is found, and words that only look like one are not', () => {
  const leaf = 'core/made-up.ts';
  deepEqual(faultsOf(leaf, "import type { NatsConnection } from '@nats-io/transport-node';"), [
    `${leaf} uses NATS, whose door is core/net`,
  ]);
  const require = "createRequire(import.meta.url)('@tensorflow/tfjs')";
  for (const text of ['Date.now()', 'setTimeout(f, 1)', 'randomUUID()', 'process.env.HOME', require])
    equal(faultsOf(leaf, text).length, 1, text);
  for (const text of [
    'f(); // Date.now()',
    'socket.setTimeout(1)',
    '/**\n * process.env\n */',
    'new Date(0)',
  ])
    deepEqual(faultsOf(leaf, text), []);
});

test('a circle is found, from each of its modules, and a way of many imports', () => {
  deepEqual(faultsOf('core/errors.ts', "import type { Noun } from './text/naming.ts';"), [
    'core/errors.ts > core/text/naming.ts > core/errors.ts',
    'core/text/naming.ts > core/errors.ts > core/text/naming.ts',
  ]);
  const far = new Map([['core/digest.ts', "import { a } from './tensor/tf.ts';"]]);
  const way = wayTo(new Map([...imports, ...importsOf(far)]), 'coordinator/main.ts', (to) =>
    to.startsWith('@tensorflow/'),
  );
  deepEqual(way?.slice(-3), ['core/digest.ts', 'core/tensor/tf.ts', '@tensorflow/tfjs-node-gpu']);
});
