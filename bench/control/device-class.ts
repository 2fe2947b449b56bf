// The device class of workers that compute nothing. A journal that a benchmark writes has it too, so that such workers
// go on with what the workers of the journal have begun.

export const DEVICE_CLASS = 'instant';
