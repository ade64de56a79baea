"""Data sets by name, split into training, validation and test parts."""

from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

LOADERS = {"breast_cancer": load_breast_cancer, "wine": load_wine}


def load(name: str, split: dict, seed: int) -> dict:
    """{"train" | "val" | "test": (inputs, labels)}, scaled by the training part."""
    x, y = LOADERS[name](return_X_y=True)
    x_rest, x_test, y_rest, y_test = train_test_split(
        x, y, test_size=split["test"], random_state=seed, stratify=y
    )
    share = split["val"] / (1 - split["test"])
    x_train, x_val, y_train, y_val = train_test_split(
        x_rest, y_rest, test_size=share, random_state=seed, stratify=y_rest
    )
    scaler = StandardScaler().fit(x_train)
    return {
        "train": (scaler.transform(x_train), y_train),
        "val": (scaler.transform(x_val), y_val),
        "test": (scaler.transform(x_test), y_test),
    }
