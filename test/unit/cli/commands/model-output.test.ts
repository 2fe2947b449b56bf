// Where an exported model goes: the extension chooses the format, and a contradiction is an error before anything is made.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { modelOutput } from '../../../../coordinator/cli/commands/model-output.ts';
import { EXPORT_FORMATS, type ExportFormat } from '../../../../core/model/export-format.ts';

const folder = mkdtempSync(join(tmpdir(), 'pf-output-'));
after(() => rmSync(folder, { recursive: true }));

test('the extension chooses the format and whether it is a file or a folder', () => {
  const cases: [string, ExportFormat | undefined, string, string][] = [
    ['net.safetensors', undefined, 'safetensors', 'file'],
    ['a/b.c/NET.ONNX', undefined, 'onnx', 'file'],
    ['net.onnx', 'onnx-uint8', 'onnx-uint8', 'file'],
    ['web.tfjs', undefined, 'tfjs', 'folder'],
    ['web.zip', undefined, 'tfjs', 'file'],
    ['new/folder/', undefined, 'tfjs', 'folder'],
    [folder, undefined, 'tfjs', 'folder'],
    ['web', 'tfjs', 'tfjs', 'folder'],
    ['net', undefined, 'safetensors', 'file'],
    ['net.v2', 'onnx', 'onnx', 'file'],
    ['-', undefined, 'safetensors', 'stdout'],
    ['-', 'tfjs', 'tfjs', 'stdout'],
  ];
  for (const [output, format, expected, kind] of cases) {
    const { path, ...chosen } = modelOutput(output, format);
    assert.deepEqual(chosen, { format: expected, kind }, output);
    assert.equal(path, output);
  }
});

test('every extension with every format of another one is refused, and both are named', () => {
  const own: Record<string, ExportFormat[]> = {
    'net.safetensors': ['safetensors'],
    'net.onnx': ['onnx', 'onnx-uint8'],
    'net.tfjs': ['tfjs'],
    'net.zip': ['tfjs'],
    'net/': ['tfjs'],
    [folder]: ['tfjs'],
  };
  for (const [output, formats] of Object.entries(own))
    for (const format of EXPORT_FORMATS) {
      if (formats.includes(format)) assert.equal(modelOutput(output, format).format, format);
      else
        assert.throws(
          () => modelOutput(output, format),
          (error: Error) =>
            error.message.includes(`-o ${output}`) && error.message.includes(`--format ${format}`),
          `${output} ${format}`,
        );
    }
});

test('an extension that means nothing here is refused with those that are known', () => {
  for (const output of ['net.pth', 'net.tflite', 'web/model.json', 'net.onx', 'net.safetensor'])
    assert.throws(() => modelOutput(output), /\.safetensors, \.onnx, \.tfjs \(a folder\)/, output);
  // What another program would read as its own format is none of ours, whatever --format says.
  assert.throws(() => modelOutput('net.pth', 'safetensors'), /\.pth is a format that is not written here/);
});
