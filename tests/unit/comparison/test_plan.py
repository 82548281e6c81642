import pytest

from mvadapter.adapters.mv_adapter import MvAdapterConfig
from mvadapter.comparison.plan import check_plan, read_plan, run_folder, same_methods
from mvadapter.errors import ConfigError, UnknownNameError

RECIPE = """
[data]
path = "synthetic"
[inputs]
num_frames = 5
num_words = 9
[train]
learning_rate = 0.5
[compare]
methods = ["frozen", "adaptformer", "mv-adapter-untied"]
seeds = [1, 2]
learning_rates = [0.1, 0.2]
[compare.settings.mv-adapter-untied]
bottleneck_width = 6
"""


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    return path


def test_a_recipe_says_what_is_compared(recipe):
    plan = read_plan(recipe, {})

    assert list(plan.methods) == ["frozen", "adaptformer", "mv-adapter-untied"]
    assert (plan.seeds, plan.learning_rates) == ((1, 2), (0.1, 0.2))
    assert plan.methods["mv-adapter-untied"] == MvAdapterConfig(
        num_frames=5, num_words=9, tying="none", bottleneck_width=6
    )


def test_every_run_shares_all_but_method_rate_and_seed(recipe):
    plan = read_plan(recipe, {})

    one, other = plan.recipe_for("adaptformer", 0.2, 2), plan.recipe_for("frozen", None, 1)

    assert (one.train.learning_rate, one.train.seed) == (0.2, 2)
    assert (one.data, one.inputs, one.train.epochs) == (other.data, other.inputs, 5)


def test_options_win_over_the_recipe(recipe):
    plan = read_plan(recipe, {"compare.methods": ["bitfit"], "compare.settings": {}})

    assert list(plan.methods) == ["bitfit"]


def test_quick_takes_one_seed_and_the_recipes_own_rate(recipe):
    plan = read_plan(recipe, {}, is_quick=True)

    assert (plan.seeds, plan.learning_rates) == ((1,), (0.5,))


def test_text_none_is_for_the_methods_that_leave_the_text_tower_open(recipe):
    plan = read_plan(recipe, {}, text="none")

    assert plan.methods["adaptformer"].text == "none"
    assert plan.methods["mv-adapter-untied"].text_layers == "all"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"compare.methods": ["mv-adaptr"]}, "Did you mean 'mv-adapter'"),
        ({"compare.methods": []}, "methods must name at least one"),
        ({"compare.seeds": [1, 1]}, "seeds must name at least one, and each once"),
        ({"compare.learning_rates": [0.0]}, "learning_rates must be above 0"),
        ({"compare.settings": {"lorra": {}}}, "'lorra' is not known. Did you mean 'lora'"),
        ({"compare.speed": 1}, "setting of .* 'speed' is not known"),
    ],
)
def test_what_cannot_be_is_refused(recipe, overrides, message):
    with pytest.raises(ConfigError, match=message):
        read_plan(recipe, {"compare.settings": {}, **overrides})


def test_a_method_that_does_not_fit_is_refused_before_any_trains(recipe, random_clip):
    plan = read_plan(recipe, {"compare.methods": ["mv-adapter-tied-12"], "compare.settings": {}})

    with pytest.raises(ConfigError, match="mv-adapter-tied-12 does not fit .* names layer -12"):
        check_plan(plan, random_clip)


def test_variants_with_the_same_settings_are_one_run(recipe):
    methods = ["mv-adapter", "mv-adapter-down-in", "mv-adapter-down-out", "mv-adapter-tied-2"]
    plan = read_plan(recipe, {"compare.methods": methods, "compare.settings": {}})

    assert list(same_methods(plan.methods).values()) == [
        "mv-adapter",
        "mv-adapter",
        "mv-adapter-down-out",
        "mv-adapter",
    ]


def test_each_run_has_a_folder_of_its_own(tmp_path):
    runs = {run_folder(tmp_path, "lora", rate, seed) for rate in (None, 1e-3) for seed in (0, 1)}

    assert len(runs) == 3


def test_the_recipes_of_other_commands_leave_the_table_alone(recipe):
    from mvadapter.training.recipe import read_recipe

    assert read_recipe(recipe).inputs.num_frames == 5


def test_unknown_methods_of_a_recipe_are_errors_too(recipe):
    recipe.write_text(RECIPE.replace("adaptformer", "adaptfromer"))

    with pytest.raises(UnknownNameError, match="Did you mean 'adaptformer'"):
        read_plan(recipe, {})
