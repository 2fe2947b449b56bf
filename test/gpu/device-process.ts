// Prints the device as a worker describes it, in a process of its own.

import { deviceInfo } from '../../core/tensor/tf.ts';
import { proveDevice } from '../../worker/compute/prove.ts';
import { describeDevice } from '../../worker/device.ts';

const { deviceClass, kind } = describeDevice(proveDevice(), 1);
process.stdout.write(`${JSON.stringify({ kind, deviceClass, name: deviceInfo().name })}\n`);
