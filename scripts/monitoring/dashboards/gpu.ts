// Are GPUs idle while runs hold them? From NVIDIA's dcgm-exporter.

import { type DashboardSpec, panel } from '../panel.ts';

const GPU = '{{Hostname}} GPU {{gpu}}';

export const GPUS: DashboardSpec = {
  uid: 'pocketfleet-gpu',
  title: 'GPUs',
  question: 'Are GPUs idle while runs hold them, and are they healthy?',
  variables: {},
  rows: [
    {
      title: 'Who holds them?',
      panels: [
        panel('GPUs by state', {
          ...{ expr: 'sum by (state, gpu_model) (pocketfleet_gpus)', legend: '{{gpu_model}} {{state}}' },
          reading: 'Idle ones while runs wait: another class, or too few for a gang.',
        }),
        panel('GPUs allocated', {
          ...{ expr: 'fleet:pocketfleet_gpus_allocated:ratio', legend: '{{fleet}}', unit: 'percentunit' },
          reading: 'Share of the GPUs whose worker holds a run.',
        }),
        panel('GPU hours by role', {
          type: 'bargauge',
          expr: 'sum by (role) (increase(pocketfleet_device_seconds_total{device="gpu"}[$__range])) / 3600',
          ...{ legend: '{{role}}', reading: 'Within the time that is shown.' },
        }),
      ],
    },
    {
      title: 'Do they compute?',
      panels: [
        panel('GPU busy', {
          ...{ expr: 'DCGM_FI_DEV_GPU_UTIL', legend: GPU, unit: 'percent' },
          reading: 'Any kernel runs; 100 % does not mean well used.',
        }),
        panel('Tensor pipe active', {
          ...{ expr: 'DCGM_FI_PROF_PIPE_TENSOR_ACTIVE', legend: GPU, unit: 'percentunit' },
          reading: 'The honest answer to whether it computes.',
        }),
        panel('Memory bandwidth active', {
          ...{ expr: 'DCGM_FI_PROF_DRAM_ACTIVE', legend: GPU, unit: 'percentunit' },
          reading: 'Near 1: memory is the limit.',
        }),
        panel('Memory used', {
          expr: 'DCGM_FI_DEV_FB_USED / (DCGM_FI_DEV_FB_USED + DCGM_FI_DEV_FB_FREE)',
          ...{ legend: GPU, unit: 'percentunit', reading: 'TensorFlow takes what it may.' },
        }),
        {
          ...panel('PCIe traffic', {
            ...{ expr: 'DCGM_FI_PROF_PCIE_TX_BYTES', unit: 'Bps', reading: 'Images in, vectors out.' },
          }),
          queries: [
            { expr: 'DCGM_FI_PROF_PCIE_TX_BYTES', legend: `${GPU} out` },
            { expr: 'DCGM_FI_PROF_PCIE_RX_BYTES', legend: `${GPU} in` },
          ],
        },
        panel('Images per joule', {
          expr: 'sum(run:pocketfleet_train_samples:rate1m) / sum(DCGM_FI_DEV_POWER_USAGE)',
          reading: 'Of the whole fleet.',
        }),
      ],
    },
    {
      title: 'Are they healthy?',
      panels: [
        panel('XID errors', {
          ...{ type: 'table', expr: 'max by (Hostname, gpu) (DCGM_FI_DEV_XID_ERRORS)' },
          reading: 'The last one; not 0: look at the machine.',
        }),
        panel('Temperature', {
          ...{ expr: 'DCGM_FI_DEV_GPU_TEMP', legend: GPU, unit: 'celsius' },
          reading: 'From about 88 on it becomes slow.',
        }),
        panel('Power', {
          ...{ expr: 'DCGM_FI_DEV_POWER_USAGE', legend: GPU, unit: 'watt' },
          reading: 'Far below the limit: it waits.',
        }),
      ],
    },
  ],
};
