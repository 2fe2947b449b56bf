// The device proof in a process of its own. What TensorFlow logs meanwhile, and the reason that CUDA gives,
// are its output.

import { deviceFacts } from '../../core/tensor/device-facts.ts';
import { proveDevice } from './prove.ts';

const proof = proveDevice({ name: 'tensorflow', instead: undefined });
const { reason = '' } = deviceFacts();
process.stdout.write(`ran on ${proof.ranOn}\nreason ${reason.replace(/\s+/g, ' ')}\n`);
