// What a worker takes from its coordinator: commands on its stream, with the specs that are texts in them.

import { namesOf } from '../../../core/net/subjects.ts';
import { decodeOrLost } from '../../../core/protobuf.ts';
import { dataSchema } from '../../../core/spec/data.ts';
import { networkSchema } from '../../../core/spec/network.ts';
import { trainingSchema } from '../../../core/spec/training.ts';
import { shapedJson } from '../../../core/text/shape.ts';
import { WorkerCommand } from '../../../proto/gen/pocketfleet/v1/worker.ts';
import { assertCommand } from '../../../worker/fleet/commands.ts';
import { onAssign } from '../../../worker/fleet/holdings.ts';
import { namesIn } from '../../../worker/fleet/welcome.ts';
import { parseSpec } from '../../../worker/run/run-spec.ts';
import { teacher } from '../../sim/specs.ts';
import { NAMES } from '../../support/names.ts';
import { draw, hostileValue } from '../mutators.ts';
import { otherMessage } from '../protobuf.ts';
import type { Sections, Target } from '../target.ts';

const specJson = JSON.stringify(teacher());
const ofRun = { requestId: 'r1', runId: 'run-1', specJson };

const command = (kind: Readonly<Record<string, unknown>>): Sections => [
  Buffer.from(WorkerCommand.encode(WorkerCommand.fromJSON(kind)).finish()),
];

const commands: Target = {
  name: 'worker-commands',
  decoders: [
    'worker/fleet/commands.ts',
    'worker/fleet/welcome.ts',
    'worker/run/run-spec.ts',
    'core/text/shape.ts',
  ],
  corpus: () => [
    command({ welcome: { fleet: 'local', heartbeatIntervalMs: 500, names: NAMES.prefixes } }),
    command({
      assign: {
        ...{ runId: 'run-1', generation: 2, specJson, teacherRunId: 'run-2', teacherStages: 2 },
        members: [
          { workerId: 'w1', shardFirst: 0, shardCount: 4 },
          { workerId: 'w2', shardFirst: 4, shardCount: 4 },
        ],
      },
    }),
    command({ release: { runId: 'run-1', generation: 2, reason: 'cancelled' } }),
    command({ verify: { ...ofRun, stage: 1, setPath: '/faces/lfw.bin' } }),
    command({ replay: { ...ofRun, fromStage: 1, toStage: 2, deviceClass: 'cpu' } }),
    command({ inspect: { requestId: 'r1', dataJson: JSON.stringify(teacher().data) } }),
    command({ forget: { requestId: 'r1' } }),
    command({ acknowledge: { sequence: '7' } }),
    command({ brokerRights: { jwt: 'x' } }),
  ],
  compose(random, corpus) {
    const [bytes] = draw.pick(random, corpus);
    const message = WorkerCommand.decode(bytes!);
    const { kind } = message;
    if (kind !== undefined && 'specJson' in kind.value && random.chance(0.5)) {
      kind.value.specJson = JSON.stringify(hostileValue(random, JSON.parse(kind.value.specJson)));
      return [WorkerCommand.encode(message).finish()];
    }
    return [otherMessage(random, Buffer.from(bytes!))];
  },
  decode([bytes]) {
    const taken = decodeOrLost(WorkerCommand, bytes!, 'a command');
    assertCommand(taken);
    const { kind } = taken;
    if (kind?.$case === 'welcome') namesOf(namesIn(kind.value, undefined).prefixes);
    if (kind?.$case === 'assign') onAssign(undefined, kind.value, 'w1');
    if (kind !== undefined && 'specJson' in kind.value) parseSpec(kind.value.specJson);
    if (kind?.$case === 'score') {
      shapedJson(dataSchema, kind.value.dataJson, 'the data');
      shapedJson(trainingSchema, kind.value.trainingJson, 'the training');
      for (const text of kind.value.networksJson) shapedJson(networkSchema, text, 'the network');
    }
    if (kind?.$case === 'inspect') shapedJson(dataSchema, kind.value.dataJson, 'the data');
  },
  cases: 60,
  charsMax: 4_000,
};

export const commandTargets: readonly Target[] = [commands];
