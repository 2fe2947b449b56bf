"""PyTorch's training step on a GPU, for bare.mjs: images a second eager, compiled, and compiled with bfloat16 autocast.

The model, its weights and its optimiser are those of torch-member.py. Prints one line of JSON. Usage: torch_gpu.py FOLDER
"""

import importlib.util
import json
import sys
import time
from pathlib import Path

import torch

SECONDS = 5


def member_module():
    path = Path(__file__).with_name("torch-member.py")
    spec = importlib.util.spec_from_file_location("torch_member", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rate(member, form, autocast):
    with torch.autocast("cuda", torch.bfloat16, enabled=autocast):
        for _ in range(3):
            member.step(form)
        torch.cuda.synchronize()
        start, steps = time.perf_counter(), 0
        while steps < 3 or time.perf_counter() - start < SECONDS:
            member.step(form)
            torch.cuda.synchronize()
            steps += 1
    return steps * member.work["batch"] / (time.perf_counter() - start)


def main():
    if not torch.cuda.is_available():
        raise SystemExit("PyTorch sees no GPU")
    member = member_module().Member(Path(sys.argv[1]), 1)
    member.model.to("cuda")
    member.images, member.labels = member.images.cuda(), member.labels.cuda()
    rates = {}
    for name, form, autocast in [("eager", "eager", False), ("compiled", "compile", False), ("amp", "compile", True)]:
        rates[name] = rate(member, form, autocast)
    print(json.dumps({"device": torch.cuda.get_device_name(), "imagesPerSecond": rates}))


if __name__ == "__main__":
    main()
