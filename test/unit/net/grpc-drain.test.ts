// A server that stops: open streams end with UNAVAILABLE at once, a question that is being answered has its time, and the port
// is free afterwards. The health service's Watch is the stream and a service of two methods the rest.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ServerWritableStream, type sendUnaryData, status } from '@grpc/grpc-js';
import { createFleetClient, streamed, unary } from '../../../core/net/grpc-client.ts';
import { startGrpcServer } from '../../../core/net/grpc-server.ts';
import {
  FleetServiceService,
  type LogLine,
  type LogsRequest,
} from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import { accessWith } from '../../support/access.ts';
import { assertNothingLeft } from '../../support/processes.ts';

const line = (text: string): LogLine => ({
  atMs: 1,
  workerId: 'w',
  runId: 'r',
  level: 'info',
  text,
  sequence: 1,
});

test('an orderly stop ends streams with UNAVAILABLE and lets a question be answered', async () => {
  let answer: (() => void) | undefined;
  let writer: ServerWritableStream<LogsRequest, LogLine> | undefined;
  const codes: number[] = [];
  const server = await startGrpcServer({
    listen: '127.0.0.1:0',
    access: accessWith('t'),
    services: [
      {
        definition: FleetServiceService,
        implementation: {
          listPlans: (_call: unknown, callback: sendUnaryData<unknown>) => {
            answer = () => callback(null, { plans: [], nextPageToken: '', total: 0 });
          },
          logs: (call: ServerWritableStream<LogsRequest, LogLine>) => {
            writer = call;
            call.write(line('first'));
          },
        },
      },
    ],
    healthOf: [],
    observer: { started: () => undefined, handled: ({ code }) => codes.push(code) },
  });
  const client = createFleetClient({ endpoint: server.endpoint, token: 't' });
  const lines: string[] = [];
  let closing: Promise<void> | undefined;
  const request = { runId: 'r', workerId: '', follow: true, afterSequence: 0 };
  const stream = (async () => {
    for await (const { text } of streamed(client.logs(request))) {
      lines.push(text);
      closing ??= server.close(5_000);
    }
  })();
  const question = unary(client, client.listPlans, {});
  await assert.rejects(stream, { code: 'unavailable', message: 'the server is stopping' });
  assert.deepEqual(lines, ['first']);
  // What the handler writes after the end is dropped.
  writer!.write(line('late'));
  answer!();
  assert.deepEqual((await question).plans, []);
  client.close();
  await closing;
  assert.deepEqual(codes.toSorted(), [status.OK, status.UNAVAILABLE]);
  await assertNothingLeft([], [Number(server.endpoint.split(':')[1])]);
});

test('a question that is not answered in time ends with UNAVAILABLE too', async () => {
  let closing: Promise<void> | undefined;
  const server = await startGrpcServer({
    listen: '127.0.0.1:0',
    services: [
      {
        definition: FleetServiceService,
        implementation: {
          listPlans: () => {
            closing = server.close(20);
          },
        },
      },
    ],
    healthOf: [],
  });
  const client = createFleetClient({ endpoint: server.endpoint, token: '' });
  await assert.rejects(unary(client, client.listPlans, {}), {
    code: 'unavailable',
    message: 'the server is stopping',
  });
  client.close();
  await closing;
  await assertNothingLeft([], [Number(server.endpoint.split(':')[1])]);
});
