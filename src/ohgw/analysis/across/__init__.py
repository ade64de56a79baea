"""Over all cells of a study: the verdict, performance profiles, shifts and sensitivity.

`summarise_study` reads a study's directory and gives every number of its report.
"""

from ohgw.analysis.across.results import ArmNumbers as ArmNumbers
from ohgw.analysis.across.results import ArmTarget as ArmTarget
from ohgw.analysis.across.results import CellCosts as CellCosts
from ohgw.analysis.across.results import CellSummary as CellSummary
from ohgw.analysis.across.results import Family as Family
from ohgw.analysis.across.results import Interval as Interval
from ohgw.analysis.across.results import Pair as Pair
from ohgw.analysis.across.results import PairTarget as PairTarget
from ohgw.analysis.across.results import Profile as Profile
from ohgw.analysis.across.results import ProfileCurve as ProfileCurve
from ohgw.analysis.across.results import Sensitivity as Sensitivity
from ohgw.analysis.across.results import Shift as Shift
from ohgw.analysis.across.results import StudySummary as StudySummary
from ohgw.analysis.across.results import TupleVerdict as TupleVerdict
from ohgw.analysis.across.results import Verdict as Verdict
from ohgw.analysis.across.summary import summarise_study as summarise_study
