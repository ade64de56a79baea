"""`cifar10`: CIFAR-10 with ResNet-20, SGD with momentum, exp-1's space.

Data: Krizhevsky 2009, 32 x 32 colour photographs of ten classes; 45,000 train, 5,000 of the
official training images validate, the official 10,000 test. `examples` asks for so many training
images, equally many of each class; up to 10,000 of them, the subset `cifar10_14k.npz` serves where
the whole archive is not found. Neither is in this package.
Model: `_resnet`, 269,722 parameters at depth 20 and width 16.
Training: mini-batches of 128; images are shifted, mirrored, changed in colour and cut out.
"""

from ohgw.tasks import _data
from ohgw.tasks.vision._cifar import CifarTask


class Cifar10(CifarTask):
    """Colour photographs, ten classes."""

    name = "cifar10"
    small = "cifar10:depth=8:width=4:examples=2000:batch_size=32"
    classes = 10
    archive = _data.Remote(
        file="cifar-10-python.tar.gz",
        url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        megabytes=170.5,
    )
    members = (
        tuple(f"cifar-10-batches-py/data_batch_{k}" for k in range(1, 6)),
        ("cifar-10-batches-py/test_batch",),
    )
    labels = b"labels"
    subset = "cifar10_14k.npz"
