import pytest

from mvadapter.adapters.methods.lora import LoraConfig
from mvadapter.adapters.methods.mv_adapter import MvAdapterConfig
from mvadapter.comparison.plan import check_plan, read_plan, run_folder, same_methods
from mvadapter.errors import ConfigError

RECIPE = """
[data]
path = "synthetic"
[inputs]
num_frames = 5
max_tokens = 9
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
    assert plan.seeds == (1, 2)
    assert set(plan.learning_rates.values()) == {(0.1, 0.2)}
    assert plan.methods["mv-adapter-untied"] == MvAdapterConfig(
        num_frames=5, max_tokens=9, tying="none", bottleneck_width=6
    )


def test_every_run_shares_all_but_method_rate_and_seed(recipe):
    plan = read_plan(recipe, {})

    one, other = plan.recipe_for("adaptformer", 0.2, 2), plan.recipe_for("frozen", None, 1)

    assert (one.train.learning_rate, one.train.seed) == (0.2, 2)
    assert (one.data, one.inputs, one.train.epochs) == (other.data, other.inputs, 5)


def test_options_win_over_the_recipe(recipe):
    plan = read_plan(recipe, {"compare.methods": ["bitfit"], "compare.settings": {}})

    assert list(plan.methods) == ["bitfit"]


def test_quick_takes_one_seed_and_the_methods_default_learning_rate_or_the_recipes(recipe):
    plan = read_plan(recipe, {"compare.quick_rates": {"adaptformer": 0.7}}, is_quick=True)

    assert plan.seeds == (1,)
    assert plan.learning_rates["mv-adapter-untied"] == (MvAdapterConfig.default_learning_rate,)
    assert plan.learning_rates["adaptformer"] == (0.7,)


def test_what_the_recipe_says_of_a_method_holds_for_its_variants(recipe):
    recipe.write_text(
        RECIPE + '[method]\nname = "mv-adapter"\nfactor_dim = 3\ntied_layers = [-1]\n'
        "[compare.settings.adaptformer]\nbottleneck_width = 5\n"
    )
    names = [
        "mv-adapter", "mv-adapter-tied", "mv-adapter-tied-2", "mv-adapter-factor-8",
        "adaptformer-sequential", "adaptformer-paper",
    ]  # fmt: skip
    ours, tied, tied_2, factor_8, sequential, paper = read_plan(
        recipe, {"compare.methods": names}
    ).methods.values()

    assert tied == ours
    assert (ours.factor_dim, ours.tied_layers) == (3, (-1,))
    assert (tied_2.factor_dim, tied_2.tied_layers) == (3, (-2, -1))
    assert (factor_8.factor_dim, factor_8.tied_layers) == (8, (-1,))
    assert (sequential.bottleneck_width, sequential.placement) == (5, "sequential")
    assert paper.bottleneck_width == 128


@pytest.mark.parametrize(
    "name", ["mv-adapter-tied", "mv-adapter-down-out", "mv-adapter-tied-1", "mv-adapter-factor-8",
             "mv-adapter-unshared", "mv-adapter-authors-gates"],
)  # fmt: skip
def test_a_recipe_does_not_untie_the_rows_about_tying(name, recipe):
    recipe.write_text(RECIPE + '[method]\ntying = "none"\n')
    assert (
        read_plan(recipe, {"compare.methods": ["mv-adapter"]}).methods["mv-adapter"].tying == "none"
    )

    assert read_plan(recipe, {"compare.methods": [name]}).methods[name].tying == "factor"


def test_a_recipe_has_variants_of_its_own(recipe):
    recipe.write_text(
        RECIPE + '[method]\nname = "mv-adapter"\nfactor_dim = 3\n'
        '[compare.variants.wide]\nmethod = "mv-adapter-untied"\nnum_heads = 1\n'
    )
    plan = read_plan(recipe, {"compare.methods": ["wide"], "compare.quick_rates": {"wide": 0.3}})

    assert plan.methods["wide"] == MvAdapterConfig(
        num_frames=5, max_tokens=9, tying="none", factor_dim=3, bottleneck_width=6, num_heads=1
    )


def test_the_quick_rate_of_a_method_is_its_variants_too(recipe):
    names = ["mv-adapter", "mv-adapter-tied", "mv-adapter-untied", "lora", "wide"]
    rates = read_plan(
        recipe,
        {
            "compare.methods": names,
            "compare.variants": {"wide": {"method": "mv-adapter-untied", "num_heads": 1}},
            "compare.quick_rates": {"mv-adapter": 0.3, "mv-adapter-untied": 0.4},
        },
        is_quick=True,
    ).learning_rates

    assert rates == {
        "mv-adapter": (0.3,),
        "mv-adapter-tied": (0.3,),
        "mv-adapter-untied": (0.4,),
        "lora": (LoraConfig.default_learning_rate,),
        "wide": (0.4,),
    }


def test_the_same_settings_at_other_rates_are_not_one_run(recipe, tmp_path):
    names = ["mv-adapter-tied", "mv-adapter"]
    plan = read_plan(
        recipe,
        {"compare.methods": names, "compare.quick_rates": {"mv-adapter-tied": 0.3}},
        is_quick=True,
    )

    assert list(same_methods(plan, tmp_path).values()) == names


def test_a_mistake_in_a_variant_shows_where_it_is_not_compared(recipe):
    recipe.write_text(RECIPE + '[compare.variants.wide]\nmethod = "mv-adapter"\ndepht = 1\n')

    with pytest.raises(
        ConfigError, match=r"variants\.wide: setting 'depht' is not known.* mean 'depth'"
    ):
        read_plan(recipe, {})


def test_a_value_that_a_method_cannot_have_is_refused_by_name(recipe):
    recipe.write_text(RECIPE + '[compare.variants.wide]\nmethod = "lora"\nrank = 0\n')

    with pytest.raises(ConfigError, match=r"\[compare\], wide: rank must"):
        read_plan(recipe, {})


def test_the_test_split_may_choose_nothing(recipe):
    with pytest.raises(ConfigError, match="a comparison uses the test split only once, at the end"):
        read_plan(recipe, {"train.select_on": "test"})


def test_a_plan_keeps_what_decides_its_runs(recipe):
    plain, vision_alone = read_plan(recipe, {}), read_plan(recipe, {}, text="none")

    assert plain.as_table() != vision_alone.as_table()
    assert read_plan(recipe, {"compare.seeds": [7]}).as_table() == plain.as_table()


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("inputs.num_frames", 100, "sequence-transformer takes num_frames up to 77"),
        ("inputs.max_tokens", 78, "max_tokens is 78, but .* has positions for 77 tokens"),
    ],
)
def test_frames_and_words_beyond_a_table_are_refused_first(
    recipe, random_clip, setting, value, message
):
    plan = read_plan(
        recipe,
        {
            setting: value,
            "compare.methods": ["sequence-transformer"],
            "compare.settings": {},
        },
    )

    with pytest.raises(ConfigError, match=message):
        check_plan(plan, random_clip)


def test_text_none_is_for_the_methods_that_leave_the_text_tower_open(recipe):
    plan = read_plan(recipe, {}, text="none")

    assert plan.methods["adaptformer"].text == "none"
    assert plan.methods["mv-adapter-untied"].text_layers == "all"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"compare.methods": ["mv-adaptr"]}, "Did you mean 'mv-adapter'"),
        ({"compare.methods": []}, "methods must have at least one value"),
        ({"compare.seeds": [1, 1]}, "seeds must have at least one value, each once"),
        ({"compare.learning_rates": [0.0]}, "learning rates must be above 0"),
        ({"compare.settings": {"lorra": {}}}, "'lorra' is not known. Did you mean 'lora'"),
        (
            {"compare.settings": {"lora": {"rnk": 1}}},
            r"settings\.lora: setting 'rnk' .* Did you mean 'rank'",
        ),
        ({"compare.quick_rates": {"lorra": 0.1}}, "'lorra' is not known. Did you mean 'lora'"),
        ({"compare.variants": {"lora": {"method": "lora"}}}, "a method has this name"),
        ({"compare.variants": {"../x": {"method": "lora"}}}, "use only a-z, 0-9 and -"),
        ({"compare.variants": {"wide": {"num_heads": 1}}}, "variants.wide needs a method"),
        ({"compare.variants": {"wide": {"method": "lorra"}}}, "Did you mean 'lora'"),
        (
            {"compare.variants": {"wide": {"method": "lora"}}, "compare.settings": {"wide": {}}},
            "wide is set in settings and in variants",
        ),
        ({"compare.speed": 1}, "setting 'speed' is not known"),
    ],
)
def test_what_cannot_be_is_refused(recipe, overrides, message):
    with pytest.raises(ConfigError, match=message):
        read_plan(recipe, {"compare.settings": {}, **overrides})


def test_a_method_that_does_not_fit_is_refused_before_any_trains(recipe, random_clip):
    plan = read_plan(recipe, {"compare.methods": ["mv-adapter-tied-12"], "compare.settings": {}})

    with pytest.raises(ConfigError, match="mv-adapter-tied-12 does not fit .* names layer -12"):
        check_plan(plan, random_clip)


def test_variants_with_the_same_settings_are_one_run(recipe, tmp_path):
    methods = ["mv-adapter", "mv-adapter-down-in", "mv-adapter-down-out", "mv-adapter-tied-2"]
    plan = read_plan(recipe, {"compare.methods": methods, "compare.settings": {}})

    assert list(same_methods(plan, tmp_path).values()) == [
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

    with pytest.raises(ConfigError, match="Did you mean 'adaptformer'"):
        read_plan(recipe, {})
