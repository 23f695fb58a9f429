"""Settings and fixtures for all tests: no display, one thread, none of the user's own variables."""

import os

os.environ["MPLBACKEND"] = "Agg"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported anywhere, subprocesses included
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test asks for weights online
for _name in [name for name in os.environ if name.startswith("CELLSCOPE_") and name != "CELLSCOPE_DATA"]:
    del os.environ[_name]

from pathlib import Path  # noqa: E402

import opened  # noqa: E402, F401 - no stage of any assay opens a file, whatever the test
import pytest  # noqa: E402


def pytest_configure(config: pytest.Config) -> None:
    """Silence what pycocotools does wrong under NumPy 2."""
    config.addinivalue_line("filterwarnings", "ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets (``karyotype/bioimlab`` and so on below it), or skip."""
    folder = os.environ.get("CELLSCOPE_DATA")
    if not folder:
        pytest.skip("CELLSCOPE_DATA is not set")
    return Path(folder)


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of built-in weights that holds none, in the place of the real one."""
    from cellscope.models import registry

    folder = tmp_path / "weights"
    monkeypatch.setattr(registry, "weights_folder", lambda: folder)
    return folder


@pytest.fixture(scope="session")
def karyotype_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six generated metaphases with masks, and single chromosomes, in BioImLab's layout."""
    from drawn.karyotype import metaphase, write_coco

    folder = tmp_path_factory.mktemp("source") / "generated"
    metaphases = [metaphase(seed, sex="XY" if seed % 2 else "XX", inverted=seed % 2 == 0) for seed in range(6)]
    write_coco(folder, metaphases, singles=5, per_cell=6)
    return folder


@pytest.fixture(scope="session")
def micronucleus_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven drawn fields of two cell lines in MNFinder's layout."""
    from drawn.micronucleus import write_mnfinder

    return write_mnfinder(tmp_path_factory.mktemp("mn") / "drawn", {"2024-01-01_RPE1": 4, "2024-01-02_HeLa": 3})


@pytest.fixture(scope="session")
def karyotype_dataset(karyotype_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prepared dataset of `karyotype_source`; tests must not change it."""
    from cellscope.assays.karyotype.datasets.prepare import prepare
    from cellscope.options.common import PrepareOptions

    out = tmp_path_factory.mktemp("prepared") / "dataset"
    prepare([karyotype_source], out, PrepareOptions())
    return out


@pytest.fixture(scope="session")
def nucleus_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generated white blood cells with masks, in the layout of the WBC set."""
    from drawn.nucleus_seg import write_wbc

    folder = tmp_path_factory.mktemp("smears") / "generated"
    write_wbc(folder)
    return folder


@pytest.fixture(scope="session")
def nucleus_dataset(nucleus_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prepared dataset of `nucleus_source`, with two folds; tests must not change it."""
    from cellscope.assays.nucleus_seg.datasets.prepare import prepare
    from cellscope.assays.nucleus_seg.options import NucleusPrepareOptions

    out = tmp_path_factory.mktemp("prepared-smears") / "dataset"
    prepare([nucleus_source], out, NucleusPrepareOptions(splits=(0.5, 0.25, 0.25), folds=2))
    return out


@pytest.fixture(scope="session")
def histo_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight drawn tiles of tissue with types, in the layout of CoNSeP's PNG and CSV copy."""
    from drawn.histo import write_tiles

    return write_tiles(tmp_path_factory.mktemp("tissue") / "generated", 8, side=96)


@pytest.fixture(scope="session")
def mitosis_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eighteen generated divisions of six positions, two cell lines and two doses, in the authors' folders."""
    from drawn.mitosis import write_source

    return write_source(tmp_path_factory.mktemp("divisions") / "generated")


@pytest.fixture(scope="session")
def mitosis_dataset(mitosis_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prepared dataset of `mitosis_source`, in three folds; tests must not change it."""
    from cellscope.assays.mitosis.datasets.prepare import prepare
    from cellscope.assays.mitosis.options import MitosisPrepareOptions

    out = tmp_path_factory.mktemp("prepared") / "dataset"
    prepare([mitosis_source], out, MitosisPrepareOptions(folds=3))
    return out
