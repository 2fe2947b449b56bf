// Calls as a foreign client makes them: from the proto files of grpc.health.v1 and of reflection, without the
// client of this tree.

import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type Client,
  type ClientReadableStream,
  credentials,
  Metadata,
  makeClientConstructor,
  type ServiceDefinition,
  type ServiceError,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

function clientOf(options: { file: string; service: string; endpoint: string }): Client {
  const definition = loadSync(options.file, { enums: String, defaults: true, keepCase: true });
  const Constructor = makeClientConstructor(
    definition[options.service] as ServiceDefinition,
    options.service,
  );
  return new Constructor(options.endpoint, credentials.createInsecure());
}

function packageFile(name: string, path: string): string {
  // The entry of both packages is build/src/NAME.js.
  return join(dirname(fileURLToPath(import.meta.resolve(name))), path);
}

/** A stream of grpc.health.v1 as a stranger opens it. */
export interface HealthWatch {
  /** The first status, or the code with which the stream was refused. */
  readonly first: Promise<string | number>;
  close(): void;
}

/** Opens `count` health streams over one connection. */
export function watchHealth(options: {
  readonly endpoint: string;
  readonly count: number;
  readonly token?: string;
  readonly service?: string;
}): { readonly watches: readonly HealthWatch[]; close(): void } {
  const { endpoint, count, token = '', service = '' } = options;
  const file = packageFile('grpc-health-check', '../../proto/health/v1/health.proto');
  const client = clientOf({ file, service: 'grpc.health.v1.Health', endpoint });
  const { watch } = client as unknown as {
    watch: (request: { service: string }, metadata: Metadata) => ClientReadableStream<{ status: string }>;
  };
  const metadata = new Metadata();
  if (token !== '') metadata.set('authorization', `Bearer ${token}`);
  const watches = Array.from({ length: count }, (): HealthWatch => {
    const call = watch.call(client, { service }, metadata);
    const first = new Promise<string | number>((resolve) => {
      call.on('data', ({ status }) => resolve(status));
      call.on('error', ({ code }: ServiceError) => resolve(code));
    });
    return { first, close: () => call.cancel() };
  });
  return { watches, close: () => client.close() };
}

/** Statuses of services, asked without a token, as a kubelet does. */
export async function healthOf(endpoint: string, services: readonly string[]): Promise<string[]> {
  const file = packageFile('grpc-health-check', '../../proto/health/v1/health.proto');
  const client = clientOf({ file, service: 'grpc.health.v1.Health', endpoint });
  type Check = (
    request: { service: string },
    done: (error: Error | null, response: { status: string }) => void,
  ) => void;
  const { check } = client as unknown as { check: Check };
  try {
    return await Promise.all(
      services.map(
        (service) =>
          new Promise<string>((resolve, reject) => {
            check.call(client, { service }, (error, response) =>
              error ? reject(error) : resolve(response.status),
            );
          }),
      ),
    );
  } finally {
    client.close();
  }
}

/** Names of the services that reflection lists. */
export async function reflectedServices(endpoint: string, token: string): Promise<string[]> {
  const file = packageFile('@grpc/reflection', '../proto/grpc/reflection/v1/reflection.proto');
  const client = clientOf({ file, service: 'grpc.reflection.v1.ServerReflection', endpoint });
  const metadata = new Metadata();
  if (token !== '') metadata.set('authorization', `Bearer ${token}`);
  type Answer = { list_services_response: { service: { name: string }[] } };
  type Info = (metadata: Metadata) => NodeJS.ReadWriteStream;
  const call = (client as unknown as { ServerReflectionInfo: Info }).ServerReflectionInfo(metadata);
  try {
    return await new Promise<string[]>((resolve, reject) => {
      call.on('data', (answer: Answer) =>
        resolve(answer.list_services_response.service.map(({ name }) => name).sort()),
      );
      call.on('error', reject);
      call.write({ list_services: '' } as never);
    });
  } finally {
    call.on('error', () => undefined);
    call.end();
    client.close();
  }
}
