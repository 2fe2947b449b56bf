// The network of a run as a file: gathered whole, checked against the digest that the coordinator sent, then
// written. A transfer that a restart of the coordinator breaks is made again; one that arrives damaged leaves
// nothing that looks like a model, and what was there before stays.

import { sha256Hex } from '../../../core/digest.ts';
import { FleetError } from '../../../core/errors.ts';
import { type Absence, persist } from '../absence.ts';
import type { FleetClient } from '../client.ts';
import { checkModelPlace, type ModelOutput, writeModel } from './model-output.ts';

/** Which weights are asked for. */
export interface ExportedRun {
  readonly runId: string;
  /** 0: the newest checkpoint. */
  readonly stage: number;
  readonly evenFailed?: boolean;
}

/** The file or folder that was written (`-` is stdout), with size and digest of what was sent. */
export async function exportRun(
  client: FleetClient,
  request: ExportedRun,
  output: ModelOutput,
  absence: Absence = {},
): Promise<{ file: string; format: string; bytes: number; digest: string }> {
  await checkModelPlace(output);
  const whole = { ...request, format: output.format };
  const { bytes, digest } = await persist(() => transfer(client, whole, absence.signal), absence);
  const file = await writeModel(bytes, output);
  return { file, format: output.format, bytes: bytes.length, digest };
}

async function transfer(
  client: FleetClient,
  request: ExportedRun & { readonly format: string },
  signal: AbortSignal | undefined,
): Promise<{ bytes: Buffer; digest: string }> {
  const chunks: Uint8Array[] = [];
  let expected = '';
  for await (const chunk of client.follow((service) => service.export, request, signal)) {
    chunks.push(chunk.data);
    if (chunk.digest !== '') expected = chunk.digest;
  }
  signal?.throwIfAborted();
  const bytes = Buffer.concat(chunks);
  const digest = sha256Hex(bytes);
  if (digest !== expected)
    throw new FleetError(
      'dataLoss',
      `the network of ${request.runId} arrived damaged or cut off (${bytes.length} bytes, SHA-256 ${digest}, expected ${expected || 'none sent'}); export it again`,
    );
  return { bytes, digest };
}
