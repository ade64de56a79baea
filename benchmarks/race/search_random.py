"""Random search as written by hand: one configuration after the other, each trained fully.

Looks at the validation loss after every epoch, and breaks off where it is not finite.
"""

import random
import sys
from itertools import count

from training import WORST, Training, get_program


def main(task: str, seed: int) -> None:
    draw, program = random.Random(seed), get_program(task)
    for trial in count():
        hp = {}
        for name, (low, high, log) in program.SPACE.items():
            u = draw.random()
            hp[name] = low * (high / low) ** u if log else low + (high - low) * u
        training = Training(task, hp, seed)
        for epoch in range(1, program.MAX_EPOCHS + 1):
            training.train_to(epoch)
            if training.report(trial) == WORST:
                break


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
