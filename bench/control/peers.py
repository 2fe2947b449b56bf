# Empty trials a second of two other programs that search: a random search whose objective returns at once.
# Prints one JSON object. The first argument is the program.

import json
import sys
import time


def optuna(trials):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=trials)


def ray(trials):
    import ray
    from ray import tune

    ray.init(log_to_driver=False, include_dashboard=False)
    tune.Tuner(
        lambda config: {"x": config["x"]},
        param_space={"x": tune.uniform(0, 1)},
        tune_config=tune.TuneConfig(num_samples=trials),
        run_config=tune.RunConfig(verbose=0, storage_path=sys.argv[2]),
    ).fit()


run, trials = {"optuna": (optuna, 2000), "ray": (ray, 100)}[sys.argv[1]]
begin = time.time()
run(trials)
print(json.dumps({"trialsPerSecond": trials / (time.time() - begin)}))
