"""From records to conclusions: time to target, paired statistics, figures and reports.

Reads what a study wrote through `ohgw.core.records` and needs neither torch nor the study's code.
`summarise` gives the numbers, `write_compare_report` and `write_tune_report` write them down.
"""

from ohgw.analysis.report import write_compare_report as write_compare_report
from ohgw.analysis.report import write_tune_report as write_tune_report
from ohgw.analysis.results import Summary as Summary
from ohgw.analysis.summary import summarise as summarise
from ohgw.analysis.tune import TuneSummary as TuneSummary
