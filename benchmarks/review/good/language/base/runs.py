"""The runs of the experiment, and their sizes."""

MODEL = {"context": 4, "embedding": 8, "hidden": 32}

RUNS = {
    "sgd": {"rate": 0.5, "batch": 32},
}

SIZES = {
    "smoke": {"steps": 40, "every": 20, "seeds": [0]},
    "full": {"steps": 2000, "every": 100, "seeds": [0, 1, 2]},
}
