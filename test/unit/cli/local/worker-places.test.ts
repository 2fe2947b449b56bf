import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Host,
  memoryShare,
  placeSingle,
  placeWorkers,
  type WorkersAsked,
} from '../../../../coordinator/cli/local/worker-places.ts';
import { FleetError } from '../../../../core/errors.ts';
import type { Gpu } from '../../../../core/system/gpus.ts';

const H100: Gpu = { name: 'NVIDIA H100', uuid: 'GPU-11111111-aaaa', parts: [] };
const H100B: Gpu = { name: 'NVIDIA H100', uuid: 'GPU-22222222-bbbb', parts: [] };
const A100: Gpu = {
  name: 'NVIDIA A100',
  uuid: 'GPU-33333333-cccc',
  parts: ['MIG-4444-dddd', 'MIG-5555-eeee'],
};
const host = (gpus: readonly Gpu[], changed: Partial<Host> = {}): Host => ({
  name: 'box',
  mps: false,
  gpus,
  visible: undefined,
  cores: 16,
  tensorflow: 'gpu',
  settings: {},
  ...changed,
});
const columns = (name: string, ...options: Parameters<typeof placeWorkers>) =>
  placeWorkers(...options).environments.map((environment) => environment[name]);
const DEVICE = 'CUDA_VISIBLE_DEVICES';
const SHARE = 'POCKETFLEET_GPU_MEMORY_SHARE';
const HIDDEN = { POCKETFLEET_DEVICE: 'cpu', CUDA_VISIBLE_DEVICES: '-1' };

test('without a GPU a machine gets one worker a core, which are told nothing of devices', () => {
  const { environments, lines } = placeWorkers(host([], { tensorflow: null }), {});
  assert.deepEqual(environments, Array(16).fill({}));
  assert.deepEqual(lines, []);
  assert.equal(placeWorkers(host([]), { workers: 3 }).environments.length, 3);
  assert.equal(placeWorkers(host([]), { workers: 0 }).environments.length, 0);
});

test('each GPU, and each part of one, gets a worker of its own with its share of the cores', () => {
  const { environments, lines } = placeWorkers(host([H100, A100]), {});
  assert.deepEqual(environments, [
    { POCKETFLEET_DEVICE: 'gpu', CUDA_VISIBLE_DEVICES: H100.uuid, POCKETFLEET_DATA_THREADS: '5' },
    { POCKETFLEET_DEVICE: 'gpu', CUDA_VISIBLE_DEVICES: 'MIG-4444-dddd', POCKETFLEET_DATA_THREADS: '5' },
    { POCKETFLEET_DEVICE: 'gpu', CUDA_VISIBLE_DEVICES: 'MIG-5555-eeee', POCKETFLEET_DATA_THREADS: '5' },
  ]);
  assert.deepEqual(lines, [
    'GPU-11111111-aaaa (NVIDIA H100): worker-1',
    'MIG-4444-dddd (NVIDIA A100): worker-2',
    'MIG-5555-eeee (NVIDIA A100): worker-3',
  ]);
});

test('decoding threads are at most 8 and at least 1', () => {
  const threads = (cores: number, workers: number) =>
    columns('POCKETFLEET_DATA_THREADS', host([H100], { cores }), { workers })[0];
  assert.deepEqual([threads(192, 1), threads(16, 3), threads(2, 4)], ['8', '5', '1']);
});

test('more workers than GPUs share each with equal parts of its memory, fewer take the first ones', () => {
  const two = host([H100, H100B]);
  const { environments, lines } = placeWorkers(two, { workers: 3 });
  assert.deepEqual(
    environments.map((environment) => [environment[DEVICE], environment[SHARE]]),
    [
      [H100.uuid, '0.45'],
      [H100B.uuid, '0.45'],
      [H100.uuid, '0.45'],
    ],
  );
  assert.deepEqual(lines, [
    'GPU-11111111-aaaa (NVIDIA H100): worker-1, worker-3, 0.45 of its memory each',
    'GPU-22222222-bbbb (NVIDIA H100): worker-2, 0.45 of its memory',
  ]);
  assert.deepEqual(columns(DEVICE, two, { workers: 1 }), [H100.uuid]);
  assert.deepEqual(columns(SHARE, two, { workers: 2 }), [undefined, undefined]);
  // 0.9 / 7 is 0.12857…, and seven times 0.128 is still less than 0.9.
  assert.deepEqual([1, 2, 7, 2000].map(memoryShare), [0.9, 0.45, 0.128, 0.001]);
});

test('a default has bounds, a number that was asked for has none', () => {
  const bounds = { atLeast: 2, atMost: 8 };
  const count = (of: Host, workers?: number) => placeWorkers(of, { ...bounds, workers }).environments.length;
  assert.equal(count(host([H100])), 2);
  assert.deepEqual(columns(SHARE, host([H100]), bounds), ['0.45', '0.45']);
  assert.equal(count(host([], { cores: 64 })), 8);
  assert.equal(count(host([], { cores: 1 })), 2);
  assert.equal(count(host([H100]), 12), 12);
});

test('--devices and CUDA_VISIBLE_DEVICES choose the same GPUs, and the flag goes first', () => {
  for (const list of ['1', '1,0', ' 1 , 0', 'GPU-2', 'MIG-4444', '0,0', '-1', '']) {
    const flag = columns(DEVICE, host([H100, A100, H100B]), { devices: list });
    assert.deepEqual(flag, columns(DEVICE, host([H100, A100, H100B], { visible: list }), {}), list);
    assert.deepEqual(
      columns(DEVICE, host([H100, A100, H100B], { visible: '2' }), { devices: list }),
      flag,
      list,
    );
  }
  assert.deepEqual(columns(DEVICE, host([H100, H100B]), { devices: '1,0', workers: 3 }), ['1', '0', '1']);
});

test('a number has a model beside it only where all GPUs are of that model', () => {
  assert.deepEqual(placeWorkers(host([H100, H100B], { visible: '1' }), {}).lines, [
    'GPU 1 (NVIDIA H100): worker-1',
  ]);
  assert.deepEqual(placeWorkers(host([H100, A100], { visible: '0' }), {}).lines, ['GPU 0: worker-1']);
});

test('GPUs that a person leaves alone are hidden from the workers', () => {
  const cpu = placeWorkers(host([H100], { settings: { POCKETFLEET_DEVICE: 'cpu' } }), { workers: 2 });
  assert.deepEqual(cpu, { environments: [HIDDEN, HIDDEN], lines: [] });
  const hidden = placeWorkers(host([H100], { visible: '' }), {});
  assert.deepEqual(hidden.environments, Array(16).fill(HIDDEN));
  assert.deepEqual(hidden.lines, [
    'workers compute on CPU cores, not on this machine\'s GPU (NVIDIA H100): CUDA_VISIBLE_DEVICES is ""',
  ]);
  assert.deepEqual(placeWorkers(host([H100]), { workers: 1, devices: '-1' }), {
    environments: [HIDDEN],
    lines: [],
  });
});

test("TensorFlow's CPU build beside GPUs makes CPU workers and says the way back, unless GPUs are asked for", () => {
  const machine = host([H100, H100B], { tensorflow: 'cpu' });
  const { environments, lines } = placeWorkers(machine, { workers: 1 });
  assert.deepEqual(environments, [HIDDEN]);
  assert.deepEqual(lines, [
    "workers compute on CPU cores, not on this machine's 2 GPUs (NVIDIA H100): set-up put TensorFlow's CPU build in place; " +
      '`export POCKETFLEET_TENSORFLOW=gpu` and `npm run setup` put the CUDA build there',
  ]);
  assert.deepEqual(columns(DEVICE, machine, { devices: '1' }), ['1']);
  const wanted = { ...machine, settings: { POCKETFLEET_DEVICE: 'gpu' } };
  assert.deepEqual(columns(DEVICE, wanted, {}), [H100.uuid, H100B.uuid]);
  // An addon that somebody else put there may well use them.
  assert.deepEqual(columns(DEVICE, { ...machine, tensorflow: null }, { workers: 1 }), [H100.uuid]);
});

test('where GPUs are asked for and nvidia-smi lists none, one worker finds out why', () => {
  const nothing = host([], { settings: { POCKETFLEET_DEVICE: 'gpu' } });
  assert.deepEqual(placeWorkers(nothing, {}).environments, [
    { POCKETFLEET_DEVICE: 'gpu', POCKETFLEET_DATA_THREADS: '8' },
  ]);
  assert.deepEqual(columns(DEVICE, host([]), { devices: '0,MIG-GPU-1/1/0' }), ['0', 'MIG-GPU-1/1/0']);
});

test('a process that computes once sees one GPU and takes of its memory what it needs', () => {
  const growth = { TF_FORCE_GPU_ALLOW_GROWTH: 'true' };
  const gpu = placeSingle(host([H100, H100B]));
  assert.deepEqual([gpu[DEVICE], gpu.TF_FORCE_GPU_ALLOW_GROWTH, gpu[SHARE]], [H100.uuid, 'true', undefined]);
  assert.deepEqual(placeSingle(host([H100], { visible: '' })), { ...growth, ...HIDDEN });
  assert.deepEqual(placeSingle(host([])), growth);
});

test('a person keeps the settings of workers that they made', () => {
  const settings = { POCKETFLEET_DATA_THREADS: '3', POCKETFLEET_GPU_MEMORY_SHARE: '0.2' };
  const { environments, lines } = placeWorkers(host([H100], { settings }), { workers: 2 });
  for (const environment of environments)
    assert.deepEqual(environment, {
      ...settings,
      POCKETFLEET_DEVICE: 'gpu',
      CUDA_VISIBLE_DEVICES: H100.uuid,
    });
  assert.match(lines[0]!, /worker-1, worker-2, 0\.2 of its memory each$/);
});

test('what names no device, and wishes that contradict each other, are refused in one sentence', () => {
  const two = host([H100, H100B]);
  const device = (wanted: string, visible?: string) =>
    host([H100], { settings: { POCKETFLEET_DEVICE: wanted }, visible });
  const cases: [Host, string | undefined, RegExp][] = [
    [two, '0,2', /^--devices: "2" names none of this machine's 2 GPUs \(NVIDIA H100\).*\(0 to 1\)/],
    [two, '0,,1', /^--devices: "" names none/],
    [two, '0,-1', /^--devices: "-1" names none/],
    [two, 'all', /^--devices: "all" names none/],
    [
      host([H100]),
      'MIG-4444',
      /^--devices: "MIG-4444" names none of this machine's GPU \(NVIDIA H100\).*\(0\)/,
    ],
    [host([]), 'all', /^--devices: "all" names no GPU/],
    [host([]), '0,', /^--devices: "" names no GPU/],
    [device('cpu'), '0', /POCKETFLEET_DEVICE=cpu and --devices 0 contradict each other/],
    [device('gpu'), '-1', /^POCKETFLEET_DEVICE=gpu, but --devices "-1" shows none/],
    [device('gpu', ''), undefined, /^POCKETFLEET_DEVICE=gpu, but CUDA_VISIBLE_DEVICES "" shows none/],
    [device('gpu', '7'), undefined, /CUDA_VISIBLE_DEVICES "7" shows none/],
    [device('tpu'), undefined, /^POCKETFLEET_DEVICE is "tpu"; it may be auto, gpu or cpu$/],
  ];
  for (const [of, devices, sentence] of cases)
    assert.throws(
      () => placeWorkers(of, { devices }),
      (caught) => {
        assert(caught instanceof FleetError && caught.code === 'invalidArgument');
        assert.match(caught.message, sentence);
        return true;
      },
    );
});

test('several workers a device share each GPU and its memory, and fill as many as they need', () => {
  const asked = { perDevice: 2 };
  assert.deepEqual(columns(DEVICE, host([H100, H100B]), asked), [
    ...[H100.uuid, H100B.uuid, H100.uuid, H100B.uuid],
  ]);
  assert.deepEqual(columns(SHARE, host([H100, H100B]), asked), Array(4).fill('0.45'));
  assert.deepEqual(columns(DEVICE, host([H100, H100B]), { ...asked, workers: 2 }), [H100.uuid, H100.uuid]);
  assert.throws(() => placeWorkers(host([H100]), { ...asked, workers: 3 }), {
    code: 'invalidArgument',
    message: '--workers 3 --per-device 2: 1 GPUs take 2 workers; leave one of both away',
  });
  const line = (mps: boolean) => placeWorkers(host([H100], { mps }), asked).lines[0];
  assert.match(line(false)!, /worker-1, worker-2, 0.45 of its memory each$/);
  assert.match(line(true)!, /kernels run at once \(MPS\)$/);
});

test('several workers a core have the id of one device of the machine', () => {
  const { environments, lines } = placeWorkers(host([], { cores: 2 }), { perDevice: 2 });
  assert.deepEqual(
    environments.map((environment) => environment.POCKETFLEET_DEVICE_ID),
    ['box/cpu-1', 'box/cpu-2', 'box/cpu-1', 'box/cpu-2'],
  );
  assert.deepEqual(lines, ['4 workers on 2 CPU devices, 2 on each']);
  const devices = columns('POCKETFLEET_DEVICE_ID', host([]), { perDevice: 4, workers: 4 });
  assert.deepEqual(new Set(devices), new Set(['box/cpu-1']));
});

test('CPU workers of one device divide its cores, unless a person has said how many threads they compute with', () => {
  const threads = (of: Partial<Host>, asked: WorkersAsked) =>
    columns('POCKETFLEET_THREADS', host([], of), asked);
  assert.deepEqual(threads({ cores: 8 }, { perDevice: 2, workers: 2 }), ['4', '4']);
  assert.deepEqual(threads({ cores: 8 }, { perDevice: 2, workers: 4 }), ['2', '2', '2', '2']);
  assert.deepEqual(threads({ cores: 2 }, { perDevice: 2 }), ['1', '1', '1', '1']);
  assert.deepEqual(
    threads({ cores: 8 }, { workers: 2 }),
    [undefined, undefined],
    'one by itself has its own',
  );
  const settings = { POCKETFLEET_THREADS: '3' };
  assert.deepEqual(threads({ cores: 8, settings }, { perDevice: 2, workers: 2 }), [undefined, undefined]);
  const { lines } = placeWorkers(host([], { cores: 8 }), { perDevice: 2, workers: 2 });
  assert.deepEqual(lines, ['2 workers on 1 CPU devices, 2 on each, 4 threads each']);
});
