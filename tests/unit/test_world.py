"""What several processes do is tested through the real command in end_to_end/test_evaluate.py."""

import torch

from mvadapter.world import World


def test_without_torchrun_there_is_one_process():
    assert World.from_environment({}) == World(index=0, size=1, local_index=0)


def test_a_process_knows_its_place():
    environment = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}

    assert World.from_environment(environment) == World(index=5, size=8, local_index=1)


def test_one_process_has_gathered_all():
    world = World()

    with world.joined():
        assert world.gather(torch.arange(3)).tolist() == [0, 1, 2]
        assert world.gather_lines(["a", "naïve \udcff"]) == ["a", "naïve \udcff"]
        assert world.gather_lines([]) == []
