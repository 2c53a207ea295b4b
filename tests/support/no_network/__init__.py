"""No test has a network, nor has any process that it starts."""

import os
from pathlib import Path

from tests.support.dag import ROOT

# Where Python looks for code in a process of the project's own code, with sockets refused.
PYTHON_PATH = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
