"""What a run is called in a store that it shares with others."""

from contextrl.config import Recipe
from contextrl.run import _label
from trajectories.storage.holders import this_process
from trajectories.storage.upkeep import Upkeep
from trajectories.store import SQLStore

RECIPE = Recipe.model_validate({"name": "r", "repositories": [{"source": "generated:seed=0,modules=2"}]})


class Folder(dict):
    """What a run's folder keeps."""

    def read(self, name):
        return self.get(name)

    def write(self, name, value):
        self[name] = value


def test_two_runs_of_one_name_do_not_share_it_and_each_keeps_its_own():
    first, second = Folder(), Folder()
    with SQLStore("sqlite://") as store:
        assert _label(first, store, RECIPE) == "r"
        assert _label(second, store, RECIPE) == "r-2"
        store.release_run("r")
        assert _label(first, store, RECIPE) == "r", "it goes on"
        assert store.configuration("r-2")["recipe"]["name"] == "r"
        assert Upkeep(store).holders() == {"r": this_process(), "r-2": this_process()}
