"""The review: is this experiment code ready? Evidence first, verdict after.

    tree, spec       what is read: directories, git revisions, JSON objects, a whole prompt
    project          a tree parsed: modules, configurations, manifest
    checks           one question per file, each answered with findings
    claims           what the texts promise, held against the code
    smoke            the code run in a sandbox, and what was observed
    findings, run    severity, ladder and verdict
    formats          text, JSON, SARIF, Markdown, a code host's annotations

Code under review is never imported into this process.
"""

from ohgw.review.checks import Context as Context
from ohgw.review.findings import Finding as Finding
from ohgw.review.findings import Review as Review
from ohgw.review.run import review as review
