"""ResNet-50 and vision transformers: published sizes, and other people's code on equal weights."""

import pytest
import torch
from torch.testing import assert_close

from ohgw.core.errors import SettingError, UnknownNameError
from ohgw.tasks import load
from ohgw.tasks.vision._resnet import BottleneckResNet
from ohgw.tasks.vision._vit import ViT

transformers = pytest.importorskip(
    "transformers", reason="the extra 'transformers' is not installed"
)


def drawn(net, seed=0):
    """Parameters away from the initialisation, by name."""
    generator = torch.Generator().manual_seed(seed)
    theta = net.init(generator).double()
    return net.layout.split(theta + 0.05 * torch.randn(len(theta), generator=generator))


def images(count, size):
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1)).double()


def reference_resnet(net, weights):
    """Hugging Face's, with these weights."""
    blocks = [sum(len(block) == 4 for block in net.blocks[: k + 1]) for k in range(len(net.blocks))]
    config = transformers.ResNetConfig(
        embedding_size=net.width,
        hidden_sizes=[4 * net.width * 2**stage for stage in range(4)],
        depths=[blocks.count(stage) for stage in (1, 2, 3, 4)],
        layer_type="bottleneck",
        num_labels=net.classes,
    )
    module = transformers.ResNetForImageClassification(config).double()
    pairs, resnet = [module.resnet.embedder.embedder], module.resnet
    for stage in resnet.encoder.stages:
        for block in stage.layers:
            pairs += block.layer
            if not isinstance(block.shortcut, torch.nn.Identity):
                pairs.append(block.shortcut)
    with torch.no_grad():
        for k, pair in enumerate(pairs):
            pair.convolution.weight.copy_(weights[f"conv{k}"])
            pair.normalization.weight.copy_(weights[f"scale{k}"])
            pair.normalization.bias.copy_(weights[f"shift{k}"])
        module.classifier[1].weight.copy_(weights["head"].T)
        module.classifier[1].bias.copy_(weights["bias"])
    return module, [pair.normalization for pair in pairs]


def reference_vit(net, weights):
    """Hugging Face's, with these weights."""
    config = transformers.ViTConfig(
        hidden_size=net.width,
        num_hidden_layers=net.depth,
        num_attention_heads=net.heads,
        intermediate_size=4 * net.width,
        image_size=net.size,
        patch_size=net.patch,
        num_labels=net.classes,
        layer_norm_eps=1e-6,
    )
    module = transformers.ViTForImageClassification(config).double().eval()
    state = {
        "vit.embeddings.cls_token": weights["read"][None],
        "vit.embeddings.position_embeddings": weights["position"][None],
        "vit.embeddings.patch_embeddings.projection.weight": weights["patch"].T.reshape(
            net.width, 3, net.patch, net.patch
        ),
        "vit.embeddings.patch_embeddings.projection.bias": weights["patch_bias"],
        "vit.layernorm.weight": weights["final_scale"],
        "vit.layernorm.bias": weights["final_bias"],
        "classifier.weight": weights["head"].T,
        "classifier.bias": weights["bias"],
    }
    for k in range(net.depth):
        at = f"vit.layers.{k}."
        for j, part in enumerate("qkv"):
            own = slice(j * net.width, (j + 1) * net.width)
            state[f"{at}attention.{part}_proj.weight"] = weights[f"qkv{k}"][:, own].T
            state[f"{at}attention.{part}_proj.bias"] = weights[f"qkv_bias{k}"][own]
        linear = {
            "attention.o_proj": ("attention_out", "attention_bias"),
            "mlp.fc1": ("mlp_in", "mlp_bias"),
            "mlp.fc2": ("mlp_out", "mlp_out_bias"),
        }
        for theirs, (matrix, bias) in linear.items():
            state[f"{at}{theirs}.weight"] = weights[f"{matrix}{k}"].T
            state[f"{at}{theirs}.bias"] = weights[f"{bias}{k}"]
        for theirs, j in (("layernorm_before", 2 * k), ("layernorm_after", 2 * k + 1)):
            state[f"{at}{theirs}.weight"] = weights[f"norm_scale{j}"]
            state[f"{at}{theirs}.bias"] = weights[f"norm_bias{j}"]
    module.load_state_dict(state)  # every key, or it raises
    return module


@pytest.mark.parametrize(
    ("net", "published"),
    [
        (BottleneckResNet(50), 25_557_032),
        (BottleneckResNet(101), 44_549_160),
        (ViT(width=192, heads=3), 5_717_416),
        (ViT(width=384, heads=6), 22_050_664),
    ],
    ids=["resnet50", "resnet101", "vit-ti", "vit-s"],
)
def test_parameter_counts_are_the_published_ones(net, published):
    assert net.layout.size == published


@pytest.mark.parametrize(("depth", "width"), [(14, 4), (50, 64)])
def test_resnet_equals_the_reference(depth, width):
    """In training, and in evaluation with given statistics."""
    net = BottleneckResNet(depth, width, classes=7)
    weights, x = drawn(net), images(3, 64)
    module, normalizations = reference_resnet(net, weights)
    with torch.no_grad():
        assert_close(net.logits(weights, x), module.train()(x).logits, rtol=1e-9, atol=1e-9)
        moments = net.moments(weights, x)
        for (mean, variance), layer in zip(moments, normalizations, strict=True):
            layer.running_mean.copy_(mean)
            layer.running_var.copy_(variance)
        theirs = module.eval()(x[:2]).logits
        assert_close(net.logits(weights, x[:2], moments), theirs, rtol=1e-9, atol=1e-9)
        assert (theirs - net.logits(weights, x[:2])).abs().max() > 1e-3


@pytest.mark.parametrize(
    "net",
    [ViT(32, 8, 16, 2, 2, classes=5), ViT(48, 16, 384, 12, 6), ViT(224, 16, 192, 12, 3)],
    ids=["tiny", "vit-s", "vit-ti"],
)
def test_vit_equals_the_reference(net):
    weights, x = drawn(net), images(2, net.size)
    with torch.no_grad():
        theirs = reference_vit(net, weights)(x).logits
        assert_close(net.logits(weights, x), theirs, rtol=1e-9, atol=1e-9)


def test_a_vision_transformer_is_a_model_of_cifar(load_small):
    task = load_small("cifar10:model=vit-ti:examples=160:batch_size=8")
    # the published one, but for patches, positions and classes
    assert task.layout.size == 5_717_416 - (16**2 - 4**2) * 3 * 192 - (196 - 64) * 192 - 990 * 193
    assert task.net.heads == 3
    small = load_small(
        "cifar100:model=vit-s:depth=2:width=16:heads=4:patch=8:batch_size=8:examples=99"
    )
    assert (small.net.tokens, small.net.depth, small.net.classes) == (17, 2, 100)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("model=vit-ti:patch=5", "patch=5 of 'cifar10' does not divide an image of 32"),
        ("model=vit-ti:heads=5", "heads=5 do not divide width=192"),
        ("model=vit-ti:depth=0", "depth=0"),
        ("patch=4", "patch=4 of 'cifar10' is not an option of model=resnet"),
    ],
)
def test_an_option_that_cannot_work_is_refused(miniature, options, message):
    with pytest.raises(SettingError, match=message):
        load(f"cifar10:{options}")


def test_an_unknown_model_is_answered_with_the_known_ones(miniature):
    with pytest.raises(UnknownNameError, match="'vit-t'.*Did you mean 'vit-ti'"):
        load("cifar10:model=vit-t")
