"""A report as one HTML file that loads nothing."""

from collections.abc import Iterable, Sequence
from html import escape

from homeport_ollama.migrate.finding import Finding
from homeport_ollama.migrate.report import Report

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 2rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid #8884; }
td { overflow-wrap: anywhere; }
.ready { color: #17692b; } .attention { color: #a34a00; font-weight: 600; }
@media (prefers-color-scheme: dark) {
  body { background: #16181c; color: #e4e6ea; } .ready { color: #6fd08c; } .attention { color: #ffb066; }
}
"""


def page(report: Report) -> str:
    """Lay a report out; every text in it is escaped."""
    totals = "".join(f"<td>{count}</td>" for count in report.totals.values())
    names = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in report.totals)
    return f"""<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>From Ollama to homeport</title><style>{_STYLE}</style></head>
<body>
<h1>From Ollama to homeport</h1>
<p>{escape(report.root)}, looked at on {escape(report.made_at)} in {report.seconds} s. Clients would ask
{escape(report.to)}.</p>
<table><tr>{names}</tr><tr>{totals}</tr></table>
<h2>Places in the project</h2>
{_table(("Place", "Setting", "Value", "State", "What to do"), map(_place, report.places))}
<h2>Models that the project names</h2>
{_table(("Model", "Is", "State", "What to do"), map(_model, report.wanted))}
<h2>Models of Ollama</h2>
{_table(("Model", "Is", "State", "What happens"), map(_model, report.models))}
</body></html>
"""


def _table(header: Sequence[str], rows: Iterable[str]) -> str:
    cells = "".join(f"<th>{escape(name)}</th>" for name in header)
    return f"<table><tr>{cells}</tr>{''.join(rows) or '<tr><td>none</td></tr>'}</table>"


def _place(finding: Finding) -> str:
    where = f"{finding.path}:{finding.line}" if finding.line else finding.path
    return _row((where, finding.setting, finding.value), finding)


def _model(finding: Finding) -> str:
    return _row((finding.path, finding.value), finding)


def _row(cells: Sequence[str], finding: Finding) -> str:
    told = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    state = finding.state.value
    return f'<tr>{told}<td class="{state}">{state}</td><td>{escape(finding.reason)}</td></tr>\n'
