"""One-shot hyper-gradient warm-starts: cheap probes of the training loop steer a search.

import ohgw

best = ohgw.tune("digits", budget=120)
print(best.configuration, best.test)
"""

from ohgw.api import Tuned as Tuned
from ohgw.api import WarmStart as WarmStart
from ohgw.api import compare as compare
from ohgw.api import tune as tune
from ohgw.api import warm_start as warm_start
from ohgw.core.errors import OHGWError as OHGWError
from ohgw.core.space import Categorical as Categorical
from ohgw.core.space import Float as Float
from ohgw.core.space import Int as Int
from ohgw.core.space import Space as Space
from ohgw.tasks.module import ModuleTask as ModuleTask
from ohgw.version import __version__ as __version__
