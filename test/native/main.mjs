// `npm run test:native`: builds kernels.cc with AddressSanitizer and runs it once for each instruction set that the processor
// has. Takes a minute, most of it compiling, so it is not part of `npm test`: run it after a change of core/tensor/native.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const sources = fileURLToPath(new URL('../../core/tensor/native/', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-native-'));
try {
  const program = join(folder, 'kernels');
  // Vectors are loaded from any address on purpose.
  const flags = [
    '-O2',
    '-g',
    '-std=gnu++17',
    '-fsanitize=address,undefined',
    '-fno-sanitize=alignment',
    '-fno-sanitize-recover',
  ];
  const parts = [join(here, 'kernels.cc'), join(sources, 'widths.cc'), join(sources, 'avx512.cc')];
  execFileSync(process.env.CXX || 'g++', [...flags, `-I${sources}`, ...parts, '-o', program], {
    stdio: 'inherit',
  });
  for (const level of ['ALL', 'AVX2', 'SSE41']) {
    process.stdout.write(`${level}: `);
    execFileSync(program, { stdio: 'inherit', env: { ...process.env, ONEDNN_MAX_CPU_ISA: level } });
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
