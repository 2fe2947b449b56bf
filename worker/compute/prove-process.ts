// The device proof in a process of its own, for missing-gpu.ts: what TensorFlow logs meanwhile is the answer, and CUDA's reason.

import { deviceFacts } from '../../core/tensor/device-facts.ts';
import { proveDevice } from './prove.ts';

const proof = proveDevice();
const { reason = '' } = deviceFacts();
process.stdout.write(`ran on ${proof.ranOn}\nreason ${reason.replace(/\s+/g, ' ')}\n`);
