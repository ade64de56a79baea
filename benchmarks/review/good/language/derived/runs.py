"""The runs of the experiment, and their sizes."""

MODEL = {"context": 4, "embedding": 8, "hidden": 32}

# eta is the step size of the learning rate; 0 keeps it fixed. noise is the share of the training
# characters that is replaced at random.
RUNS = {
    "sgd": {"rate": 0.2, "batch": 32, "eta": 0.0, "noise": 0.0},
    "hd": {"rate": 0.2, "batch": 32, "eta": 0.01, "noise": 0.0},
    "hd-fast": {"rate": 0.2, "batch": 32, "eta": 0.1, "noise": 0.0},
    "hd-corrupted": {"rate": 0.2, "batch": 32, "eta": 0.01, "noise": 0.1},
}

TARGET_PPL = 14.0

SIZES = {
    "smoke": {"steps": 60, "every": 20, "seeds": [0]},
    "full": {"steps": 4000, "every": 50, "seeds": [0, 1, 2, 3, 4]},
}
