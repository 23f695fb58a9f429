from cellscope.api import evaluate as evaluate
from cellscope.api import export as export
from cellscope.api import predict as predict
from cellscope.api import prepare as prepare
from cellscope.api import train as train
from cellscope.results import Evaluation as Evaluation
from cellscope.results import Run as Run
from cellscope.results import open as open

__version__: str
