import torch
from transformers import CLIPModel

from made_clips import write_random_clip
from mvadapter.backbone.clip import Backbone
from mvadapter.backbone.families.clip import CLIP
from mvadapter.backbone.sites import FrameLayout


def test_every_weight_of_transformers_clip_has_one_name_of_ours(tmp_path):
    folder = write_random_clip(tmp_path / "clip")
    theirs = dict(CLIPModel.from_pretrained(folder).named_parameters())

    ours = Backbone.load(folder)

    names = CLIP.weight_names(ours.vision, ours.text)
    assert sorted(names.values()) == sorted(theirs)
    assert ours.weights.keys() == names.keys()
    for name, their_name in names.items():
        assert torch.equal(ours.weights[name], theirs[their_name])


def test_names_of_weights_are_those_of_the_docs(random_clip):
    assert {
        "logit_scale",
        "text.positions",
        "vision.blocks.1.attention.q.weight",
        "vision.class_token",
        "vision.projection.weight",
    } < random_clip.weights.keys()


def test_a_layout_parts_class_tokens_from_patches():
    tokens = torch.arange(5.0).view(1, 5, 1)
    layout = FrameLayout(
        num_videos=1, num_frames=1, mask=torch.ones(1, 1, dtype=torch.bool), num_class_tokens=2
    )

    class_tokens, patches = layout.split(tokens)

    assert class_tokens.flatten().tolist() == [0, 1]
    assert patches.flatten().tolist() == [2, 3, 4]
