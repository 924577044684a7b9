import attrs

from homeport import BackendKind, BackendSpec, BuildPlan, setting
from homeport.models.build_recipe import BuildRecipe


@attrs.frozen(kw_only=True)
class Settings:
    weights: str = "auto"
    spin: int = setting(0, "how long threads wait awake", builds=False)


def recipe(**settings):
    spec = BackendSpec(name="a", kind=BackendKind.LOCAL, factory="a.model:Model", builder="a.builder:Builder")
    return BuildRecipe.of(spec, Settings(**settings))


def test_a_setting_that_decides_over_running_only_leaves_builds_as_they_are():
    plain = recipe().key((), BuildPlan())
    assert recipe(spin=1).key((), BuildPlan()) == plain
    assert recipe(weights="int4").key((), BuildPlan()) != plain
    assert recipe(spin=1).config == {"weights": "auto"}


def test_a_backend_without_a_builder_has_no_recipe():
    assert (
        BuildRecipe.of(BackendSpec(name="a", kind=BackendKind.LOCAL, factory="a.model:Model"), None) is None
    )
