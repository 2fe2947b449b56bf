"""Scores of networks at initial weights, computed by PyTorch in double precision from their definitions.

    npx tsx test/golden/screening-export.ts DIR
    python3 test/golden/screening.py DIR test/fixtures/golden/screening.json [--float32]

PyTorch 1.13, CPU. Networks come as lists of layers and are run layer by layer; gradients are PyTorch's own.
With --float32 the scores are those of single precision, which tells how much of a difference is rounding.
"""

import json
import math
import pathlib
import sys

import numpy as np
import torch
import torch.nn.functional as F

FORMATS = {"F32": np.float32, "I32": np.int32, "U8": np.uint8}


def read(path):
    raw = path.read_bytes()
    end = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:end])
    metadata = header.pop("__metadata__")
    tensors = {}
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        values = np.frombuffer(raw[end + first : end + last], FORMATS[entry["dtype"]])
        tensors[name] = torch.from_numpy(values.reshape(entry["shape"]).copy())
    return tensors, {key: json.loads(text) for key, text in metadata.items()}


def filters(weight, kind):
    """To PyTorch's layout."""
    if kind == "conv":
        return weight.permute(3, 2, 0, 1)
    if kind == "depthwise":
        return weight.permute(2, 3, 0, 1)
    return weight.t() if kind == "linear" else weight


class Pass:
    """One run of a list of layers. `linear`: without batch norm. Keeps PReLU inputs and batch variances."""

    def __init__(self, net, parameters, images, linear=False):
        self.switched, self.variances = [], []
        out = []
        for layer in net["layers"]:
            x = out[layer["inputs"][0]] if layer["inputs"] else images
            weight = parameters.get(layer["name"] + ".weight")
            bias = parameters.get(layer["name"] + ".bias")
            kind = layer["kind"]
            if kind == "batchNorm" and not linear:
                self.variances.append(x.var(dim=[d for d in range(x.dim()) if d != 1], unbiased=True))
                x = F.batch_norm(x, None, None, weight, bias, training=True, eps=1e-5)
            elif kind == "prelu":
                self.switched.append(x)
                x = F.prelu(x, weight)
            elif kind in ("conv", "depthwise"):
                groups = layer["groups"] if kind == "conv" else x.shape[1]
                x = F.conv2d(x, filters(weight, kind), None, layer["stride"], layer["padding"], 1, groups)
            elif kind == "linear":
                x = F.linear(x, filters(weight, kind), bias)
            elif kind == "maxPool":
                x = F.max_pool2d(x, layer["kernel"], layer["stride"], layer["padding"])
            elif kind == "avgPool":
                x = F.avg_pool2d(x, layer["kernel"], layer["stride"], layer["padding"], count_include_pad=False)
            elif kind == "crop":
                x = x[:, :, 1:, 1:]
            elif kind == "add":
                x = sum(out[i] for i in layer["inputs"])
            elif kind == "concat":
                x = torch.cat([out[i] for i in layer["inputs"]], 1)
            elif kind == "flatten":
                x = x.flatten(1)
            out.append(x)
        self.embedding = out[net["output"]].flatten(1)


def weighted(net):
    return [layer["name"] + ".weight" for layer in net["layers"] if layer["kind"] in ("conv", "depthwise", "linear")]


def synflow(net, parameters):
    positive = {name: value.abs().requires_grad_() for name, value in parameters.items()}
    ones = torch.ones(1, 3, 112, 112, dtype=torch.float64)
    Pass(net, positive, ones, linear=True).embedding.sum().backward()
    return math.log(sum((positive[name] * positive[name].grad).sum().item() for name in weighted(net)))


def naswot(net, parameters, images):
    k = np.zeros((len(images), len(images)))
    for x in Pass(net, parameters, images).switched:
        on = (x > 0).flatten(1).numpy().astype(np.float64)
        k += on @ on.T + (1 - on) @ (1 - on).T
    return np.linalg.slogdet(k)[1].item()


def zen(net, parameters, images, changed):
    base, other = Pass(net, parameters, images), Pass(net, parameters, changed)
    distance = (base.embedding - other.embedding).abs().sum(1).mean().item()
    return math.log(distance) + sum(0.5 * math.log(variance.mean().item()) for variance in base.variances)


def margin_loss(embedding, kernel, labels, scale, margin):
    """Additive angular margin; cosines this far from 1 need no clamp."""
    cosine = F.normalize(embedding) @ F.normalize(kernel, dim=0)
    angle = torch.acos(cosine)
    inside = angle + margin < math.pi
    target = torch.where(inside, torch.cos(angle + margin), cosine - margin * math.sin(margin))
    hit = F.one_hot(labels, kernel.shape[1]).bool()
    return F.cross_entropy(scale * torch.where(hit, target, cosine), labels)


def zico(net, parameters, batches, loss):
    names = weighted(net)
    gradients = []
    for images, labels in batches:
        free = {name: value.clone().requires_grad_() for name, value in parameters.items()}
        embedding = Pass(net, free, images).embedding
        margin_loss(embedding, free["head.kernel"], labels.long(), **loss).backward()
        gradients.append({name: free[name].grad.double().numpy() for name in names})
    score = 0
    for name in names:
        stack = np.stack([gradient[name] for gradient in gradients])
        size, deviation = np.abs(stack).mean(0), stack.std(0)
        total = (size[deviation > 0] / deviation[deviation > 0]).sum()
        score += math.log(total) if total > 0 else 0
    return score


def scores(path, precision):
    tensors, meta = read(path)
    net, one = meta["network"], meta["case"]
    parameters = {name: value.to(precision) for name, value in tensors.items() if "-" not in name}
    double = {name: value.double() for name, value in parameters.items()}
    found = {"synflow": synflow(net, double)}
    if one["images"] > 0:
        def images(name):
            x = tensors[name].to(precision).permute(0, 3, 1, 2)
            return (x / 255 - 0.5) / 0.5 if name.startswith("images") else x

        batches = [(images(f"images-{batch}"), tensors[f"labels-{batch}"]) for batch in (0, 1)]
        with torch.no_grad():
            found["naswot"] = naswot(net, parameters, batches[0][0])
            found["zen"] = zen(net, parameters, images("zen-0"), images("zen-1"))
        found["zico"] = zico(net, parameters, batches, meta["loss"])
    return {"case": one["name"], "seed": one["seed"], **found}


if __name__ == "__main__":
    torch.set_num_threads(1)
    precision = torch.float32 if "--float32" in sys.argv else torch.float64
    rows = [scores(path, precision) for path in sorted(pathlib.Path(sys.argv[1]).glob("*.safetensors"))]
    text = ",\n".join("  " + json.dumps(row) for row in rows)
    pathlib.Path(sys.argv[2]).write_text('{ "scores": [\n' + text + "\n] }\n")
