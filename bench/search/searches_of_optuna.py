# Searches of Optuna on a table: how many different networks it evaluates until it has one of the best, or what
# it has found after so many. Reads one JSON object (genes: values of each gene; keys: the network of each
# combination, in mixed radix, or null; accuracy, latency: of each network; best: the accuracy to reach), and
# prints one JSON object. Arguments: the file, tpe or nsga2, seeds, evaluations at most.

import json
import sys

import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)
with open(sys.argv[1]) as file:
    table = json.load(file)
kind, seeds, limit = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
genes, keys = table["genes"], table["keys"]


def network(trial):
    at = 0
    for gene, values in enumerate(genes):
        at = at * values + trial.suggest_categorical(f"g{gene}", list(range(values)))
    return keys[at]


def search(seed):
    if kind == "tpe":
        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    else:
        sampler = optuna.samplers.NSGAIISampler(population_size=50, seed=seed)
        study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    found = {}
    # Repetitions cost nothing; a search that only repeats itself ends too.
    for _ in range(20 * limit):
        trial = study.ask()
        key = network(trial)
        if key is None:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            continue
        accuracy, latency = table["accuracy"][key], table["latency"][key]
        study.tell(trial, accuracy if kind == "tpe" else [accuracy, latency])
        found[key] = True
        if kind == "tpe" and accuracy >= table["best"]:
            return len(found)
        if len(found) == limit:
            break
    return None if kind == "tpe" else list(found)


print(json.dumps({"version": optuna.__version__, "results": [search(seed) for seed in range(seeds)]}))
