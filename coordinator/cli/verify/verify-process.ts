// Has a process verify a model file: what it is asked, and what it answers.

import type { NetworkHint } from '../../../core/model/recognise.ts';
import type { NetworkSpec } from '../../../core/spec/network.ts';
import type { SetReport } from '../../../core/verify/report.ts';
import { verifyFileCommand } from '../local/program-command.ts';
import { computed } from './compute-process.ts';

export interface FileRequest {
  readonly model: string;
  readonly hint: NetworkHint | undefined;
  readonly sets: readonly { readonly name: string; readonly path: string }[];
}

export interface FileVerification {
  readonly model: string;
  readonly network: NetworkSpec;
  /** How the network was recognised. */
  readonly reason: string;
  readonly sets: readonly SetReport[];
}

export const verifyModelFile = (request: FileRequest): Promise<FileVerification> =>
  computed(verifyFileCommand(), request, 'verifies');
