"""PyTorch's side of the training benchmark, as a process that answers commands; torch.ts makes the environment it runs in.

Builds any network of ours from its list of layers (work.json) with torch.nn, takes our initial weights, and runs training
steps (forward, backward, clip, SGD) or embeddings as PyTorch is best used on a CPU: channels-last maps, the fused
optimiser, one call to the compiler for the whole pass, weights frozen into the compiled graph for inference. Decides
nothing about what is measured; member.ts asks.

Usage: torch-member.py FOLDER THREADS
"""

import json
import sys
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

COSINE_MAX = 1 - 1e-5
WARM_STEPS = 2


class Layers(nn.Module):
    """Interprets the list of layers; a module for each layer that has parameters or a window."""

    def __init__(self, work):
        super().__init__()
        self.layers = work["layers"]
        self.output = work["output"]
        self.flat = flat_layers(self.layers)
        self.parts = nn.ModuleList(self.part(i, layer) for i, layer in enumerate(self.layers))

    def part(self, index, layer):
        kind, channels = layer["kind"], layer["shape"]["channels"]
        window = [layer[key] for key in ("kernel", "stride", "padding")] if "kernel" in layer else []
        if kind == "conv":
            return nn.Conv2d(layer["channelsIn"], channels, *window, groups=layer["groups"], bias=False)
        if kind == "depthwise":
            return nn.Conv2d(channels, channels, *window, groups=channels, bias=False)
        if kind == "batchNorm":
            norm = nn.BatchNorm1d if index in self.flat else nn.BatchNorm2d
            return norm(channels, eps=1e-5, momentum=0.1, affine=layer["affine"])
        if kind == "prelu":
            return nn.PReLU(channels)
        if kind == "maxPool":
            return nn.MaxPool2d(*window)
        if kind == "avgPool":
            return nn.AvgPool2d(*window, count_include_pad=False)
        if kind == "linear":
            return nn.Linear(layer["channelsIn"], channels, bias=layer["bias"])
        if kind == "flatten":
            return nn.Flatten()
        return nn.Identity()

    def forward(self, images):
        outputs = [images]
        for layer, part in zip(self.layers[1:], self.parts[1:]):
            inputs = [outputs[i] for i in layer["inputs"]]
            if layer["kind"] == "add":
                outputs.append(sum(inputs[1:], inputs[0]))
            elif layer["kind"] == "concat":
                outputs.append(torch.cat(inputs, 1))
            elif layer["kind"] == "crop":
                outputs.append(inputs[0][:, :, 1:, 1:])
            else:
                outputs.append(part(inputs[0]))
        return outputs[self.output].flatten(1)


def flat_layers(layers):
    """Indices of layers whose output is a vector an image."""
    flat = set()
    for index, layer in enumerate(layers):
        if layer["kind"] in ("flatten", "linear") or any(i in flat for i in layer["inputs"]):
            flat.add(index)
    return flat


class Step(nn.Module):
    """Images and labels to the loss of a training step, or images to embeddings."""

    def __init__(self, work):
        super().__init__()
        self.backbone = Layers(work)
        self.loss = work.get("loss")
        if work["classes"] > 0:
            self.head = nn.Parameter(torch.empty(work["embedding"], work["classes"]))

    def forward(self, images, labels):
        # [N, H, W, 3] bytes; seen as [N, 3, H, W] this is channels-last already.
        pixels = images.permute(0, 3, 1, 2).float().div(255).sub(0.5).div(0.5)
        embedding = self.backbone(pixels)
        return embedding if self.loss is None else arcface(embedding, self.head, labels, **self.loss)


def arcface(embedding, head, labels, scale, margin):
    """Deng et al., 2019, eq. 3, with clamped cosines."""
    margin = torch.tensor(margin)
    cosines = (F.normalize(embedding) @ F.normalize(head, dim=0)).clamp(-COSINE_MAX, COSINE_MAX)
    target = cosines.gather(1, labels[:, None])
    sine = torch.sqrt((1 - target) * (1 + target))
    rotated = target * margin.cos() - sine * margin.sin()
    with_margin = torch.where(target > -margin.cos(), rotated, target - margin * margin.sin())
    return F.cross_entropy(scale * cosines.scatter(1, labels[:, None], with_margin), labels)


class Member:
    def __init__(self, folder, threads):
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        self.work = work = json.loads((folder / "work.json").read_text())
        self.trains = work["kind"] == "train"
        size = work["image"]
        shape = (work["batch"], size["height"], size["width"], size["channels"])
        self.images = read(folder / "images.bin", torch.uint8).reshape(shape)
        self.labels = read(folder / "labels.bin", torch.int32).long()
        self.model = Step(work)
        self.tensors = tensors_by_slot(self.model)
        self.load(folder)
        self.model = self.model.to(memory_format=torch.channels_last).train(self.trains)
        self.optimiser = self.new_optimiser() if self.trains else None
        if not self.trains:
            torch._inductor.config.freezing = True
        self.forms = {"eager": self.model, "compile": torch.compile(self.model)}

    def load(self, folder):
        for slots, name in (("parameters", "weights"), ("running", "running")):
            values = read(folder / f"{name}.bin", torch.float32)
            for slot in self.work[slots]:
                value = values[slot["offset"] : slot["offset"] + slot["size"]].reshape(slot["shape"])
                tensor = self.tensors[slot["layer"], slot["role"]]
                value = value.permute(slot["torchAxes"])
                # copy_ would broadcast what does not fit.
                assert tensor.shape == value.shape, slot["name"]
                tensor.data.copy_(value)
                tensor.requires_grad_(slot["trainable"])
        own = sum(p.numel() for p in self.model.parameters())
        assert own == sum(slot["size"] for slot in self.work["parameters"]), own

    def new_optimiser(self):
        options = self.work["optimizer"]
        return torch.optim.SGD(
            self.model.parameters(),
            lr=self.work["learningRate"],
            momentum=options["momentum"],
            weight_decay=options["weightDecay"],
            fused=True,
        )

    def step(self, form):
        if not self.trains:
            with torch.inference_mode():
                return self.forms[form](self.images, self.labels)
        self.optimiser.zero_grad(set_to_none=True)
        loss = self.forms[form](self.images, self.labels)
        loss.backward()
        backbone = self.model.backbone.parameters()
        nn.utils.clip_grad_norm_(backbone, self.work["optimizer"]["clipNorm"], foreach=True)
        self.optimiser.step()
        return loss

    def check(self, path):
        """Writes what one pass gives from the first weights, in our order: embeddings, or gradient, statistics and loss."""
        if not self.trains:
            write(path, [self.step("eager")])
            return {}
        norms = [m for m in self.model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        kept = [(norm.running_mean.clone(), norm.running_var.clone()) for norm in norms]
        for norm in norms:
            norm.momentum = 1.0
        loss = self.model(self.images, self.labels)
        loss.backward()
        gradients = [
            self.tensors[slot["layer"], slot["role"]].grad.permute(inverse(slot["torchAxes"]))
            for slot in self.work["parameters"]
        ]
        statistics = [self.tensors[slot["layer"], slot["role"]].clone() for slot in self.work["running"]]
        write(path, [*gradients, *statistics, loss])
        for norm, (mean, variance) in zip(norms, kept):
            norm.momentum = 0.1
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(variance)
        return {}

    def warm(self, form):
        start = time.perf_counter()
        for _ in range(WARM_STEPS):
            self.step(form)
        return {"seconds": time.perf_counter() - start}

    def run(self, milliseconds, form):
        start = time.perf_counter()
        steps = 0
        while steps == 0 or time.perf_counter() - start < int(milliseconds) / 1000:
            result = self.step(form)
            steps += 1
        seconds = time.perf_counter() - start
        assert torch.isfinite(result).all(), "the loss is not finite"
        return {"images": steps * self.work["batch"], "seconds": seconds}


def tensors_by_slot(model):
    tensors = {}
    for index, part in enumerate(model.backbone.parts):
        for name, tensor in [*part.named_parameters(), *part.named_buffers()]:
            tensors[index, name] = tensor
    if hasattr(model, "head"):
        tensors[-1, "head"] = model.head
    return tensors


def inverse(axes):
    return [axes.index(i) for i in range(len(axes))]


def read(path, dtype):
    return torch.frombuffer(bytearray(path.read_bytes()), dtype=dtype)


def write(path, tensors):
    flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
    Path(path).write_bytes(flat.numpy().tobytes())


def main():
    answers, sys.stdout = sys.stdout, sys.stderr
    member = Member(Path(sys.argv[1]), int(sys.argv[2]))

    def answer(value):
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    answer({"version": torch.__version__})
    for line in sys.stdin:
        command, *words = line.split()
        commands = {"check": member.check, "warm": member.warm, "run": member.run}
        answer(commands[command](*words))


if __name__ == "__main__":
    main()
