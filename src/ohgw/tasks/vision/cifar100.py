"""`cifar100`: CIFAR-100 with ResNet-20, SGD with momentum, exp-1's space.

Data: Krizhevsky 2009, as CIFAR-10 but of a hundred classes, the fine labels; split alike. The
subset `cifar100_14k.npz` serves for up to 10,000 examples.
Model: `_resnet`, 275,572 parameters at depth 20 and width 16.
"""

from ohgw.tasks import _data
from ohgw.tasks.vision._cifar import CifarTask


class Cifar100(CifarTask):
    """Colour photographs, a hundred classes."""

    name = "cifar100"
    small = "cifar100:depth=8:width=4:examples=4000:batch_size=32"
    classes = 100
    archive = _data.Remote(
        file="cifar-100-python.tar.gz",
        url="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
        sha256="85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
        megabytes=169.0,
    )
    members = (("cifar-100-python/train",), ("cifar-100-python/test",))
    labels = b"fine_labels"
    subset = "cifar100_14k.npz"
