"""The optimiser's groups and the schedule."""

import pytest

from mvadapter import Encoder, MvAdapterConfig, build_adapter
from mvadapter.adapters.methods.bitfit import BitFitConfig
from mvadapter.adapters.methods.full import FullConfig
from mvadapter.training.optimizer import build_optimizer, learning_rate, set_learning_rate
from mvadapter.training.recipe import TrainSettings

SETTINGS = TrainSettings(weight_decay=0.3)


def by_name(encoder, optimizer):
    """Full name -> the group that it is in."""
    names = {id(parameter): name for name, parameter in encoder.trainable_parameters().items()}
    groups = optimizer.param_groups
    found = {names[id(one)]: group for group in groups for one in group["params"]}
    assert len(found) == len(names) == sum(len(group["params"]) for group in groups)
    return found


def optimised(config, clip):
    encoder = Encoder(clip, build_adapter(config, clip))
    optimizer = build_optimizer(encoder, SETTINGS)
    set_learning_rate(optimizer, 0.5)
    return by_name(encoder, optimizer)


def test_matrices_decay_and_nothing_else_does(random_clip):
    for name, group in optimised(FullConfig(), random_clip).items():
        is_matrix = random_clip.weights[name.removeprefix("backbone.")].ndim >= 2
        assert group["weight_decay"] == (0.3 if is_matrix else 0.0), name


def test_biases_of_clip_beside_an_adapter_take_a_fiftieth_of_the_rate(random_clip):
    # The authors' released configurations: 1e-7 beside 5e-6.
    found = optimised(MvAdapterConfig(has_trained_biases=True), random_clip)

    rates = {name.startswith("backbone."): group["lr"] for name, group in found.items()}
    assert rates == {True: pytest.approx(0.01), False: 0.5}


@pytest.mark.parametrize("config", [FullConfig(), BitFitConfig()])
def test_weights_of_clip_that_train_alone_take_the_whole_rate(random_clip, config):
    assert {group["lr"] for group in optimised(config, random_clip).values()} == {0.5}


def test_the_rate_rises_and_falls_along_a_cosine():
    settings = TrainSettings(learning_rate=1.0, warmup_percent=20.0)

    rates = [learning_rate(step, 10, settings) for step in range(10)]

    # By hand: two steps of warm-up, then (1 + cos(pi * k / 8)) / 2.
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[6] == pytest.approx(0.5)
    assert rates[3:] == sorted(rates[3:], reverse=True)
    assert 0 < rates[-1] < 0.05
